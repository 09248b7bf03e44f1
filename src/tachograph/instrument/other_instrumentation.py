"""Other instrumentations in this process: which are active, and what that means beside ours.

Ours counts each call once, also where another one counts it: it is called by them and recognises its own wrappers. What
theirs record goes to where they send it, under their names.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from tachograph import runtime
from tachograph.instrument import report

logger = logging.getLogger("tachograph")

_WATCHED: Final = ("openai", "anthropic", "google", "genai", "mcp", "vertexai", "bedrock")

_FAMILIES: Final = (
    # the start of an instrumentor's module, and whose it is
    ("opentelemetry.instrumentation.openai_v2", "OpenTelemetry (official)"),
    ("opentelemetry.instrumentation.google_genai", "OpenTelemetry (official)"),
    ("opentelemetry.instrumentation.genai", "OpenTelemetry (official)"),
    ("openinference.", "OpenInference"),
    ("openlit.", "OpenLIT"),
    ("traceloop.", "OpenLLMetry"),
    ("langtrace", "Langtrace"),
    *((f"opentelemetry.instrumentation.{name}", "OpenLLMetry") for name in ("openai", "anthropic", "mcp", "bedrock")),
    ("opentelemetry.instrumentation.google_generativeai", "OpenLLMetry"),
    ("opentelemetry.instrumentation.", "OpenLLMetry or OpenTelemetry"),
)


@dataclass(frozen=True, slots=True)
class Other:
    """One other instrumentation.

    Attributes:
        name: Whose it is, and which part.
        meaning: What that means beside ours.
        module: Where an instrumentor's class stands.
    """

    name: str
    meaning: str
    module: str = ""

    def is_at(self, place: str) -> bool:
        """Whether an entry point, `package:Class`, leads here. The class may stand deeper in the package."""
        package, _, kind = place.partition(":")
        return f"{self.module}.".startswith(f"{package}.") and self.name.endswith(f": {kind}")


_BESIDE: Final = "makes spans and metrics of its own beside ours, under its own names; ours counts each call once"


def active() -> list[Other]:
    """The other instrumentations that are active now."""
    found = {name: Other(name, meaning) for name, meaning in {**_wrappers(), **_vendors()}.items()}
    found |= {other.name: other for other in _instrumentors()}
    return [found[name] for name in sorted(found)]


def _instrumentors() -> Iterator[Other]:
    """Instances of OpenTelemetry's BaseInstrumentor that are switched on."""
    module = sys.modules.get("opentelemetry.instrumentation.instrumentor")
    base = getattr(module, "BaseInstrumentor", None)
    if base is None:
        return
    kinds: list[Any] = list(base.__subclasses__())
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        instance = getattr(kind, "_instance", None)
        path = kind.__module__
        if path.startswith("tachograph.") or not any(word in path.lower() for word in _WATCHED):
            continue
        if instance is None or not instance.is_instrumented_by_opentelemetry:
            continue
        whose = next((name for start, name in _FAMILIES if path.startswith(start)), "Another")
        yield Other(f"{whose}: {kind.__name__}", _BESIDE, path)


def _wrappers() -> dict[str, str]:
    """Those that wrap clients in ways of their own."""
    found: dict[str, str] = {}
    if "langfuse.openai" in sys.modules:
        found["Langfuse: langfuse.openai"] = "sends observations to Langfuse; ours counts each call once"
    if "logfire" in sys.modules and any(
        getattr(getattr(sys.modules.get(name), "_client", None), "is_instrumented_by_logfire", False)
        or name in sys.modules
        for name in (
            "logfire._internal.integrations.llm_providers.openai",
            "logfire._internal.integrations.llm_providers.anthropic",
        )
    ):
        found["Logfire: instrument_openai or instrument_anthropic"] = _BESIDE
    if "ddtrace.llmobs" in sys.modules:
        found["Datadog: ddtrace.llmobs"] = _BESIDE
    return found


def _vendors() -> dict[str, str]:
    """The client libraries' own spans, made once an OpenTelemetry SDK is set up."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        return {}
    from opentelemetry import trace

    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return {}
    left_out = "is left out for calls that have a span of ours, which carries the same and more"
    found: dict[str, str] = {}
    if "anthropic" in sys.modules and os.environ.get("ANTHROPIC_OPEN_TELEMETRY", "").lower() != "false":
        version = report.version_of("anthropic") or "0"
        if int(version.partition(".")[0]) >= 2:
            found["anthropic: its own spans"] = left_out
    if "mcp" in sys.modules and int((report.version_of("mcp") or "0").partition(".")[0]) >= 2:
        found["mcp: its own spans"] = left_out
    if "fastmcp" in sys.modules and os.environ.get("FASTMCP_TELEMETRY_MODE", "native") == "native":
        found["fastmcp: its own spans"] = "stand beside ours; FASTMCP_TELEMETRY_MODE=off switches them off"
    return found


_FRAMEWORKS: Final = {
    "google.adk": "Google ADK",
    "strands": "Strands Agents",
    "agent_framework": "Microsoft Agent Framework",
    "pydantic_ai": "PydanticAI",
}
"""Frameworks that make a span of each call of a model, with its usage; by the module that shows that one is there."""


def frameworks() -> Iterator[Other]:
    """Installed frameworks whose spans carry the usage of the calls that have spans of ours."""
    for module, name in _FRAMEWORKS.items():
        try:
            is_there = find_spec(module) is not None
        except (ImportError, ValueError):
            is_there = False
        if is_there:
            if runtime.get_settings().spans.duplicate_usage:
                meaning = "carry gen_ai.usage.* as ours do (spans.duplicate_usage): a sum over a trace counts twice"
            else:
                meaning = "carry gen_ai.usage.* for their calls; ours below them leave it out (spans.duplicate_usage)"
            yield Other(f"{name}: its own spans", meaning, module)


_logged: set[str] = set()


def log_once() -> None:
    """Say in the start-up log which others are active, each once."""
    for other in active():
        if other.name not in _logged:
            _logged.add(other.name)
            logger.info("tachograph: also active: %s, which %s", other.name, other.meaning)
