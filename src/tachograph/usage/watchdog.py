"""Cuts off what hangs: a thread that looks at the clock while another waits for a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Watchdog:
    """Calls `cut` when a guarded block has not ended in time, and again each second until it has.

    `cut` must make the waiting call fail: by shutting down its socket, or interrupting its statement. A client
    library's own time-outs do not do for this: psycopg waits five more seconds for a cancellation's answer.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._condition = threading.Condition()
        self._deadline = 0.0
        self._cut: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self.fired = False

    @contextmanager
    def guard(self, cut: Callable[[], None]) -> Iterator[None]:
        """Guard a block; afterwards `fired` says whether it was cut off."""
        with self._condition:
            self.fired = False
            self._deadline, self._cut = time.monotonic() + self.seconds, cut
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tachograph-ledger-watchdog", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._condition:
                self._cut = None

    def _run(self) -> None:
        with self._condition:
            while not self._stopped:
                if self._cut is None:
                    self._condition.wait(self.seconds)
                    continue
                left = self._deadline - time.monotonic()
                if left > 0:
                    self._condition.wait(left)
                    continue
                self.fired = True
                self._deadline = time.monotonic() + 1.0
                with suppress(Exception):  # what was to be cut may have ended by itself
                    self._cut()

    def stop(self) -> None:
        """End the thread."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
