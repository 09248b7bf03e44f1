"""The metrics of this process: cells that hold the numbers, found by family and label values.

A child (one label set of one family) is bound once and then updated without a look-up. Histograms keep sum, count and
buckets together. One lock guards all cells, so that all of a call's sums and buckets can be written in one step
(`registry.lock`), and so that a scrape sees whole calls.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final

from tachograph.signals.families import LABEL_OVERFLOW
from tachograph.signals.family import Family

OTHER: Final = "other"

LabelValues = tuple[str, ...]


@dataclass(slots=True)
class Exemplar:
    """One observation that can be followed to its trace."""

    trace_id: str
    value: float
    timestamp: float


@dataclass(slots=True)
class Sample:
    """One label set's numbers at the moment of collection.

    `value` for counters and gauges; for histograms `sum`, and `buckets` not yet cumulated, +Inf last.
    """

    labels: LabelValues
    value: float = 0.0
    sum: float = 0.0
    buckets: tuple[float, ...] = ()
    exemplars: tuple[Exemplar | None, ...] = ()


class Cell:
    """A counter or a gauge with one label set."""

    __slots__ = ("_lock", "value")

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        """Add to it."""
        with self._lock:
            self.value += amount

    def set(self, value: float) -> None:
        """Set it (gauges only)."""
        self.value = value


class HistogramCell:
    """A histogram with one label set."""

    __slots__ = ("_lock", "bounds", "buckets", "exemplars", "sum")

    def __init__(self, lock: threading.Lock, bounds: tuple[float, ...]) -> None:
        self._lock = lock
        self.bounds = bounds
        self.buckets = [0.0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: list[Exemplar | None] = [None] * (len(bounds) + 1)

    def observe(self, value: float, exemplar: Exemplar | None = None) -> None:
        """Add one observation."""
        with self._lock:
            self.observe_locked(value, exemplar)

    def observe_locked(self, value: float, exemplar: Exemplar | None = None) -> None:
        """Add one observation while the registry's lock is held."""
        index = bisect_left(self.bounds, value)
        self.buckets[index] += 1.0
        self.sum += value
        if exemplar is not None:
            self.exemplars[index] = exemplar


class Metrics:
    """All families and their cells.

    Args:
        families: What may be recorded; nothing else is exposed.
        limit: How many values a bounded label may have before further ones become `other`.
    """

    def __init__(self, families: Iterable[Family], *, limit: int = 200) -> None:
        self.lock = threading.Lock()
        self.limit = limit
        self.families: dict[str, Family] = {}
        self._cells: dict[str, dict[LabelValues, Cell | HistogramCell]] = {}
        self._values: dict[str, set[str]] = {}
        self._collectors: list[Callable[[], None]] = []
        for family in families:
            self.register(family)

    def register(self, family: Family) -> None:
        """Declare a family; declaring the same one again changes nothing."""
        if family.name in self.families:
            return
        self.families[family.name] = family
        self._cells[family.name] = {}
        if not family.labels:
            self._make(family, ())
        elif set(family.zero) == set(family.labels):
            for values in product(*(family.zero[label] for label in family.labels)):
                self._make(family, values)

    def _make(self, family: Family, values: LabelValues) -> Cell | HistogramCell:
        cell = HistogramCell(self.lock, family.buckets) if family.kind == "histogram" else Cell(self.lock)
        return self._cells[family.name].setdefault(values, cell)

    def _find(self, family: Family, values: LabelValues) -> Cell | HistogramCell:
        cells = self._cells[family.name]
        found = cells.get(values)
        if found is not None:
            return found
        if len(values) != len(family.labels):
            raise ValueError(f"{family.name} takes the labels {family.labels}, got {values}")
        return self._make(family, self._bound(family, values))

    def _bound(self, family: Family, values: LabelValues) -> LabelValues:
        bounded = list(values)
        for index, label in enumerate(family.labels):
            if label not in family.bounded:
                continue
            known = self._values.setdefault(label, set())
            value = values[index]
            if value in known or value == OTHER:
                continue
            if len(known) < self.limit:
                known.add(value)
            else:
                bounded[index] = OTHER
                if LABEL_OVERFLOW.name in self.families:
                    self.cell(LABEL_OVERFLOW, family.name, label).add()
        return tuple(bounded)

    def cell(self, family: Family, *values: str) -> Cell:
        """The counter or gauge of these label values, made at zero when new; bounded labels may become `other`."""
        found = self._find(family, values)
        assert isinstance(found, Cell), family.name
        return found

    def histogram(self, family: Family, *values: str) -> HistogramCell:
        """The histogram of these label values, made at zero when new; bounded labels may become `other`."""
        found = self._find(family, values)
        assert isinstance(found, HistogramCell), family.name
        return found

    def remove(self, family: Family, *values: str) -> None:
        """Forget one label set (gauges of what exists no more)."""
        self._cells[family.name].pop(values, None)

    def before_collect(self, callback: Callable[[], None]) -> None:
        """Call this before each collection, to set gauges that are cheaper asked than kept."""
        self._collectors.append(callback)

    def collect(self) -> Iterator[tuple[Family, list[Sample]]]:
        """Every family with its label sets; families without samples included."""
        for callback in self._collectors:
            callback()
        for name, family in list(self.families.items()):
            with self.lock:
                samples = [
                    Sample(values, sum=cell.sum, buckets=tuple(cell.buckets), exemplars=tuple(cell.exemplars))
                    if isinstance(cell, HistogramCell)
                    else Sample(values, value=cell.value)
                    for values, cell in list(self._cells[name].items())
                ]
            yield family, samples
