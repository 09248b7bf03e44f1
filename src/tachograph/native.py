"""Threads and locks of the system, also where gevent or eventlet has replaced those of the standard library.

Work that waits for a disk or a database runs in a real thread: as a greenlet it would hold up every other one, and it
would go on in a forked child, where its connections are the parent's.
"""

from __future__ import annotations

import _thread
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib import _bootstrap
from typing import Any

logger = logging.getLogger("tachograph")


def original(name: str) -> Any:  # noqa: ANN401 - whatever `_thread` has under the name
    """What `_thread` had under this name before it was patched."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("_thread"):
        return gevent.get_original("_thread", name)
    if eventlet is not None and eventlet.is_monkey_patched("thread"):
        return getattr(eventlet.original("_thread"), name)
    return getattr(_thread, name)


def is_patched() -> bool:
    """Whether threads are greenlets here, which share one thread of the system.

    Importing gevent or eventlet patches nothing, and eventlet's "original" is another object even then.
    """
    return original("start_new_thread") is not _thread.start_new_thread


def warn_of_uwsgi() -> None:
    """Say what uWSGI needs where it will fork this process without a call to Python's fork handlers.

    Its workers would then have the parent's ids and ring, and no thread that drains: calls would be lost.
    """
    uwsgi = sys.modules.get("uwsgi")  # a module that exists only inside of uWSGI
    if uwsgi is not None and uwsgi.worker_id() == 0 and not uwsgi.opt.get("py-call-osafterfork"):
        logger.warning(
            "tachograph: uWSGI has loaded the application before it forks its workers, and calls no fork handlers of"
            " Python: calls of the workers will be lost. Set `py-call-osafterfork = true` and `enable-threads = true`,"
            " or `lazy-apps = true`."
        )


def forget_imports_of(thread: int) -> None:
    """In a forked child: take back the imports that a thread of the parent had not finished.

    The child would wait forever for the locks of those modules. A package goes with its submodules, finished ones
    too: imported again, it does not find their names in itself otherwise.

    Args:
        thread: Its `threading.get_ident()`.
    """
    for name, reference in list(_bootstrap._module_locks.items()):  # type: ignore[attr-defined]  # left taken by a fork
        lock = reference()
        if lock is None:
            continue
        if lock.owner != thread:
            if lock.lock.acquire(False):
                lock.lock.release()
            else:  # forked while taking or returning it: no thread can finish that, and nothing is half imported
                _bootstrap._module_locks.pop(name, None)  # type: ignore[attr-defined]
        else:
            for loaded in [name, *(other for other in sys.modules if other.startswith(f"{name}."))]:
                _bootstrap._module_locks.pop(loaded, None)  # type: ignore[attr-defined]
                sys.modules.pop(loaded, None)


class Signal:
    """Wakes one thread; setting it never waits, whatever sets it."""

    def __init__(self) -> None:
        self._lock = original("allocate_lock")()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the thread that waits, or the next one that would."""
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError:  # another thread was faster
                return

    def wait(self, seconds: float) -> bool:
        """Wait until it is set, which ends with this, or the time is over; whether it was set."""
        return bool(self._lock.acquire(True, max(0.0, seconds)))


class Thread:
    """A daemon thread of the system.

    Args:
        target: What it runs.
        name: What it is called in listings of threads.
    """

    def __init__(self, target: Callable[[], object], name: str) -> None:
        self._target = target
        self._name = name
        self._running = original("allocate_lock")()

    def start(self) -> None:
        """Start it.

        Raises:
            RuntimeError: No further thread can be started.
        """
        if not is_patched():
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._running.acquire()
            try:
                thread.start()
            except BaseException:
                self._running.release()
                raise
            return
        self._running.acquire()
        try:
            original("start_new_thread")(self._run, ())
        except BaseException:
            self._running.release()
            raise

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self._running.release()

    def join(self, seconds: float) -> bool:
        """Wait until it has ended, at most so long; whether it has."""
        if not self._running.acquire(True, max(0.0, seconds)):
            return False
        self._running.release()
        return True


class Worker:
    """Does one piece of work in a thread of the system, again and again, whenever it is asked to.

    Args:
        work: What it does.
        name: The thread's.

    Attributes:
        asked, done: How often it was asked, and which of these times it has done.

    Raises:
        RuntimeError: No further thread can be started.
    """

    def __init__(self, work: Callable[[], object], name: str) -> None:
        self.asked = self.done = 0
        self._waiting: deque[Signal] = deque()
        self._work = work
        self._signal = Signal()
        Thread(self._run, name).start()

    def ask(self) -> None:
        """Have the work done once more; waits for nothing."""
        self.asked += 1
        self._signal.set()

    def wait(self, seconds: float) -> bool:
        """Have the work done once more and wait for it, at most so long; whether it was done. Other greenlets go on."""
        finished = Signal()
        self._waiting.append(finished)
        self.ask()
        if not is_patched():
            return finished.wait(seconds)
        asked, until = self.asked, time.monotonic() + seconds
        while self.done < asked and time.monotonic() < until:
            time.sleep(0.001)  # other greenlets' turn
        return self.done >= asked

    def _run(self) -> None:
        while True:
            if self._signal.wait(60.0):
                asked, waiting = self.asked, [self._waiting.popleft() for _ in range(len(self._waiting))]
                try:
                    self._work()
                except BaseException as error:  # noqa: BLE001 - raised into this thread from outside: asked again, it goes on
                    logger.error("tachograph: work in the background was interrupted: %r", error)
                self.done = asked
                for finished in waiting:
                    finished.set()
