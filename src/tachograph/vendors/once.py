"""Counting a stored answer's usage once, however often it is read."""

from __future__ import annotations

import threading
from typing import Final

REMEMBERED: Final = 16_384


class Once:
    """Remembers the ids it was asked about, the newest `REMEMBERED` of them."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._seen: dict[str, None] = {}
        self._lock = threading.Lock()

    def first_time(self, key: str) -> bool:
        """Whether this id was never asked about before."""
        with self._lock:
            if key in self._seen:
                return False
            self._seen[key] = None
            if len(self._seen) > self._size:
                del self._seen[next(iter(self._seen))]
            return True

    def __contains__(self, key: str | None) -> bool:
        """Whether this id was asked about before; asking so leaves no trace."""
        with self._lock:
            return key in self._seen

    def forget(self) -> None:
        """Remember none (tests)."""
        with self._lock:
            self._seen.clear()


class Jobs:
    """Remembers what was asked of jobs that are read later, of the newest `REMEMBERED` of them.

    Answers do not repeat all that is billed: Google's do not say how long a video is, and OpenAI's say of a video that
    was extended how long it is now.
    """

    def __init__(self, size: int = REMEMBERED) -> None:
        self._size = size
        self._asked: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def note(self, job: str, item: str, number: int) -> None:
        """A job was made, whose answer holds so many of this item."""
        with self._lock:
            self._asked[job] = (item, number)
            if len(self._asked) > self._size:
                del self._asked[next(iter(self._asked))]

    def asked(self, job: str) -> tuple[str, int] | None:
        """The item and its number, where this process made the job."""
        with self._lock:
            return self._asked.get(job)


JOBS = Jobs()
"""Jobs that this process has made."""
COUNTED = Once()
"""Ids of responses, batches and runs whose usage this process has counted."""
