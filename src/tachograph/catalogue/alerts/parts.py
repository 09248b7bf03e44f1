"""Pieces that several rules are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from tachograph.catalogue.drill import Drill, Series
from tachograph.catalogue.durations import number, text
from tachograph.catalogue.durations import seconds as durations_seconds
from tachograph.catalogue.push import PRESENT, pushed_expression
from tachograph.catalogue.rules import Alert, Severity
from tachograph.settings.alerts import AlertsSettings

INSTANCE: Final = "drill:9464"
"""The synthetic target of the drills."""

CALLERS_FAULT: Final = "invalid_request|content_filter"
"""Errors that say nothing about the provider: what the caller did wrong does not count against its objective."""

REFUSALS: Final = f"auth|quota|{CALLERS_FAULT}"
"""Errors by which the provider refuses a request: a retry does not help."""

STUCK_SECONDS: Final = 600.0
"""From which age on a call may be stuck. Where the day's longest took less than half of it, no comparison is needed."""

LONGEST: Final = "4h"
"""How far apart two failed calls may be to show an outage."""

OUTLASTS: Final = "15m"
"""How long an alert about a cause goes on firing: longer than the windows of the alerts that it inhibits, and than the
pauses in which sparse traffic does not say whether the outage goes on."""

_BURN_RATES: Final[tuple[tuple[str, str, float, str, Severity], ...]] = (
    # long, short, factor, hold, severity
    ("1h", "5m", 14.4, "2m", "critical"),
    ("6h", "30m", 6.0, "15m", "critical"),
    ("1d", "2h", 3.0, "1h", "warning"),
    ("3d", "6h", 1.0, "3h", "warning"),
)
"""Multi-window burn rates. Source: sre.google/workbook/alerting-on-slos, checked 2026-11-23."""

_PLAIN_LENGTH: Final = re.compile(r"(?<![\w/.$-])(\d+)(ms|[smhd])(?![\w/])")
_UNITS: Final = {"ms": "ms", "s": "s", "m": "min", "h": "h", "d": "d"}

_HALF: Final = {"1h": "30m", "6h": "3h", "1d": "12h", "3d": "36h"}
"""A burn rate is judged when half of its long window has been seen: ten minutes of errors after the very first start
are not three bad days, though a rate over three days would say so."""


def target(settings: AlertsSettings) -> dict[str, str]:
    """Labels that every scraped series carries."""
    more = dict.fromkeys(settings.identity, "drill")
    return {**more, "job": settings.job.split("|")[0], "instance": INSTANCE}


def job(settings: AlertsSettings) -> str:
    """The matcher for the scrape job."""
    return f'job{"=~" if "|" in settings.job else "="}"{settings.job}"'


def le(bound: float) -> str:
    """The matcher for one bucket, whichever way the exposition spells its bound (`10`, `10.0`)."""
    spelled = number(bound)
    return f'le="{spelled}"' if "." in spelled else f'le=~"{spelled}(\\\\.0)?"'


def counted(selector: str, by: str, *, window: str, at_least: str) -> str:
    """How much a counter grew, also when it began with its first event: `increase` does not see that one.

    A series that did not exist a window ago counts with its whole value, if its own target was scraped then: after a
    gap, a restart or a new name a counter only seems to have just begun.
    """
    return (
        f"sum by ({by}) (increase({selector}[{window}])) {at_least}\n"
        "or\n"
        f"sum by ({by}) (\n  ({selector} unless {selector} offset {window})\n"
        f"  and on (TARGET) PRESENT offset {window} == 1\n) {at_least}"
    )


def filled(expression: str, s: AlertsSettings, interval: float) -> str:
    """An expression with the labels and series that the settings name in the place of its six words.

    `WHERE`: all identity labels. `PLACE`: those that a ledger's processes share, so neither job nor instance.
    `FLEET`: those of all instances of a job together. `TARGET`: those of one of them.
    `PRESENT`: the series that says that a target was seen: `up`, or our build info where metrics are pushed.
    `INTERVAL`: seconds between two evaluations of the group.
    """
    place = [label for label in s.identity if label not in ("job", "instance")]
    fleet = [label for label in (*s.identity, "job") if label != "instance"]
    words = {
        "WHERE": s.identity,
        "PLACE": place,
        "FLEET": dict.fromkeys(fleet),
        "TARGET": dict.fromkeys((*s.identity, "job", "instance")),
    }
    for word, labels in words.items():
        joined = ", ".join(labels)
        expression = expression.replace(f"{word}, ", f"{joined}, " if joined else "").replace(word, joined)
    expression = expression.replace("INTERVAL", number(interval))
    if s.profile == "push":
        return pushed_expression(expression.replace("PRESENT", PRESENT), s)
    return expression.replace("PRESENT", "up")


