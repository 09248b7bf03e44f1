"""A file beside the database that holds disk space for the day on which there is no other.

Storing rows makes a SQLite file grow, and its WAL before it, so on a full disk nothing could be stored and no journal
could be emptied. Then this file gives its space back, a piece at a time, and the writer goes on in small steps; each
journal that it has emptied is removed and pays for most of the next. When there is space again, it is filled again.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tachograph.files import open_plain

logger = logging.getLogger("tachograph")

LARGEST: Final = 32 << 20
"""Rows take 1.4 times the space of their journals: with this much some 80 MB of journals can be emptied."""
_PART_OF_DISK: Final = 5
_ROOM: Final = 2
"""It is filled only where so many times its size is free."""
_LOOK_SECONDS: Final = 5.0
_ALMOST_NOTHING: Final = 1 << 20


class Reserve:
    """The reserve of one database.

    Attributes:
        path: The file; `.reserve` after the database's name.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".reserve")
        self._looked_at = 0.0

    def is_disk_full(self) -> bool:
        """Whether there is next to no space left."""
        try:
            space = os.statvfs(self.path.parent)
        except (OSError, AttributeError):
            return False
        return space.f_bavail * space.f_frsize < _ALMOST_NOTHING

    def keep(self) -> bool:
        """Fill the file where there is plenty of space; whether it is full. Costs nothing more often than every 5 s."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS or not hasattr(os, "posix_fallocate"):
            return False
        self._looked_at = now
        try:
            space = os.statvfs(self.path.parent)
            size = min(LARGEST, space.f_blocks * space.f_frsize // _PART_OF_DISK)
            have = self.path.lstat().st_size if os.path.lexists(self.path) else 0
            if have >= size:
                return True
            if space.f_bavail * space.f_frsize < _ROOM * (size - have):
                return False
            fd = open_plain(self.path, os.O_WRONLY | os.O_CREAT)
            try:
                os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
        except OSError as error:  # a file system that cannot, or space that went meanwhile
            logger.debug("tachograph: no space could be reserved for the ledger: %s", error)
            return False
        return True

    def give(self, size: int) -> int:
        """Give so many bytes back to the file system; returns how many there were to give."""
        try:
            fd = open_plain(self.path, os.O_WRONLY)
        except OSError:
            return 0
        try:
            have = os.fstat(fd).st_size
            given = min(size, have)
            os.ftruncate(fd, have - given)
            os.fsync(fd)  # ext4 hands freed blocks out again only after its own commit
        except OSError:
            return 0
        finally:
            os.close(fd)
        if given == have:
            with suppress(OSError):
                self.path.unlink()
        self._looked_at = time.monotonic()
        return given
