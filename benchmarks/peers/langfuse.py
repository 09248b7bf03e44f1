"""Langfuse: its wrapper of the OpenAI client, OpenInference for Gemini as its docs say, other SDKs' own spans."""

from __future__ import annotations

import os
from typing import Any


def start(emitted: Any) -> None:
    os.environ["OPENINFERENCE_HIDE_INPUTS"] = os.environ["OPENINFERENCE_HIDE_OUTPUTS"] = "true"
    from langfuse import Langfuse
    from opentelemetry.sdk.trace import TracerProvider

    from benchmarks.peers.emitted import DropSpans

    if not emitted.kept:
        emitted.tracer_provider = TracerProvider()  # with Langfuse's own processor alone, as in production
    emitted.make_global()
    Langfuse(
        public_key="pk-lf-none",
        secret_key="sk-lf-none",
        base_url="http://127.0.0.1:9",
        tracer_provider=emitted.tracer_provider,
        span_exporter=DropSpans(),
        flush_at=1000,
        mask=lambda data, **more: None,  # its switch for content
    )
    instrument_again()


def instrument_again() -> None:
    """Switch on what is not a wrapper."""
    from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor

    GoogleGenAIInstrumentor().instrument(skip_dep_check=True)


def openai_module() -> Any:
    """The module whose clients are watched."""
    import langfuse.openai

    return langfuse.openai.openai
