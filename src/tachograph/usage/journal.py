"""The producer's side of a journal: one per process, appended with write(2), survives the process's death.

Why it is written as it is (measured, docs/ledger.md): `os.write` lets go of the interpreter lock, and beside a busy
Python thread getting it back takes 5 to 15 ms. write(2) through `ctypes.PyDLL` keeps the lock for the 2 us that a
write into the page cache takes. A memory-mapped file is as fast but kills the process with SIGBUS on a full disk.
For the same reason nobody who makes system calls holds the lock under which records are appended: the gauges read
notes and files under a lock of their own.

A segment is held with a file lock while it may still grow. Whoever can take that lock knows that nobody will append
any more. A new segment gets its name only after it is locked.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import time_ns
from typing import Final
from zlib import crc32

from tachograph.usage import frames
from tachograph.usage.locks import lock

SUFFIX: Final = ".journal"
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG})
_RECHECK_SECONDS: Final = 0.05
_SPOOL_SECONDS: Final = 3.0
_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_MAGIC, _VERSION, _RECORD = frames.MAGIC, frames.VERSION, frames.RECORD
_pack_head, _pack_body = frames.HEAD.pack, frames.BODY.pack


def segment_name(journal: str, segment: int) -> str:
    """The file name of a segment; names sort by journal and then by age."""
    return f"{journal}-{segment:08d}{SUFFIX}"


def parse_segment_name(name: str) -> tuple[str, int] | None:
    """Journal and segment number of a file name, or None when it is no segment's."""
    stem, dash, number = name.removesuffix(SUFFIX).rpartition("-")
    if not name.endswith(SUFFIX) or not dash or not number.isdigit():
        return None
    return stem, int(number)


def directory_bytes(directory: Path) -> int:
    """Bytes of all journals in the directory."""
    total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    total += entry.stat().st_size
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return 0
    return total


def _write_function() -> Callable[[int, bytes, int], int]:
    if sys.platform == "win32":  # pragma: no cover
        return lambda fd, data, size: os.write(fd, data)
    write = ctypes.PyDLL(None, use_errno=True).write
    write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    write.restype = ctypes.c_ssize_t
    return write


