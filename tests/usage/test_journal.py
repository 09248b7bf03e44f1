"""A journal's arithmetic: what a write that fails leaves, what is refused and counted, and what its gauges say."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tachograph.usage import frames
from tachograph.usage import journal as module
from tachograph.usage.frames import COMMITTED_AT, END, GAP, HEADER_SIZE, RECORD, Damage, JournalFrame
from tachograph.usage.journal import Journal, segment_name

NOTHING_REFUSED = {"queue_full": 0, "disk_full": 0, "invalid": 0, "closed": 0, "io_error": 0}
BATCH = [b"one", b"", b"three" * 7, b"4"]


class Clock:
    """Both clocks of the journal, which a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.unix_ns = 1000.0, 1_700_000_000_000_000_999
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.seconds))
        monkeypatch.setattr(module, "time_ns", lambda: self.unix_ns)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def paths(journal: Journal) -> list[Path]:
    return sorted(journal.directory.glob("*.journal"))


def content(path: Path) -> list[tuple[int, int, bytes]]:
    """Kind, sequence and payload of each frame; fails on damage."""
    found, _ = frames.scan(path.read_bytes()[HEADER_SIZE:], final=True)
    assert all(isinstance(item, JournalFrame) for item in found)
    return [(item.kind, item.sequence, item.payload) for item in found if isinstance(item, JournalFrame)]


def payloads(journal: Journal) -> list[bytes]:
    return [payload for path in paths(journal) for kind, _, payload in content(path) if kind == RECORD]


def failing(journal: Journal, written: int, number: int = errno.ENOSPC) -> None:
    """The next write takes so many bytes; fewer than none: it fails with this error."""
    real = journal._write

    def write(fd: int, data: bytes, size: int) -> int:
        journal._write = real
        ctypes.set_errno(number)
        if written < 0:
            return -1
        return real(fd, data[:written], written)

    journal._write = write


def test_a_segment_is_its_header_and_the_frames_of_its_records(tmp_path: Path, clock: Clock) -> None:
    journal = Journal(tmp_path / "above" / "journals")
    assert (journal.segment_bytes, journal.limit_bytes) == (4 << 20, 1 << 30)
    assert (journal.sequence, journal.committed, journal.oldest_accepted_us()) == (0, 0, None)
    assert journal.check()
    assert not journal.directory.exists(), "nothing is made before the first record"
    assert journal.append(b"first") is None
    clock.unix_ns += 2500
    assert journal.append_many([b"second", b"third"]) is None
    clock.unix_ns += 1000
    journal.close()
    (path,) = paths(journal)
    assert path.name == f"{journal.name}-00000001.journal"
    begun = 1_700_000_000_000_000
    assert path.read_bytes() == (
        frames.segment_header(bytes.fromhex(journal.name), 1, 0, begun, os.getpid())
        + frames.frame(0, begun, b"first")
        + frames.frame(1, begun + 3, b"second")
        + frames.frame(2, begun + 3, b"third")
        + frames.frame(3, begun + 4, b"", END)
    )
    assert [stat.S_IMODE(at.stat().st_mode) for at in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]
    assert os.listdir(journal.directory) == [path.name]
    assert journal.refused == NOTHING_REFUSED
    assert journal.replaced == 0


