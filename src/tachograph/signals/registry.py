"""The metrics of this process: cells that hold the numbers, found by family and label values.

A child (one label set of one family) is bound once and then updated without a look-up. One lock guards all cells, so
that all of a call's sums and buckets are written in one step (`metrics.lock`), and so that a scrape sees whole calls.
The lock is re-entrant: a call that is collected unfinished finishes wherever the collector happens to run.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from dataclasses import replace
from itertools import product
from typing import Any, Final, Protocol, TypeVar

from tachograph.signals.cells import Cell, Exemplar, HistogramCell, LabelValues, Sample, zeros
from tachograph.signals.families import LABEL_OVERFLOW, TELEMETRY_ERRORS
from tachograph.signals.family import Family
from tachograph.signals.labels import OTHER, check_user_labels, clean, render

__all__ = ["OTHER", "Cell", "Exemplar", "HistogramCell", "Metrics", "Sample", "Storage"]

logger = logging.getLogger("tachograph")

COMBINATIONS_PER_VALUE: Final = 5
"""Label sets of outside values that one group of families may have, times `metrics.label_limit`."""

T = TypeVar("T")
Collected = list[tuple[Family, list[Sample]]]


class Storage(Protocol):
    """Where cells' numbers live."""

    @property
    def error(self) -> OSError | None:
        """Why numbers are in a list of this process, until `reopen`; None while none are."""
        ...

    def allocate(self, family: Family, labels: LabelValues, size: int) -> MutableSequence[Any]:
        """Numbers for one new cell, all zero."""
        ...

    def merge(self, own: Collected) -> Collected:
        """What this process holds, and what its siblings hold."""
        ...

    def leave(self) -> None:
        """This is a forked child: what is open is the parent's. Numbers are in memory until `reopen`; opens nothing."""

    def reopen(self) -> bool:
        """Begin storage of this process's own where it has none; whether there is some now."""
        ...

    def close(self) -> None:
        """Give the storage back; what it holds stays with the siblings."""


class _Memory:
    """Numbers in lists of this process."""

    error = None

    def allocate(self, family: Family, labels: LabelValues, size: int) -> MutableSequence[Any]:
        return zeros(size)

    def merge(self, own: Collected) -> Collected:
        return own

    def leave(self) -> None:
        return

    def reopen(self) -> bool:
        return True

    def close(self) -> None:
        return


