"""Files that are not what they were: descriptors that somebody closed, files deleted, renamed and replaced."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from support.ledgers import make_recorder, one_call, stored_numbers
from tachograph.usage import frames
from tachograph.usage.journal import Journal
from tachograph.usage.source import JournalSource


def records_in(directory: Path) -> list[bytes]:
    found: list[bytes] = []
    for path in sorted(directory.glob("*.journal")):
        items, _ = frames.scan(path.read_bytes()[frames.HEADER_SIZE :], final=True)
        found += [item.payload for item in items if isinstance(item, frames.Frame) and item.kind == frames.RECORD]
    return found


def test_a_batch_goes_into_the_journal_in_one_write(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.append(b"one") is None
    write, sizes = journal._write, []

    def counting(fd: int, data: bytes, size: int) -> int:
        sizes.append(size)
        return write(fd, data, size)

    journal._write = counting
    batch = [b"%d" % number for number in range(100)]
    assert journal.append_many(batch) is None
    assert len(sizes) == 1
    assert records_in(tmp_path) == [b"one", *batch]
    assert journal.sequence == 101


def test_a_write_that_is_cut_short_keeps_its_whole_records(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.append(b"one") is None
    write = journal._write

    def short(fd: int, data: bytes, size: int) -> int:
        journal._write = write
        return write(fd, data[: size // 2], size // 2)

    journal._write = short
    assert journal.append_many([b"%d" % number for number in range(9)]) == "disk_full"
    assert journal.append(b"last") is None
    assert records_in(tmp_path) == [b"one", b"0", b"1", b"2", b"3", b"last"]
    assert journal.sequence == 6
    assert journal.refused["disk_full"] == 5


def test_a_descriptor_that_the_application_has_now_is_never_written_to_nor_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journals")
    assert journal.append(b"before") is None
    assert journal._out is not None
    number = journal._out.fd
    os.close(number)  # as a daemonizer does
    other = os.open(tmp_path / "application", os.O_RDWR | os.O_CREAT)
    assert other == number
    assert journal.append_many([b"after", b"it"]) is None
    journal.close()
    assert os.read(other, 100) == b""
    os.write(other, b"still open")
    assert journal.replaced == 1
    source = JournalSource(tmp_path / "journals", {})
    found: list[bytes] = []
    while batch := source.read(100):
        assert not batch.lost
        found += batch.payloads
        source.committed(batch)
    assert found == [b"before", b"after", b"it"]
    assert journal.committed == 3


def test_rows_gather_until_a_flush_wants_them(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, interval_seconds=30)
    one_call(recorder, 0)
    assert recorder.ledger.flush(20)  # the writer now rests for 30 s
    for number in range(1, 200):
        one_call(recorder, number)
    assert recorder.ledger._queue.committed == 1
    started = time.monotonic()
    assert recorder.ledger.flush(20)
    assert time.monotonic() - started < 10
    assert stored_numbers(recorder.ledger) == list(range(200))


OTHER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from support.ledgers import make_recorder, one_call
recorder = make_recorder(Path({directory!r}), interval_seconds=30)
one_call(recorder, 1)
sys.exit(0 if recorder.ledger.flush(15) else 1)
"""


def test_a_flush_reaches_the_writer_in_another_process(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, interval_seconds=30)
    one_call(recorder, 0)
    assert recorder.ledger.flush(20)
    code = OTHER.format(path=sys.path, directory=str(tmp_path))
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
    assert stored_numbers(recorder.ledger) == [0, 1]
