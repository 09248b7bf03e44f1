"""A floor: the least that a careful engineer would write by hand, prometheus_client children bound before."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    from prometheus_client import Counter, Histogram

    from benchmarks.peers.by_hand import wrap_clients

    seconds = Histogram("floor_request_seconds", "Duration", ["provider", "model"])
    tokens = Counter("floor_tokens", "Tokens", ["provider", "model", "type"])

    @lru_cache(maxsize=256)
    def bound(provider: str, model: str) -> Any:
        return (
            seconds.labels(provider, model).observe,
            tokens.labels(provider, model, "prompt").inc,
            tokens.labels(provider, model, "completion").inc,
        )

    def begin(provider: str, model: str) -> Any:
        return (bound(provider, model), time.perf_counter())

    def end(begun: Any, prompt: int, completion: int) -> None:
        (observe, inc_prompt, inc_completion), started = begun
        observe(time.perf_counter() - started)
        inc_prompt(prompt)
        inc_completion(completion)

    wrap_clients(begin, end)
