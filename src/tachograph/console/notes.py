"""What people said about alerts, as it stands now: silences and acknowledgements."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Note = tuple[float, str, str, float, str]
"""At, alert, kind, until, text."""


@dataclass(frozen=True, slots=True)
class AlertNotes:
    """What holds for one alert; times in seconds since 1970, None: nothing."""

    silenced_until: float | None = None
    acknowledged_at: float | None = None


def notes_by_alert(notes: Iterable[Note], now: float) -> dict[str, AlertNotes]:
    """What holds for each alert. The newest silence counts, so one of no length ends the one before.

    Args:
        notes: The newest first.
        now: Seconds since 1970.
    """
    silences: dict[str, float] = {}
    acknowledged: dict[str, float] = {}
    for at, alert, kind, until, _ in notes:
        if kind == "silence":
            silences.setdefault(alert, until)
        else:
            acknowledged.setdefault(alert, at)
    return {
        alert: AlertNotes(
            silences[alert] if silences.get(alert, 0.0) > now else None,
            acknowledged.get(alert),
        )
        for alert in {*silences, *acknowledged}
    }
