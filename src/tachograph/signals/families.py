"""Families that belong to neither side: factories and our own health."""

from __future__ import annotations

from typing import Final

from tachograph.signals.family import Family

FACTORY_CREATE_SECONDS: Final = Family(
    "factory_create_seconds",
    "histogram",
    ("factory_type", "name"),
    "Duration of creating one provider or tool; imports of client libraries are not counted.",
    "seconds",
    buckets=(0.00001, 0.0001, 0.001, 0.01),
    values={"factory_type": ("provider", "tool")},
    fixed=True,
)
LABEL_OVERFLOW: Final = Family(
    "tachograph_label_overflow_total",
    "counter",
    ("family", "label"),
    "Samples whose label value became 'other' because the label had too many values already.",
)
_COMPONENTS: Final = (
    "pricing",
    "metrics",
    "spans",
    "ledger",
    "listener",
    "instrument",
    "exposition",
    "multiprocess",
    "otlp",
)
TELEMETRY_ERRORS: Final = Family(
    "tachograph_telemetry_errors_total",
    "counter",
    ("component",),
    "Failures of our own that were logged once and dropped, so that the application's call was not touched.",
    values={"component": _COMPONENTS},
    zero={"component": _COMPONENTS},
)
BUILD_INFO: Final = Family(
    "tachograph_build_info", "gauge", ("version",), "Always 1; carries the version.", gauge_merge="max"
)
PROCESS_START: Final = Family(
    "process_start_time_seconds",
    "gauge",
    (),
    "When the process started, in seconds since the epoch.",
    "seconds",
    gauge_merge="max",
)

UNWATCHED_CLIENT: Final = Family(
    "tachograph_unwatched_client",
    "gauge",
    ("library",),
    "1 where a known client of LLM providers is imported and its calls are not seen.",
    gauge_merge="max",
)

FAMILIES: Final = (
    FACTORY_CREATE_SECONDS,
    LABEL_OVERFLOW,
    TELEMETRY_ERRORS,
    BUILD_INFO,
    PROCESS_START,
    UNWATCHED_CLIENT,
)

NOTIFICATIONS: Final = Family(
    "tachograph_notifications_total",
    "counter",
    ("receiver", "outcome"),
    "Notifications about alerts that the console has tried to deliver; one that is tried again counts each time.",
    values={"outcome": ("delivered", "failed")},
)
NOTIFICATION_FAILING: Final = Family(
    "tachograph_notification_failing_seconds",
    "gauge",
    ("receiver",),
    "For how long a receiver has accepted no notification; 0 while it accepts them.",
    "seconds",
    gauge_merge="max",
)

_SIGNALS: Final = ("traces", "logs", "metrics")
_RESULTS: Final = ("recorded", "own", "duplicate", "no_call", "unusable", "refused")
RECEIVED: Final = Family(
    "tachograph_otlp_received_total",
    "counter",
    ("signal", "result"),
    "Spans, events and requests of metrics that senders sent to `tachograph collect`. recorded: a call, counted here; "
    "own: a call of another Tachograph, counted there; duplicate: recorded before; no_call: nothing to record; "
    "refused: the ledger could not take it, and the sender sends it again.",
    values={"signal": _SIGNALS, "result": _RESULTS},
    zero={"signal": _SIGNALS, "result": _RESULTS},
)

COLLECT_FAMILIES: Final = (RECEIVED,)
"""Families of `tachograph collect`'s process."""

CONSOLE_FAMILIES: Final = (NOTIFICATIONS, NOTIFICATION_FAILING)
"""Families of the console's own process; an application does not have them."""
