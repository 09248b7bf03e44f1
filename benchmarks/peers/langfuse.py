"""Langfuse's wrapper of the OpenAI client, and the spans that other SDKs make themselves."""

from __future__ import annotations

from typing import Any


def start(emitted: Any) -> None:
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
    )


def openai_module() -> Any:
    """The module whose clients are watched."""
    import langfuse.openai

    return langfuse.openai.openai
