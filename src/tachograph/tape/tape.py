"""A queue between the application's calls and the work that they cause.

A hook puts down what is only known at that moment and appends the record to the tape: one `deque.append`, no lock, no
system call. Reading the answer, pricing, metrics, spans and the ledger's row happen when the tape is drained: by the
drain thread a second later, or at once by the code that asks for the result (a scrape, `flush()`, a test,
the end of the process). The same code costs a third when it runs hot in a batch (docs/decisions/0091).

The life of an entry:

    put         appended by the application's thread (or by a finaliser, or a signal handler: `append` is safe there)
    delivered   taken from the front under the drain's lock, in order; a failure of one entry does not stop the next
    written     `after_batch` callbacks ran: the ledger has its rows in the journal. A thread of its own does this part,
                because it may wait for a disk. Only `flush` waits for it.

Under gevent and eventlet the drain is a greenlet, and what may wait for a disk is done in a thread of the system.

The drain thread works in slices of `SLICE` entries and offers the interpreter to other threads between them, so an
event loop beside it waits about half a millisecond at most. Where no thread can be started, an entry is delivered by
the thread that puts it. A forked child has an empty tape and no thread: what was on the parent's tape is the parent's.
No handler at fork waits, takes a lock, joins or starts a thread.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from tachograph.native import Worker, forget_imports_of, is_patched

logger = logging.getLogger("tachograph")

SLICE: Final = 16
"""Entries that are delivered before other threads get their turn: about 0.4 ms (docs/benchmarks.md)."""
INTERVAL_SECONDS: Final = 1.0
"""How long entries gather. A batch of 64 costs 23 us an entry, a single one 60 to 80, and each waking some 50."""
FULL: Final = 512
"""With this many entries waiting, the drain thread is woken before its interval is over."""
OVERFULL: Final = 8192
"""With this many entries waiting, the drain thread is starved: the thread that puts an entry delivers some."""
_RETRY_SECONDS: Final = 1.0
"""How long we deliver on the application's threads after a thread could not be started."""


class Sink(Protocol):
    """Where a record on the tape is delivered to."""

    def deliver(self, record: object) -> None:
        """Complete the record and hand it to every signal. Raises only in strict mode."""


class Entry(Protocol):
    """What may lie on the tape: a record, which refers to its sink."""

    @property
    def sink(self) -> object:
        """Its sink."""


