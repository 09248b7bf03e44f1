"""OpenLLMetry's instrumentations, content off as in production."""

from __future__ import annotations

import os
import sys
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    emitted.make_global()
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.google_generativeai import GoogleGenerativeAiInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    given = {"tracer_provider": emitted.tracer_provider, "meter_provider": emitted.meter_provider}
    OpenAIInstrumentor(enrich_assistant=False).instrument(**given)
    AnthropicInstrumentor().instrument(**given)
    GoogleGenerativeAiInstrumentor().instrument(**given)
    from opentelemetry.instrumentation.mcp import McpInstrumentor

    try:
        McpInstrumentor().instrument(**given)
    except Exception as error:  # noqa: BLE001 - it does not know mcp 2; the rest goes on without it
        sys.stderr.write(f"McpInstrumentor: {error}\n")
