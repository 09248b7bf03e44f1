"""File locks that die with their process, and are not shared with forked children unless they keep the file open."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tachograph.files import open_plain

if sys.platform == "win32":  # pragma: no cover - the ledger is tested on POSIX systems
    import msvcrt

    def lock(fd: int) -> bool:
        """Take the exclusive lock of an open file, without waiting; whether it was had."""
        try:
            os.lseek(fd, 0x7FFFFFFF, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def append_only(fd: int) -> None:
        """Writes go to the end, wherever that is."""

else:
    import fcntl

    def lock(fd: int) -> bool:
        """Take the exclusive lock of an open file, without waiting; whether it was had.

        flock(2): it belongs to the opening of the file, so two openings in one process exclude each other too.
        """
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def append_only(fd: int) -> None:
        """Writes go to the end, wherever that is."""
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of this file; a missing file is not locked.

    Raises:
        OSError: It cannot be opened, or is a link.
    """
    try:
        fd = open_plain(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not lock(fd)
    finally:
        os.close(fd)
