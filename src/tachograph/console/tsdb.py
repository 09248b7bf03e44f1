"""The recent past of the metrics, in memory: two compact arrays per series, and an index of labels.

Bounded in every direction: samples by age, series by number, labels by length. What does not fit is refused and
counted, never half kept.
"""

from __future__ import annotations

import threading
import time
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tachograph.console.promql.labels import NAME, Labels, get
from tachograph.console.promql.matchers import EQUAL, LabelMatcher
from tachograph.console.promql.types import STALE_NAN, RawSeries

MAX_LABELS = 64
MAX_LABEL_LENGTH = 2048
EXEMPLARS_PER_SERIES = 32


@dataclass(slots=True)
class Metadata:
    """What a source said about a metric family."""

    type: str
    help: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class StoredExemplar:
    """One observation behind a sample, and the labels that lead to it; the time in milliseconds."""

    labels: Labels
    value: float
    at: int


class Series:
    """The samples of one series; times in milliseconds, ascending. What is after `taken` is new to a keeper."""

    __slots__ = ("is_open", "labels", "taken", "times", "values")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.times = array("q")
        self.values = array("d")
        self.is_open = True
        self.taken = 0


class TimeSeriesStore:
    """Keeps samples of the last `retention_seconds` for at most `max_series` series. Safe to use from threads.

    Attributes:
        newest_sent: When the newest sample came that a process sent, in milliseconds; 0: none. What rules compute out
            of old samples is none.
    """

    def __init__(self, *, retention_seconds: float = 6 * 3600, max_series: int = 20_000) -> None:
        self.retention_ms = int(retention_seconds * 1000)
        self.max_series = max_series
        self.refused_series = 0
        self.generation = 0
        self.newest_sent = 0
        self._lock = threading.RLock()
        self._series: dict[Labels, Series] = {}
        self._postings: dict[str, dict[str, set[Labels]]] = {}
        self._sources: dict[str, dict[int, tuple[Labels, Series]]] = {}
        self._metadata: dict[str, Metadata] = {}
        self._exemplars: dict[Labels, deque[StoredExemplar]] = {}
        self._trimmed = 0

    # -- writing ------------------------------------------------------------------------------------------

    def append(self, labels: Labels, at: int, value: float) -> bool:
        """Add one sample; False when it is refused (too many series, or not newer than what is there)."""
        with self._lock:
            series = self._find(labels)
            if series is None or not self._add(series, at, value):
                return False
            self.newest_sent = max(self.newest_sent, at)
            return True

    def ingest(
        self, source: str, at: int, samples: Iterable[tuple[Labels, float]], *, is_computed: bool = False
    ) -> int:
        """Add what one source shows at one time; series it no longer shows are marked stale.

        Args:
            is_computed: Rules made it out of what is kept.

        Returns:
            How many samples were kept.
        """
        with self._lock:
            # Sources give the same label objects again and again: found by identity, 2 000 of them cost no hashing.
            before = self._sources.get(source, {})
            now: dict[int, tuple[Labels, Series]] = {}
            kept, is_same = 0, True
            for labels, value in samples:
                known = before.get(id(labels))
                if known is None:
                    is_same = False
                    series = self._find(labels)
                    if series is None:
                        continue
                    known = (labels, series)
                now[id(labels)] = known
                kept += self._add(known[1], at, value)
            if not is_same or len(now) != len(before):
                shown = {id(series) for _, series in now.values()}
                for _, series in before.values():
                    if id(series) not in shown:
                        self._add(series, at, STALE_NAN)
            self._sources[source] = now
            if kept and not is_computed:
                self.newest_sent = max(self.newest_sent, at)
            self.generation += 1
            self.trim_when_due(at)
            return kept

    def end(self, source: str, at: int) -> None:
        """Mark every series of a source stale: it cannot be reached any more."""
        self.ingest(source, at, ())

    def take_new(self) -> list[tuple[Labels, bytes, bytes]]:
        """Return what came since the last time: by series the times and values, in this machine's bytes."""
        found = []
        with self._lock:
            for series in self._series.values():
                low = bisect_right(series.times, series.taken)
                if low < len(series.times):
                    series.taken = series.times[-1]
                    found.append((series.labels, series.times[low:].tobytes(), series.values[low:].tobytes()))
        return found

    def restore(self, labels: Labels, times: array[int], values: array[float], now: int) -> int:
        """Put samples of the past, and a mark that the series was stale then, before what came since.

        Returns:
            How many samples are kept: none where they do not fit together or lie ahead.
        """
        ticks = np.frombuffer(times, dtype=np.int64)
        if not (0 < len(times) == len(values) and ticks[-1] < now and bool(np.all(ticks[1:] > ticks[:-1]))):
            return 0
        with self._lock:
            series = self._find(labels)
            count = 0 if series is None else len(times)
            if series is not None and series.times:
                count = int(np.searchsorted(ticks, series.times[0] - 1))
            if series is None or not count:
                return 0
            past = times[:count]
            past.append(past[-1] + 1)
            series.taken = past[-1]
            series.times = past + series.times
            series.values = values[:count] + array("d", (STALE_NAN,)) + series.values
            self.newest_sent = max(self.newest_sent, past[-2])
            self.generation += 1
        return count

    def add_exemplar(self, labels: Labels, exemplar: StoredExemplar) -> None:
        """Keep an exemplar of a series, the newest few of each; one that is there already is not added."""
        with self._lock:
            kept = self._exemplars.get(labels)
            if kept is None:
                if labels not in self._series:
                    return
                kept = self._exemplars[labels] = deque(maxlen=EXEMPLARS_PER_SERIES)
            if not kept or kept[-1] != exemplar:
                kept.append(exemplar)

    def describe(self, family: str, metadata: Metadata) -> None:
        """Note what a family is."""
        if family in self._metadata or len(self._metadata) < self.max_series:
            self._metadata[family] = metadata

    def trim_when_due(self, now: int) -> None:
        """Trim when the last time is a minute ago."""
        if now - self._trimmed > 60_000:
            self.trim(now)

    def trim(self, now: int | None = None) -> None:
        """Forget samples past the retention, and series that have none left."""
        with self._lock:
            self._trimmed = int(time.time() * 1000) if now is None else now
            oldest = self._trimmed - self.retention_ms
            slack = oldest - self.retention_ms // 16
            gone = []
            for labels, series in self._series.items():
                if not series.times or series.times[-1] < oldest:
                    gone.append(labels)
                elif series.times[0] < slack:
                    cut = bisect_left(series.times, oldest)
                    # A slice is as long as its content; deleting in place would keep the old capacity.
                    series.times = series.times[cut:]
                    series.values = series.values[cut:]
            for labels in gone:
                self._forget(labels)
            for source, members in list(self._sources.items()):
                alive = {key: known for key, known in members.items() if known[1].is_open}
                if alive:
                    self._sources[source] = alive
                else:
                    del self._sources[source]

    def _find(self, labels: Labels) -> Series | None:
        series = self._series.get(labels)
        if series is not None:
            return series
        if len(self._series) >= self.max_series or not _acceptable(labels):
            self.refused_series += 1
            return None
        series = self._series[labels] = Series(labels)
        for name, value in labels:
            self._postings.setdefault(name, {}).setdefault(value, set()).add(labels)
        return series

    def _add(self, series: Series, at: int, value: float) -> bool:
        if series.times and at <= series.times[-1]:
            return False
        series.times.append(at)
        series.values.append(value)
        return True

    def _forget(self, labels: Labels) -> None:
        self._series.pop(labels).is_open = False
        self._exemplars.pop(labels, None)
        for name, value in labels:
            values = self._postings[name]
            values[value].discard(labels)
            if not values[value]:
                del values[value]
                if not values:
                    del self._postings[name]

    # -- reading ------------------------------------------------------------------------------------------

    def select(self, matchers: tuple[LabelMatcher, ...], start: int, end: int) -> list[RawSeries]:
        """Return copies of the matching series' samples in [start, end], in label order."""
        found = []
        with self._lock:
            for series in self._matching(matchers):
                low, high = bisect_left(series.times, start), bisect_right(series.times, end)
                if low < high:
                    times = np.frombuffer(series.times[low:high], dtype=np.int64)
                    values = np.frombuffer(series.values[low:high], dtype=np.float64)
                    found.append(RawSeries(series.labels, times, values))
        return found

    def series(self, matchers: tuple[LabelMatcher, ...], start: int, end: int) -> list[Labels]:
        """Return the label sets that match and have a sample in [start, end]."""
        with self._lock:
            return [
                s.labels for s in self._matching(matchers) if bisect_left(s.times, start) < bisect_right(s.times, end)
            ]

    def exemplars(
        self, matchers: tuple[LabelMatcher, ...], start: int, end: int
    ) -> list[tuple[Labels, list[StoredExemplar]]]:
        """Return the exemplars in [start, end] of the matching series, oldest first."""
        with self._lock:
            found = []
            for series in self._matching(matchers):
                inside = [one for one in self._exemplars.get(series.labels, ()) if start <= one.at <= end]
                if inside:
                    found.append((series.labels, inside))
            return found

    def label_names(self) -> list[str]:
        with self._lock:
            return sorted(self._postings)

    def label_values(self, name: str) -> list[str]:
        """Return all values of a label."""
        with self._lock:
            return sorted(self._postings.get(name, ()))

    def metadata(self) -> dict[str, Metadata]:
        """Return what is known of the families."""
        with self._lock:
            return dict(self._metadata)

    @property
    def series_count(self) -> int:
        return len(self._series)

    @property
    def sample_count(self) -> int:
        """Number of samples."""
        with self._lock:
            return sum(len(s.times) for s in self._series.values())

    def bounds(self) -> tuple[int, int]:
        """Return the oldest and newest sample time, or (0, 0)."""
        with self._lock:
            firsts = [s.times[0] for s in self._series.values() if s.times]
            lasts = [s.times[-1] for s in self._series.values() if s.times]
        return (min(firsts), max(lasts)) if firsts else (0, 0)

    def _matching(self, matchers: tuple[LabelMatcher, ...]) -> list[Series]:
        candidates: set[Labels] | None = None
        rest: list[LabelMatcher] = []
        # Equalities first: they narrow most and cost a look-up.
        for matcher in sorted(matchers, key=lambda m: m.op != EQUAL):
            if matcher.op == EQUAL and matcher.value != "":
                found = self._postings.get(matcher.name, {}).get(matcher.value, set())
                candidates = found if candidates is None else candidates & found
            elif not matcher.matches(""):
                values = self._postings.get(matcher.name, {})
                found = set()
                for value, labels in values.items():
                    if matcher.matches(value):
                        found |= labels
                candidates = found if candidates is None else candidates & found
            else:
                rest.append(matcher)
            if candidates is not None and not candidates:
                return []
        chosen: Iterable[Labels] = self._series if candidates is None else candidates
        if rest:
            chosen = [one for one in chosen if all(m.matches(get(one, m.name)) for m in rest)]
        return [self._series[labels] for labels in sorted(chosen)]


def _acceptable(labels: Labels) -> bool:
    return (
        0 < len(labels) <= MAX_LABELS
        and all(len(name) + len(value) <= MAX_LABEL_LENGTH for name, value in labels)
        and bool(get(labels, NAME))
    )
