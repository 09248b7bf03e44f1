"""Power loss, as a model: what was written since the last sync is there, or not, or in part, in any order.

Two kinds of files are recorded. What SQLite writes goes through a VFS of ours, what a journal writes is noted with
each write. A cut takes what was synced and, of what was not, any sectors: each 512 bytes of a write may be on the disk
or not, whatever came before it. A file may be longer than what was written, with zeros.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from tachograph.usage.stores import sqlite_library

SECTOR = 512


@dataclass
class Disk:
    """What a file held at its last sync, and what was written since."""

    synced: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, data: bytes, offset: int) -> None:
        """Not safe yet."""
        self.unsynced.append((offset, bytes(data)))

    def truncate(self, size: int) -> None:
        """Not safe yet, either: kept as a write of nothing."""
        self.unsynced.append((size, b""))

    def sync(self) -> None:
        """Now all of it is safe."""
        self.synced = _applied(self.synced, self.unsynced)
        self.unsynced.clear()

    def after_a_cut(self, chance: random.Random) -> bytes:
        """What the file holds when the power is back."""
        kept: list[tuple[int, bytes]] = []
        for offset, data in self.unsynced:
            if not data:
                if chance.random() < 0.5:
                    kept.append((offset, data))
                continue
            fate = chance.random()
            if fate < 0.3:
                kept.append((offset, data))
            elif fate < 0.8:
                at = 0
                while at < len(data):
                    step = SECTOR - (offset + at) % SECTOR
                    if chance.random() < 0.5:
                        kept.append((offset + at, data[at : at + step]))
                    at += step
        chance.shuffle(kept)
        return bytes(_applied(self.synced, kept))


def _applied(before: bytearray, writes: list[tuple[int, bytes]]) -> bytearray:
    content = bytearray(before)
    for offset, data in writes:
        if not data:
            del content[offset:]
            continue
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data
    return content


class _File(apsw.VFSFile):
    def __init__(self, recording: Recording, name: Any, flags: Any) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.recording = recording
        self.disk = recording.disks.setdefault(Path(path).name, Disk())
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        self.recording.before_each()
        self.disk.write(data, offset)
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:
        self.disk.truncate(size)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:
        self.recording.before_each()
        super().xSync(flags)
        self.disk.sync()


class Recording(apsw.VFS):
    """The default VFS while it is used as a context: records what SQLite writes and syncs.

    Args:
        before_each: Called before each write and sync, when the power may be cut.
    """

    def __init__(self, before_each: Callable[[], None]) -> None:
        self.disks: dict[str, Disk] = {}
        self.before_each = before_each
        super().__init__("recording", "unix")

    def xOpen(self, name: Any, flags: Any) -> _File:
        return _File(self, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        super().xDelete(name, sync)
        self.disks.pop(Path(name).name, None)

    def __enter__(self) -> Recording:
        # a test before this one may have made the process open its databases with another copy of SQLite
        self._used = sqlite_library._module, sqlite_library._opened_in
        sqlite_library._module, sqlite_library._opened_in = apsw, os.getpid()
        apsw.set_default_vfs("recording")
        return self

    def __exit__(self, *_: object) -> None:
        apsw.set_default_vfs("unix")
        sqlite_library._module, sqlite_library._opened_in = self._used

    def cut(self, directory: Path, chance: random.Random) -> None:
        """Lay down in this directory what is left of the files after a power loss."""
        directory.mkdir()
        for name, disk in self.disks.items():
            if not name.endswith("-shm"):
                (directory / name).write_bytes(disk.after_a_cut(chance))
