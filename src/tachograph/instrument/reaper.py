"""Finishing calls whose stream was dropped, outside the garbage collector.

A dropped stream tells us so from `__del__` or from a generator that is being closed, and the collector may run
anywhere: also inside a section of ours that holds a lock. Finishing a record there could wait for that very lock for
ever. So such endings only put a note into a queue that is safe to use from finalisers (`queue.SimpleQueue`), and one
daemon thread does the work. The record ends at the stream's last chunk, whenever the note is read.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

_notes: SimpleQueue[Callable[[], object]] = SimpleQueue()
_thread: threading.Thread | None = None
_starting = threading.Lock()


def later(work: Callable[[], object]) -> None:
    """Do this soon, in another thread. Safe from finalisers and signal handlers."""
    _notes.put(work)


def ensure() -> None:
    """Have the thread run; called where a stream begins, never from a finaliser."""
    if _thread is None:
        _start()


def drain(timeout_seconds: float = 5.0) -> bool:
    """Wait until everything noted so far is done.

    Returns:
        False when time ran out.
    """
    ensure()
    done = threading.Event()
    _notes.put(done.set)
    return done.wait(timeout_seconds)


def _start() -> None:
    global _thread
    with _starting:
        if _thread is None:
            _thread = threading.Thread(target=_work, args=(_notes,), name="tachograph-streams", daemon=True)
            _thread.start()


def _work(notes: SimpleQueue[Callable[[], object]]) -> None:
    while True:
        notes.get()()


def _finish_at_exit() -> None:
    while True:
        try:
            _notes.get_nowait()()
        except Empty:
            return


def _begin_anew_in_child() -> None:
    global _notes, _thread, _starting
    _notes, _thread, _starting = SimpleQueue(), None, threading.Lock()


atexit.register(_finish_at_exit)
os.register_at_fork(after_in_child=_begin_anew_in_child)