def test_a_closed_journal_refuses_and_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.append(b"one") is None
    journal.close()
    before = paths(journal)[0].read_bytes()
    journal.close()
    assert journal.append_many([b"two", b"three"]) == "closed"
    assert journal.append_many([b"four"], are_kept=True) == "closed"
    assert journal.refused == NOTHING_REFUSED | {"closed": 3}
    assert journal.refuse("invalid") == "invalid"
    assert journal.refuse("invalid") == "invalid"
    assert journal.refused == NOTHING_REFUSED | {"closed": 3, "invalid": 2}
    assert (paths(journal)[0].read_bytes(), journal.sequence) == (before, 1)
    unused = Journal(tmp_path / "unused")
    unused.close()
    assert not unused.directory.exists()


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EFBIG, "disk_full"), (errno.EIO, "io_error"),
     (errno.EBADF, "io_error")],
)  # fmt: skip
@pytest.mark.parametrize("are_kept", [False, True])
def test_a_write_that_fails_refuses_all_of_it(tmp_path: Path, number: int, reason: str, are_kept: bool) -> None:
    journal = Journal(tmp_path)
    assert journal.append(b"before") is None
    failing(journal, -1, number)
    assert journal.append_many(BATCH, are_kept=are_kept) == reason
    assert journal.refused == NOTHING_REFUSED | {reason: 0 if are_kept and reason == "io_error" else 4}
    assert journal.sequence == 1
    assert journal.append(b"after") is None
    assert payloads(journal) == [b"before", b"after"]
    assert len(paths(journal)) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_the_system_s_error_of_a_write_is_told() -> None:
    write = module._write_function()
    with open("/dev/full", "wb", buffering=0) as full:
        ctypes.set_errno(0)
        assert write(full.fileno(), b"data", 4) == -1
        assert ctypes.get_errno() == errno.ENOSPC
    with open(os.devnull, "wb", buffering=0) as null:
        assert (write(null.fileno(), b"a\0b", 3), write(null.fileno(), b"abc", 2)) == (3, 2)


def test_a_write_that_is_cut_short_anywhere_keeps_the_records_that_are_whole(tmp_path: Path) -> None:
    ends = [sum(28 + len(payload) for payload in BATCH[: number + 1]) for number in range(len(BATCH))]
    for written in range(ends[-1]):
        journal = Journal(tmp_path / str(written))
        assert journal.append(b"before") is None
        failing(journal, written, errno.EIO)  # an error of long ago: none is set where something is written
        assert journal.append_many(BATCH) == "disk_full"
        whole = sum(end <= written for end in ends)
        assert journal.refused == NOTHING_REFUSED | {"disk_full": 4 - whole}
        assert journal.sequence == 1 + whole
        assert paths(journal)[0].stat().st_size == HEADER_SIZE + 28 + 6 + (ends[whole - 1] if whole else 0)
        assert journal.append(b"after") is None
        assert content(paths(journal)[0]) == [
            (RECORD, at, payload) for at, payload in enumerate([b"before", *BATCH[:whole], b"after"])
        ]


def test_a_write_that_is_interrupted_anywhere_is_repaired_by_the_next(tmp_path: Path) -> None:
    size = sum(28 + len(payload) for payload in BATCH)
    for written in range(size + 1):
        journal = Journal(tmp_path / str(written))
        assert journal.append(b"before") is None
        real = journal._write

        def write(fd: int, data: bytes, _: int, journal: Journal = journal, written: int = written) -> int:
            journal._write = real  # noqa: B023 - called in this round only
            os.write(fd, data[:written])
            raise KeyboardInterrupt

        journal._write = write
        with pytest.raises(KeyboardInterrupt):
            journal.append_many(BATCH)
        assert journal.append(b"after") is None
        kept = BATCH if written == size else []
        assert content(paths(journal)[0]) == [
            (RECORD, at, payload) for at, payload in enumerate([b"before", *kept, b"after"])
        ]
        assert journal.sequence == 2 + len(kept)


def test_a_finished_segment_is_the_first_that_is_long_enough(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=1)
    assert journal.segment_bytes == 4096
    payload = b"x" * (992 - 28)  # four of them and the header are 4,096 bytes
    for number in range(9):
        assert journal.append(payload) is None
        assert len(paths(journal)) == 1 + number // 4
    assert [path.stat().st_size for path in paths(journal)] == [4096, 4096, HEADER_SIZE + 992]
    assert [frames.SEGMENT_HEAD.unpack_from(path.read_bytes())[5] for path in paths(journal)] == [0, 4, 8]
    at_once = Journal(tmp_path / "at once", segment_bytes=4096)
    assert at_once.append_many([payload] * 9) is None
    assert [len(content(path)) for path in paths(at_once)] == [4, 4, 1]
    one_less = Journal(tmp_path / "one less", segment_bytes=4096)
    assert one_less.append_many([payload[1:], *[payload] * 3, b"", b""]) is None
    assert [len(content(path)) for path in paths(one_less)] == [5, 1]


