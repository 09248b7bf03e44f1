"""A floor: plain OpenTelemetry API calls, by hand around the client's call: one span, three records."""

from __future__ import annotations

import os
import time
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    emitted.make_global()
    from benchmarks.peers.by_hand import wrap_clients

    tracer = emitted.tracer_provider.get_tracer("floor")
    meter = emitted.meter_provider.get_meter("floor")
    seconds = meter.create_histogram("gen_ai.client.operation.duration", unit="s")
    tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")

    def begin(provider: str, model: str) -> Any:
        span = tracer.start_span(
            f"chat {model}",
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": provider,
                "gen_ai.request.model": model,
            },
        )
        return (span, provider, model, time.perf_counter())

    def end(begun: Any, prompt: int, completion: int) -> None:
        span, provider, model, started = begun
        common = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model}
        span.set_attribute("gen_ai.usage.input_tokens", prompt)
        span.set_attribute("gen_ai.usage.output_tokens", completion)
        span.end()
        seconds.record(time.perf_counter() - started, common)
        tokens.record(prompt, {**common, "gen_ai.token.type": "input"})
        tokens.record(completion, {**common, "gen_ai.token.type": "output"})

    wrap_clients(begin, end)