class Journal:
    """Appends payloads; safe from any thread, from finalisers and signal handlers that come in between, and after fork.

    Args:
        directory: Where the journals of this host are; made when the first record comes.
        segment_bytes: A new segment is begun after so many bytes.
        limit_bytes: Refuse records while all journals of the host together hold more than this.

    Attributes:
        sequence: Number of records appended.
        refused: Number of records refused, by reason.
    """

    def __init__(self, directory: Path, *, segment_bytes: int = 4 << 20, limit_bytes: int = 1 << 30) -> None:
        self.directory = directory
        self.limit_bytes = limit_bytes
        self.segment_bytes = max(4096, min(segment_bytes, limit_bytes // 8))
        self.refused = dict.fromkeys(("queue_full", "disk_full", "invalid", "closed", "io_error"), 0)
        self._write = _write_function()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._reading = threading.RLock()  # for what the gauges read; taken before the other, never inside it
        self._appending = False
        self._deferred: deque[bytes] = deque()
        self._fd = -1
        self._size = 0
        self._segment = 0
        self._closed = False
        self._retry_at = 0.0
        self._retry_reason = "io_error"
        self._id = os.urandom(16)
        self.name = self._id.hex()
        self.sequence = 0
        self._committed = 0
        self._gap_from: int | None = None
        self._spool, self._spool_at = 0, 0.0
        self._older: deque[tuple[int, int]] = deque()  # finished segments and the sequence after their last record

    def after_fork_in_child(self) -> None:
        """Leave the parent's journal to the parent and begin one of our own with the next record."""
        if self._fd >= 0:
            os.close(self._fd)  # ours alone: the parent's opening, and the lock with it, stay
        self._begin()
        self.refused = dict.fromkeys(self.refused, 0)

    def append(self, payload: bytes) -> str | None:
        """Append one record; None when it is accepted, else why it is refused."""
        with self._lock:
            if self._appending:  # a finaliser or signal handler inside an append of this very thread
                self._deferred.append(payload)
                return None
            self._appending = True
            try:
                reason = self._append(payload)
                if self._deferred:
                    while self._deferred:
                        self._append(self._deferred.popleft())
            finally:
                self._appending = False
            return reason

    def refuse(self, reason: str) -> str:
        """Count a record that is refused before it gets here."""
        with self._lock:
            self.refused[reason] += 1
        return reason

    def _append(self, payload: bytes) -> str | None:
        if self._fd < 0:
            reason = self._open()
            if reason is not None:
                self.refused[reason] += 1
                return reason
        sequence = self.sequence
        body = _pack_body(sequence, time_ns() // 1000) + payload  # frames.frame, written out: 0.3 us less
        data = _pack_head(_MAGIC, _VERSION, _RECORD, len(body), crc32(body, _VERSION)) + body
        size = len(data)
        written = self._write(self._fd, data, size)
        if written != size:
            reason = self._undo(written)
            self.refused[reason] += 1
            return reason
        self.sequence = sequence + 1
        self._size += size
        if self._size >= self.segment_bytes:
            self._finish_segment()
        return None

    def _undo(self, written: int) -> str:
        """Take back a write that failed or was cut short; the segment ends where its last whole record ends."""
        number = ctypes.get_errno() if written < 0 else errno.ENOSPC
        if written > 0:
            os.ftruncate(self._fd, self._size)
        return "disk_full" if number in _FULL else "io_error"

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
        number = self._segment + 1
        path = self.directory / segment_name(self.name, number)
        unnamed = path.with_suffix(".new")
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | _CLOEXEC | getattr(os, "O_BINARY", 0)
        fd = os.open(unnamed, flags, 0o600)
        try:
            lock(fd)
            first = self.sequence if self._gap_from is None else self._gap_from
            header = frames.segment_header(self._id, number, first, time_ns() // 1000, os.getpid())
            if os.write(fd, header) != len(header):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.rename(unnamed, path)
        except OSError:
            os.close(fd)
            unnamed.unlink(missing_ok=True)
            raise
        self._fd, self._size, self._segment = fd, len(header), number
        if self._gap_from is not None and self._add(frames.GAP, self._gap_from.to_bytes(8, "little")):
            self._gap_from = None

    def _add(self, kind: int, payload: bytes = b"") -> bool:
        """Append a frame that is no record; whether there was room."""
        data = frames.frame(self.sequence, time_ns() // 1000, payload, kind)
        if self._write(self._fd, data, len(data)) != len(data):
            os.ftruncate(self._fd, self._size)
            return False
        self._size += len(data)
        return True

    def _finish_segment(self) -> None:
        fd, self._fd = self._fd, -1
        self._spool += self._size
        self._older.append((self._segment, self.sequence))
        os.close(fd)  # and with it goes the lock

    def spool_bytes(self) -> int:
        """Bytes of all journals of the host. Remembered for the next segment: a look takes a call for each file."""
        self._spool, self._spool_at = directory_bytes(self.directory), time.monotonic()
        return self._spool

    @property
    def committed(self) -> int:
        """How many of our records the writer has said to have committed."""
        with self._reading:
            if self._fd >= 0:
                self._committed = max(self._committed, self._note_of(self._segment) or 0)
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
        try:
            fd = os.open(self.directory / segment_name(self.name, number), os.O_RDONLY | _CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            return frames.unpack_committed(os.pread(fd, frames.COMMITTED.size, frames.COMMITTED_AT))[1]
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
                except FileNotFoundError:
                    continue
                try:
                    offset, _ = frames.unpack_committed(os.pread(fd, frames.COMMITTED.size, frames.COMMITTED_AT))
                    found, _ = frames.scan(os.pread(fd, 1 << 16, offset), final=True, limit=1)
                finally:
                    os.close(fd)
                if found and isinstance(found[0], frames.Frame) and found[0].kind == frames.RECORD:
                    return found[0].accepted_us
            return None

    def check(self) -> bool:
        """Whether the file we write to is still there; if not, the next one tells the writer what is missing."""
        segment = self._segment
        if self._fd < 0 or (self.directory / segment_name(self.name, segment)).exists():
            return True
        with self._reading:
            committed = self.committed
            with self._lock:
                if self._fd < 0 or self._appending or self._segment != segment:
                    return True  # it was finished meanwhile, and drained
                self._gap_from = committed
                self._committed = self.sequence  # they wait no more
                self._older.clear()
                self._finish_segment()
                self._older.clear()
                return False

    def close(self) -> None:
        """End the journal in good order; what comes later is refused as `closed`."""
        self.check()
        with self._lock:
            if self._closed:
                return
            if self._fd < 0 and self._gap_from is not None:
                self._open()
            self._closed = True
            if self._fd >= 0:
                self._add(frames.END)
                self._finish_segment()
