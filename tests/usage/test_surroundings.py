"""Files that are not what they were: descriptors that other code closed, files deleted, renamed and replaced."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import eventually, make_recorder, metric, one_call, stored_numbers
from tachograph.errors import SettingsError
from tachograph.recorder import Recorder
from tachograph.tape import TAPE
from tachograph.tape.ring import directory_of
from tachograph.usage import frames, source, writer
from tachograph.usage.journal import Journal
from tachograph.usage.source import JournalSource
from tachograph.usage.stores import sqlite_library
from tachograph.usage.stores.errors import StoreUnavailable
from tachograph.usage.stores.open import open_store
from tachograph.usage.stores.sqlite import SQLiteStore


def records_in(directory: Path) -> list[bytes]:
    found: list[bytes] = []
    for path in sorted(directory.glob("*.journal")):
        items, _ = frames.scan(path.read_bytes()[frames.HEADER_SIZE :], final=True)
        found += [
            item.payload for item in items if isinstance(item, frames.JournalFrame) and item.kind == frames.RECORD
        ]
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
    other = os.open(tmp_path / "application", os.O_RDWR | os.O_CREAT)
    other = os.dup2(other, number)  # as if a daemonizer had closed ours, and the application's file had the number
    assert journal.append_many([b"after", b"it"]) is None
    journal.close()
    assert os.read(other, 100) == b""
    os.write(other, b"still open")
    assert journal.replaced == 1
    reader = JournalSource(tmp_path / "journals", {})
    found: list[bytes] = []
    while batch := reader.read(100):
        assert not batch.gaps
        found += batch.payloads
        reader.committed(batch)
    assert found == [b"before", b"after", b"it"]
    assert journal.committed == 3


def test_a_segment_that_is_drained_after_its_descriptor_was_closed_is_not_counted_as_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journals")
    assert journal.append_many([b"one", b"two"]) is None
    assert journal._out is not None
    os.dup2(os.open(tmp_path / "application", os.O_RDWR | os.O_CREAT), journal._out.fd)  # its lock is gone with it
    reader = JournalSource(tmp_path / "journals", {})
    batch = reader.read(100)
    reader.committed(batch)
    assert list((tmp_path / "journals").glob("*.journal")) == []
    assert journal.check()
    assert journal.committed == 2
    assert journal.append(b"three") is None
    journal.close()
    found = JournalSource(tmp_path / "journals", {}).read(100)  # of another database: the first was moved away
    assert (found.payloads, found.gaps) == ([b"three"], [])


def test_rows_gather_until_a_flush_wants_them(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, interval_seconds=30)
    one_call(recorder, 0)
    eventually(lambda: recorder.ledger._writer is not None, "it is at work, so that no flush is asked for by file")
    assert recorder.ledger.flush(20)  # the writer now rests for 30 s
    made = 1
    for _ in range(2):  # a flush may wake it a second time, when it has already stored what was wanted
        for _ in range(200):
            one_call(recorder, made)
            made += 1
        if recorder.ledger._queue.committed < made:
            break
    assert recorder.ledger._queue.committed < made
    started = time.monotonic()
    assert recorder.ledger.flush(20)
    assert time.monotonic() - started < 10
    assert stored_numbers(recorder.ledger) == list(range(made))


def test_journals_are_synced_while_rows_gather(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_GATHERING_SYNC_SECONDS", 0.01)
    monkeypatch.setattr(writer, "_ASKED_SECONDS", 0.01)
    synced: list[str] = []
    monkeypatch.setattr(source, "_datasync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    recorder = make_recorder(tmp_path, interval_seconds=60)
    one_call(recorder, 0)
    assert recorder.ledger.flush(20)  # the writer now rests for a minute
    for made in (2, 3):  # the flush may wake it a second time
        synced.clear()
        one_call(recorder, made - 1)
        eventually(lambda made=made: synced or recorder.ledger._queue.committed >= made, "the row is on the disk")
        if recorder.ledger._queue.committed < made:
            break
    assert recorder.ledger._queue.committed < made, "its row is not in the store"
    assert {Path(name).suffix for name in synced} == {".journal"}


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


def faults(recorder: Recorder, fault: str) -> float:
    return metric(recorder, "llm_usage_file_faults_total", fault)


@pytest.mark.parametrize("change", ["delete all", "delete the database", "rename", "replace"])
def test_a_database_that_changes_under_the_writer_is_noticed_and_made_again(tmp_path: Path, change: str) -> None:
    recorder = make_recorder(tmp_path)
    database = tmp_path / "ledger.db"
    for number in range(300):
        one_call(recorder, number)
    assert recorder.ledger.flush(20)
    if change == "rename":
        database.rename(tmp_path / "moved.db")
    else:
        for suffix in ("", "-wal", "-shm") if change == "delete all" else ("",):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        if change == "replace":
            database.write_bytes(b"")
    for number in range(300, 600):
        one_call(recorder, number)
    assert recorder.ledger.flush(20)
    assert stored_numbers(recorder.ledger)[-300:] == list(range(300, 600))
    assert faults(recorder, "database_replaced") == 1
    assert metric(recorder, "llm_usage_records_lost_total") == 0
    if change == "rename":
        moved = open_store(f"sqlite:///{tmp_path / 'moved.db'}", read_only=True)
        assert moved.count() == 300  # with what had been in its WAL
        moved.close()
    recorder.ledger.close()
    check = open_store(f"sqlite:///{database}", read_only=True)
    assert check.count() == 600  # what still stood in the journal was stored again
    check.close()


def _delete(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize(
    ("name", "change"), [("ledger.db-wal", _delete), ("ledger.db-wal", _truncate), ("ledger.db-shm", _delete)]
)
def test_what_was_stored_survives_the_process_when_a_file_beside_the_database_changes(
    tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    recorder = make_recorder(tmp_path)
    for number in range(300):
        one_call(recorder, number)
    assert recorder.ledger.flush(20)
    change(tmp_path / name)
    for number in range(300, 600):
        one_call(recorder, number)
    assert recorder.ledger.flush(20)
    left = tmp_path / "as a killed process leaves it"
    left.mkdir()
    for file in ("ledger.db", "ledger.db-wal"):
        (left / file).write_bytes((tmp_path / file).read_bytes() if (tmp_path / file).exists() else b"")
    check = open_store(f"sqlite:///{left / 'ledger.db'}", read_only=True)
    assert check.count() == 600
    check.close()
    assert faults(recorder, "database_replaced") == 1
    assert metric(recorder, "llm_usage_records_lost_total") == 0
    recorder.ledger.close()


def test_records_that_come_after_a_journal_was_truncated_are_stored(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    for number in range(300):
        one_call(recorder, number)
    assert recorder.ledger.flush(20)
    for path in recorder.ledger.place.journals.glob("*.journal"):
        _truncate(path)
    for number in range(300, 600):
        one_call(recorder, number)
    assert recorder.ledger.flush(20)
    assert stored_numbers(recorder.ledger) == list(range(600))
    eventually(lambda: faults(recorder, "journal_replaced") == 1, "it is counted")
    assert metric(recorder, "llm_usage_records_quarantined_total") == 0
    assert metric(recorder, "llm_usage_records_lost_total") == 0
    recorder.ledger.close()


def test_a_deleted_database_is_noticed_without_any_call(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, interval_seconds=0.05)
    one_call(recorder)
    assert recorder.ledger.flush(20)
    (tmp_path / "ledger.db").unlink()
    started = time.monotonic()
    eventually(lambda: faults(recorder, "database_replaced") == 1, "noticed", 10)
    assert time.monotonic() - started < 5  # within two seconds on a machine that is not loaded
    eventually((tmp_path / "ledger.db").exists, "made again")


def test_a_deleted_lock_file_is_noticed_and_there_is_one_writer_again(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, interval_seconds=0.05)
    one_call(recorder, 0)
    assert recorder.ledger.flush(20)
    recorder.ledger.place.lock_file.unlink()
    eventually(lambda: faults(recorder, "lock_replaced") == 1, "noticed", 20)
    eventually(recorder.ledger.place.is_writer_alive, "the writer has the new file", 20)
    one_call(recorder, 1)
    assert recorder.ledger.flush(20)
    assert stored_numbers(recorder.ledger) == [0, 1]


def _a_directory(path: Path) -> None:
    path.mkdir()


def _a_pipe(path: Path) -> None:
    os.mkfifo(path)


def _a_link(path: Path) -> None:
    path.symlink_to("/nonexistent/file")


def _a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def _a_second_name(path: Path) -> None:
    other = path.parent.parent / "precious"
    other.write_bytes(b"precious")
    os.link(other, path)


def _a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        descriptor = os.open(path.parent, os.O_RDONLY)  # a socket's address has room for 107 bytes
        listener.bind(f"/proc/self/fd/{descriptor}/{path.name}")
        os.close(descriptor)


def _too_long(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


def _text(path: Path) -> None:
    path.write_bytes(b"text" * 2000)


ODD: list[Callable[[Path], None]] = [
    _a_directory, _a_pipe, _a_link, _a_link_to_itself, _a_second_name, _a_socket, _too_long,
]  # fmt: skip
ODD_NAMES = ["x-²²", "x-" + "9" * 60, "0" * 32 + "-1", "line\nend-00000001", "\udcff\udcfe-00000001", "", "a" * 240]


@pytest.mark.parametrize(
    ("name", "make"),
    [*(("0" * 32 + "-00000001.journal", make) for make in ODD), *((f"{name}.journal", _text) for name in ODD_NAMES)],
)
def test_one_entry_that_cannot_be_read_stops_nothing_and_is_said_once(
    tmp_path: Path, name: str, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "journals").mkdir()
    make(tmp_path / "journals" / name)
    recorder = make_recorder(tmp_path)
    for number in range(100):
        one_call(recorder, number)
    assert recorder.ledger.flush(20)
    assert stored_numbers(recorder.ledger) == list(range(100))
    assert metric(recorder, "llm_usage_persist_queue_size") == 0
    assert faults(recorder, "entry_unreadable") == 1
    assert metric(recorder, "llm_usage_records_lost_total") == 0
    assert os.path.lexists(tmp_path / "journals" / name)
    caplog.text.encode()  # a log file in UTF-8 can hold what was said
    assert caplog.text.count("\n") == caplog.text.count("WARNING")
    if (tmp_path / "precious").exists():
        assert (tmp_path / "precious").read_bytes() == b"precious"


@pytest.mark.parametrize("make", [*ODD, _text])
def test_one_entry_among_the_rings_that_cannot_be_read_stops_nothing_and_is_said_once(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    rings = directory_of(tmp_path)
    rings.parent.mkdir(mode=0o700, exist_ok=True)
    rings.mkdir(mode=0o700)
    entry = rings / ("1-" + "0" * 16 + ".ring")
    make(entry)
    try:
        recorder = make_recorder(tmp_path)
        one_call(recorder, 0)
        assert recorder.ledger.flush(20)
        eventually(lambda: faults(recorder, "entry_unreadable") == 1, "it is counted")
        recorder.ledger.recover()
        assert faults(recorder, "entry_unreadable") == 1
        assert stored_numbers(recorder.ledger) == [0]
        assert os.path.lexists(entry)
        recorder.ledger.close()
    finally:
        shutil.rmtree(rings)


def test_a_segment_that_could_not_be_read_for_a_while_is_drained_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_UNREADABLE_SECONDS", 0.0)
    recorder = make_recorder(tmp_path, writer="external", segment_mb=0.004)
    for number in range(100):
        one_call(recorder, number)
    recorder.ledger._queue.after_fork_in_child()
    second = sorted((tmp_path / "journals").iterdir())[1]
    real = source.open_plain

    def forbidden(path: Path, *rest: int) -> int:
        if path == second:
            raise PermissionError(13, "Permission denied")  # the tests may run as root, whom nothing is forbidden
        return real(path, *rest)

    monkeypatch.setattr(source, "open_plain", forbidden)
    writer = make_recorder(tmp_path, writer="external")
    writer.ledger.drain(2)
    there = stored_numbers(writer.ledger)
    assert 50 < len(there) < 100
    assert second.exists()
    assert faults(writer, "entry_unreadable") == 1
    monkeypatch.setattr(source, "open_plain", real)
    assert writer.ledger.drain(20)
    assert stored_numbers(writer.ledger) == list(range(100))
    assert metric(writer, "llm_usage_records_lost_total") == 0


def test_swapped_and_renumbered_segments_lose_nothing(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, writer="external", segment_mb=0.004)
    for number in range(150):
        one_call(recorder, number)
    recorder.ledger._queue.after_fork_in_child()
    first, second, third, *_ = paths = sorted((tmp_path / "journals").iterdir())
    assert len(paths) > 4
    spare = first.with_name("spare")
    second.rename(spare)
    third.rename(second)
    spare.rename(third)
    paths[3].rename(first.with_name(first.name.replace("00000001", "00000900")))
    writer = make_recorder(tmp_path, writer="external")
    assert writer.ledger.drain(20)
    assert stored_numbers(writer.ledger) == list(range(150))
    assert metric(writer, "llm_usage_records_lost_total") == 0


@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "writer.lock", "host", "journals"])
def test_a_link_in_the_data_directory_is_refused_and_its_target_is_not_touched(tmp_path: Path, name: str) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"precious")
    data = tmp_path / "data"
    data.mkdir()
    (data / name).symlink_to(target)
    with pytest.raises(SettingsError, match="is a symbolic link"):
        make_recorder(data)
    assert target.read_bytes() == b"precious"


def test_everything_is_for_this_user_alone_at_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        recorder = make_recorder(tmp_path / "new" / "data")
        one_call(recorder)
        assert recorder.ledger.flush(20)
        other = make_recorder(tmp_path / "new" / "data")
        one_call(other)
        assert other.ledger.flush(20)
        modes = {
            path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.lstat().st_mode)
            for path in (tmp_path / "new").rglob("*")
        }
    finally:
        os.umask(before)
    assert "new/data/ledger.db-wal" in modes
    assert "new/data/host" in modes
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


DAEMON = """
import os, sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from support.ledgers import make_recorder, one_call
directory = Path({directory!r})
recorder = make_recorder(directory)
for number in range(5):
    one_call(recorder, number)
