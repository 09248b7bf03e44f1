"""The thread that drains: an exception raised into it from outside ends it, and the next record starts another."""

from __future__ import annotations

import threading

import pytest

from tachograph.tape.tape import Tape


def test_the_next_record_starts_the_drain_again_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape()
    ended = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: ended.set())

    def interrupt() -> None:
        raise KeyboardInterrupt

    tape.put(interrupt)
    tape.hurry()
    assert ended.wait(60)
    delivered = threading.Event()
    tape.put(delivered.set)
    tape.hurry()
    try:
        assert delivered.wait(60)
    finally:
        tape.stop()
