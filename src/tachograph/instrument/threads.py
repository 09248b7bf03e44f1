"""Labels and runs in threads: a thread has those of the code that started it, a pool's task those of its submitter.

Context variables follow tasks, but before Python 3.14 no thread that does not copy the context. Only our own are
carried over, and only where there are some; a pool's thread keeps none between two tasks.
"""

from __future__ import annotations

import concurrent.futures.thread as pools
import threading
from collections.abc import Mapping
from typing import Any, Final

from tachograph.instrument.patches import SWITCH, patch
from tachograph.records import LABELS, RUN, Run
from tachograph.tape.guard import generate


def install() -> None:
    """Carry labels into threads from now on."""
    patch(threading.Thread, "start", _start)
    patch(pools.ThreadPoolExecutor, "submit", _submit)


_RUN: Final = """
    def make(thread, labels, current):
        run = thread.run
        def run_labelled():
            guard pass: begin(thread, labels, current)
            run()
        return run_labelled
"""

_START: Final = """
    def start(self):
        guard pass: carry(self)
        original(self)
"""

_SUBMIT: Final = """
    def run_labelled(labels, current, function, args, keywords):
        token, of_run = set_labels(labels), set_run(current)
        try:
            return function(*args, **keywords)
        finally:
            reset_run(of_run)
            reset_labels(token)

    def submit(self, function, /, *args, **keywords):
        carried = None
        guard pass: carried = carry()
        if carried is None:
            return original(self, function, *args, **keywords)
        return original(self, run_labelled, *carried, function, args, keywords)
"""


def _start(original: object) -> Any:
    return generate(_START, "start", original=original, carry=_carry_into_thread)


def _carry_into_thread(thread: Any) -> None:
    carried = _carried()
    if carried is not None and getattr(thread, "_target", None) is not pools._worker:
        thread.run = _run_in_thread(thread, *carried)  # of this one thread, until it runs


def _begin_in_thread(thread: Any, labels: Mapping[str, str] | None, current: Run | None) -> None:
    del thread.run  # the thread's own again, and no cycle
    LABELS.set(labels)  # the thread's context is its own, and ends with it
    RUN.set(current)


_run_in_thread: Final = generate(_RUN, "make", begin=_begin_in_thread)


def _submit(original: object) -> Any:
    return generate(
        _SUBMIT,
        "submit",
        original=original,
        carry=_carried,
        set_labels=LABELS.set,
        reset_labels=LABELS.reset,
        set_run=RUN.set,
        reset_run=RUN.reset,
    )


def _carried() -> tuple[Mapping[str, str] | None, Run | None] | None:
    """Labels and run of the code that is running here; None where there are none."""
    labels, current = LABELS.get(), RUN.get()
    return (labels, current) if SWITCH.on and (labels or current) else None