recorder.ledger.flush(20)
if os.fork():
    os._exit(0)
os.setsid()
if {early}:
    one_call(recorder, 5)
    recorder.ledger.flush(20)
os.closerange(0, 1024)
os.open("/dev/null", os.O_RDWR); os.dup(0); os.dup(0)
files = []
for number in range(30):
    files.append(open(directory / f"application-{{number}}", "wb+", buffering=0))
    files[-1].write(b"A" * 300)
for number in range(6, 26):
    one_call(recorder, number)
    time.sleep(0.02)
recorder.ledger.flush(20)
done = recorder.ledger.close(10)
for file in files:
    file.seek(0)
    if file.read() != b"A" * 300:
        done = False
(directory / "done").write_text(str(done))
"""


@pytest.mark.parametrize("early", [False, True])
def test_a_daemonizer_that_closes_every_descriptor_costs_nothing(tmp_path: Path, early: bool) -> None:
    code = DAEMON.format(path=sys.path, directory=str(tmp_path), early=early)
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
    eventually((tmp_path / "done").exists, "the daemon has ended", 60)
    eventually(lambda: (tmp_path / "done").read_text() != "", "the daemon has ended", 60)
    assert (tmp_path / "done").read_text() == "True"
    numbers = [*range(5), *([5] if early else []), *range(6, 26)]
    assert stored_numbers(make_recorder(tmp_path, writer="external").ledger) == numbers


ORPHAN = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from support.ledgers import make_recorder, one_call
directory = Path({directory!r})
recorder = make_recorder(directory)
one_call(recorder, 0)
recorder.ledger.flush(20)
for generation in range({generations}):
    read, write = os.pipe()
    if os.fork():
        os._exit(0)
    os.close(write)
    os.read(read, 1)  # the parent is gone
    one_call(recorder, 100 + generation)
    recorder.ledger.flush(20)
for number in range(1, 50):
    one_call(recorder, number)
assert recorder.ledger.flush(20)
import subprocess
look = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('SELECT count(*) FROM usage').fetchall()"
subprocess.run([sys.executable, "-c", look, str(directory / "ledger.db")], check=True)  # any program that looks in
for number in range(50, 100):
    one_call(recorder, number)
assert recorder.ledger.flush(20)
(directory / "done").write_text(str(os.path.exists(directory / "ledger.db-wal")))
os._exit(0)
"""


