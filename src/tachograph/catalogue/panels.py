"""Panels, rows, dashboards: what to show, as data. Grafana's JSON, the console and the docs are made from it.

Queries are PromQL with Grafana's variables (`$job`, `$provider`, `$__rate_interval`, `$__range`); `Query.fill` puts
values in, for anyone who is not Grafana.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["timeseries", "stat", "gauge", "heatmap", "histogram", "state-timeline", "table"]
Unit = Literal["s", "short", "currencyUSD", "cps", "reqps", "ops", "percentunit", "bytes", "tokens/s"]

_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")


Source = Literal["calls", "requests", "tools"]
Stat = Literal["rate", "sum", "mean", "ratio", "p95", "events", "buckets"]
Value = Literal[
    "count", "cost", "tokens", "cached", "prompt", "wait", "retries", "success", "failed", "unpriced",
    "usage_missing", "slow", "duration", "first_token",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A query's answer out of the calls themselves: exact, and true from the first call on.

    The console asks this where it keeps the calls, and PromQL where it has metrics only.

    Attributes:
        of: LLM calls, their requests on the wire, or tool executions.
        stat: `rate` per second, `sum`, `mean` per call, `ratio` to the sum of `over`, `p95` (exact), single `events`,
            or counts by latency `buckets`.
        value: What is summed, or what the quantile is of.
        by: Labels of the series. `type` splits tokens into prompt and completion.
        where: Label to its values, separated by `|`; a `$variable` of the dashboard; `!value` refuses one.
        over: Divides a `ratio`.
        scale, offset: The result times and plus this.
        above: For `slow`: seconds from which a call is.
        window_seconds: Look back this far instead of by the step; from the first call on when that is later.
    """

    of: Source
    stat: Stat
    value: Value = "count"
    by: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    over: Value | None = None
    scale: float = 1.0
    offset: float = 0.0
    above: float = 0.0
    window_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Top:
    """Which series Grafana draws where there may be hundreds. The console ranks the answers that it has itself.

    Attributes:
        by: Labels of what is ranked.
        rank: PromQL with one value for each `by`; it is the same at every step, so the choice does not change along
            the time axis.
        lowest: Draw the lowest instead of the highest.
    """

    by: tuple[str, ...]
    rank: str
    lowest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelQuery:
    """One query of a panel.

    Attributes:
        expression: PromQL with Grafana's variables.
        legend: Name of each series: text with `{{label}}` in it.
        instant: Ask for one moment (the end of the range) instead of the range.
        buckets: The series are a histogram's cumulative buckets, one per `le`.
        exemplars: Ask for exemplars too; they lead to traces.
        table: Rows of a table instead of series.
        measure: The same answer out of calls; None where only metrics know it.
        top: The series to draw where there are many; None draws all.
    """

    expression: str
    legend: str = ""
    instant: bool = False
    buckets: bool = False
    exemplars: bool = False
    table: bool = False
    measure: Measure | None = None
    top: Top | None = None

    def fill(self, variables: Mapping[str, str] | None = None, *, rate_interval: str = "1m", range: str = "1h") -> str:
        """The expression with its variables replaced; a variable without a value matches everything."""
        values = {"__rate_interval": rate_interval, "__range": range, **(variables or {})}
        return _VARIABLE.sub(lambda found: values.get(found.group(1), ".*"), self.expression)


@dataclass(frozen=True, slots=True)
class Threshold:
    """From `value` on, the panel takes this colour; `None` is where it starts."""

    value: float | None
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: Shown above it.
        description: What it shows and how to read it, for the (i) in its corner.
        kind: How it is drawn.
        unit: Of its values, by Grafana's names.
        queries: One or more.
        width: Of 24 columns.
        height: In grid rows (about 38 pixels each).
        stacked: Series are added on top of each other, filled.
        bars: Drawn as bars instead of lines.
        trend: A stat shows its history behind the number.
        thresholds: Colours by value, ascending; as lines in a time series.
        colors: Fixed colour of a series, by its legend.
        minimum: Of the value axis.
        matrix: A table's (row, column) labels: one cell for each pair.
        required: Whether the contract names it.
        reduce: What a stat with many series shows and names: the one that is worst by its thresholds, or their sum.
    """

    title: str
    description: str
    unit: Unit
    queries: tuple[PanelQuery, ...]
    kind: Kind = "timeseries"
    width: int = 12
    height: int = 8
    stacked: bool = False
    bars: bool = False
    trend: bool = False
    thresholds: tuple[Threshold, ...] = ()
    colors: tuple[tuple[str, str], ...] = ()
    minimum: float | None = 0.0
    matrix: tuple[str, str] | None = None
    required: bool = False
    reduce: Literal["worst", "sum"] = "sum"


@dataclass(frozen=True, slots=True)
class PanelRow:
    """A row of panels under a heading; a folded one opens on a click."""

    title: str
    panels: tuple[Panel, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice above the dashboard.

    Attributes:
        name: `$name` in queries.
        label: Shown beside it.
        metric: Family whose label values are offered.
        matchers: Label matchers on it, with variables in them.
        options: The choices, when they are fixed instead.
        default: Chosen at first; None is everything.
    """

    name: str
    label: str
    metric: str = ""
    matchers: str = ""
    options: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """Marks on every time axis, where its query gives series."""

    name: str
    expression: str
    title: str
    text: str
    color: str


@dataclass(frozen=True, slots=True)
class Link:
    """From the dashboard to somewhere else: `uid` of another dashboard, or a URL."""

    title: str
    uid: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard, rows from the top down."""

    uid: str
    title: str
    description: str
    tags: tuple[str, ...]
    variables: tuple[Variable, ...]
    rows: tuple[PanelRow, ...]
    annotations: tuple[Annotation, ...]
    links: tuple[Link, ...] = ()

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)
