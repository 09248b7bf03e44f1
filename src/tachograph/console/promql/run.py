"""One evaluation: walks a query's tree and computes every node at all steps at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from tachograph.console.promql import aggregate, binary, functions
from tachograph.console.promql.errors import PromQLError, PromQLTimeout, PromQLUnsupported
from tachograph.console.promql.labels import NAME, Labels, get
from tachograph.console.promql.matchers import LabelMatcher
from tachograph.console.promql.numerics import general
from tachograph.console.promql.over_time import OVER_TIME, Context, check_quantile
from tachograph.console.promql.special import SPECIAL
from tachograph.console.promql.syntax import (
    Aggregate,
    Binary,
    FunctionCall,
    Node,
    Number,
    Range,
    Selector,
    String,
    Subquery,
    Unary,
    value_type,
)
from tachograph.console.promql.types import Bools, Floats, Frame, Ints, RawSeries, is_stale
from tachograph.console.promql.windows import Windows

if TYPE_CHECKING:
    from tachograph.console.promql.engine import PromQLEngine, Result

MAX_SUBQUERY_STEPS = 1_100_000

_AT_UNSAFE = frozenset({"end", "predict_linear", "range", "start", "step", "time", "timestamp", *functions.DATES})


def step_invariant(node: Node) -> bool:
    """Return whether a node gives the same at every step, because `@` pins all its selectors."""
    if isinstance(node, Number | String):
        return True
    if isinstance(node, Selector | Subquery):
        return node.at is not None
    if isinstance(node, Range):
        return node.selector.at is not None
    if isinstance(node, Unary):
        return step_invariant(node.expr)
    if isinstance(node, Aggregate):
        return step_invariant(node.expr) and (node.param is None or step_invariant(node.param))
    if isinstance(node, Binary):
        return step_invariant(node.left) and step_invariant(node.right)
    return node.name not in _AT_UNSAFE and bool(node.args) and all(step_invariant(arg) for arg in node.args)


_NATIVE_ONLY = frozenset({"histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"})


class Evaluation:
    """One evaluation: the steps, the clock and the notes taken on the way."""

    def __init__(
        self, engine: PromQLEngine, times: Ints, start: int, end: int, step: int, deadline: float, allowed: float
    ) -> None:
        self.engine = engine
        self.times = times
        self.start, self.end, self.step = start, end, step
        self.deadline, self.allowed = deadline, allowed
        self.warnings: dict[str, None] = {}
        self.infos: dict[str, None] = {}
        self._used = [0]  # samples and points of all nodes so far

    def at_times(self, times: Ints) -> Evaluation:
        """Return a run over other steps that shares clock and notes."""
        other = Evaluation(self.engine, times, self.start, self.end, self.step, self.deadline, self.allowed)
        other.warnings, other.infos, other._used = self.warnings, self.infos, self._used
        return other

    def finish(self, result: Result) -> Result:
        result.warnings = [f"PromQL warning: {text}" for text in self.warnings]
        result.infos = [f"PromQL info: {text}" for text in self.infos]
        return result

    def warn(self, text: str) -> None:
        self.warnings[text] = None

    def info(self, text: str) -> None:
        self.infos[text] = None

    def tick(self) -> None:
        """Stop when the time is up."""
        if time.monotonic() > self.deadline:
            raise PromQLTimeout(f"query timed out in expression evaluation (after {self.allowed:g}s)")

    def check_series(self, count: int) -> None:
        if count > self.engine.limits.max_series:
            raise PromQLError(
                f"query processing would load too many series: {count}, the limit is {self.engine.limits.max_series}"
            )

    def check_samples(self, count: int) -> None:
        """Stop before so many samples are worked on."""
        self._use(count, self.engine.limits.max_samples)

    def check_points(self, count: int) -> None:
        """Stop before a result of so many points is made."""
        self._use(count, self.engine.limits.max_points)

    def _use(self, count: int, limit: int) -> None:
        self._used[0] += count
        if count > limit or self._used[0] > self.engine.limits.max_samples:
            raise PromQLError("query processing would load too many samples into memory in query execution")

    # -- values -------------------------------------------------------------------------------------------

    def scalar(self, node: Node) -> Floats:
        """Evaluate a node of type scalar: one value per step."""
        self.tick()
        steps = len(self.times)
        self.check_points(steps)
        if isinstance(node, Number):
            return np.full(steps, node.value)
        if isinstance(node, Unary):
            return -self.scalar(node.expr)
        if isinstance(node, Binary):
            return binary.scalars(node.op, self.scalar(node.left), self.scalar(node.right))
        if isinstance(node, FunctionCall):
            if node.name == "time":
                return self.times / 1000.0
            if node.name == "pi":
                return np.full(steps, np.pi)
            if node.name == "scalar":
                return functions.to_scalar(self.vector(node.args[0]))
            if node.name in ("max_of", "min_of"):
                left, right = self.scalar(node.args[0]), self.scalar(node.args[1])
                return functions.go_extreme(left, right, largest=node.name == "max_of")
            if node.name in ("start", "end", "range", "step"):
                number = {"start": self.start, "end": self.end, "range": self.end - self.start, "step": self.step}[
                    node.name
                ]
                return np.full(steps, number / 1000.0)
        raise PromQLUnsupported(f"unsupported PromQL: {_describe(node)} as a scalar")

    def vector(self, node: Node) -> Frame:
        """Evaluate a node of type instant vector."""
        self.tick()
        if len(self.times) > 1 and step_invariant(node):
            once = self.at_times(self.times[:1]).vector(node)
            steps = len(self.times)
            self.check_points(len(once.labels) * steps)
            return Frame(
                once.labels,
                np.repeat(once.values, steps, axis=1),
                np.repeat(once.present, steps, axis=1),
                once.drop_name,
            )
        frame = self._vector(node)
        self.check_points(frame.values.size)
        return frame

    def _vector(self, node: Node) -> Frame:
        if isinstance(node, Selector):
            return self.select(node)
        if isinstance(node, Aggregate):
            return self.aggregate(node)
        if isinstance(node, Unary):
            frame = self.vector(node.expr)
            return frame.with_values(-frame.values)
        if isinstance(node, Binary):
            return self.binary(node)
        if isinstance(node, FunctionCall):
            return self.call(node)
        raise PromQLUnsupported(f"unsupported PromQL: {_describe(node)} as a vector")

    def binary(self, node: Binary) -> Frame:
        left_scalar, right_scalar = value_type(node.left) == "scalar", value_type(node.right) == "scalar"
        if left_scalar or right_scalar:
            frame = self.vector(node.right if left_scalar else node.left)
            scalar = self.scalar(node.left if left_scalar else node.right)
            return binary.vector_scalar(node, frame, scalar, scalar_left=left_scalar)
        left, right = self.vector(node.left), self.vector(node.right)
        if node.op in binary.SET_OPERATORS:
            return binary.set_operation(node, left, right)
        if node.op not in binary.ARITHMETIC and node.op not in binary.COMPARISONS:
            raise PromQLUnsupported(f"unsupported PromQL: operator {node.op}")
        return binary.vectors(node, left, right)

    def aggregate(self, node: Aggregate) -> Frame:
        if node.op == "count_values":
            label = node.param.value if isinstance(node.param, String) else ""
            if not label:
                raise PromQLError(f'invalid label name "{label}"')
            return aggregate.count_values(self.vector(node.expr), node.labels, node.without, label)
        param = self.scalar(node.param) if node.param is not None else None
        frame = self.vector(node.expr)
        if node.op in ("topk", "bottomk", "limitk"):
            assert param is not None
            return aggregate.select_k(node.op, frame, node.labels, node.without, param)
        if node.op == "limit_ratio":
            assert param is not None
            for value, cap in ((float(param.max()), 1.0), (float(param.min()), -1.0)):
                if (cap > 0 and value > cap) or (cap < 0 and value < cap):
                    self.warn(
                        f"ratio value should be between -1 and 1, got {general(value)}, capping to {general(cap)}"
                    )
            return aggregate.limit_ratio(frame, param)
        if node.op not in aggregate.SIMPLE:
            raise PromQLUnsupported(f"unsupported PromQL: aggregation {node.op}")
        if node.op == "quantile" and param is not None:
            check_quantile(param, self.warn)
        return aggregate.aggregate(node.op, frame, node.labels, node.without, param)

    # -- selectors ----------------------------------------------------------------------------------------

    def reference_times(self, offset: int, at: int | str | None) -> Ints:
        """The times a selector looks at, one per step."""
        if at is None:
            return self.times - offset
        fixed = self.start if at == "start" else self.end if at == "end" else int(at)
        return np.full(len(self.times), fixed - offset, dtype=np.int64)

    def fetch(self, selector: Selector, start: int, end: int) -> list[RawSeries]:
        series = self.engine.source.select(selector.matchers, start, end)
        self.check_series(len(series))
        self.check_samples(sum(len(s.times) for s in series))
        return series

    def select(self, node: Selector, *, timestamps: bool = False) -> Frame:
        """Find the newest sample of each series at each step, no older than the lookback."""
        reference = self.reference_times(node.offset, node.at)
        lookback = self.engine.lookback
        series = self.fetch(node, int(reference.min()) - lookback, int(reference.max()))
        steps = len(self.times)
        self.check_points(len(series) * steps)
        values = np.zeros((len(series), steps))
        present = np.zeros((len(series), steps), dtype=bool)
        oldest = reference - lookback
        for row, one in enumerate(series):
            if not len(one.times):
                continue
            index = np.searchsorted(one.times, reference, side="right") - 1
            found = index >= 0
            index = np.maximum(index, 0)
            at = one.times[index]
            value = one.values[index]
            present[row] = found & (at > oldest) & ~is_stale(value)
            values[row] = at / 1000.0 if timestamps else value
        return Frame([s.labels for s in series], values, present).compact()

    def windows(self, node: Node) -> tuple[Windows, tuple[LabelMatcher, ...] | None]:
        """Cut the windows of a range selector or subquery."""
        if isinstance(node, Range):
            selector = node.selector
            ends = self.reference_times(selector.offset, selector.at)
            series = self.fetch(selector, int(ends.min()) - node.length, int(ends.max()))
            self.check_points(len(series) * len(ends))
            cut = Windows.cut(series, ends, node.length, tick=self.tick)
            return cut, selector.matchers
        if not isinstance(node, Subquery):
            raise PromQLUnsupported(f"unsupported PromQL: {_describe(node)} as a range vector")
        ends = self.reference_times(node.offset, node.at)
        frame_series, dropped = self._subquery(node, ends)
        self.check_points(len(frame_series) * len(ends))
        cut = Windows.cut(frame_series, ends, node.length, tick=self.tick, drop_name=dropped)
        return cut, None

    def subquery(self, node: Subquery, times: Ints) -> list[RawSeries]:
        """Evaluate a subquery as a query's result."""
        ends = self.reference_times(node.offset, node.at)
        frame, inner = self._subquery_frame(node, ends)
        frame = frame.without_dropped_names()
        order = sorted(range(len(frame.labels)), key=lambda i: frame.labels[i])
        return [RawSeries(frame.labels[i], inner[frame.present[i]], frame.values[i][frame.present[i]]) for i in order]

    def _subquery_frame(self, node: Subquery, ends: Ints) -> tuple[Frame, Ints]:
        step = self.engine.subquery_step if node.step is None else node.step
        begin = int(ends.min()) - node.length
        first = step * (begin // step)
        if first <= begin:
            first += step
        last = int(ends.max())
        if (last - first) // step > MAX_SUBQUERY_STEPS:
            raise PromQLError("query processing would load too many samples into memory in a subquery")
        inner = np.arange(first, last + 1, step, dtype=np.int64)
        run = self.at_times(inner)
        if not len(inner):
            return Frame.empty(0), inner
        return run.vector(node.expr), inner

    def _subquery(self, node: Subquery, ends: Ints) -> tuple[list[RawSeries], Bools]:
        frame, inner = self._subquery_frame(node, ends)
        series = [
            RawSeries(labels, inner[frame.present[i]], frame.values[i][frame.present[i]])
            for i, labels in enumerate(frame.labels)
        ]
        return series, frame.drop_name

    def raw(self, node: Range) -> list[tuple[Labels, Ints, Floats]]:
        """Return the samples of a range selector as they are."""
        cut, _ = self.windows(node)
        rows = []
        for i, labels in enumerate(cut.labels):
            begin, end = int(cut.start[i, 0]), int(cut.stop[i, 0])
            if end > begin:
                rows.append((labels, cut.times[begin:end], cut.values[begin:end]))
        return sorted(rows, key=lambda row: row[0])

    # -- functions ----------------------------------------------------------------------------------------

    def call(self, node: FunctionCall) -> Frame:
        name = node.name
        if name in OVER_TIME:
            return self.over_time(node)
        if name in functions.ELEMENTWISE:
            frame = self.vector(node.args[0])
            return frame.with_values(functions.ELEMENTWISE[name](frame.values))
        if name in functions.DATES:
            if node.args:
                frame = self.vector(node.args[0])
                return frame.with_values(functions.date_part(name, frame.values))
            values = functions.date_part(name, np.floor(self.times / 1000.0))[None, :]
            return Frame([()], values, np.ones(values.shape, dtype=bool))
        special = SPECIAL.get(name)
        if special is not None:
            return special(self, node)
        if name in _NATIVE_ONLY:
            self.vector(node.args[0])
            return Frame.empty(len(self.times))
        raise PromQLUnsupported(f"unsupported PromQL: function {name}()")

    def over_time(self, node: FunctionCall) -> Frame:
        position = next(i for i, arg in enumerate(node.args) if isinstance(arg, Range | Subquery))
        args = [self.scalar(arg) for i, arg in enumerate(node.args) if i != position]
        cut, matchers = self.windows(node.args[position])
        context = Context(self.times, self.warn)
        frame = OVER_TIME[node.name](cut, args, context)
        if node.name == "absent_over_time":
            return self.absent(matchers, frame)
        if node.name in ("rate", "increase"):
            self.note_gauges(frame)
        return frame

    def note_gauges(self, frame: Frame) -> None:
        """Warn when a rate is taken of something not named like a counter."""
        for name in dict.fromkeys(get(labels, NAME) for labels in frame.labels):
            if name and not name.endswith(("_total", "_sum", "_count", "_bucket")):
                self.info(f'metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "{name}"')

    def absent(self, matchers: tuple[LabelMatcher, ...] | None, frame: Frame) -> Frame:
        steps = len(self.times)
        here: Bools = np.asarray(frame.present.any(axis=0))
        labels = functions.absent_labels(matchers) if matchers is not None else ()
        return Frame([labels], np.ones((1, steps)), ~here[None, :]).compact()


def _describe(node: Node) -> str:
    return f"function {node.name}()" if isinstance(node, FunctionCall) else type(node).__name__.lower()
