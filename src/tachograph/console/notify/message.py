"""What a notification says: alerts of one group, firing and resolved, in words and numbers that people read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from tachograph.console.views.phrases import plain

LOCAL_CONSOLE: Final = "http://127.0.0.1:"
MAX_SHOWN: Final = 10
"""Alerts that one notification spells out; the others are counted."""
_ORDER: Final = {"critical": 0, "warning": 1, "info": 2}
_OWN: Final = frozenset({"alertname", "severity", "component", "slo", "long", "short"})
"""Labels that say what the alert is, not where."""


class NotifiedAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert as a notification shows it; times in seconds since 1970."""

    labels: dict[str, str]
    annotations: dict[str, str]
    since: float
    value: str = ""
    resolved_at: float | None = None

    @property
    def name(self) -> str:
        """The name of its rule."""
        return self.labels.get("alertname", "")

    @property
    def severity(self) -> str:
        """`critical`, `warning`, `info` or `none`."""
        return self.labels.get("severity", "none")

    @property
    def fingerprint(self) -> str:
        """The same for the same labels, in every process."""
        text = "\xff".join(f"{key}\xfe{value}" for key, value in sorted(self.labels.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """One line: what is wrong."""
        return plain(self.annotations.get("title") or self.annotations.get("summary") or self.name)

    @property
    def where(self) -> dict[str, str]:
        """The labels that say what is affected."""
        return {key: value for key, value in sorted(self.labels.items()) if key not in _OWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What one receiver is sent about one group.

    Attributes:
        receiver: Its name in the settings.
        key: The group: the same for each notification about it.
        labels: What the alerts of the group have in common by the route's `group_by`.
        firing, resolved: The alerts, the most severe first.
        at: Seconds since 1970.
        console_url: Where people reach the console; empty where that is not known.
        repeated: It may have been sent before: the process ended while it was sent.
        number: How many were accepted before: a reminder is no copy.
    """

    receiver: str
    key: str
    labels: dict[str, str]
    firing: tuple[NotifiedAlert, ...]
    resolved: tuple[NotifiedAlert, ...] = ()
    at: float
    console_url: str = ""
    repeated: bool = False
    number: int = 0

    @property
    def status(self) -> Literal["firing", "resolved"]:
        """`resolved` when nothing of the group fires any more."""
        return "firing" if self.firing else "resolved"

    @property
    def alerts(self) -> tuple[NotifiedAlert, ...]:
        """All of its alerts, firing ones first."""
        return (*self.firing, *self.resolved)

    @property
    def severity(self) -> str:
        """The highest severity among its alerts."""
        return min((alert.severity for alert in self.firing or self.resolved), key=lambda s: _ORDER.get(s, 3))

    @property
    def identity(self) -> str:
        """The same for the same content, so that a receiver can recognise a copy."""
        parts = [self.receiver, self.key, str(self.number)]
        parts += [f"{alert.fingerprint}@{alert.since:.3f}" for alert in self.firing]
        parts += [f"{alert.fingerprint}@{alert.since:.3f}-" for alert in self.resolved]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    @property
    def title(self) -> str:
        """One line: `CRITICAL: ...`, `RESOLVED: ...`, with the number of further alerts."""
        shown = self.firing or self.resolved
        head = "RESOLVED" if not self.firing else self.severity.upper()
        more = f" (and {len(shown) - 1} more)" if len(shown) > 1 else ""
        return f"{head}: {one_line(next(iter(shown)).title)}{more}"

    def lines(self, alert: NotifiedAlert) -> list[str]:
        """What is said of one alert below its title: description, what is affected, since when."""
        found = [alert.annotations["description"]] if alert.annotations.get("description") else []
        if alert.where:
            found.append("Affected: " + ", ".join(f"{key}={value}" for key, value in alert.where.items()))
        if alert.resolved_at is not None:
            found.append(f"Resolved at {clock(alert.resolved_at)} after {lasted(alert.resolved_at - alert.since)}")
        else:
            found.append(f"Since {clock(alert.since)} ({lasted(self.at - alert.since)})")
        if self.repeated:
            found.append("This may be a copy: the console stopped while it sent the notification.")
        return found

    def links(self, alert: NotifiedAlert) -> list[tuple[str, str]]:
        """Where to read on: the runbook, the incident in the console, the dashboard."""
        runbook = alert.annotations.get("runbook_url", "")
        incident = ""
        if self.console_url:
            incident = f"{self.console_url.rstrip('/')}/#/alerts?alert={quote(alert.name, safe='')}"
            if runbook.startswith(LOCAL_CONSOLE):
                runbook = incident  # the address of a console on the reader's own machine would lead nowhere
        found = {runbook: "Runbook", alert.annotations.get("dashboard_url", ""): "Dashboard"}
        found.setdefault(incident, "Incident")
        found.setdefault(alert.annotations.get("vendor_status", ""), "Vendor status")
        return [(text, url) for url, text in found.items() if url]


def text_of(notification: Notification) -> str:
    """The whole notification as plain text."""
    parts = []
    for alert in notification.alerts[:MAX_SHOWN]:
        state = "Resolved" if alert.resolved_at is not None else alert.severity.capitalize()
        lines = [f"{state}: {alert.title}", *notification.lines(alert)]
        lines += [f"{text}: {url}" for text, url in notification.links(alert)]
        parts.append("\n".join(lines))
    more = len(notification.alerts) - MAX_SHOWN
    if more > 0:
        parts.append(f"{more} more alerts are not listed.")
    return "\n\n".join(parts)


def by_severity(alerts: list[NotifiedAlert]) -> tuple[NotifiedAlert, ...]:
    """Alerts, the most severe first, then by name and age."""
    return tuple(sorted(alerts, key=lambda a: (_ORDER.get(a.severity, 3), a.name, a.since, a.fingerprint)))


def clip(text: str, limit: int) -> str:
    """A text of at most so many characters; what is cut off is marked."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(text: str) -> str:
    """A text without line breaks and control characters."""
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()


def clock(at: float) -> str:
    """A time as people read it: `2026-11-27 14:05 UTC`."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def lasted(seconds: float) -> str:
    """A duration as people read it: `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    for size, unit, small, small_unit in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    raise AssertionError("every duration of a minute or more is matched above")
