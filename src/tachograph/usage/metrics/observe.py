"""What the ledger adds to its metrics."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Mapping

from tachograph.signals.registry import Metrics
from tachograph.usage.metrics import families as f


class UsageMetrics:
    """Counts what the writer of this process does, and what this process hands over.

    Args:
        metrics: Where the numbers are kept.
        alive: Called when the writer is at work.
    """

    def __init__(self, metrics: Metrics, alive: Callable[[], None] = lambda: None) -> None:
        self._metrics = metrics
        self._alive = alive
        for family in f.FAMILIES:
            metrics.register(family)
        self.forget_reported()

    def forget_reported(self) -> None:
        """Count from zero again: this is a forked child."""
        self._accepted = 0
        self._refused: dict[str, int] = {}
        self._replaced = 0

    def set_queue_counters(self, accepted: int, refused: Mapping[str, int], replaced: int) -> None:
        """How many records this process has accepted and refused so far, and how often its journal was replaced."""
        metrics = self._metrics
        with metrics.lock:
            metrics.cell(f.ACCEPTED).add(accepted - self._accepted)
            self._accepted = accepted
            if replaced != self._replaced:
                metrics.cell(f.FILE_FAULTS, "journal_replaced").add(replaced - self._replaced)
                self._replaced = replaced
            for reason, count in refused.items():
                if count != self._refused.get(reason, 0):
                    metrics.cell(f.REFUSED, reason).add(count - self._refused.get(reason, 0))
                    self._refused[reason] = count

    def set_queue_levels(self, *, waiting: int, oldest_us: int | None, spool_bytes: int, writer_alive: bool) -> None:
        """What waits now."""
        metrics = self._metrics
        metrics.cell(f.QUEUE_SIZE).set(waiting)
        age = 0.0 if oldest_us is None else max(0.0, time.time() - oldest_us / 1e6)
        metrics.cell(f.OLDEST_AGE).set(age)
        metrics.cell(f.SPOOL_BYTES).set(spool_bytes)
        metrics.cell(f.WRITER_ALIVE).set(int(writer_alive))

    def persisted(self, outcome: str, seconds: float, records: int) -> None:
        """One write of so many records ended; each record is one observation."""
        cell = self._metrics.histogram(f.PERSIST_SECONDS, outcome)
        with self._metrics.lock:
            cell.values[0] += seconds * records
            cell.values[1 + bisect_left(cell.bounds, seconds)] += records

    def failed(self, error_type: str, records: int) -> None:
        """A write of so many records failed."""
        self._metrics.cell(f.PERSIST_ERRORS, error_type).add(records)

    def quarantined(self, reason: str, records: int) -> None:
        """Records were set aside; a torn write was never a record and counts one all the same."""
        self._metrics.cell(f.QUARANTINED, reason).add(max(records, 1))

    def lost(self, records: int) -> None:
        """Accepted records are gone."""
        self._metrics.cell(f.LOST).add(records)

    def file_fault(self, fault: str) -> None:
        """A file or a clock is not what it was."""
        self._metrics.cell(f.FILE_FAULTS, fault).add()

    def alive(self) -> None:
        """The writer is at work."""
        self._alive()
