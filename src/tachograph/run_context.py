"""The run that comes from outside: by baggage of another process, by a framework, or by a span of a framework's.

Read once per call, and only where no `tachograph.run` is open. The names are OpenTelemetry's, so every framework whose
spans follow its conventions is understood.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context

from tachograph.records.run import Run
from tachograph.signals import semconv as s
from tachograph.vendors.fields import pick

logger = logging.getLogger("tachograph")

BAGGAGE: Final[dict[str, str]] = {
    "id": s.RUN_ID,
    "agent": s.AGENT_NAME,
    "execution_id": s.EXECUTION_ID,
    "session_id": s.SESSION_ID,
    "app_version": s.AGENT_VERSION,
    "parent_id": s.PARENT_RUN_ID,
}
"""Baggage entries by the run's fields. The user is not among them: baggage reaches every host that is called."""

_FROM: Final[dict[str, tuple[str, ...]]] = {
    "id": (s.RUN_ID,),
    "agent": (s.AGENT_NAME, s.AGENT_ID),
    "execution_id": (s.EXECUTION_ID, "gcp.vertex.agent.invocation_id"),
    "session_id": (s.CONVERSATION_ID, s.SESSION_ID),
    "user_id": (s.USER_ID, s.ENDUSER_ID),
    "app_version": (s.AGENT_VERSION,),
    "parent_id": (s.PARENT_RUN_ID,),
}
_LONGEST: Final = 256
_get_current: Final = context_api.get_current


def around() -> Run | None:
    """What frameworks and the OpenTelemetry context here say of a run, or None. The context's word is the last."""
    context = _get_current()
    if not context and not _sources:
        return None
    told: dict[str, Any] = {}
    for name, source in _sources.items():
        try:
            told.update((field, str(value)[:_LONGEST]) for field, value in source().items() if value)
        except Exception as error:  # noqa: BLE001 - a version of the framework's that we do not know
            forget_sources(name)
            logger.warning("tachograph: the runs of %s are not read: %s: %s", name, type(error).__name__, error)
    if context:
        found: dict[str, Any] = dict(baggage.get_all(context))
        attributes = getattr(trace.get_current_span(context), "attributes", None)
        if isinstance(attributes, Mapping):
            found.update(attributes)
        if found:
            told.update(_of_attributes(found))
    return Run(**told) if told else None


def carried(meta: object) -> Run | None:
    """The run in the baggage of an MCP request's `_meta`, or None; mcp itself takes only the trace from there."""
    text = pick(meta, "baggage")
    if not isinstance(text, str):
        return None
    from opentelemetry.baggage.propagation import W3CBaggagePropagator

    told = _of_attributes(baggage.get_all(W3CBaggagePropagator().extract({"baggage": text}, Context())))
    return Run(**told) if told else None


def _of_attributes(found: Mapping[str, Any]) -> dict[str, Any]:
    """What attributes or baggage entries say of a run."""
    return {
        field: str(value)[:_LONGEST]
        for field, names in _FROM.items()
        if (value := next((found[name] for name in names if found.get(name)), None)) is not None
    }


def add_source(name: str, source: Callable[[], Mapping[str, Any]]) -> None:
    """Ask this, too, from now on: it returns fields of the run that is going on here, by the names of `Run`."""
    global _sources
    _sources = {**_sources, name: source}


def forget_sources(*names: str) -> None:
    """Do not ask these any more, or none at all."""
    global _sources
    _sources = {name: source for name, source in _sources.items() if names and name not in names}


_sources: Mapping[str, Callable[[], Mapping[str, Any]]] = {}
"""By what frameworks are called; replaced as a whole, so that readers need no lock."""
