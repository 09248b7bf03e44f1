"""Functions of instant vectors that need the evaluation itself: other arguments, the steps, or a place for notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tachograph.console.promql import functions, histogram
from tachograph.console.promql.labels import replace
from tachograph.console.promql.numerics import general
from tachograph.console.promql.over_time import check_quantile
from tachograph.console.promql.syntax import FunctionCall, Node, Selector, String
from tachograph.console.promql.types import Bools, Floats, Frame

if TYPE_CHECKING:
    from tachograph.console.promql.run import Evaluation


def _text(node: Node) -> str:
    return node.value if isinstance(node, String) else ""


def _absent(run: Evaluation, node: FunctionCall) -> Frame:
    arg = node.args[0]
    return run.absent(arg.matchers if isinstance(arg, Selector) else None, run.vector(arg))


def _clamp(run: Evaluation, node: FunctionCall) -> Frame:
    frame = run.vector(node.args[0])
    infinite = np.full(len(run.times), np.inf)
    bounds = [run.scalar(arg) for arg in node.args[1:]]
    if node.name == "clamp_max":
        return functions.clamp(frame, -infinite, bounds[0])
    if node.name == "clamp_min":
        return functions.clamp(frame, bounds[0], infinite)
    return functions.clamp(frame, bounds[0], bounds[1])


def _round(run: Evaluation, node: FunctionCall) -> Frame:
    rounded, *to = node.args
    nearest = run.scalar(to[0]) if to else np.ones(len(run.times))
    return functions.round_to(run.vector(rounded), nearest)


def _vector(run: Evaluation, node: FunctionCall) -> Frame:
    values = run.scalar(node.args[0])[None, :]
    return Frame([()], values, np.ones(values.shape, dtype=bool))


def _timestamp(run: Evaluation, node: FunctionCall) -> Frame:
    arg = node.args[0]
    if isinstance(arg, Selector):
        frame = run.select(arg, timestamps=True)
        return frame.with_values(frame.values)
    frame = run.vector(arg)
    return frame.with_values(np.broadcast_to(run.times / 1000.0, frame.values.shape).copy())


def _sort(run: Evaluation, node: FunctionCall) -> Frame:
    frame = run.vector(node.args[0])
    if run.start != run.end:
        run.warn("sort is ineffective for range queries since results are always ordered by labels")
    descending = node.name.endswith("_desc")
    if "by_label" in node.name:
        return functions.sorted_by_label(frame, [_text(arg) for arg in node.args[1:]], descending=descending)
    return functions.sorted_by_value(frame, descending=descending)


def _label_replace(run: Evaluation, node: FunctionCall) -> Frame:
    target, template, source, pattern = (_text(arg) for arg in node.args[1:5])
    return functions.label_replace(run.vector(node.args[0]), target, template, source, pattern)


def _label_join(run: Evaluation, node: FunctionCall) -> Frame:
    target, separator, *sources = (_text(arg) for arg in node.args[1:])
    return functions.label_join(run.vector(node.args[0]), target, separator, sources)


def _quantile_frame(run: Evaluation, q: Floats, frame: Frame) -> Frame:
    check_quantile(q, run.warn)
    found = histogram.collect(frame, run.warn)

    def forced() -> None:
        run.info(
            "input to histogram_quantile needed to be fixed for monotonicity "
            "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
        )

    def compute(bounds: Floats, counts: Floats, mask: Bools) -> Floats:
        run.tick()
        return histogram.bucket_quantile(q[mask], bounds, counts, forced)

    return histogram.evaluate(frame, found, compute)


def _histogram_quantile(run: Evaluation, node: FunctionCall) -> Frame:
    q = run.scalar(node.args[0])
    return _quantile_frame(run, q, run.vector(node.args[1]))


def _histogram_quantiles(run: Evaluation, node: FunctionCall) -> Frame:
    frame, label = run.vector(node.args[0]), _text(node.args[1])
    frames = []
    for arg in node.args[2:]:
        q = run.scalar(arg)
        one = _quantile_frame(run, q, frame)
        text = _open_metrics_float(float(q[0]))
        one.labels = [replace(labels, {label: text}) for labels in one.labels]
        frames.append(one)
    return Frame(
        [labels for one in frames for labels in one.labels],
        np.concatenate([one.values for one in frames]),
        np.concatenate([one.present for one in frames]),
        np.concatenate([one.drop_name for one in frames]),
    )


def _open_metrics_float(value: float) -> str:
    text = general(value)
    return text if any(c in text for c in ".eInN") else f"{text}.0"


def _histogram_fraction(run: Evaluation, node: FunctionCall) -> Frame:
    lower, upper = run.scalar(node.args[0]), run.scalar(node.args[1])
    frame = run.vector(node.args[2])
    found = histogram.collect(frame, run.warn)

    def compute(bounds: Floats, counts: Floats, mask: Bools) -> Floats:
        return histogram.bucket_fraction(lower[mask], upper[mask], bounds, counts)

    return histogram.evaluate(frame, found, compute)


SPECIAL: dict[str, Callable[[Evaluation, FunctionCall], Frame]] = {
    "absent": _absent,
    "clamp": _clamp,
    "clamp_max": _clamp,
    "clamp_min": _clamp,
    "round": _round,
    "vector": _vector,
    "timestamp": _timestamp,
    "sort": _sort,
    "sort_desc": _sort,
    "sort_by_label": _sort,
    "sort_by_label_desc": _sort,
    "label_replace": _label_replace,
    "label_join": _label_join,
    "histogram_quantile": _histogram_quantile,
    "histogram_quantiles": _histogram_quantiles,
    "histogram_fraction": _histogram_fraction,
}
