"""The thread that drains: an exception raised into it from outside ends it, and the next record starts another."""

from __future__ import annotations

import threading

import pytest

from tachograph.tape.tape import Tape


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is what is tested
def test_the_next_record_starts_the_drain_again_after_an_interrupt() -> None:
    tape = Tape()
    before = set(threading.enumerate())

    def interrupt() -> None:
        raise KeyboardInterrupt

    tape.put(interrupt)
    (drain,) = set(threading.enumerate()) - before
    tape.hurry()
    drain.join(60)
    assert not drain.is_alive()
    delivered = threading.Event()
    tape.put(delivered.set)
    tape.hurry()
    try:
        assert delivered.wait(60)
    finally:
        tape.stop()
