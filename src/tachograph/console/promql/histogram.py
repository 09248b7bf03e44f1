"""Quantiles and fractions of classic histograms.

Source: https://github.com/prometheus/prometheus/blob/main/promql/quantile.go (2026-11-23).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tachograph.console.promql.labels import BUCKET, NAME, Labels, drop, get
from tachograph.console.promql.numerics import almost_equal
from tachograph.console.promql.types import Bools, Floats, Frame

TOLERANCE = 1e-12


@dataclass(slots=True)
class HistogramBuckets:
    """The buckets of one histogram: rows of the frame, sorted by upper bound."""

    labels: Labels
    rows: list[int]
    bounds: Floats


def collect(frame: Frame, warn: Callable[[str], None]) -> list[HistogramBuckets]:
    """Group the series of a frame into histograms by all labels but `le`."""
    found: dict[Labels, list[tuple[float, int]]] = {}
    for row, labels in enumerate(frame.labels):
        text = get(labels, BUCKET)
        bound = parse_bound(text)
        if bound is None:
            name = get(labels, NAME)
            about = f' for metric name "{name}"' if name else ""
            warn(f'bucket label "le" is missing or has a malformed value of "{text}"{about}')
            continue
        found.setdefault(drop(labels, (BUCKET,)), []).append((bound, row))
    histograms = []
    for labels, buckets in found.items():
        buckets.sort()
        rows = [row for _, row in buckets]
        bounds = np.asarray([bound for bound, _ in buckets])
        histograms.append(HistogramBuckets(labels, rows, bounds))
    return histograms


def parse_bound(text: str) -> float | None:
    """Read an upper bound as Go's ParseFloat does; None when it is not a number."""
    if not text or text != text.strip() or "_" in text:
        return None
    try:
        return float.fromhex(text) if text.lower().lstrip("+-").startswith("0x") else float(text)
    except (ValueError, OverflowError):
        return None


def evaluate(
    frame: Frame, histograms: list[HistogramBuckets], compute: Callable[[Floats, Floats, Bools], Floats]
) -> Frame:
    """Run a computation over each histogram, for each pattern of buckets present at a step.

    `compute` gets the bounds, the cumulative counts [bucket, step] and the mask of steps in question.
    """
    steps = frame.values.shape[1]
    values = np.zeros((len(histograms), steps))
    present = np.zeros((len(histograms), steps), dtype=bool)
    for i, histogram in enumerate(histograms):
        here = frame.present[histogram.rows]
        anywhere = here.any(axis=0)
        if not anywhere.any():
            continue
        present[i] = anywhere
        counts = frame.values[histogram.rows]
        complete: Bools = np.asarray(here.all(axis=0))
        if complete.any():
            bounds, merged = _coalesce(histogram.bounds, counts[:, complete])
            values[i, complete] = compute(bounds, merged, complete)
        partial = anywhere & ~complete
        if partial.any():
            patterns, which = np.unique(here[:, partial], axis=1, return_inverse=True)
            columns = np.flatnonzero(partial)
            for p in range(patterns.shape[1]):
                rows = patterns[:, p]
                picked = columns[which.ravel() == p]
                mask = np.zeros(steps, dtype=bool)
                mask[picked] = True
                bounds, merged = _coalesce(histogram.bounds[rows], counts[rows][:, mask])
                values[i, mask] = compute(bounds, merged, mask)
    drops = np.ones(len(histograms), dtype=bool)
    return Frame([h.labels for h in histograms], values, present, drops).compact()


def _coalesce(bounds: Floats, counts: Floats) -> tuple[Floats, Floats]:
    if len(bounds) < 2 or (np.diff(bounds) != 0).all():
        return bounds, counts.copy()
    unique, starts = np.unique(bounds, return_index=True)
    return unique, np.add.reduceat(counts, starts, axis=0)


def bucket_quantile(q: Floats, bounds: Floats, counts: Floats, forced: Callable[[], None]) -> Floats:
    """Interpolate a quantile at each step (column).

    `forced` is called when counts had to be repaired because they fell with a growing bound; a difference smaller
    than 1e-12 is none.
    """
    steps = counts.shape[1]
    valid = (q >= 0) & (q <= 1)
    outside = np.where(np.isnan(q), np.nan, np.where(q < 0, -np.inf, np.inf))
    if not np.isposinf(bounds[-1]):
        return np.where(valid, np.nan, outside)
    _make_monotonic(counts, valid, forced)
    if len(bounds) < 2:
        return np.where(valid, np.nan, outside)
    observations = counts[-1]
    rank = np.where(valid, q, 0.0) * observations
    # The first bucket but the last whose count reaches the rank.
    reached = counts[:-1] >= rank
    bucket = np.where(reached.any(axis=0), reached.argmax(axis=0), len(bounds) - 1)
    column = np.arange(steps)
    below = np.maximum(bucket - 1, 0)
    start = np.where(bucket > 0, bounds[below], 0.0)
    before = np.where(bucket > 0, counts[below, column], 0.0)
    inside = counts[bucket, column] - before
    end = bounds[bucket]
    result = start + (end - start) * ((rank - before) / inside)
    result = np.where((bucket == 0) & (bounds[0] <= 0), bounds[0], result)
    result = np.where(bucket == len(bounds) - 1, bounds[-2], result)
    result = np.where(observations == 0, np.nan, result)
    return np.where(valid, result, outside)


def _make_monotonic(counts: Floats, valid: Bools, forced: Callable[[], None]) -> None:
    before = counts[0].copy()
    for i in range(1, len(counts)):
        now = counts[i]
        same = now == before
        close = almost_equal(before, now, TOLERANCE)
        falls = ~same & ~close & (now < before)
        if (falls & valid).any():
            forced()
        before = counts[i] = np.where(same | close | falls, before, now)


def bucket_fraction(lower: Floats, upper: Floats, bounds: Floats, counts: Floats) -> Floats:
    """Share of the observations between two values at each step (column)."""
    steps = counts.shape[1]
    if not np.isposinf(bounds[-1]):
        return np.full(steps, np.nan)
    total = counts[-1]
    result = np.empty(steps)
    first_lower = -np.inf if bounds[0] <= 0 else 0.0
    edges = np.concatenate([[first_lower], bounds])
    for c in range(steps):
        result[c] = _fraction(float(lower[c]), float(upper[c]), edges, counts[:, c], float(total[c]))
    return result


def _fraction(lower: float, upper: float, edges: Floats, counts: Floats, total: float) -> float:
    if total == 0 or lower != lower or upper != upper:
        return float("nan")
    if lower >= upper:
        return 0.0

    def rank_of(value: float) -> float:
        rank = 0.0
        for i, count in enumerate(counts):
            begin, end = float(edges[i]), float(edges[i + 1])
            if begin >= value:
                return rank
            if begin < value < end:
                if begin == -np.inf:
                    return float(count)
                return rank + (float(count) - rank) * (value - begin) / (end - begin)
            rank = float(count)
        return total

    return (min(rank_of(upper), total) - min(rank_of(lower), total)) / total
