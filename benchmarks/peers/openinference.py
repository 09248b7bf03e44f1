"""OpenInference's instrumentations, content hidden."""

from __future__ import annotations

import os
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    os.environ["OPENINFERENCE_HIDE_INPUTS"] = os.environ["OPENINFERENCE_HIDE_OUTPUTS"] = "true"
    emitted.make_global()
    from openinference.instrumentation.anthropic import AnthropicInstrumentor
    from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor
    from openinference.instrumentation.mcp import MCPInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor

    for instrumentor in (OpenAIInstrumentor, AnthropicInstrumentor, GoogleGenAIInstrumentor, MCPInstrumentor):
        instrumentor().instrument(tracer_provider=emitted.tracer_provider, skip_dep_check=True)