@pytest.mark.parametrize("generations", [1, 3])
def test_a_forked_child_keeps_its_rows_when_its_parent_is_gone_and_a_program_looks_in(
    tmp_path: Path, generations: int
) -> None:
    """Of several generations too: each needs a SQLite of its own, not the one that its parent had loaded."""
    pytest.importorskip("apsw", reason="the descriptors of SQLite are moved through apsw, which is not installed")
    code = ORPHAN.format(path=sys.path, directory=str(tmp_path), generations=generations)
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
    eventually((tmp_path / "done").exists, "the child has ended", 60)
    eventually(lambda: (tmp_path / "done").read_text() != "", "the child has ended", 60)
    assert (tmp_path / "done").read_text() == "True", "its WAL was removed under it"
    expected = sorted([*range(100), *range(100, 100 + generations)])
    assert sorted(stored_numbers(make_recorder(tmp_path, writer="external").ledger)) == expected


def descriptors_in(*directories: Path) -> dict[str, int]:
    """The descriptors of this process that are files of these directories, by the files' names."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{number}")
            if any(Path(path).is_relative_to(directory) for directory in directories):
                found[Path(path).name] = int(number)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_stays_open_has_no_number_that_a_file_of_the_application_is_given(tmp_path: Path) -> None:
    pytest.importorskip("apsw", reason="the descriptors of SQLite are moved through apsw, which is not installed")
    recorder = make_recorder(tmp_path)
    one_call(recorder, 0)
    assert recorder.ledger.flush(20)
    one_call(recorder, 1)
    TAPE.flush()
    rings = directory_of(tmp_path)
    eventually(lambda: "ledger.db-wal" in descriptors_in(tmp_path), "the writer has the database open")
    found = descriptors_in(tmp_path, rings)
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm", "writer.lock"} <= found.keys()
    assert any(name.endswith(".journal") for name in found)
    assert {name: number for name, number in found.items() if number < 512} == {}
    recorder.ledger.close(20)


def test_a_transaction_whose_descriptors_are_closed_fails_and_touches_no_other_file(tmp_path: Path) -> None:
    """Were SQLite's numbers given to the application's files, the rest of the transaction would go into those."""
    pytest.importorskip("apsw", reason="the descriptors of SQLite are moved through apsw, which is not installed")
    came: list[Exception | None] = []
    files: list[Any] = []

    def transaction() -> None:
        store = open_store(f"sqlite:///{tmp_path / 'ledger.db'}")
        assert isinstance(store, SQLiteStore)
        store._db.run("BEGIN IMMEDIATE")
        store._db.run("CREATE TABLE written (text TEXT)")
        for _ in range(100):
            store._db.run("INSERT INTO written VALUES (?)", ("x" * 3000,))
        for ours in store._db._files:
            os.close(ours.fd)  # a daemonizer, in another thread
        for number in range(40):
            files.append((tmp_path / f"application-{number}").open("wb", buffering=0))
            files[-1].write(b"A" * 300)
        try:
            store._db.run("COMMIT")
            came.append(None)
        except StoreUnavailable as error:
            came.append(error)
        store.close()

    thread = threading.Thread(target=transaction)  # as the ledger's own: the main thread only reads
    thread.start()
    thread.join(60)
    assert isinstance(came[0], StoreUnavailable)
    for file in files:
        file.close()
    assert {path.read_bytes() for path in tmp_path.glob("application-*")} == {b"A" * 300}


def test_every_copy_of_sqlite_is_another(tmp_path: Path) -> None:
    pytest.importorskip("apsw", reason="the descriptors of SQLite are moved through apsw, which is not installed")
    seen = {sqlite_library.library().VFS}
    for _ in range(3):
        sqlite_library.give_up()
        seen.add(sqlite_library.library().VFS)
    assert len(seen) == 4


@pytest.mark.parametrize("name", ["host", "flush", "ledger.db.reserve"])
@pytest.mark.parametrize("make", [_a_pipe, _a_socket, _a_directory, lambda path: path.write_bytes(b"\xff\xfe" * 99)])
def test_a_small_file_of_the_ledger_that_is_none_stops_nothing(
    tmp_path: Path, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / name)
    recorder = make_recorder(tmp_path)
    one_call(recorder, 0)
    recorder.ledger.place.ask_for_flush()
    assert recorder.ledger.flush(20)
    assert stored_numbers(recorder.ledger) == [0]
    assert recorder.ledger.place.host() == recorder.ledger.place.host()


def test_a_lock_file_that_is_a_pipe_is_said_and_holds_nobody_up(tmp_path: Path) -> None:
    _a_pipe(tmp_path / "writer.lock")
    recorder = make_recorder(tmp_path)
    one_call(recorder, 0)
    assert metric(recorder, "llm_usage_writer_alive") == 0
    eventually(lambda: faults(recorder, "entry_unreadable") == 1, "it is counted")
    (tmp_path / "writer.lock").unlink()
    assert recorder.ledger.flush(20)
    assert stored_numbers(recorder.ledger) == [0]


def test_a_lock_file_with_other_content_shows_the_writer_at_work(tmp_path: Path) -> None:
    (tmp_path / "writer.lock").write_bytes(b"\xff\xfe" * 99)
    recorder = make_recorder(tmp_path)
    one_call(recorder, 0)
    assert recorder.ledger.flush(20)
    assert metric(recorder, "llm_usage_writer_alive") == 1


@pytest.mark.parametrize("at", range(1, 8))
def test_a_read_that_fails_leaves_out_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(source, "_UNREADABLE_SECONDS", 0.0)
    recorder = make_recorder(tmp_path, writer="external", segment_mb=0.004)
    for number in range(60):
        one_call(recorder, number)
    recorder.ledger._queue.after_fork_in_child()
    real, calls = os.pread, 0

    def failing(fd: int, size: int, offset: int) -> bytes:
        nonlocal calls
        calls += threading.current_thread() is threading.main_thread()
        if calls == at:
            calls += 1
            raise OSError(5, "Input/output error")
        return real(fd, size, offset)

    reader = JournalSource(tmp_path / "journals", {})
    found: list[bytes] = []
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(os, "pread", failing)
    for _ in range(20):
        batch = reader.read(20)
        assert not batch.gaps
        assert not batch.quarantined
        found += batch.payloads
        said += batch.faults
        reader.committed(batch)
    reader.close()
    assert len(set(found)) == 60
    assert [fault for fault, _ in said] == ["entry_unreadable"]


def test_what_cannot_be_asked_for_is_not_said_to_be_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = make_recorder(tmp_path, writer="external", segment_mb=0.004)
    for number in range(60):
        one_call(recorder, number)
    journal = recorder.ledger._queue

    def failing(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(os, "pread", failing)
        assert journal.committed == 0
        assert journal.oldest_accepted_us() is None
        assert not recorder.ledger.flush(0.05)
    assert journal.committed == 0
    assert recorder.ledger.drain(20)
    assert recorder.ledger.flush(20)


def test_what_a_read_only_disk_does_not_take_is_said_once_and_counted_as_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = make_recorder(tmp_path)
    journal = recorder.ledger._queue
    write = journal._write

    def read_only(*_: object) -> int:
        ctypes.set_errno(errno.EROFS)
        return -1

    journal._write = read_only
    for number in range(5):
        one_call(recorder, number)
    assert metric(recorder, "llm_usage_persist_queue_size") == 5
    assert caplog.text.count("cannot be written") == 1
    journal._write = write
    assert recorder.ledger.flush(20)
    assert stored_numbers(recorder.ledger) == list(range(5))
    assert metric(recorder, "llm_usage_persist_queue_size") == 0
    assert metric(recorder, "llm_usage_records_refused_total") == 0
