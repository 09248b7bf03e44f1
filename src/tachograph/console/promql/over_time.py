"""Functions over time, by name. Each takes the windows and its scalar arguments (one value per step)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tachograph.console.promql import windows as win
from tachograph.console.promql.errors import PromQLError
from tachograph.console.promql.types import Floats, Frame, Ints
from tachograph.console.promql.windows import Windows


class Context:
    """What a function over time may ask besides its arguments."""

    def __init__(self, times: Ints, warn: Callable[[str], None]) -> None:
        self.times = times
        self.warn = warn


def check_quantile(q: Floats, warn: Callable[[str], None]) -> None:
    """Warn about quantiles outside [0, 1]."""
    from tachograph.console.promql.numerics import general

    for value in dict.fromkeys(general(float(v)) for v in q if not 0 <= v <= 1):
        warn(f"quantile value should be between 0 and 1, got {value}")


def _plain(compute: Callable[[Windows], Floats], *, keep_name: bool = False) -> Callable[..., Frame]:
    def run(w: Windows, args: list[Floats], context: Context) -> Frame:
        return w.frame(compute(w), w.counts > 0, keep_name=keep_name)

    return run


def _quantile(w: Windows, args: list[Floats], context: Context) -> Frame:
    if len(w.labels):
        check_quantile(args[0], context.warn)
    return w.frame(win.quantile(w, args[0]), w.counts > 0)


def _deriv(w: Windows, args: list[Floats], context: Context) -> Frame:
    slope, _ = win.linear_regression(w, w.first_time())
    return w.frame(slope, w.counts >= 2)


def _predict_linear(w: Windows, args: list[Floats], context: Context) -> Frame:
    slope, intercept = win.linear_regression(w, context.times)
    return w.frame(slope * args[0] + intercept, w.counts >= 2)


def _smoothing(w: Windows, args: list[Floats], context: Context) -> Frame:
    for what, values in (("smoothing", args[0]), ("trend", args[1])):
        bad = values[~((values > 0) & (values < 1))]
        if len(bad) and len(w.labels):
            short = "sf" if what == "smoothing" else "tf"
            raise PromQLError(f"invalid {what} factor. Expected: 0 < {short} < 1, got: {bad[0]:f}")
    return win.smoothed(w, args[0], args[1])


def _changes(w: Windows) -> Floats:
    v = w.values
    marks = np.zeros(len(v), dtype=bool)
    marks[1:] = (v[1:] != v[:-1]) & ~(np.isnan(v[1:]) & np.isnan(v[:-1]))
    return w.between(marks).astype(np.float64)


def _resets(w: Windows) -> Floats:
    marks = np.zeros(len(w.values), dtype=bool)
    marks[1:] = w.values[1:] < w.values[:-1]
    return w.between(marks).astype(np.float64)


def _count(w: Windows) -> Floats:
    return w.counts.astype(np.float64)


def _ones(w: Windows) -> Floats:
    return np.ones(w.start.shape)


OVER_TIME: dict[str, Callable[[Windows, list[Floats], Context], Frame]] = {
    "rate": lambda w, args, context: win.extrapolated(w, counter=True, per_second=True),
    "increase": lambda w, args, context: win.extrapolated(w, counter=True, per_second=False),
    "delta": lambda w, args, context: win.extrapolated(w, counter=False, per_second=False),
    "irate": lambda w, args, context: win.instant_difference(w, rate=True),
    "idelta": lambda w, args, context: win.instant_difference(w, rate=False),
    "deriv": _deriv,
    "predict_linear": _predict_linear,
    "double_exponential_smoothing": _smoothing,
    "resets": _plain(_resets),
    "changes": _plain(_changes),
    "sum_over_time": _plain(win.compensated_sum),
    "avg_over_time": _plain(win.mean),
    "min_over_time": _plain(lambda w: w.reduce(np.fmin)),
    "max_over_time": _plain(lambda w: w.reduce(np.fmax)),
    "count_over_time": _plain(_count),
    "last_over_time": _plain(Windows.last, keep_name=True),
    "first_over_time": _plain(Windows.first, keep_name=True),
    "present_over_time": _plain(_ones),
    "absent_over_time": _plain(_ones),
    "stddev_over_time": _plain(lambda w: np.sqrt(win.variance(w))),
    "stdvar_over_time": _plain(win.variance),
    "mad_over_time": _plain(win.median_absolute_deviation),
    "quantile_over_time": _quantile,
    "ts_of_first_over_time": _plain(lambda w: w.first_time() / 1000.0),
    "ts_of_last_over_time": _plain(lambda w: w.last_time() / 1000.0),
    "ts_of_max_over_time": _plain(lambda w: win.time_of_extreme(w, largest=True)),
    "ts_of_min_over_time": _plain(lambda w: win.time_of_extreme(w, largest=False)),
}