def test_a_long_batch_is_written_a_quarter_of_a_megabyte_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write, sizes = journal._write, list[int]()

    def counting(fd: int, data: bytes, size: int) -> int:
        sizes.append(size)
        return write(fd, data, size)

    journal._write = counting
    batch = [b"x" * (64 * 1024 - 28)] * 9
    assert journal.append_many(batch) is None
    assert sizes == [256 * 1024, 256 * 1024, 64 * 1024]
    assert payloads(journal) == batch
    assert journal.append_many([]) is None
    assert len(sizes) == 3


def test_a_rotated_segment_is_ended_and_the_next_record_begins_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.rotate()
    assert journal.append(b"one") is None
    journal.rotate()
    journal.rotate()
    assert journal.append(b"two") is None
    assert [content(path) for path in paths(journal)] == [[(RECORD, 0, b"one")], [(RECORD, 1, b"two")]]
    assert journal.check()


def test_the_journals_of_a_host_may_hold_less_than_their_limit(tmp_path: Path, clock: Clock) -> None:
    other = tmp_path / "other.journal"
    for size, reason in ((99_999, None), (100_000, "queue_full"), (100_001, "queue_full")):
        with other.open("wb") as file:
            file.truncate(size)
        journal = Journal(tmp_path, limit_bytes=100_000)
        assert journal.append_many([b"one", b"two"]) == reason
        assert journal.refused == NOTHING_REFUSED | ({"queue_full": 2} if reason else {})
        for path in tmp_path.glob(f"{journal.name}*"):
            path.unlink()


def test_a_journal_that_is_refused_looks_again_after_a_twentieth_of_a_second(tmp_path: Path, clock: Clock) -> None:
    other = tmp_path / "other.journal"
    other.write_bytes(bytes(100_000))
    journal = Journal(tmp_path, limit_bytes=100_000)
    assert journal.append(b"one") == "queue_full"
    other.unlink()
    for later, reason in ((0.0, "queue_full"), (0.04, "queue_full"), (0.051, None)):
        clock.seconds = 1000.0 + later
        assert journal.append(b"again") == reason
    assert journal.refused == NOTHING_REFUSED | {"queue_full": 3}


