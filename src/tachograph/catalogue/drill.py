"""Synthetic series for one alert: quiet, then trouble, then quiet again.

The same data makes promtool's unit tests, the fire drill on a user's machine, and the page that explains the alert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from tachograph.catalogue import durations

Phases = tuple[float | None, float | None, float | None]
"""One value for each phase; None: the series is not there."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter that grows by so much a second in each phase."""

    name: str
    labels: Mapping[str, str]
    per_second: Phases


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge: its level at the start of each phase, and how fast it moves in it.

    In the phase of trouble, `every` makes it alternate with 0 at that many seconds, and only each `keep`th sample
    is there.
    """

    name: str
    labels: Mapping[str, str]
    level: Phases
    slope: tuple[float, float, float] = (0.0, 0.0, 0.0)
    every: float = 0.0
    keep: int = 1


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram: for each phase, how often a second each duration is observed (`{0.8: 1.0}` is once a second)."""

    name: str
    labels: Mapping[str, str]
    observed: tuple[Mapping[float, float] | None, Mapping[float, float] | None, Mapping[float, float] | None]


Series = Counter | Gauge | Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """What must happen to one alerting rule.

    Attributes:
        series: What a scrape would have brought. `up` of one healthy target is added.
        within: The alert fires at most this long after trouble began.
        labels: Labels that the alert then carries, beside the rule's own.
        quiet: Length of the first phase.
        trouble: Length of the second.
        after: Length of the third; the alert is resolved at its end.
        step: Time between two scrapes.
        always: The alert fires from the start and never resolves (the watchdog).
        pushed: The series arrive over OTLP: nothing marks the end of one (see catalogue/push.py).
    """

    series: tuple[Series, ...]
    within: str
    labels: Mapping[str, str] = field(default_factory=dict)
    quiet: str = "10m"
    trouble: str = "15m"
    after: str = "20m"
    step: str = "15s"
    always: bool = False
    pushed: bool = False

    @property
    def phases(self) -> tuple[float, float, float]:
        """The three lengths, in seconds."""
        return durations.seconds(self.quiet), durations.seconds(self.trouble), durations.seconds(self.after)


def samples(series: Counter | Gauge, drill: Drill) -> Iterator[float | None]:
    """The value of a series at each scrape, from the start; None where it is not there."""
    step = durations.seconds(drill.step)
    value = 0.0
    for index, length in enumerate(drill.phases):
        steps = round(length / step)
        if isinstance(series, Counter):
            rate = series.per_second[index]
            for _ in range(steps):
                if rate is None:
                    yield None
                    continue
                value += rate * step
                yield round(value, 9)
            continue
        level = series.level[index]
        for number in range(steps):
            if level is None or (index == 1 and number % series.keep):
                yield None
            elif index == 1 and series.every and int(number * step / series.every) % 2 == 0:
                yield 0.0
            else:
                yield round(level + series.slope[index] * number * step, 9)


def _is_within(bound: float, value: float) -> float:
    return 1.0 if value <= bound else 0.0


def plain(series: Series, buckets: Mapping[str, tuple[float, ...]]) -> tuple[Counter | Gauge, ...]:
    """A series as what is on /metrics: a histogram becomes its buckets, sum and count.

    Args:
        series: Any series.
        buckets: Bounds of every histogram family, by its name.
    """
    if not isinstance(series, Histogram):
        return (series,)
    bounds = (*buckets[series.name], float("inf"))

    def phases(weigh: Callable[[float], float]) -> Phases:
        found: list[float | None] = []
        for observed in series.observed:
            rate = None if observed is None else sum(weigh(value) * often for value, often in observed.items())
            found.append(rate)
        return found[0], found[1], found[2]

    parts = [
        Counter(
            f"{series.name}_bucket",
            {**series.labels, "le": "+Inf" if bound == float("inf") else durations.number(bound)},
            phases(partial(_is_within, bound)),
        )
        for bound in bounds
    ]
    parts.append(Counter(f"{series.name}_sum", series.labels, phases(lambda value: value)))
    parts.append(Counter(f"{series.name}_count", series.labels, phases(lambda value: 1.0)))
    return tuple(parts)
