"""Cells: where one label set's numbers are kept, and how they look when collected.

A cell's numbers are in `values`, a sequence of its own: a list in one process, a slice of a mapped file where several
worker processes add up. Counters and gauges have one value; histograms have the sum first, then one count per bucket.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import MutableSequence
from threading import RLock
from typing import Any, NamedTuple, TypeVar

LabelValues = tuple[str, ...]
_C = TypeVar("_C")


class Exemplar(NamedTuple):
    """One observation that can be followed to its trace."""

    trace_id: int
    value: float
    timestamp: float
    span_id: int = 0


def zeros(size: int) -> list[Any]:
    """The numbers of a new cell: whole ones, so that sums are exact, but for a histogram's sum."""
    return [0.0] + [0] * (size - 1) if size > 1 else [0]


class Sample:
    """One label set's numbers at the moment of collection.

    Attributes:
        labels: Label values in the family's order.
        text: The same, rendered: `provider="openai",model="gpt-5"`.
        values: One value, or for histograms the sum and then the buckets, not cumulated, +Inf last.
        exemplars: By bucket, 0 for the lowest.
    """

    __slots__ = ("exemplars", "labels", "text", "values")

    def __init__(
        self, labels: LabelValues, text: str, values: list[float], exemplars: dict[int, Exemplar] | None = None
    ) -> None:
        self.labels = labels
        self.text = text
        self.values = values
        self.exemplars = exemplars

    @property
    def value(self) -> float:
        """The value of a counter or a gauge."""
        return self.values[0]

    @property
    def sum(self) -> float:
        """A histogram's sum."""
        return self.values[0]

    @property
    def buckets(self) -> tuple[float, ...]:
        """A histogram's buckets, not cumulated, +Inf last."""
        return tuple(self.values[1:])

    def __repr__(self) -> str:
        return f"Sample({{{self.text}}}, {self.values})"


class CellCache(dict[str, _C]):
    """Cells by the closed set of a label's values; a word that is not among them counts as the fallback."""

    def __init__(self, cells: dict[str, _C], fallback: str) -> None:
        super().__init__(cells)
        self._fallback = fallback

    def __missing__(self, word: object) -> _C:
        return self[self._fallback]


class Cell:
    """A counter or a gauge with one label set."""

    __slots__ = ("_lock", "exemplars", "labels", "text", "values")

    def __init__(self, lock: RLock, labels: LabelValues, text: str, values: MutableSequence[Any]) -> None:
        self._lock: Any = lock
        self.labels = labels
        self.text = text
        self.values = values
        self.exemplars: dict[int, Exemplar] | None = None

    @property
    def value(self) -> float:
        """What it holds now, in the family's stored unit."""
        return float(self.values[0])

    def add(self, amount: float = 1) -> None:
        """Add to it (families with a `scale` take whole parts of it)."""
        with self._lock:
            self.values[0] += amount

    def set(self, value: float) -> None:
        """Set it (gauges only)."""
        self.values[0] = value


class HistogramCell:
    """A histogram with one label set."""

    __slots__ = ("_lock", "bounds", "exemplars", "labels", "text", "values")

    def __init__(
        self,
        lock: RLock,
        labels: LabelValues,
        text: str,
        values: MutableSequence[Any],
        bounds: tuple[float, ...],
    ) -> None:
        self._lock: Any = lock
        self.labels = labels
        self.text = text
        self.values = values
        self.bounds = bounds
        self.exemplars: dict[int, Exemplar] | None = None

    def observe(self, value: float, exemplar: Exemplar | None = None) -> None:
        """Add one observation."""
        index = bisect_left(self.bounds, value)
        with self._lock:
            values = self.values
            values[0] += value
            values[index + 1] += 1
            if exemplar is not None:
                if self.exemplars is None:
                    self.exemplars = {}
                self.exemplars[index] = exemplar
