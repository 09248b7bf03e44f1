"""OpenTelemetry's official GenAI instrumentations."""

from __future__ import annotations

import os
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    emitted.make_global()
    instrument_again()
    if emitted.kept:  # to see retries one watches the requests, too; the costs leave that out
        from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

        HTTPX2ClientInstrumentor().instrument()


def instrument_again() -> None:
    """Switch its parts on."""
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor

    for instrumentor in (OpenAIInstrumentor, AnthropicInstrumentor, GoogleGenAiSdkInstrumentor):
        instrumentor().instrument(skip_dep_check=True)
