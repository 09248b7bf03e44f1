"""Labels and runs in threads: a thread has those of the code that started it, a pool's task those of its submitter.

Context variables follow tasks, but before Python 3.14 no thread that does not copy the context. Only our own are
carried over, and only where there are some; a pool's thread keeps none between two tasks.
"""

from __future__ import annotations

import concurrent.futures.thread as pools
import threading
from collections.abc import Mapping
from typing import Any

from tachograph.instrument.patches import SWITCH, patch
from tachograph.records import LABELS, RUN, Run


def install() -> None:
    """Carry labels into threads from now on."""
    patch(threading.Thread, "start", _start)
    patch(pools.ThreadPoolExecutor, "submit", _submit)


def _start(original: Any) -> Any:
    def start(self: threading.Thread) -> None:
        labels, current = LABELS.get(), RUN.get()
        if SWITCH.on and (labels or current) and getattr(self, "_target", None) is not pools._worker:
            run = self.run

            def labelled() -> None:
                del self.run  # the thread's own again, and no cycle
                LABELS.set(labels)  # the thread's context is its own, and ends with it
                RUN.set(current)
                run()

            self.run = labelled  # type: ignore[method-assign]  # of this one thread, until it runs
        original(self)

    return start


def _submit(original: Any) -> Any:
    def submit(self: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        labels, current = LABELS.get(), RUN.get()
        if not SWITCH.on or not (labels or current):
            return original(self, function, *args, **kwargs)
        return original(self, _labelled, labels, current, function, args, kwargs)

    return submit


def _labelled(labels: Mapping[str, str] | None, current: Run | None, function: Any, args: Any, kwargs: Any) -> Any:
    token, of_run = LABELS.set(labels), RUN.set(current)
    try:
        return function(*args, **kwargs)
    finally:
        RUN.reset(of_run)
        LABELS.reset(token)
