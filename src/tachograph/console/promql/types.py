"""The shapes that the evaluator works on: raw series, frames (series x steps) and windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tachograph.console.promql.errors import PromQLError
from tachograph.console.promql.labels import Labels, without_name

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Bools: TypeAlias = npt.NDArray[np.bool_]

SAME_LABELSET = "vector cannot contain metrics with the same labelset"

# Prometheus marks the end of a series with this NaN and no other.
# https://github.com/prometheus/prometheus/blob/main/model/value/value.go (checked 2026-11-23)
STALE_BITS = 0x7FF0000000000002
STALE_NAN: float = float(np.array([STALE_BITS], dtype=np.uint64).view(np.float64)[0])


def is_stale(values: Floats) -> Bools:
    """Return which values are staleness markers."""
    marked: Bools = np.ascontiguousarray(values).view(np.uint64) == np.uint64(STALE_BITS)
    return marked


@dataclass(slots=True)
class RawSeries:
    """One stored series: times in milliseconds, ascending, and values with staleness markers left in."""

    labels: Labels
    times: Ints
    values: Floats


@dataclass(slots=True)
class Frame:
    """An instant vector at every step of a query: values[series, step], and where there is a value.

    `drop_name` marks series whose metric name goes away when the result leaves the engine; Prometheus 3
    calls that delayed name removal.
    """

    labels: list[Labels]
    values: Floats
    present: Bools
    drop_name: Bools = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def __post_init__(self) -> None:
        if len(self.drop_name) != len(self.labels):
            self.drop_name = np.zeros(len(self.labels), dtype=bool)

    @classmethod
    def empty(cls, steps: int) -> Frame:
        """Return a frame without series."""
        return cls([], np.zeros((0, steps)), np.zeros((0, steps), dtype=bool))

    def with_values(self, values: Floats, present: Bools | None = None) -> Frame:
        """Return the same series with other values; they lose their name."""
        drop = np.ones(len(self.labels), dtype=bool)
        return Frame(self.labels, values, self.present if present is None else present, drop)

    def take(self, rows: list[int]) -> Frame:
        """Return some of the series, in the given order."""
        index = np.asarray(rows, dtype=np.int64)
        return Frame([self.labels[r] for r in rows], self.values[index], self.present[index], self.drop_name[index])

    def compact(self) -> Frame:
        """Return the frame without the series that have no value at any step."""
        alive = self.present.any(axis=1)
        if alive.all():
            return self
        return self.take([int(i) for i in np.flatnonzero(alive)])

    def without_dropped_names(self) -> Frame:
        """Take away the names that were marked, and merge what then has the same labels."""
        if not self.drop_name.any():
            return merge_same_labels(self)
        labels = [without_name(one) if drop else one for one, drop in zip(self.labels, self.drop_name, strict=True)]
        return merge_same_labels(Frame(labels, self.values, self.present))


def merge_same_labels(frame: Frame) -> Frame:
    """Join rows with equal labels into one row.

    Raises:
        PromQLError: Two of them have a value at the same step.
    """
    if len(set(frame.labels)) == len(frame.labels):
        return frame
    rows: dict[Labels, int] = {}
    owner = np.empty(len(frame.labels), dtype=np.int64)
    for i, labels in enumerate(frame.labels):
        owner[i] = rows.setdefault(labels, len(rows))
    steps = frame.values.shape[1]
    values = np.zeros((len(rows), steps))
    present = np.zeros((len(rows), steps), dtype=bool)
    drop = np.zeros(len(rows), dtype=bool)
    for i, row in enumerate(owner):
        here = frame.present[i]
        if (present[row] & here).any():
            raise PromQLError(SAME_LABELSET)
        values[row] = np.where(here, frame.values[i], values[row])
        present[row] |= here
        drop[row] |= frame.drop_name[i]
    return Frame(list(rows), values, present, drop)
