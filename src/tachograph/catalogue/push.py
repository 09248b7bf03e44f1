"""The push form of rules and drills: metrics arrive over OTLP and nothing is scraped.

Three things differ from a scrape:

- Presence. There is no `up`. `tachograph_build_info` says that a process is alive.
- Staleness. A scrape that fails ends a series at once. A process that stops pushing leaves its last values standing for
  Prometheus's five minutes, so the gauges of an old and a new process add up after each restart. Rules take a gauge as
  it was pushed in the last `FRESH_SECONDS`.
- Intervals. OpenTelemetry pushes every 60 s by default. A rate needs two samples in its window, so no window
  is shorter than three intervals; one push may then be lost.

Sums and histograms are pushed as cumulative totals, whatever the application's exporter prefers (signals/otlp_points).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from tachograph.catalogue import durations
from tachograph.catalogue.drill import Drill, Gauge
from tachograph.catalogue.families import FAMILIES
from tachograph.settings.alerts import AlertsSettings

PRESENT: Final = "tachograph_build_info"
FRESH_SECONDS: Final = 150
"""Two and a half of the longest intervals that are allowed."""
_LEAST_SAMPLES: Final = 3
_WINDOW: Final = re.compile(r"\[(\d+(?:ms|[smhd]))\]")
_GAUGE: Final = re.compile(
    r"(?<![\w:])("
    + "|".join(sorted((name for name, family in FAMILIES.items() if family.kind == "gauge"), key=len, reverse=True))
    + r")(\{[^}]*\})?(?![\w:{\[])( offset \w+)?"
)


def pushed_expression(expression: str, s: AlertsSettings) -> str:
    """An expression that reads pushed metrics."""
    shortest = interval(s) * _LEAST_SAMPLES

    def widened(found: re.Match[str]) -> str:
        return f"[{durations.text(max(durations.seconds(found[1]), shortest))}]"

    expression = _WINDOW.sub(widened, expression)
    fresh = durations.text(FRESH_SECONDS)
    return _GAUGE.sub(lambda found: f"last_over_time({found[1]}{found[2] or ''}[{fresh}]{found[3] or ''})", expression)


def pushed_drill(drill: Drill, s: AlertsSettings) -> Drill:
    """The same drill with a push every interval: no `up`, and no staleness marker where a series ends."""
    every = interval(s)
    series = tuple(one for one in drill.series if one.name != "up")
    if not any(one.name == PRESENT for one in series):
        series = (*series, Gauge(PRESENT, {"version": "1"}, (1, 1, 1)))
    return replace(
        drill,
        series=series,
        step=durations.text(max(durations.seconds(drill.step), every)),
        within=durations.text(durations.seconds(drill.within) + every * _LEAST_SAMPLES),
        pushed=True,
    )


def interval(s: AlertsSettings) -> int:
    """Seconds between two pushes."""
    return s.push_interval or 60