def nothing_succeeds(level: str, *, at_least: int) -> str:
    """Consecutive failures with no success among them, for dense and for sparse traffic.

    Windows grow with the time between two calls. From half an hour on they read recordings that exist only where
    failures stand alone, so 200 models that are well cost nothing.

    Args:
        level: What recordings of its failures and successes begin with: `provider:llm_call`.
        at_least: Failures in two minutes.
    """
    rungs = [
        f"({level}_errors:rate{window} * {number(durations_seconds(window))} >= {count}"
        f" unless {level}_successes:rate{window} > 0)"
        for window, count in (("2m", at_least), ("5m", 3))
    ]
    rungs += [
        f"({seen(f'{level}_errors:rate2m', window, count)} unless {none_since(f'{level}_successes:rate5m', window)})"
        for window, count in (("10m", 3), ("15m", 2))
    ]
    rungs += [
        f"({seen(f'{level}_errors_alone:rate2m', window, 2)}"
        f" unless {none_since(f'{level}_successes_after:rate5m', window)})"
        for window in ("30m", "45m", "1h", "90m", "2h", "3h", LONGEST)
    ]
    return "\nor\n".join(rungs)


def seen(recorded: str, window: str, count: int) -> str:
    """That so many events were recorded in a long window, from their rates over two minutes.

    Each event is in the rates of two minutes, so their sum, times the interval of the group, is the number of
    events to a seventh (two minutes see seven of eight scrapes, and `rate` makes up for it): 1.4 is two, 2.4 is three.
    Not the average, which after a gap or in the first minutes of a service would make two of one.
    """
    return f"sum_over_time({recorded}[{window}]) * INTERVAL > {number(count - 0.6)}"


def none_since(recorded: str, window: str) -> str:
    """What had an event within the window, to be left out; `recorded` is a rate over five minutes."""
    return f"max_over_time({recorded}[{text(durations_seconds(window) - 300)}]) > 0"


def given_up(calls: str, took: str, by: str, *, at_least: int) -> str:
    """Consecutive calls that the application cancelled after longer than answers take, with no success among them.

    Nothing fails where an application stops waiting before its client's time limit, so a provider that hangs shows in
    cancelled calls only. Users who stop an answer, and hedged requests whose other half won, are shorter than an
    answer, or have successes among them. Few calls count from twice the hour's mean on, 20 from the mean on. Where
    nothing succeeded for an hour, ten seconds are long.

    Args:
        calls: Recorded calls a second by outcome, without `:rate2m` and `:rate5m`.
        took: Recorded seconds of calls a second by outcome, without `:rate5m`.
        by: Their labels, without the outcome.
        at_least: Calls in two minutes.
    """
    count, cancelled, success = f"{calls}:rate5m", '{outcome="cancelled"}', '{outcome="success"}'
    dense = [
        f"sum by ({by}) ({calls}:rate{window}{cancelled}) * {number(durations_seconds(window))} >= {least}"
        f" unless sum by ({by}) ({calls}:rate{window}{success}) > 0"
        for window, least in (("2m", at_least), ("5m", 3))
    ]
    sparse = [
        f"sum by ({by}) ({seen(f'{calls}:rate2m{cancelled}', window, 3)})"
        f" unless sum by ({by}) ({none_since(f'{count}{success}', window)})"
        for window in ("15m", "30m", "1h")
    ]
    rungs = "\n  or\n".join(f"  ({rung})" for rung in (*dense, *sparse))
    return (
        f"(\n{rungs}\n)\nand\n"
        f"sum by ({by}) ({took}:rate5m{cancelled}) / (sum by ({by}) ({count}{cancelled}) > 0)\n"
        f"> (2 - (sum by ({by}) ({count}{cancelled}) * 300 >= bool {at_least * 4})) * (\n"
        f"  sum by ({by}) (sum_over_time({took}:rate5m{success}[1h]))"
        f" / (sum by ({by}) (sum_over_time({count}{success}[1h])) > 0)\n"
        f"  or\n  0 * sum by ({by}) ({count}{cancelled}) + 5\n"
        ")"
    )


