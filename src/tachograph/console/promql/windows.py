"""Range vectors: the samples of many series laid end to end, with the window of each series and step.

Each function over time then works on all windows at once. A window is [start, stop) into the flat arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tachograph.console.promql.labels import Labels
from tachograph.console.promql.numerics import kahan_step
from tachograph.console.promql.types import Bools, Floats, Frame, Ints, RawSeries, is_stale

_CHUNK = 2_000_000


@dataclass(slots=True)
class Windows:
    """All windows of one range vector. Times in milliseconds; `ends` is the right edge of each step."""

    labels: list[Labels]
    drop_name: Bools
    times: Ints
    values: Floats
    start: Ints
    stop: Ints
    ends: Ints
    length: int
    tick: Callable[[], None]

    @classmethod
    def cut(
        cls,
        series: list[RawSeries],
        ends: Ints,
        length: int,
        *,
        tick: Callable[[], None],
        drop_name: Bools | None = None,
    ) -> Windows:
        """Lay the series out and find the window (end - length, end] of each step; stale samples are left out."""
        steps = len(ends)
        start = np.zeros((len(series), steps), dtype=np.int64)
        stop = np.zeros((len(series), steps), dtype=np.int64)
        times: list[Ints] = []
        values: list[Floats] = []
        base = 0
        begins = ends - length
        for row, one in enumerate(series):
            fresh = ~is_stale(one.values)
            t, v = (one.times, one.values) if fresh.all() else (one.times[fresh], one.values[fresh])
            start[row] = base + np.searchsorted(t, begins, side="right")
            stop[row] = base + np.searchsorted(t, ends, side="right")
            times.append(t)
            values.append(v)
            base += len(t)
        # Two samples more, so that what empty windows point at is there: one or two past the end, or before the start.
        flat_times = np.concatenate([*times, np.zeros(2, dtype=np.int64)])
        flat_values = np.concatenate([*values, np.zeros(2)])
        drop = np.zeros(len(series), dtype=bool) if drop_name is None else drop_name
        return cls([s.labels for s in series], drop, flat_times, flat_values, start, stop, ends, length, tick)

    @property
    def counts(self) -> Ints:
        """Samples in each window."""
        return self.stop - self.start

    def frame(self, values: Floats, present: Bools, *, keep_name: bool = False) -> Frame:
        """Make the result of a function over these windows."""
        drop = self.drop_name if keep_name else np.ones(len(self.labels), dtype=bool)
        return Frame(self.labels, values, present, drop).compact()

    def first(self) -> Floats:
        """The oldest value of each window; meaningless where a window is empty."""
        return self.values[self.start]

    def last(self) -> Floats:
        """The newest value of each window."""
        return self.values[self.stop - 1]

    def first_time(self) -> Ints:
        """The time of the oldest sample."""
        return self.times[self.start]

    def last_time(self) -> Ints:
        """The time of the newest sample."""
        return self.times[self.stop - 1]

    def walk(self) -> Iterator[tuple[int, Ints, Floats, Bools]]:
        """Yield the k-th sample of all windows at once: k, its index, its value, and where there is one."""
        counts = self.counts
        longest = int(counts.max(initial=0))
        end = len(self.values) - 1
        for k in range(longest):
            if k % 64 == 0:
                self.tick()
            index = np.minimum(self.start + k, end)
            yield k, index, self.values[index], counts > k

    def reduce(self, ufunc: np.ufunc) -> Floats:
        """Fold each window with a ufunc; empty windows give nonsense."""
        edges = np.stack([self.start, self.stop], axis=-1)
        folded: Floats = ufunc.reduceat(self.values, edges.ravel())[::2].reshape(self.start.shape)
        return folded

    def between(self, marks: Bools) -> Ints:
        """Count marked samples in each window, the first sample not included."""
        total = np.concatenate([[0], np.cumsum(marks)])
        counted: Ints = total[self.stop] - total[self.start + 1]
        return counted

    def sorted_windows(self) -> Iterator[tuple[slice, Floats, Ints, Ints]]:
        """Yield the windows in blocks as rows sorted upwards with NaN last: rows, values, counts, NaN counts."""
        start, counts = self.start.ravel(), self.counts.ravel()
        longest = int(counts.max(initial=1))
        block = max(_CHUNK // longest, 1)
        offsets = np.arange(longest)
        for begin in range(0, len(start), block):
            self.tick()
            rows = slice(begin, begin + block)
            index = np.minimum(start[rows, None] + offsets, len(self.values) - 1)
            inside = offsets < counts[rows, None]
            window = np.where(inside, self.values[index], np.nan)
            nans = np.count_nonzero(np.isnan(window) & inside, axis=1)
            window.sort(axis=1)
            yield rows, window, counts[rows], nans


def compensated_sum(w: Windows) -> Floats:
    """Sum each window; plain where nothing can cancel, compensated otherwise."""
    body = w.values
    if np.isfinite(body).all() and ((body >= 0).all() or (body <= 0).all()) and np.abs(body).max(initial=0) < 1e250:
        return w.reduce(np.add)
    total = np.zeros(w.start.shape)
    carry = np.zeros(w.start.shape)
    for _, _, x, active in w.walk():
        total, carry = kahan_step(x, total, carry, active)
    return np.where(np.isinf(total), total, total + carry)


def mean(w: Windows) -> Floats:
    """Average each window: a direct mean, and an incremental one once the sum would overflow."""
    counts = w.counts
    body = w.values
    if np.isfinite(body).all() and ((body >= 0).all() or (body <= 0).all()) and np.abs(body).max(initial=0) < 1e250:
        return w.reduce(np.add) / counts
    total = w.first().copy()
    carry = np.zeros(total.shape)
    running = np.zeros(total.shape)
    incremental = np.zeros(total.shape, dtype=bool)
    for k, _, x, active in w.walk():
        if k == 0:
            continue
        count = float(k + 1)
        direct = active & ~incremental
        new_total, new_carry = kahan_step(x, total, carry, direct)
        overflow = direct & np.isinf(new_total)
        fine = direct & ~overflow
        total, carry = np.where(fine, new_total, total), np.where(fine, new_carry, carry)
        running = np.where(overflow, total / (count - 1), running)
        carry = np.where(overflow, carry / (count - 1), carry)
        incremental |= overflow
        q = (count - 1) / count
        step = active & incremental
        if step.any():
            moved, moved_carry = kahan_step(x / count, q * running, q * carry, step)
            running, carry = np.where(step, moved, running), np.where(step, moved_carry, carry)
    return np.where(incremental, running + carry, total / counts + carry / counts)


def variance(w: Windows) -> Floats:
    """Population variance of each window (Welford with compensation, as Prometheus has it)."""
    shape = w.start.shape
    middle, middle_carry, aux, aux_carry = (np.zeros(shape) for _ in range(4))
    for k, _, x, active in w.walk():
        delta = x - (middle + middle_carry)
        middle, middle_carry = kahan_step(delta / (k + 1), middle, middle_carry, active)
        aux, aux_carry = kahan_step(delta * (x - (middle + middle_carry)), aux, aux_carry, active)
    return (aux + aux_carry) / w.counts


def quantile_of_sorted(q: Floats, window: Floats, counts: Ints, nans: Ints) -> Floats:
    """Interpolate a quantile in rows sorted upwards with NaN last; Prometheus orders NaN first."""
    n = counts.astype(np.float64)
    rank = q * (n - 1)
    safe = np.where(np.isfinite(rank), rank, 0.0)
    lower = np.maximum(0, np.floor(safe))
    upper = np.maximum(np.minimum(n - 1, lower + 1), 0)
    weight = safe - np.floor(safe)
    rows = np.arange(len(window))

    def pick(position: Floats) -> Floats:
        # Below zero it counts from the end of the row, where the NaN are.
        picked: Floats = window[rows, np.minimum(position.astype(np.int64) - nans, window.shape[1] - 1)]
        return picked

    result = pick(lower) * (1 - weight) + pick(upper) * weight
    result = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, result))
    return np.where(np.isnan(q) | (counts == 0), np.nan, result)


def quantile(w: Windows, q: Floats) -> Floats:
    """Quantile of each window; q holds one value per step."""
    out = np.empty(w.start.size)
    wanted = np.broadcast_to(q, w.start.shape).ravel()
    for rows, window, counts, nans in w.sorted_windows():
        out[rows] = quantile_of_sorted(wanted[rows], window, counts, nans)
    return out.reshape(w.start.shape)


def median_absolute_deviation(w: Windows) -> Floats:
    """Median distance from the median; NaN when a window holds one."""
    out = np.empty(w.start.size)
    for rows, window, counts, nans in w.sorted_windows():
        half = np.full(len(window), 0.5)
        median = quantile_of_sorted(half, window, counts, nans)
        distance = np.abs(window - median[:, None])
        distance.sort(axis=1)
        result = quantile_of_sorted(half, distance, counts, nans)
        out[rows] = np.where(nans > 0, np.nan, result)
    return out.reshape(w.start.shape)


def linear_regression(w: Windows, intercept_times: Ints) -> tuple[Floats, Floats]:
    """Least squares over each window: slope per second, and value at the intercept time."""
    shape = w.start.shape
    sums = [np.zeros(shape) for _ in range(4)]
    carries = [np.zeros(shape) for _ in range(4)]
    first = w.first()
    constant = np.ones(shape, dtype=bool)
    for _, index, y, active in w.walk():
        x = (w.times[index] - intercept_times) / 1000.0
        constant &= ~(active & (y != first))
        for i, term in enumerate((x, y, x * y, x * x)):
            sums[i], carries[i] = kahan_step(term, sums[i], carries[i], active)
    sum_x, sum_y, sum_xy, sum_x2 = (s + c for s, c in zip(sums, carries, strict=True))
    n = w.counts
    covariance = sum_xy - sum_x * sum_y / n
    spread = sum_x2 - sum_x * sum_x / n
    slope = covariance / spread
    intercept = sum_y / n - slope * sum_x / n
    flat = constant & np.isfinite(first)
    broken = constant & np.isinf(first)
    slope = np.where(flat, 0.0, np.where(broken, np.nan, slope))
    return slope, np.where(flat, first, np.where(broken, np.nan, intercept))


def add_counter_resets(w: Windows, result: Floats) -> Floats:
    """Add the values lost at counter resets inside each window to a result, one by one in order of time.

    The order matters: adding them up first would lose small ones beside a huge one.
    """
    values = w.values
    drops = np.zeros(len(values), dtype=bool)
    drops[1:] = values[1:] < values[:-1]
    at = np.flatnonzero(drops)
    out = result.copy()
    if not len(at):
        return out
    first = np.searchsorted(at, w.start, side="right")
    last = np.searchsorted(at, w.stop, side="left")
    resets = last - first
    for k in range(int(resets.max(initial=0))):
        here = resets > k
        out[here] += values[at[first[here] + k] - 1]
    return out


def extrapolated(w: Windows, *, counter: bool, per_second: bool) -> Frame:
    """rate, increase and delta.

    Source: extrapolatedRate in https://github.com/prometheus/prometheus/blob/main/promql/functions.go
    (2026-11-23).
    """
    counts = w.counts
    present = counts >= 2
    first = w.first()
    result = w.last() - first
    if counter:
        result = add_counter_resets(w, result)
    begins = w.ends - w.length
    to_start = (w.first_time() - begins) / 1000.0
    to_end = (w.ends - w.last_time()) / 1000.0
    sampled = (w.last_time() - w.first_time()) / 1000.0
    average = sampled / (counts - 1)
    threshold = average * 1.1
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    if counter:
        to_start = _clamp_at_zero(to_start, sampled, first, result)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    factor = (sampled + to_start + to_end) / sampled
    if per_second:
        factor = factor / (w.length / 1000.0)
    return w.frame(result * factor, present)


def _clamp_at_zero(to_start: Floats, sampled: Floats, first: Floats, result: Floats) -> Floats:
    rising = (result > 0) & (first >= 0)
    to_zero = sampled * (first / result)
    return np.where(rising & (to_zero < to_start), to_zero, to_start)


def instant_difference(w: Windows, *, rate: bool) -> Frame:
    """irate and idelta: the last two samples of each window."""
    last, before = w.last(), w.values[w.stop - 2]
    result = last - before
    if rate:
        result = np.where(last < before, last, result) / ((w.last_time() - w.times[w.stop - 2]) / 1000.0)
    return w.frame(result, w.counts >= 2)


def smoothed(w: Windows, sf: Floats, tf: Floats) -> Frame:
    """Double exponential smoothing (Holt-Winters without seasons)."""
    shape = w.start.shape
    older = np.zeros(shape)
    level = w.first().copy()
    second = w.values[w.start + 1]
    trend = second - level
    for k, _, x, active in w.walk():
        if k == 0:
            continue
        new_trend = trend if k == 1 else tf * (level - older) + (1 - tf) * trend
        new_level = sf * x + (1 - sf) * (level + new_trend)
        trend = np.where(active, new_trend, trend)
        older, level = np.where(active, level, older), np.where(active, new_level, level)
    return w.frame(level, w.counts >= 2)


def time_of_extreme(w: Windows, *, largest: bool) -> Floats:
    """Seconds at which the largest or smallest value stood, the latest of equals."""
    best = w.first().copy()
    at = w.first_time().copy()
    for _, index, x, active in w.walk():
        better = active & (((x >= best) if largest else (x <= best)) | np.isnan(best))
        best = np.where(better, x, best)
        at = np.where(better, w.times[index], at)
    result: Floats = at / 1000.0
    return result
