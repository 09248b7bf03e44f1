"""The run that is told from outside: by baggage of another process, or by a span of a framework's.

Read once per call, and only where no `tachograph.run` is open. The names are OpenTelemetry's, so every framework whose
spans follow its conventions is understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import baggage, trace
from opentelemetry import context as context_api

from tachograph.records.run import Run
from tachograph.signals import semconv as s

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
    "execution_id": (s.EXECUTION_ID,),
    "session_id": (s.CONVERSATION_ID, s.SESSION_ID),
    "user_id": (s.USER_ID, s.ENDUSER_ID),
    "app_version": (s.AGENT_VERSION,),
    "parent_id": (s.PARENT_RUN_ID,),
}
_LONGEST: Final = 256


def around() -> Run | None:
    """What the OpenTelemetry context here says of a run, or None."""
    context = context_api.get_current()
    if not context:
        return None
    found: dict[str, Any] = dict(baggage.get_all(context))
    attributes = getattr(trace.get_current_span(context), "attributes", None)
    if isinstance(attributes, Mapping):
        found.update(attributes)
    return of_attributes(found) if found else None


def of_attributes(found: Mapping[str, Any]) -> Run | None:
    """The run that attributes or baggage entries name, or None."""
    told: dict[str, Any] = {
        field: str(value)[:_LONGEST]
        for field, names in _FROM.items()
        if (value := next((found[name] for name in names if found.get(name)), None)) is not None
    }
    return Run(**told) if told else None