class Metrics:
    """All families and their cells.

    Args:
        families: What may be recorded; nothing else is exposed.
        limit: How many values a bounded label may have before further ones become `other`.
        user_labels: Keys of the user's labels that become labels of the families that allow it.
        storage: Where the numbers live; lists of this process unless given.
    """

    def __init__(
        self,
        families: Iterable[Family],
        *,
        limit: int = 200,
        user_labels: Iterable[str] = (),
        storage: Storage | None = None,
    ) -> None:
        self.lock: Any = threading.RLock()
        self.limit = limit
        self.user_labels = tuple(user_labels)
        self.storage: Storage = storage or _Memory()
        self.families: dict[str, Family] = {}
        self.started_unix_ns = time.time_ns()
        self._cells: dict[str, dict[LabelValues, Cell | HistogramCell]] = {}
        self._values: dict[str, set[str]] = {}
        self._combinations: dict[tuple[str, ...], set[LabelValues]] = {}
        self._collectors: list[Callable[[], None]] = []
        self._rebound: list[Callable[[], None]] = []
        self._grown: list[Callable[[], None]] = []
        self._failed: set[Callable[[], None]] = set()
        self._has_left = self.storage.error is not None
        """Whether cells count in memory that belong into the storage."""
        self._parts: dict[Any, Any] = {}
        for family in families:
            self.register(family)
        _all.add(self)

    def part(self, make: Callable[[Metrics], T]) -> T:
        """What one room keeps its families' cells in: `make(metrics)`, made once and the same from then on."""
        found: T | None = self._parts.get(make)
        if found is None:
            with self.lock:
                found = self._parts.get(make)
                if found is None:
                    found = self._parts[make] = make(self)
        return found

    def register(self, family: Family) -> None:
        """Declare a family; declaring the same one again changes nothing."""
        with self.lock:
            if family.name in self.families:
                return
            if family.takes_user_labels and self.user_labels:
                extra = check_user_labels(self.user_labels, family.labels)
                family = replace(family, labels=(*family.labels, *extra), bounded=(*family.bounded, *extra))
            self._cells[family.name] = {}
            self.families[family.name] = family
            if not family.labels:
                self._make(family, ())
            elif set(family.zero) == set(family.labels):
                for values in product(*(family.zero[label] for label in family.labels)):
                    self._make(family, values)

    def _make(self, family: Family, values: LabelValues) -> Cell | HistogramCell:
        with self.lock:
            cells = self._cells[family.name]
            found = cells.get(values)
            if found is not None:
                return found
            text = render(family.labels, values)
            if family.kind == "histogram":
                numbers = self.storage.allocate(family, values, len(family.buckets) + 2)
                made: Cell | HistogramCell = HistogramCell(self.lock, values, text, numbers, family.buckets)
            else:
                made = Cell(self.lock, values, text, self.storage.allocate(family, values, 1))
            self._has_left = self._has_left or self.storage.error is not None
            return cells.setdefault(values, made)  # one that failed to be kept is counted, perhaps in this very cell

    def _find(self, family: Family, values: LabelValues) -> Cell | HistogramCell:
        if self._has_left:
            self.move_in()
        try:
            found = self._cells[family.name].get(values)
        except TypeError:  # a label value that cannot be hashed; cleaned below
            found = None
        if found is not None:
            return found
        family = self.families[family.name]
        if len(values) < len(family.labels):  # the user's labels, where the caller has none
            values = (*values, *("",) * (len(family.labels) - len(values)))
        if len(values) != len(family.labels):
            raise ValueError(f"{family.name} takes the labels {family.labels}, got {values}")
        return self._make(family, self.admit(family, values))

    def admit(self, family: Family, values: LabelValues) -> LabelValues:
        """Clean label values, and turn those that are one too many into `other`, counting them."""
        family = self.families[family.name]
        admitted = [
            "" if value == "" and label in self.user_labels else clean(value)
            for label, value in zip(family.labels, values, strict=True)
        ]
        if not family.bounded:
            return tuple(admitted)
        with self.lock:
            places = [index for index, label in enumerate(family.labels) if label in family.bounded]
            for index in places:
                label, value = family.labels[index], admitted[index]
                known = self._values.setdefault(label, set())
                if value in known or value in (OTHER, ""):
                    continue
                if len(known) < self.limit:
                    known.add(value)
                else:
                    admitted[index] = OTHER
                    self._overflowed(family, label)
            combination = tuple(admitted[index] for index in places)
            seen = self._combinations.setdefault(family.bounded, set())
            if combination not in seen:
                if len(seen) >= self.limit * COMBINATIONS_PER_VALUE and OTHER not in combination:
                    self._overflowed(family, family.labels[places[-1]])
                    for index in places[1:]:
                        admitted[index] = OTHER
                else:
                    seen.add(combination)
        return tuple(admitted)

    def _overflowed(self, family: Family, label: str) -> None:
        if LABEL_OVERFLOW.name in self.families:
            self.cell(LABEL_OVERFLOW, family.name, label).add()

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
        with self.lock:
            removed = self._cells[family.name].pop(values, None)
            if removed is not None:
                removed.values[0] = math.nan  # siblings read the storage, which only grows, and leave this out

    def before_collect(self, callback: Callable[[], None], *, first: bool = False) -> None:
        """Call this before each collection, to set gauges that are cheaper asked than kept; `first`: before others."""
        self._collectors.insert(0 if first else len(self._collectors), callback)

    def when_rebound(self, callback: Callable[[], None]) -> None:
        """Call this in a forked child, whose cells begin at zero and in storage of its own."""
        self._rebound.append(callback)

    def when_grown(self, callback: Callable[[], None]) -> None:
        """Call this when a provider, model or tool is met for the first time: seldom, and off the usual call's path."""
        self._grown.append(callback)

    def grew(self) -> None:
        """A provider, model or tool was met for the first time."""
        for callback in self._grown:
            callback()

    def collect(self) -> Iterator[tuple[Family, list[Sample]]]:
        """Every family with its label sets, siblings' added; families without samples included."""
        return iter(_in_units(self.storage.merge(self._collect())))

    def collect_own(self) -> Collected:
        """Every family with the label sets of this process alone, all as of one moment."""
        return _in_units(self._collect())

    def _collect(self) -> Collected:
        if self._has_left:
            self.move_in()
        for callback in self._collectors:
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - one gauge missing must not cost the scrape
                self._collector_failed(callback, error)
        with self.lock:
            taken = [
                (family, [(c.labels, c.text, list(c.values), c.exemplars) for c in list(self._cells[name].values())])
                for name, family in list(self.families.items())  # copies: a signal handler may make a call of its own
            ]
        return [(family, [Sample(*numbers) for numbers in cells]) for family, cells in taken]

    def _collector_failed(self, callback: Callable[[], None], error: Exception) -> None:
        if TELEMETRY_ERRORS.name in self.families:
            self.cell(TELEMETRY_ERRORS, "exposition").add()
        if callback not in self._failed:
            self._failed.add(callback)
            logger.warning("tachograph: a gauge could not be read before collection.", exc_info=error)

    def _after_fork(self) -> None:
        """In a forked child: what the parent counted is the parent's to report.

        The cells count in memory until one is asked for: a handler at fork must not wait for a disk.
        """
        self.lock._at_fork_reinit()
        self.started_unix_ns = time.time_ns()
        self._has_left = False
        self.storage.leave()
        for name, cells in self._cells.items():
            family = self.families[name]
            for cell in cells.values():
                cell.values = zeros(len(family.buckets) + 2 if family.kind == "histogram" else 1)
                cell.exemplars = None
        for callback in self._rebound:
            callback()
        self._has_left = True

    def move_in(self) -> None:
        """Give cells that count in memory (a forked child's, those for which there was no space) their storage, with
        what they have counted since, if it is to be had now."""
        if not self._has_left:
            return
        with self.lock:
            if not self._has_left or not self.storage.reopen():
                return
            for name, cells in self._cells.items():
                for values, cell in cells.items():
                    counted = cell.values
                    if isinstance(counted, list):
                        numbers = self.storage.allocate(self.families[name], values, len(counted))
                        for index, number in enumerate(counted):
                            numbers[index] = number
                        cell.values = numbers
            self._has_left = self.storage.error is not None


def _in_units(collected: Collected) -> Collected:
    """From whole parts, in which sums are exact, to the family's unit."""
    for family, samples in collected:
        if family.scale != 1:
            for sample in samples:
                sample.values = [sample.values[0] / family.scale]
    return collected


_all: weakref.WeakSet[Metrics] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for metrics in list(_all):
        metrics._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