def burn_rates(
    template: Alert,
    *,
    level: str,
    part: str,
    counted: str,
    objective: float,
    at_least: int,
    drills: Mapping[str, Drill],
) -> tuple[Alert, ...]:
    """The alerts of one objective: four pairs of windows.

    Args:
        template: What they have in common. `LONG`, `SHORT`, `EXCEEDS` and `OBJECTIVE` in its summary and
            description are filled in; a severity of `critical` holds for the fast pairs only.
        level: Label of what has the objective.
        part: Recorded series of what spends the budget, without `:rate5m`.
        counted: Recorded series of which so many must have been seen in the long window.
        objective: Share that must be good.
        at_least: How many of `counted`.
        drills: Drill by long window.
    """
    allowed = 1 - objective

    def one(long: str, short: str, factor: float, hold: str, severity: Severity) -> Alert:
        def filled_in(text: str) -> str:
            text = text.replace("LONG", long).replace("SHORT", short).replace("EXCEEDS", exceeds(factor))
            return text.replace("OBJECTIVE", percent(objective))

        threshold = f"({number(factor)} * {number(round(allowed, 9))})"
        return replace(
            template,
            expression=(
                f"{part}:ratio_rate{long} > {threshold}\n"
                f"and on (WHERE, {level})\n"
                f"{part}:ratio_rate{short} > {threshold}\n"
                f"and on (WHERE, {level})\n"
                f"{counted}:rate{long} * {number(durations_seconds(long))} >= {at_least}\n"
                f"and on (WHERE, {level})\n"
                f"{part}:ratio_rate{long} offset {_HALF[long]}"
            ),
            hold=hold,
            severity="critical" if (template.severity, severity) == ("critical", "critical") else "warning",
            more_labels=(*template.more_labels, ("long", long), ("short", short)),
            summary=filled_in(template.summary),
            description=filled_in(template.description),
            drill=drills[long],
        )

    return tuple(one(*rate) for rate in _BURN_RATES)


def burn_drills(
    series: Callable[[float], tuple[Series, ...]], labels: Mapping[str, str], allowed: float
) -> dict[str, Drill]:
    """Drills of an error budget by long window: five times the share that its factor allows fails."""
    times = {
        "1h": ("1h30m", "25m", "30m", "18m", "15s"),
        "6h": ("7h", "3h", "2h", "2h30m", "1m"),
        "1d": ("26h", "12h", "5h", "9h", "2m"),
        "3d": ("74h", "22h", "8h", "20h", "2m"),
    }
    return {
        long: Drill(
            series=series(min(0.99, factor * allowed * 5)),
            labels=labels,
            quiet=times[long][0],
            trouble=times[long][1],
            after=times[long][2],
            within=times[long][3],
            step=times[long][4],
        )
        for long, _, factor, _, _ in _BURN_RATES
    }


def readable(text: str) -> str:
    """An annotation with lengths of time as people write them: `3 min` for `3m`, also where a template makes one."""

    def spaced(found: re.Match[str]) -> str:
        return f"{found[1]} {_UNITS[found[2]]}"

    parts = re.split(r"(\{\{.*?\}\})", text)
    parts[::2] = [_PLAIN_LENGTH.sub(spaced, part) for part in parts[::2]]
    units = r'''| humanizeDuration | reReplaceAll "([0-9])(ms|[a-z])" "$1 $2" | reReplaceAll " m( |$)" " min$1"'''
    return "".join(parts).replace("| humanizeDuration", units)


def exceeds(factor: float) -> str:
    """`more than 14.4 times`, or `more than` for once."""
    return "more than" if factor == 1 else f"more than {number(factor)} times"


def percent(value: float) -> str:
    """0.995 as `99.5%`."""
    return f"{number(round(value * 100, 9))}%"


def human(seconds: float) -> str:
    """Seconds as a person reads them: `10s`, `500ms`."""
    return text(seconds) if seconds >= 1 and seconds == round(seconds) else f"{number(seconds * 1000)}ms"
