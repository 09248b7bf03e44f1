"""The measure of stalls counts what the program waits for, and not what other programs take of the processors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from support.stalls import Stall

SECONDS = 60

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_waiting_for_a_lock_counts() -> None:
    lock = threading.Lock()
    lock.acquire()
    stall = Stall()
    lock.acquire(timeout=0.05)
    assert stall.nanoseconds() > 40_000_000


def test_waiting_for_a_processor_does_not_count() -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    other = subprocess.Popen([sys.executable, "-c", "while True: sum(range(100_000))"])  # on the same processor
    try:
        until, whole, counted = time.monotonic() + SECONDS, 0, 1
        while whole < 3 * counted:
            assert time.monotonic() < until
            began, stall = time.perf_counter_ns(), Stall()
            sum(range(300_000))
            counted, whole = stall.nanoseconds(), time.perf_counter_ns() - began
    finally:
        other.kill()
        other.wait()
        os.sched_setaffinity(0, allowed)
