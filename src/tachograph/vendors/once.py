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

    def forget(self) -> None:
        """Remember none (tests)."""
        with self._lock:
            self._seen.clear()


COUNTED = Once()
"""Ids of responses, batches and runs whose usage this process has counted."""
