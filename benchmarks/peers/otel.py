"""OpenTelemetry's official GenAI instrumentations."""

from __future__ import annotations

import os
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    emitted.make_global()
    from opentelemetry.instrumentation.genai.anthropic import AnthropicInstrumentor
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
    from opentelemetry.instrumentation.google_genai import GoogleGenAiSdkInstrumentor

    for instrumentor in (OpenAIInstrumentor, AnthropicInstrumentor, GoogleGenAiSdkInstrumentor):
        instrumentor().instrument(
            tracer_provider=emitted.tracer_provider, meter_provider=emitted.meter_provider, skip_dep_check=True
        )
