"""Logfire, sending nothing off the machine.

With genai-prices installed it says what a call costs, which takes it about a millisecond: it has them where the truth
of costs is asked for, and is spared them where its own cost is.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    if not emitted.kept:
        blocked: Any = None
        sys.modules["genai_prices"] = blocked
    import logfire

    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[emitted.span_processor()],
        metrics=logfire.MetricsOptions(additional_readers=[emitted.fresh_reader()]),
    )
    instrument_again(requests_too=emitted.kept)


def instrument_again(*, requests_too: bool = True) -> None:
    """Switch its parts on; mcp 2 makes spans of its own, which Logfire keeps.

    Args:
        requests_too: Watch HTTP requests, which reports retries; not where the cost of a call is asked for.
    """
    import logfire

    if requests_too:
        logfire.instrument_httpx()
    logfire.instrument_openai(suppress_other_instrumentation=not requests_too)
    logfire.instrument_anthropic(suppress_other_instrumentation=not requests_too)
    logfire.instrument_google_genai(skip_dep_check=True)  # it says that it supports google-genai below 3 only
