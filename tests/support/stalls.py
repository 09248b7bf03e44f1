"""How long a thread stood still for what the program did, on a machine that has other work too."""

from __future__ import annotations

import os
import threading
import time


class Stall:
    """Measures a piece of work of this thread: `stall = Stall()`, the work, `stall.nanoseconds()`.

    The time counts in which the thread ran, and in which it waited for a disk, a lock or the interpreter. What it
    waited for a processor does not count, and neither does what the other threads of the process, one of which may have
    held the interpreter, waited for one meanwhile. The system adds it up (`/proc/self/task/*/schedstat`).
    """

    def __init__(self) -> None:
        self._delays = _delays()
        self._began = time.perf_counter_ns()

    def nanoseconds(self) -> int:
        """How long it stood still so far."""
        whole = time.perf_counter_ns() - self._began
        own = threading.get_native_id()
        cpu, delay, others = 0, 0, 0
        for thread, (ran, waited) in _delays().items():
            ran_before, waited_before = self._delays.get(thread, (0, 0))
            if thread == own:
                cpu, delay = ran - ran_before, waited - waited_before
            else:
                others += waited - waited_before
        return max(0, whole - delay - min(others, max(0, whole - delay - cpu)))


def _delays() -> dict[int, tuple[int, int]]:
    """For each thread how long it has run, and waited for a processor, in nanoseconds."""
    found = {}
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/schedstat", "rb", buffering=0) as file:
                ran, waited, _ = file.read().split()
        except (OSError, ValueError):
            continue  # it has just ended
        found[int(thread)] = int(ran), int(waited)
    return found
