"""Logfire, sending nothing off the machine."""

from __future__ import annotations

import os
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    import logfire

    logfire.configure(
        send_to_logfire=False,
        console=False,
        additional_span_processors=[emitted.span_processor()],
        metrics=logfire.MetricsOptions(additional_readers=[emitted.fresh_reader()]),
    )
    logfire.instrument_openai()
    logfire.instrument_anthropic()
    logfire.instrument_google_genai()
    logfire.instrument_mcp()
