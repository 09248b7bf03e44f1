"""Cuts off what hangs: a thread that looks at the clock while another waits for a store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tachograph.native import Signal, Thread, original


class Watchdog:
    """Calls `cut` when a guarded block has not ended in time, and again each second until it has.

    `cut` must make the waiting call fail: by shutting down its socket, or interrupting its statement. A client
    library's own time-outs do not do for this: psycopg waits five more seconds for a cancellation's answer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = original("allocate_lock")()
        self._changed = Signal()
        self._deadline = 0.0
        self._cut: Callable[[], None] | None = None
        self._thread: Thread | None = None
        self._stopped = False
        self.fired = False

    @contextmanager
    def guard(self, cut: Callable[[], None]) -> Iterator[None]:
        """Guard a block; afterwards `fired` says whether it was cut off."""
        with self._lock:
            self.fired = False
            self._deadline, self._cut = time.monotonic() + self.seconds, cut
            if self._thread is None:
                thread = Thread(self._run, "tachograph-ledger-watchdog")
                with suppress(RuntimeError):  # no thread to be had: unguarded this time, the next block asks again
                    thread.start()
                    self._thread = thread
        try:
            yield
        finally:
            with self._lock:
                self._cut = None

    def _run(self) -> None:
        while not self._stopped:
            left = self.seconds if self._cut is None else self._deadline - time.monotonic()
            if left > 0:
                self._changed.wait(left)
                continue
            with self._lock:
                cut = self._cut
                if cut is None:
                    continue
                self.fired = True
                self._deadline = time.monotonic() + 1.0
                with suppress(Exception):  # what was to be cut may have ended by itself
                    cut()

    def stop(self) -> None:
        """End the thread."""
        self._stopped = True
        self._changed.set()
