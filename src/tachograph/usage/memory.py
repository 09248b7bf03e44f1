"""The queue in memory, for those who do not want files: nothing survives the process, and it says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from time import time_ns

from tachograph.native import original
from tachograph.usage.source import Batch, Gap, Position


class MemoryQueue:
    """Takes records like a `Journal` and gives them to the writer like a `JournalSource`.

    Args:
        limit: Records are refused while so many wait.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.refused: dict[str, int] = dict.fromkeys(("queue_full", "disk_full", "invalid", "closed", "io_error"), 0)
        self._begin()

    def _begin(self) -> None:
        self._lock = original("RLock")()
        self._queue: deque[tuple[bytes, int]] = deque()
        self._closed = False
        self.sequence = 0
        self.committed_records = 0
        self.replaced = 0
        self.name = "memory"

    def after_fork_in_child(self) -> None:
        """The parent delivers what it has taken; the child begins empty."""
        self._begin()
        self.refused = dict.fromkeys(self.refused, 0)

    def append_many(self, payloads: Sequence[bytes], *, are_kept: bool = False) -> str | None:
        """Take records; None when all are accepted, else why the last ones are refused."""
        reason = None
        with self._lock:
            for payload in payloads:
                if self._closed or len(self._queue) >= self.limit:
                    reason = self.refuse("closed" if self._closed else "queue_full")
                    continue
                self._queue.append((payload, time_ns() // 1000))
                self.sequence += 1
        return reason

    def refuse(self, reason: str) -> str:
        """Count a record that is refused."""
        with self._lock:
            self.refused[reason] += 1
        return reason

    @property
    def committed(self) -> int:
        """How many records the store has."""
        return self.committed_records

    def oldest_accepted_us(self) -> int | None:
        """When the oldest record that waits was accepted."""
        try:
            return self._queue[0][1]
        except IndexError:
            return None

    def check(self) -> bool:
        """Nothing can be removed from under it."""
        return True

    def close(self) -> None:
        """Take no more."""
        self._closed = True

    def read(self, limit: int) -> Batch:
        """The oldest records; they stay until they are committed."""
        with self._lock:
            count = min(limit, len(self._queue))
            return Batch(payloads=[self._queue[index][0] for index in range(count)])

    def batch_committed(self, batch: Batch) -> None:
        """Release them."""
        with self._lock:
            for _ in batch.payloads:
                self._queue.popleft()
            self.committed_records += len(batch.payloads)


class MemorySource:
    """The writer's view of a `MemoryQueue`."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue

    def read(self, limit: int) -> Batch:
        """The oldest records."""
        return self._queue.read(limit)

    def committed(self, batch: Batch) -> None:
        """Release them."""
        self._queue.batch_committed(batch)

    def behind(self, positions: Mapping[str, Position]) -> list[Gap]:
        """It has no positions, so nothing can be reported."""
        return []

    def holds(self, journal: str) -> bool:
        """It keeps nothing that was committed."""
        return False

    def close(self) -> None:
        """There is nothing to close."""
