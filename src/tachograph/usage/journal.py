"""The producer's side of a journal: one per process, appended with write(2), survives the process's death.

Records come in batches from the drain of the tape, never from an application's call. write(2) releases the
interpreter lock, so a disk that does not answer stops the thread that writes and no other. A memory-mapped file would
kill the process with SIGBUS on a full disk. The lock under which records are appended is held across the write: only
the thread that writes may need it, so the gauges read notes and files under a lock of their own.

A segment is held with a file lock while it may still grow. Where a process can take that lock, no other
appends any more. A new segment gets its name only after it is locked.

A signal handler can raise after any call in here, and what was begun is then neither done nor undone. So the truth
about a segment is its length: how far it should reach is noted before each write, and the next call compares.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from time import time_ns
from typing import Final, NamedTuple
from zlib import crc32

from tachograph.files import Ours, is_at, leak, private_and_high
from tachograph.native import original
from tachograph.usage import frames
from tachograph.usage.locks import append_only, lock

SUFFIX: Final = ".journal"
LONGEST_SEGMENT: Final = 2 << 30
"""What is longer is no segment: `ledger.segment_mb` allows half of it."""
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
_JOURNAL: Final = re.compile(r"[0-9a-f]{32}")
_RECHECK_SECONDS: Final = 0.05
_SPOOL_SECONDS: Final = 3.0
_WRITE_BYTES: Final = 256 * 1024
"""Most bytes in one write."""
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_MAGIC, _VERSION, _RECORD = frames.MAGIC, frames.VERSION, frames.RECORD
_pack_head, _pack_body = frames.HEAD.pack, frames.BODY.pack


def segment_name(journal: str, segment: int) -> str:
    """The file name of a segment; names sort by journal and then by age."""
    return f"{journal}-{segment:08d}{SUFFIX}"


def parse_segment_name(name: str) -> tuple[str, int] | None:
    """Journal and segment number of a file name, or None where `segment_name` makes no such name."""
    journal, _, number = name.removesuffix(SUFFIX).partition("-")
    if not _JOURNAL.fullmatch(journal) or not (number.isascii() and number.isdigit() and len(number) <= 10):
        return None
    return (journal, int(number)) if segment_name(journal, int(number)) == name else None


def directory_bytes(directory: Path) -> int:
    """Bytes of all journals in the directory."""
    total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    size = entry.stat(follow_symlinks=False).st_size
                except OSError:  # drained meanwhile
                    continue
                total += size if size <= LONGEST_SEGMENT else 0  # left out by the writer
    except OSError:  # not there, or not ours to read: then records cannot be appended either, and that is said
        return total
    return total


def _write_function() -> Callable[[int, bytes, int], int]:
    if sys.platform == "win32":  # pragma: no cover
        return lambda fd, data, size: os.write(fd, data)
    write = ctypes.CDLL(None, use_errno=True).write
    write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    write.restype = ctypes.c_ssize_t
    return write


class _Open(NamedTuple):
    """The segment that is appended to."""

    file: FileIO
    fd: int
    ours: Ours
    number: int


class _State(NamedTuple):
    """How many records were appended, and how long the open segment is with them."""

    sequence: int
    size: int


class Journal:
    """Appends payloads; safe from any thread, from finalisers and signal handlers that come in between, and after fork.

    Args:
        directory: Where the journals of this host are; made when the first record comes.
        segment_bytes: A new segment is begun after so many bytes.
        limit_bytes: Refuse records while all journals of the host together hold more than this.

    Attributes:
        refused: Number of records refused, by reason.
        replaced: How often the file was deleted or replaced, or its descriptor taken away, while it was open.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = 4 << 20, limit_bytes: int = 1 << 30) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self.segment_bytes = max(4096, min(segment_bytes, limit_bytes // 8))
        self.refused: dict[str, int] = dict.fromkeys(("queue_full", "disk_full", "invalid", "closed", "io_error"), 0)
        self._write = _write_function()
        self._begin()

    def _begin(self) -> None:
        self._lock = original("RLock")()
        self._counting = original("allocate_lock")()
        self._reading = original("RLock")()  # for what the gauges read; taken before the other, never inside it
        self._appending = False
        self._deferred: deque[bytes] = deque()
        self._out: _Open | None = None
        self._state = _State(0, 0)
        self._planned: _State | None = None
        self._segment = 0
        self._closed = False
        self._retry_at = 0.0
        self._retry_reason = "io_error"
        self._id = os.urandom(16)
        self.name = self._id.hex()
        self.replaced = 0
        self._committed = 0
        self._gap_from: int | None = None
        self._spool, self._spool_at = 0, 0.0
        self._older: deque[tuple[int, int]] = deque()  # finished segments and the sequence after their last record

    @property
    def sequence(self) -> int:
        """How many records were appended."""
        return self._state.sequence

    def after_fork_in_child(self) -> None:
        """Leave the parent's journal to the parent and begin one of our own with the next record."""
        out = self._out
        if out is not None:
            if out.ours:
                out.file.close()  # ours alone: the parent's opening, and the lock with it, stay
            else:
                leak(out.file)
        self._begin()
        self.refused = dict.fromkeys(self.refused, 0)

    def append(self, payload: bytes) -> str | None:
        """Append one record; None when it is accepted, else why it is refused."""
        return self.append_many((payload,))

    def append_many(self, payloads: Sequence[bytes], *, are_kept: bool = False) -> str | None:
        """Append records in one write; None when all are accepted, else why the last ones are refused.

        Args:
            are_kept: The caller hands the rest over again after an `io_error`, so it is not counted as refused.
        """
        with self._lock:
            if self._appending:  # a finaliser or signal handler inside an append of this very thread
                self._deferred.extend(payloads)
                return None
            self._appending = True
            try:
                if self._planned is not None:
                    self._repair(self._planned)
                reason = self._append(payloads, are_kept)
                while self._deferred:
                    self._append((self._deferred[0],))
                    self._deferred.popleft()
            finally:
                self._appending = False
            return reason

    def rotate(self) -> None:
        """End the open segment: it can be removed once it is stored, though this process lives on."""
        with self._lock:
            if not self._appending:
                self._finish_segment()

    def refuse(self, reason: str) -> str:
        """Count a record that is refused before it gets here."""
        with self._counting:
            self.refused[reason] += 1
        return reason

    def _append(self, payloads: Sequence[bytes], are_kept: bool = False) -> str | None:
        done, total = 0, len(payloads)
        while done < total:
            out = self._current()
            if out is None:
                reason = self._open()
                if reason is not None:
                    self._refused(reason, total - done, are_kept)
                    return reason
                continue
            sequence, size = self._state
            room = min(_WRITE_BYTES, self.segment_bytes - size)
            now_us, parts, ends, length = time_ns() // 1000, [], [], 0
            for payload in payloads[done:]:
                body = _pack_body(sequence, now_us) + payload  # frames.frame, written out: 0.3 us less
                parts.append(_pack_head(_MAGIC, _VERSION, _RECORD, len(body), crc32(body, _VERSION)) + body)
                sequence += 1
                length += len(parts[-1])
                ends.append(length)
                if length >= room:
                    break
            written = self._put(out, parts[0] if len(parts) == 1 else b"".join(parts), sequence)
            if written != length:
                number = ctypes.get_errno() if written < 0 else errno.ENOSPC
                whole = sum(end <= written for end in ends)  # a disk that fills up takes the first of them
                self._cut_to(out, ends[whole - 1] if whole else 0, whole)
                reason = "disk_full" if number in _FULL else "io_error"
                self._refused(reason, total - done - whole, are_kept)
                return reason
            done += len(parts)
            if self._state.size >= self.segment_bytes:
                self._finish_segment()
        return None

    def _refused(self, reason: str, records: int, are_kept: bool) -> None:
        if not (are_kept and reason == "io_error"):
            self.refused[reason] += records

    def _current(self) -> _Open | None:
        """The open segment, if its descriptor still is ours: a number that another file has is never written to.

        One that was truncated is ended too: the writer, which is further, would not see what is appended now.
        """
        out = self._out
        if out is None or ((is_ours := bool(out.ours)) and out.ours.holds(self._state.size)):
            return out
        self.replaced += 1
        if is_ours:
            out.file.close()
        else:
            leak(out.file)  # never closed: it would close the other file
        self._spool += self._state.size
        self._older.append((out.number, self._state.sequence))  # what it holds is on the disk, for the writer
        self._out = None
        return None

    def _put(self, out: _Open, data: bytes, sequence: int) -> int:
        """Write frames. Where the segment should then end is noted before, for the call after an interrupted one."""
        planned = self._planned = _State(sequence, self._state.size + len(data))
        written = self._write(out.fd, data, len(data))
        if written == len(data):
            self._state = planned
            self._planned = None
        return written

    def _cut_to(self, out: _Open, more: int, records: int) -> None:
        """Take back a write that failed or was cut short; the segment ends where its last whole record ends."""
        state = _State(self._state.sequence + records, self._state.size + more)
        if os.fstat(out.fd).st_size > state.size:
            os.ftruncate(out.fd, state.size)
        self._state = state
        self._planned = None

    def _repair(self, planned: _State) -> None:
        """An interrupt came after a write was planned: its length says whether it was done."""
        out = self._current()
        if out is not None:
            if os.fstat(out.fd).st_size >= planned.size:
                self._state = planned
            else:
                self._cut_to(out, 0, 0)
        self._planned = None

    def _open(self) -> str | None:
        if self._closed:
            return "closed"
        now = time.monotonic()
        if now < self._retry_at:
            return self._retry_reason
        reason = None
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.directory.mkdir(exist_ok=True, mode=0o700)
            if (self._spool >= self.limit_bytes or now > self._spool_at + _SPOOL_SECONDS) and (
                self.spool_bytes() >= self.limit_bytes
            ):
                reason = "queue_full"
            else:
                self._create()
        except OSError as error:
            reason = "disk_full" if error.errno in _FULL else "io_error"
        if reason is not None:
            self._retry_at, self._retry_reason = now + _RECHECK_SECONDS, reason
        return reason

    def _create(self) -> None:
        number = self._segment = self._segment + 1  # an interrupted attempt's number is not used again
        path = self.directory / segment_name(self.name, number)
        unnamed = path.with_suffix(".new")
        file = FileIO(str(unnamed), "x+", opener=private_and_high)  # an object: an interrupt that drops it closes it
        try:
            fd = file.fileno()
            append_only(fd)
            lock(fd)
            first = self.sequence if self._gap_from is None else self._gap_from
            header = frames.segment_header(self._id, number, first, time_ns() // 1000, os.getpid())
            if file.write(header) != len(header):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            ours = Ours(fd)
            os.rename(unnamed, path)
            self._state = _State(self.sequence, len(header))
            self._out = _Open(file, fd, ours, number)
        except BaseException:
            self._out = None
            file.close()  # if it has its name already, the writer finds it empty
            unnamed.unlink(missing_ok=True)
            raise
        if self._gap_from is not None and self._add(self._out, frames.GAP, self._gap_from.to_bytes(8, "little")):
            self._gap_from = None

    def _add(self, out: _Open, kind: int, payload: bytes = b"") -> bool:
        """Append a frame that is no record; whether there was room."""
        data = frames.frame(self.sequence, time_ns() // 1000, payload, kind)
        if self._put(out, data, self.sequence) != len(data):
            self._cut_to(out, 0, 0)
            return False
        return True

    def _finish_segment(self) -> None:
        out = self._out
        if out is None:
            return
        self._older.append((out.number, self.sequence))  # first: an interrupt may come between any of these
        self._out = None
        self._spool += self._state.size
        out.file.close()  # and with it goes the lock

    def spool_bytes(self) -> int:
        """Bytes of all journals of the host. Remembered for the next segment: a look takes a call for each file."""
        self._spool, self._spool_at = directory_bytes(self.directory), time.monotonic()
        return self._spool

    @property
    def committed(self) -> int:
        """How many of our records the writer has said to have committed."""
        with self._reading:
            out = self._out
            if out is not None:
                self._committed = max(self._committed, self._note_of(out.number) or 0)
            while self._older and self._committed < self.sequence:
                number, after = self._older[0]
                if self._committed < after:
                    noted = self._note_of(number)
                    if noted is not None:
                        self._committed = max(self._committed, noted)
                        if self._committed < after:
                            break
                self._committed = max(self._committed, after)  # drained segments are removed
                self._older.popleft()
            return self._committed

    def _note_of(self, number: int) -> int | None:
        """What the writer has noted in a segment; None where it has removed it, 0 where it cannot be read now."""
        try:
            fd = os.open(self.directory / segment_name(self.name, number), os.O_RDONLY | _CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError:
            return 0
        try:
            return frames.unpack_committed(os.pread(fd, frames.COMMITTED.size, frames.COMMITTED_AT))[1]
        except OSError:
            return 0
        finally:
            os.close(fd)

    def oldest_accepted_us(self) -> int | None:
        """When the oldest record of ours that is not committed was accepted; None when all are."""
        with self._reading:
            if self.committed >= self.sequence:
                return None
            segments = [number for number, _ in list(self._older)]
            if self._segment not in segments:
                segments.append(self._segment)
            for number in segments:
                try:
                    fd = os.open(self.directory / segment_name(self.name, number), os.O_RDONLY | _CLOEXEC)
                except OSError:
                    continue
                try:
                    offset, _ = frames.unpack_committed(os.pread(fd, frames.COMMITTED.size, frames.COMMITTED_AT))
                    found, _ = frames.scan(os.pread(fd, 1 << 16, offset), final=True, limit=1)
                except OSError:
                    continue
                finally:
                    os.close(fd)
                if found and isinstance(found[0], frames.JournalFrame) and found[0].kind == frames.RECORD:
                    return found[0].accepted_us
            return None

    def check(self) -> bool:
        """Whether the file we write to is still there; if not, the next one shows the writer what is missing."""
        out = self._out
        if out is None or is_at(self.directory / segment_name(self.name, out.number), out.ours.identity):
            return True
        with self._reading:
            committed = self.committed
            with self._lock:
                if self._out is not out or self._appending:
                    return True  # it was finished meanwhile, and drained
                self._appending = True  # a record from a signal handler waits until this is done
                try:
                    if self._current() is None:  # closed under us, and its lock with it: the writer may have drained it
                        return True
                    self.replaced += 1
                    self._finish_segment()
                    self._gap_from = committed
                    self._committed = self.sequence  # they wait no more
                    self._older.clear()
                finally:
                    self._appending = False
                return False

    def close(self) -> None:
        """End the journal in good order; what comes later is refused as `closed`."""
        self.check()
        with self._lock:
            if self._closed:
                return
            self.append_many(())  # repairs, and takes what finalisers left
            if self._out is None and self._gap_from is not None:
                self._open()
            self._closed = True
            out = self._current()
            if out is not None:
                self._add(out, frames.END)
                self._finish_segment()
