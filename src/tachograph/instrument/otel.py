"""Ours as an OpenTelemetry instrumentor, so that `opentelemetry-instrument` finds it."""

from __future__ import annotations

from collections.abc import Collection

# An application that uses `opentelemetry-instrument` has this package; our own environment may lack it.
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[import-not-found, attr-defined, unused-ignore]
    BaseInstrumentor,
)

from tachograph.instrument import boot, uninstrument


class TachographInstrumentor(BaseInstrumentor):  # type: ignore[misc, unused-ignore]
    """Watches openai, anthropic, google-genai and mcp. `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=tachograph` leaves it."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: each client library is hooked when it is imported, and may be missing."""
        return ()

    def _instrument(self, **settings: object) -> None:
        boot.watch()

    def _uninstrument(self, **settings: object) -> None:
        uninstrument()
