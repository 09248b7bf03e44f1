"""The evaluator's front: bounds, results, and the two questions that can be asked of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tachograph.console.promql.errors import PromQLError, PromQLSyntaxError
from tachograph.console.promql.labels import Labels
from tachograph.console.promql.matchers import LabelMatcher
from tachograph.console.promql.run import Evaluation
from tachograph.console.promql.syntax import Range, String, Subquery, parse, value_type
from tachograph.console.promql.types import Floats, Ints, RawSeries


class SeriesSource(Protocol):
    """Where the samples are."""

    def select(self, matchers: tuple[LabelMatcher, ...], start: int, end: int) -> list[RawSeries]:
        """Return the matching series with at least their samples in [start, end] (milliseconds), in label order."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one query.

    Attributes:
        max_samples: Samples read, and points (series times steps) made, by all nodes of the tree together: what a
            query can take of memory and time, 9 bytes each.
        max_points: Points of one node. The answer of a range query has at most a tenth of it, as text it is long.
        max_series: Series of one selector, and of the result.
        max_steps: Steps of a range query.
    """

    max_samples: int = 50_000_000
    max_points: int = 20_000_000
    max_series: int = 20_000
    max_steps: int = 11_000
    timeout_seconds: float = 30.0


@dataclass(slots=True)
class Result:
    """What a query evaluated to. `kind` is scalar, string, vector or matrix; times are in milliseconds.

    Vectors and matrices are lists of (labels, times, values).
    """

    kind: str
    series: list[tuple[Labels, Ints, Floats]] = field(default_factory=list)
    text: str = ""
    time: int = 0
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)


@contextmanager
def _exhaustion_refused() -> Iterator[None]:
    """A query that needs more than there is fails, and nothing else does."""
    try:
        yield
    except MemoryError:
        raise PromQLError("query processing would load too many samples into memory in query execution") from None
    except RecursionError:
        raise PromQLSyntaxError('invalid parameter "query": nested too deeply to be evaluated') from None


@dataclass(frozen=True, slots=True)
class PromQLEngine:
    """Evaluates queries over a source.

    Args:
        lookback: How far back an instant selector looks for a sample, in milliseconds.
        subquery_step: Step of subqueries that do not give one.
    """

    source: SeriesSource
    limits: Limits = Limits()
    lookback: int = 300_000
    subquery_step: int = 60_000

    def instant(self, query: str, at: int, *, timeout: float | None = None) -> Result:
        """Evaluate at one time."""
        with _exhaustion_refused():
            return self._instant(query, at, timeout)

    def _instant(self, query: str, at: int, timeout: float | None) -> Result:
        node = parse(query)
        run = self._run(np.asarray([at], dtype=np.int64), at, at, 0, timeout)
        with np.errstate(all="ignore"):
            if isinstance(node, String):
                return Result("string", text=node.value, time=at)
            if isinstance(node, Range):
                return run.finish(Result("matrix", run.raw(node), time=at))
            if isinstance(node, Subquery):
                series = run.subquery(node, run.times)
                points = [(s.labels, s.times, s.values) for s in series if len(s.times)]
                return run.finish(Result("matrix", points, time=at))
            if value_type(node) == "scalar":
                values = run.scalar(node)
                return run.finish(Result("scalar", [((), run.times, values)], time=at))
            frame = run.vector(node).compact().without_dropped_names()
            run.check_series(len(frame.labels))
            rows = [(labels, run.times, frame.values[i]) for i, labels in enumerate(frame.labels)]
            return run.finish(Result("vector", rows, time=at))

    def range(self, query: str, start: int, end: int, step: int, *, timeout: float | None = None) -> Result:
        """Evaluate at every step from start to end, both included."""
        with _exhaustion_refused():
            return self._range(query, start, end, step, timeout)

    def _range(self, query: str, start: int, end: int, step: int, timeout: float | None) -> Result:
        if step <= 0:
            raise PromQLSyntaxError(
                'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
                "Try a positive integer"
            )
        if (end - start) // step > self.limits.max_steps:
            raise PromQLSyntaxError(
                f"exceeded maximum resolution of {self.limits.max_steps:,} points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"
            )
        node = parse(query)
        kind = value_type(node)
        if kind not in ("scalar", "vector"):
            name = {"matrix": "range vector", "string": "string"}[kind]
            raise PromQLSyntaxError(
                f'invalid parameter "query": invalid expression type "{name}" for range query, must be Scalar or '
                "instant Vector"
            )
        times = np.arange(start, end + 1, step, dtype=np.int64)
        run = self._run(times, start, end, step, timeout)
        with np.errstate(all="ignore"):
            if kind == "scalar":
                values = run.scalar(node)
                return run.finish(Result("matrix", [((), times, values)]))
            frame = run.vector(node).compact().without_dropped_names()
            run.check_series(len(frame.labels))
            run.check_points(10 * int(np.count_nonzero(frame.present)))
            order = sorted(range(len(frame.labels)), key=lambda i: frame.labels[i])
            rows = [(frame.labels[i], times[frame.present[i]], frame.values[i, frame.present[i]]) for i in order]
            return run.finish(Result("matrix", rows))

    def _run(self, times: Ints, start: int, end: int, step: int, timeout: float | None) -> Evaluation:
        allowed = self.limits.timeout_seconds if timeout is None else min(timeout, self.limits.timeout_seconds)
        return Evaluation(self, times, start, end, step, time.monotonic() + allowed, allowed)