class Tape:
    """Finished records, in the order in which they were finished, waiting to be delivered.

    Attributes:
        append: Put an entry down, and no more. Safe in any thread, in finalisers and in signal handlers.
        has_thread: Whether the drain thread runs.
    """

    def __init__(self) -> None:
        self._after_batch: tuple[Callable[[], None], ...] = ()
        self._when_started: tuple[weakref.WeakMethod[Callable[[], None]], ...] = ()
        self._reset()

    def _after_fork_in_child(self) -> None:
        """Begin empty. A slice that a thread of the parent was in the middle of may have been importing something."""
        owner = self._owner
        self._reset()
        if owner is not None and owner != threading.get_ident():
            forget_imports_of(owner)

    def _reset(self) -> None:
        """Empty, without a thread: it only replaces references."""
        self._entries: deque[Any] = deque()
        self.append = self._entries.append
        self._lock = threading.Lock()
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._owner: int | None = None
        self._raised: list[BaseException] = []
        self._worker: Worker | None = None
        self._stopped = False
        self._has_unwritten = False
        self._retry_at = 0.0
        self.has_thread = False

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry | Callable[[], object]) -> None:
        """Put a record, or work to be done in the drain, on the tape, and see that a thread will take it."""
        self.append(entry)
        if not self.has_thread or len(self._entries) > FULL:
            self._look_after()

    def _look_after(self) -> None:
        """The slow path of `put`: start the thread, wake it, or do its work where it cannot do it."""
        if self._owner == threading.get_ident():
            return  # a listener makes a call of its own: it is delivered after this one
        if not self.has_thread and not self._start():
            self.drain(wait_seconds=0.0)
            self.run_after_batch()
        elif len(self._entries) > OVERFULL:
            self.drain(limit=SLICE, wait_seconds=0.0)
        elif len(self._entries) > FULL and not self._wake.is_set():
            self._wake.set()

    def hurry(self) -> None:
        """Have the drain thread deliver and write what lies here now, not when its interval is over."""
        self._wake.set()

    def after_batch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have this called after each batch, by a thread that may wait. Returns what removes it."""
        self._after_batch = (*self._after_batch, callback)

        def remove() -> None:
            self._after_batch = tuple(other for other in self._after_batch if other is not callback)

        return remove

    def when_started(self, method: Callable[[], None]) -> None:
        """Have a method called with the first record of each process, forked children included; it is kept weakly."""
        alive = tuple(reference for reference in self._when_started if reference() is not None)
        self._when_started = (*alive, weakref.WeakMethod(method))

    def drain(self, *, limit: int | None = None, wait_seconds: float = 5.0) -> bool:
        """Deliver what lies on the tape now; what another thread has taken off it is delivered too on return.

        Args:
            limit: Deliver so many at most; all that lie there now unless given.
            wait_seconds: How long to wait for another thread that is delivering. 0: not at all.

        Returns:
            Whether all that was asked for is delivered. False inside a delivery (a listener that asks for numbers).

        Raises:
            Exception: In strict mode, the first failure of ours since the last call.
        """
        here = threading.get_ident()
        if self._owner == here:
            return False
        if not self._lock.acquire(timeout=wait_seconds) if wait_seconds else not self._lock.acquire(blocking=False):
            return False
        try:
            self._owner = here
            self._deliver(len(self._entries) if limit is None else limit)
        finally:
            self._owner = None
            self._lock.release()
        if self._raised:
            raised, self._raised = self._raised, []
            raise raised[0]
        return True

    def _deliver(self, count: int) -> None:
        """Deliver so many entries, and those that they put down themselves: work that finishes a record, an answer
        that reports several calls. Those of a listener that makes a call for each call wait for the next time."""
        entries, most_more = self._entries, count + SLICE
        if entries:
            self._has_unwritten = True
        while count > 0:
            count -= 1
            try:
                entry = entries.popleft()
            except IndexError:
                return
            before = len(entries)
            try:
                if callable(entry):
                    entry()
                else:
                    entry.sink.deliver(entry)
            except Exception as error:  # noqa: BLE001 - strict mode: kept for the code that asks for the result
                self._raised.append(error)
            if len(entries) > before:
                more = min(len(entries) - before, most_more)
                count, most_more = count + more, most_more - more

    def run_after_batch(self) -> None:
        """Have called what is to be called after each batch, by a thread of its own: a disk that does not answer stops
        neither the drain nor, where threads are greenlets, the others of them."""
        worker = self._writing_thread()
        if worker is not None:
            worker.ask()

    def _writing_thread(self) -> Worker | None:
        """The thread that calls back; None where there is nothing to call, or no thread starts and it is done here."""
        if self._worker is None and self._after_batch:
            try:
                self._worker = Worker(self._call_back, "tachograph-write")
            except RuntimeError:
                self._call_back()
        return self._worker

    def _call_back(self) -> None:
        for callback in self._after_batch:
            try:
                callback()
            except Exception as error:  # noqa: BLE001 - the next batch tries again
                logger.debug("tachograph: %r failed after a batch: %s", callback, error)

    def flush(self, wait_seconds: float = 5.0) -> bool:
        """Deliver everything and have it written down; whether all was delivered in time."""
        until = time.monotonic() + wait_seconds
        done = self.drain(wait_seconds=wait_seconds)
        worker = self._writing_thread()
        return (worker is None or worker.wait(max(0.0, until - time.monotonic()))) and done

    def flush_at_exit(self) -> None:
        """Have the tape flushed when the process ends: before the files and providers that it needs are closed.

        `atexit` runs what was registered last first, so this is asked for with the first record, and again when a
        provider of spans is met. A child of `multiprocessing` runs no `atexit` callbacks, but finalizers of its own.
        """
        atexit.unregister(self.stop)
        atexit.register(self.stop)
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.Finalize(None, self.stop, exitpriority=1000)

    # The drain thread

    def _start(self) -> bool:
        """Have the drain thread run; whether one runs."""
        if self._stopped or time.monotonic() < self._retry_at:
            return False
        if not self._starting.acquire(blocking=False):
            return True  # another thread is starting it
        try:
            if self.has_thread:
                return True
            try:
                _start_thread(self._run, self._entries)
            except RuntimeError:  # the limit of processes is reached, or the interpreter ends
                self._retry_at = time.monotonic() + _RETRY_SECONDS
                return False
            self.has_thread = True
            self.flush_at_exit()
            for reference in self._when_started:
                method = reference()
                if method is not None:
                    try:
                        method()
                    except Exception as error:  # noqa: BLE001 - the application's call goes on
                        logger.debug("tachograph: %r failed at the first record: %s", method, error)
            return True
        finally:
            self._starting.release()

    def _run(self, entries: deque[Any]) -> None:
        try:
            self._keep_draining(entries)
        finally:
            if self._entries is entries:
                self.has_thread = False  # an exception was raised into it from outside: the next entry starts another

    def _keep_draining(self, entries: deque[Any]) -> None:
        wake = self._wake
        while not self._stopped and self._entries is entries:
            wake.wait(INTERVAL_SECONDS)
            wake.clear()
            left = len(entries)
            if not left and not self._has_unwritten:
                continue
            while left > 0 and not self._stopped:
                self._take_slice()
                left -= SLICE
                time.sleep(0)  # another thread's turn
            self._has_unwritten = False  # before the callbacks: what is delivered meanwhile has them called again
            self.run_after_batch()

    def _take_slice(self) -> None:
        if self._lock.acquire(timeout=1.0):
            try:
                self._owner = threading.get_ident()
                self._deliver(SLICE)
            finally:
                self._owner = None
                self._lock.release()

    def stop(self) -> None:
        """The process ends: deliver and write what is there; later entries go by the thread that puts them."""
        self._stopped = True
        self.has_thread = False
        self._wake.set()
        with contextlib.suppress(Exception):  # strict mode's: no code is left that asks for the result
            self.flush()


def _start_thread(run: Callable[[deque[Any]], None], entries: deque[Any]) -> None:
    """A thread; where gevent or eventlet has replaced those, a greenlet that `threading` does not know.

    A greenlet lives on in a forked child, where `threading` has forgotten its thread and fails aloud when it ends.
    """
    if is_patched():
        _thread.start_new_thread(run, (entries,))
    else:
        threading.Thread(target=run, args=(entries,), name="tachograph-drain", daemon=True).start()


TAPE: Final = Tape()
"""The process's tape."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TAPE._after_fork_in_child)
