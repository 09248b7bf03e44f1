"""Pieces that several rules are made of."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.durations import number, text
from tachograph.settings.alerts import AlertsSettings

INSTANCE: Final = "drill:9464"
"""The synthetic target of the drills."""

NOT_OUR_FAULT: Final = 'error_type!~"invalid_request|content_filter|rate_limit"'
"""What counts against a provider's objective: what the caller did wrong and what a limit refused does not."""

OUTLASTS: Final = "10m"
"""How long an alert about a cause goes on firing: longer than the 5m windows of the alerts that it inhibits."""

BURN_RATES: Final = (
    # long, short, factor, hold, severity
    ("1h", "5m", 14.4, "2m", "critical"),
    ("6h", "30m", 6.0, "15m", "critical"),
    ("1d", "2h", 3.0, "1h", "warning"),
    ("3d", "6h", 1.0, "3h", "warning"),
)
"""Multi-window burn rates. Source: sre.google/workbook/alerting-on-slos, checked 2026-11-23."""

HALF: Final = {"1h": "30m", "6h": "3h", "1d": "12h", "3d": "36h"}
"""A burn rate is judged when half of its long window has been seen: ten minutes of errors after the very first start
are not three bad days, though a rate over three days would say so."""


def target(settings: AlertsSettings) -> dict[str, str]:
    """Labels that every scraped series carries."""
    return {"job": settings.job.split("|")[0], "instance": INSTANCE}


def job(settings: AlertsSettings) -> str:
    """The matcher for the scrape job."""
    return f'job{"=~" if "|" in settings.job else "="}"{settings.job}"'


def le(bound: float) -> str:
    """The matcher for one bucket, whichever way the exposition spells its bound (`10`, `10.0`)."""
    spelled = number(bound)
    return f'le="{spelled}"' if "." in spelled else f'le=~"{spelled}(\\\\.0)?"'


def counted(selector: str, by: str, *, window: str, at_least: str) -> str:
    """How much a counter grew, also when it was born with its first event: `increase` does not see that one.

    A series that did not exist a window ago counts with its whole value, unless nothing at all was scraped then (a
    monitoring system that has just been started has not seen anything begin).
    """
    return (
        f"sum by ({by}) (increase({selector}[{window}])) {at_least}\n"
        "or\n"
        f"(\n  sum by ({by}) ({selector} unless {selector} offset {window}) {at_least}\n"
        f"  and on () count(up offset {window}) > 0\n)"
    )


def share(factor: float, allowed: float) -> str:
    """A burn rate's threshold, spelled so that a reader sees where it comes from."""
    return f"({number(factor)} * {number(round(allowed, 9))})"


def percent(value: float) -> str:
    """0.995 as `99.5%`."""
    return f"{number(round(value * 100, 9))}%"


def human(seconds: float) -> str:
    """Seconds as a person reads them: `10s`, `500ms`."""
    return text(seconds) if seconds >= 1 and seconds == round(seconds) else f"{number(seconds * 1000)}ms"
