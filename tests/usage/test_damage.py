"""Damaged journals: the rest is stored, what is damaged is set aside and counted, and nothing is guessed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import make_recorder, metric, one_call
from tachograph.recorder import Recorder
from tachograph.usage import frames
from tachograph.usage.journal import Journal
from tachograph.usage.source import backlog
from tachograph.usage.stores.base import StoredQuarantine
from tachograph.usage.stores.query import Query

ACCEPTED = 100


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """A directory with the journal of a process that accepted 100 records and is gone without a word."""
    recorder = make_recorder(tmp_path, writer="external", segment_mb=0.004)
    for number in range(ACCEPTED):
        one_call(recorder, number)
    recorder.ledger._queue.after_fork_in_child()  # releases the file, as the end of the process does
    return tmp_path / "journals"


def drain(journals: Path) -> tuple[list[int], list[StoredQuarantine], Recorder]:
    """Store what is there with a fresh writer; the numbers of the calls that are stored, and what was set aside."""
    recorder = make_recorder(journals.parent, writer="external")
    assert recorder.ledger.drain(20)
    store = recorder.ledger.open_store(read_only=True)
    numbers = sorted((row.input_tokens or 0) - 100 for row in store.rows(Query()))
    kept = store.quarantine()
    store.close()
    assert not list(journals.glob("*.journal"))
    return numbers, kept, recorder


def segments(journals: Path) -> list[Path]:
    return sorted(journals.glob("*.journal"))


def test_an_undamaged_journal_of_a_dead_process_is_drained(journals: Path) -> None:
    assert backlog(journals)[0] == ACCEPTED
    assert backlog(journals, dead_only=True)[0] == ACCEPTED
    numbers, kept, recorder = drain(journals)
    assert numbers == list(range(ACCEPTED))
    assert kept == []
    assert metric(recorder, "llm_usage_records_lost_total") == 0


def test_flipped_bits_cost_the_records_they_hit_and_no_others(journals: Path) -> None:
    chance = random.Random(7)
    for path in segments(journals):
        data = bytearray(path.read_bytes())
        position = chance.randrange(frames.HEADER_SIZE, len(data))
        data[position] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
    count = len(segments(journals))
    assert count >= 3
    numbers, kept, recorder = drain(journals)
    missing = ACCEPTED - len(numbers)
    assert 1 <= missing <= count
    assert sum(item.records for item in kept) == missing
    assert metric(recorder, "llm_usage_records_quarantined_total", "damaged") == missing
    assert metric(recorder, "llm_usage_records_lost_total") == 0


@pytest.mark.parametrize("seed", range(25))
def test_whatever_is_damaged_every_record_is_stored_or_counted(journals: Path, seed: int) -> None:
    chance = random.Random(seed)
    for path in segments(journals)[:-1]:
        data = bytearray(path.read_bytes())
        for _ in range(chance.randrange(4)):
            start = chance.randrange(frames.HEADER_SIZE, len(data))
            for position in range(start, min(len(data), start + chance.randrange(1, 400))):
                data[position] = chance.randrange(256)
        path.write_bytes(data)
    numbers, kept, recorder = drain(journals)
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) + sum(item.records for item in kept) == ACCEPTED
    assert metric(recorder, "llm_usage_records_lost_total") == 0


def test_a_damaged_header_costs_nothing(journals: Path) -> None:
    for path in segments(journals):
        data = bytearray(path.read_bytes())
        data[0:64] = b"\xff" * 64
        path.write_bytes(data)
    numbers, kept, _ = drain(journals)
    assert numbers == list(range(ACCEPTED))
    assert kept == []


@pytest.mark.parametrize("cut", [1, 5, 11, 12, 20, 30, 60])
def test_a_torn_tail_is_set_aside_as_torn(journals: Path, cut: int) -> None:
    last = segments(journals)[-1]
    whole = frames.frame(ACCEPTED, 1, b"x" * 100)
    last.write_bytes(last.read_bytes() + whole[:cut])
    numbers, kept, recorder = drain(journals)
    assert numbers == list(range(ACCEPTED))
    assert [(item.reason, item.records) for item in kept] == [("torn", 0)]
    assert metric(recorder, "llm_usage_records_quarantined_total", "torn") == 1


def test_frames_of_a_version_to_come_are_set_aside_and_their_neighbours_stored(journals: Path) -> None:
    path = segments(journals)[1]
    data = path.read_bytes()
    found, _ = frames.scan(data[frames.HEADER_SIZE :], final=True)
    body_at = frames.HEADER_SIZE + found[3].end
    end = frames.HEADER_SIZE + found[4].end
    from zlib import crc32

    body = data[body_at + frames.HEAD.size : end]
    other = frames.HEAD.pack(frames.MAGIC, 9, 0, len(body), crc32(body, 9)) + body
    path.write_bytes(data[:body_at] + other + data[end:])
    numbers, kept, recorder = drain(journals)
    assert len(numbers) == ACCEPTED - 1
    (item,) = kept
    assert (item.reason, item.records) == ("invalid", 1)
    assert "unknown version 9" in item.detail
    assert metric(recorder, "llm_usage_records_quarantined_total", "invalid") == 1


def test_a_record_that_is_no_row_is_set_aside_with_the_reason(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, writer="external")
    one_call(recorder, 1)
    recorder.ledger._queue.append(b"\x93\x01\x02\x03")
    one_call(recorder, 2)
    recorder.ledger._queue.after_fork_in_child()
    numbers, kept, _ = drain(tmp_path / "journals")
    assert numbers == [1, 2]
    assert [(item.reason, item.records, item.payload) for item in kept] == [("invalid", 1, b"\x93\x01\x02\x03")]


def test_a_segment_that_somebody_removed_is_counted_as_lost(journals: Path) -> None:
    gone = segments(journals)[1]
    found, _ = frames.scan(gone.read_bytes()[frames.HEADER_SIZE :], final=True)
    gone.unlink()
    numbers, kept, recorder = drain(journals)
    assert len(numbers) == ACCEPTED - len(found)
    assert kept == []
    assert metric(recorder, "llm_usage_records_lost_total") == len(found)


def test_a_journal_removed_under_its_process_is_counted_as_lost(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, writer="external")
    for number in range(10):
        one_call(recorder, number)
    for path in (tmp_path / "journals").iterdir():
        path.unlink()
    assert recorder.ledger.flush(0.01) is False
    for number in range(10, 15):
        one_call(recorder, number)
    recorder.ledger._queue.close()
    numbers, _, writer = drain(tmp_path / "journals")
    assert numbers == [10, 11, 12, 13, 14]
    assert metric(writer, "llm_usage_records_lost_total") == 10


def test_a_finaliser_inside_an_append_loses_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write = journal._write

    def interrupted(fd: int, data: bytes, size: int) -> int:
        journal._write = write
        assert journal.append(b"the finaliser's") is None
        return write(fd, data, size)

    journal._write = interrupted
    assert journal.append(b"first") is None
    assert journal.append(b"last") is None
    data = next(tmp_path.glob("*.journal")).read_bytes()
    found, _ = frames.scan(data[frames.HEADER_SIZE :], final=True)
    assert [(item.sequence, item.payload) for item in found] == [  # type: ignore[union-attr]
        (0, b"first"), (1, b"the finaliser's"), (2, b"last")]  # fmt: skip


KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from typing import Any
from support.ledgers import make_recorder, one_call
recorder = make_recorder(Path({directory!r}), writer="external")
for number in range(1000):
    one_call(recorder, number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_has_accepted_is_stored(tmp_path: Path) -> None:
    code = KILLED.format(path=sys.path, directory=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    numbers, kept, _ = drain(tmp_path / "journals")
    assert numbers == list(range(1000))
    assert kept == []


def test_counting_what_waits_does_not_read_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = make_recorder(tmp_path, writer="external")
    for number in range(5000):
        one_call(recorder, number)
    recorder.ledger._queue.after_fork_in_child()
    scan, looked_at = frames.scan, []

    def counting(data: bytes, **options: Any) -> Any:
        looked_at.append(len(data))
        return scan(data, **options)

    monkeypatch.setattr(frames, "scan", counting)
    records, oldest_us = backlog(tmp_path / "journals")
    assert records == 5000
    assert oldest_us is not None
    assert sum(looked_at) < 20_000