def test_what_the_other_journals_hold_is_looked_up_every_three_seconds(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, looks = Journal(tmp_path, limit_bytes=100_000), list[float]()
    real = module.directory_bytes

    def look(directory: Path) -> int:
        looks.append(clock.seconds)
        return real(directory)

    monkeypatch.setattr(module, "directory_bytes", look)
    for later in (0.0, 1.0, 3.0, 3.1, 6.0, 6.2):
        clock.seconds = 1000.0 + later
        assert journal.append(b"one") is None
        journal.rotate()
    assert looks == [1000.0, 1003.1, 1006.2]
    assert journal.spool_bytes() == 6 * (HEADER_SIZE + 31)
    assert journal._spool == 6 * (HEADER_SIZE + 31), "what it holds itself is counted between two looks"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_segment_that_cannot_be_made_leaves_no_file_and_says_why(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    journal = Journal(tmp_path / "journals")

    def fails(before: object, after: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", fails)
        reason = "disk_full" if number in (errno.ENOSPC, errno.EDQUOT) else "io_error"
        assert journal.append_many([b"one", b"two"]) == reason
    assert os.listdir(journal.directory) == []
    assert journal.append(b"at once") == reason
    assert journal.refused == NOTHING_REFUSED | {reason: 3}
    clock.seconds += 0.051
    assert journal.append(b"later") is None
    assert [path.name for path in paths(journal)] == [segment_name(journal.name, 2)], "a number is used once"
    assert payloads(journal) == [b"later"]


def note(journal: Journal, segment: int, sequence: int, offset: int = HEADER_SIZE) -> None:
    """What the writer notes in a segment."""
    path = journal.directory / segment_name(journal.name, segment)
    with path.open("r+b") as file:
        file.seek(COMMITTED_AT)
        file.write(frames.pack_committed(offset, sequence))


@pytest.fixture
def of_three(tmp_path: Path) -> Journal:
    """Three segments, of two records each; the last one is open."""
    journal = Journal(tmp_path)
    for number in range(3):
        if number:
            journal.rotate()
        assert journal.append_many([b"a", b"b"]) is None
    return journal


def test_what_is_committed_is_what_notes_say_and_what_is_gone(of_three: Journal) -> None:
    first, second, third = paths(of_three)
    assert of_three.committed == 0
    note(of_three, 1, 1)
    assert of_three.committed == 1
    note(of_three, 1, 2)
    assert of_three.committed == 2
    first.unlink()
    note(of_three, 2, 3)
    assert of_three.committed == 3
    second.unlink()
    assert of_three.committed == 4
    note(of_three, 3, 5)
    assert of_three.committed == 5
    note(of_three, 3, 0)
    assert of_three.committed == 5, "it never goes back"
    of_three.rotate()
    third.unlink()
    assert of_three.committed == 6


def test_a_note_in_the_open_segment_speaks_for_the_earlier_ones(of_three: Journal) -> None:
    note(of_three, 3, 5)
    assert of_three.committed == 5
    note(of_three, 3, 6)
    assert of_three.committed == 6


def test_finished_segments_that_are_gone_were_drained(of_three: Journal) -> None:
    first, second, _ = paths(of_three)
    second.unlink()
    assert of_three.committed == 0, "the first is there"
    first.unlink()
    assert of_three.committed == 4


@pytest.mark.parametrize("call", ["open", "pread"])
def test_a_note_that_cannot_be_read_commits_nothing(
    of_three: Journal, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    note(of_three, 3, 6)

    def fails(*_: Any) -> None:
        raise PermissionError

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(os, call, fails)
        assert of_three.committed == 0
        assert of_three.oldest_accepted_us() is None
    assert len(os.listdir("/proc/self/fd")) == before
    assert of_three.committed == 6


def test_the_oldest_record_that_waits_is_the_first_after_the_notes(tmp_path: Path, clock: Clock) -> None:
    journal, begun = Journal(tmp_path), 1_700_000_000_000_000
    for number in range(4):
        clock.unix_ns = (begun + number) * 1000
        assert journal.append(b"x") is None
        if number == 1:
            journal.rotate()
    after_one = HEADER_SIZE + 29
    assert journal.oldest_accepted_us() == begun
    note(journal, 1, 1, after_one)
    assert journal.oldest_accepted_us() == begun + 1
    note(journal, 1, 2, after_one + 29)
    assert journal.oldest_accepted_us() == begun + 2
    paths(journal)[0].unlink()
    assert journal.oldest_accepted_us() == begun + 2
    note(journal, 2, 3, after_one)
    assert journal.oldest_accepted_us() == begun + 3
    note(journal, 2, 3, after_one + 1)
    assert journal.oldest_accepted_us() is None, "no frame begins there"
    note(journal, 2, 4, after_one + 29)
    assert journal.oldest_accepted_us() is None


def test_only_a_record_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    assert journal.append(b"x") is None
    for found in ([JournalFrame(END, 0, 7, b"", 28)], [JournalFrame(GAP, 0, 7, b"", 28)], [Damage(b"x", 1)], []):
        monkeypatch.setattr(frames, "scan", lambda *_, found=found, **__: (found, 0))
        assert journal.oldest_accepted_us() is None
    monkeypatch.setattr(frames, "scan", lambda *_, **__: ([JournalFrame(RECORD, 0, 7, b"", 28)], 28))
    assert journal.oldest_accepted_us() == 7


def test_a_file_that_was_deleted_is_counted_and_the_next_one_says_what_is_missing(tmp_path: Path, clock: Clock) -> None:
    journal = Journal(tmp_path)
    assert journal.append_many([b"one", b"two", b"three"]) is None
    note(journal, 1, 1)
    assert journal.check()
    assert journal.committed == 1, "it is asked for while the file is there"
    paths(journal)[0].unlink()
    assert not journal.check()
    assert journal.check(), "it is said once"
    assert (journal.replaced, journal.committed, journal.oldest_accepted_us()) == (1, 3, None)
    assert journal.append(b"four") is None
    journal.rotate()
    assert journal.append(b"five") is None
    begun = 1_700_000_000_000_000
    assert [path.read_bytes() for path in paths(journal)] == [
        frames.segment_header(bytes.fromhex(journal.name), 2, 1, begun, os.getpid())
        + frames.frame(3, begun, (1).to_bytes(8, "little"), GAP)
        + frames.frame(3, begun, b"four"),
        frames.segment_header(bytes.fromhex(journal.name), 3, 4, begun, os.getpid()) + frames.frame(4, begun, b"five"),
    ]


def test_a_gap_that_finds_no_room_is_written_into_the_next_segment(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.append_many([b"one", b"two"]) is None
    paths(journal)[0].unlink()
    assert not journal.check()
    failing(journal, 20)
    assert journal.append(b"three") is None
    assert content(paths(journal)[0]) == [(RECORD, 2, b"three")]
    journal.rotate()
    assert journal.append(b"four") is None
    assert content(paths(journal)[1]) == [(GAP, 3, bytes(8)), (RECORD, 3, b"four")]


def test_a_journal_that_is_closed_says_what_is_missing_though_no_record_follows(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.append_many([b"one", b"two"]) is None
    paths(journal)[0].unlink()
    journal.close()
    (path,) = paths(journal)
    assert content(path) == [(GAP, 2, bytes(8)), (END, 2, b"")]


def _closed(journal: Journal) -> None:
    """Its descriptor is taken away, and the application's file has the number."""
    assert journal._out is not None
    other = os.open(journal.directory / "application", os.O_RDWR | os.O_CREAT)
    os.dup2(other, journal._out.fd)
    os.close(other)


def _truncated(journal: Journal) -> None:
    os.truncate(paths(journal)[-1], HEADER_SIZE + 5)


@pytest.mark.parametrize("change", [_closed, _truncated])
def test_a_file_that_is_ours_no_more_is_left_and_the_next_record_begins_another(
    tmp_path: Path, change: Callable[[Journal], None]
) -> None:
    journal = Journal(tmp_path)
    assert journal.append_many([b"one", b"two"]) is None
    spool = journal._spool
    change(journal)
    assert journal.append(b"three") is None
    assert (journal.replaced, journal.sequence, len(paths(journal))) == (1, 3, 2)
    assert journal._spool == spool + HEADER_SIZE + 28 + 3 + 28 + 3
    assert content(paths(journal)[1]) == [(RECORD, 2, b"three")]
    paths(journal)[0].unlink()
    assert journal.committed == 2, "it was drained"
    assert not (tmp_path / "application").exists() or (tmp_path / "application").read_bytes() == b""


def test_a_record_that_comes_while_a_lost_file_is_ended_waits_for_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.append(b"one") is None
    assert journal._out is not None
    file = journal._out.file

    class Interrupted:
        def close(self) -> None:
            file.close()
            assert journal.append(b"the handler's") is None
            journal.rotate()

    journal._out = journal._out._replace(file=Interrupted())
    paths(journal)[0].unlink()
    assert not journal.check()
    assert journal.sequence == 1
    assert journal.append(b"two") is None
    assert content(paths(journal)[0]) == [(GAP, 1, bytes(8)), (RECORD, 1, b"two"), (RECORD, 2, b"the handler's")]
    assert journal.append(b"three") is None
    assert journal.sequence == 4


def test_a_segment_that_is_finished_while_it_is_checked_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    assert journal.append(b"one") is None

    def finished_meanwhile(path: Path, expected: object) -> bool:
        journal.rotate()
        return False

    monkeypatch.setattr(module, "is_at", finished_meanwhile)
    assert journal.check()
    assert journal.replaced == 0
    assert payloads(journal) == [b"one"]


def test_a_forked_child_begins_a_journal_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=8192, limit_bytes=1 << 20)
    assert journal.append(b"the parent's") is None
    journal.refuse("invalid")
    parent, held = journal.name, len(os.listdir("/proc/self/fd"))
    journal.after_fork_in_child()
    assert len(os.listdir("/proc/self/fd")) == held - 1, "its copy of the parent's file is closed"
    assert journal.name != parent
    assert (journal.sequence, journal.committed, journal.replaced) == (0, 0, 0)
    assert journal.refused == NOTHING_REFUSED
    assert (journal.segment_bytes, journal.limit_bytes) == (8192, 1 << 20)
    assert journal.append(b"the child's") is None
    assert {path.name for path in paths(journal)} == {segment_name(parent, 1), segment_name(journal.name, 1)}
