"""The hand-over: appending to the journal never waits, least of all for the gauges."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import eventually, make_recorder, one_call, stored_numbers
from tachograph.recorder import Recorder
from tachograph.tape import TAPE
from tachograph.usage import journal as journal_of_usage
from tachograph.usage.journal import Journal
from tachograph.usage.source import JournalSource


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journals", segment_bytes=4096)
    for _ in range(30):
        assert made.append(b"x" * 300) is None
    return made


@pytest.mark.parametrize(
    ("look", "call"),
    [
        (lambda journal: journal.committed, "pread"),
        (lambda journal: journal.oldest_accepted_us(), "pread"),
        (lambda journal: journal.check(), "lstat"),
        (lambda journal: journal.spool_bytes(), "scandir"),
    ],
    ids=["committed", "oldest", "check", "spool"],
)
def test_a_record_is_taken_while_a_gauge_waits_for_the_system(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, look: Callable[[Journal], object], call: str
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    real = getattr(os, call)

    def slow(*args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is reader:
            inside.set()
            assert go_on.wait(20)
        return real(*args, **kwargs)

    reader = threading.Thread(target=look, args=(journal,))
    monkeypatch.setattr(os, call, slow)
    reader.start()
    try:
        assert inside.wait(20)
        taken: list[str | None] = []
        writer = threading.Thread(target=lambda: taken.extend(journal.append(b"y" * 300) for _ in range(30)))
        writer.start()
        writer.join(20)
        assert taken == [None] * 30
    finally:
        go_on.set()
        reader.join(20)
    assert journal.sequence == 60


def test_a_new_segment_does_not_look_at_every_file_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.spool_bytes()

    def no_look(path: object) -> object:
        raise AssertionError("looked at all files on the call's path")

    monkeypatch.setattr(os, "scandir", no_look)
    segments = journal._segment
    for _ in range(60):
        assert journal.append(b"z" * 300) is None
    assert journal._segment > segments + 2


def test_the_next_writer_notes_what_the_killed_one_had_stored(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journals")
    for _ in range(3):
        assert journal.append(b"x" * 300) is None
    killed = JournalSource(tmp_path / "journals", {})
    stored = killed.read(100).positions
    killed.close()  # after its transaction, and before its note
    assert journal.committed == 0
    following = JournalSource(tmp_path / "journals", {position.journal: position for position in stored})
    assert not following.read(100).payloads
    assert journal.committed == journal.sequence == 3  # so the producer's flush() ends
    following.close()


def test_the_spool_has_a_limit_between_two_looks_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journals", segment_bytes=4096, limit_bytes=64 * 1024)
    reasons = [journal.append(b"x" * 300) for _ in range(1000)]
    taken = reasons.index("queue_full")
    assert 150 < taken < 250
    assert set(reasons[taken:]) == {"queue_full"}
    for path in (tmp_path / "journals").iterdir():
        path.unlink()
    journal._retry_at = 0.0
    assert journal.append(b"x" * 300) is None


def with_ring(directory: Path) -> Recorder:
    """A recorder whose records go into the ring first, as in an application."""
    recorder = make_recorder(directory, writer="external")
    recorder.ring, recorder.ledger.recovered = recorder.ledger.ring, recorder.recovered
    return recorder


def with_broken_disk(directory: Path) -> Recorder:
    """The same, with a journal that cannot be written: its disk answers with an I/O error."""
    recorder = with_ring(directory)

    def broken(fd: int, data: bytes, size: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    recorder.ledger._queue._write = broken
    return recorder


@pytest.mark.parametrize("deliver", [Recorder.settle, lambda _: TAPE.drain()], ids=["settle", "a scrape"])
def test_a_record_that_another_thread_delivers_is_written_though_no_call_follows(
    tmp_path: Path, deliver: Callable[[Recorder], object]
) -> None:
    recorder = with_ring(tmp_path)
    call = recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt().end("success")
    call.finish("success")
    deliver(recorder)  # before the drain thread's interval is over
    eventually(lambda: recorder.ledger._queue.sequence == 1, "the journal has it")
    recorder.ledger.close()


def test_records_wait_out_an_error_of_the_disk(tmp_path: Path) -> None:
    recorder = with_broken_disk(tmp_path)
    for number in range(5):
        one_call(recorder, number)
    queue = recorder.ledger._queue
    assert (queue.sequence, sum(queue.refused.values())) == (0, 0)
    queue._write = journal_of_usage._write_function()
    eventually(lambda: TAPE.flush() and queue.sequence == 5, "the journal has them")
    assert recorder.ledger.drain(30)
    assert stored_numbers(recorder.ledger) == list(range(5))
    recorder.ledger.close()


def test_what_the_journal_never_took_is_recovered_from_the_ring(tmp_path: Path) -> None:
    recorder = with_broken_disk(tmp_path)
    for number in range(5):
        one_call(recorder, number)
    recorder.ledger.close(0.1)
    assert sum(recorder.ledger._queue.refused.values()) == 0
    recorder.ring.after_fork_in_child()  # the process is gone
    other = make_recorder(tmp_path, writer="external")
    other.ledger.recovered = other.recovered
    assert other.ledger.drain(30)
    assert stored_numbers(other.ledger) == list(range(5))
    other.ledger.close()
