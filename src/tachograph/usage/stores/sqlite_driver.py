"""One interface to SQLite, through apsw where it is installed and through the standard library where not."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tachograph.files import Identity, Ours, identity, is_at, leak
from tachograph.usage.stores import sqlite_library
from tachograph.usage.stores.errors import RowsRejected, StoreError, StoreFull, StoreReplaced, StoreUnavailable
from tachograph.usage.stores.schema import OTHER_VERSION

FIXED_VERSION: Final = (3, 51, 3)
OLDEST_VERSION: Final = (3, 38, 0)
"""STRICT tables, RETURNING and UPDATE FROM, JSON built in."""

_WAL_INDEX: Final = struct.Struct("=14xHI")
"""Of the shared memory's header: the size of a page, and how many frames of the WAL are valid."""

_BAD_VALUES: Final = (TypeError, OverflowError, UnicodeEncodeError, ValueError)


class Driver:
    """One connection. Errors come out as the ledger's own."""

    def __init__(self, connection: object, version: str, where: str, apsw: Any = None) -> None:
        self._connection: Any = connection  # None once it is closed
        self._apsw = apsw
        self._files: list[Ours] = []
        self._path = Path(where).resolve()  # also after a change of the working directory
        self._identity = identity(self._path)
        self._beside: dict[Path, Identity] = {}
        self.library_version = version
        self.is_wal_safe = _numbers(version) >= FIXED_VERSION
        self._where = where

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and fetch what it gives."""
        try:
            found: list[tuple[Any, ...]] = self._connection.execute(sql, parameters).fetchall()
            return found
        except _BAD_VALUES as error:
            raise RowsRejected(f"SQLite cannot hold a value: {error}", where=self._where) from error
        except sqlite3.Error as error:
            raise self._translate(error, isinstance(error, sqlite3.IntegrityError | sqlite3.DataError)) from error
        except Exception as error:
            apsw = self._apsw
            if apsw is None or not isinstance(error, apsw.Error):
                raise
            rejected = apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError
            raise self._translate(error, isinstance(error, rejected)) from error

    def _translate(self, error: Exception, rejected: bool) -> StoreError:
        if rejected:
            return RowsRejected(f"SQLite rejects a row: {error}", where=self._where)
        text = str(error).removeprefix(type(error).__name__ + ": ")
        do = None
        if "not a database" in text or "malformed" in text:
            do = "Move the file away: a new one is begun. `tachograph ledger copy` can save what it still holds."
        elif "full" in text:
            do = "Free some space on its disk: what waits in the journals is stored by itself."
            return StoreFull(f"SQLite says: {text}", where=self._where, do=do)
        elif text.startswith("no such column"):
            do = OTHER_VERSION
        elif text.startswith("no such table"):
            do = "The file is not a ledger, or its tables were deleted. Name the ledger's own file."
        elif "locked" in text:
            do = "Another program holds it; the ledger tries again."
        return StoreUnavailable(f"SQLite says: {text}", where=self._where, do=do)

    def changes_since(self, seq: int) -> int:
        """Rows of `usage` that are newer than this sequence."""
        return int(self.run("SELECT count(*) FROM usage WHERE seq > ?", (seq,))[0][0])

    def watch_files(self) -> None:
        """Remember which descriptors SQLite has: now that it has read, it has them all."""
        self._files = sqlite_library.descriptors(self._connection, self._path)
        for suffix in ("-wal", "-shm"):
            path = self._path.with_name(f"{self._path.name}{suffix}")
            found = identity(path)
            if found is not None:
                self._beside[path] = found

    def check_files(self) -> None:
        """See that the database is still where it was, and that SQLite's descriptors are still its own.

        Raises:
            StoreReplaced: They are not. The connection is of no use any more.
        """
        if not all(self._files):
            leak(self._connection)  # closing it would close what has its numbers now
            self._connection = None
            sqlite_library.give_up()
            raise StoreReplaced(
                "the ledger's descriptors were closed by something else in this process", where=self._where
            )
        if self._identity is not None and not is_at(self._path, self._identity):
            self._leave_moved()
            raise StoreReplaced("the ledger's file was deleted, renamed or replaced", where=self._where)
        for path, expected in self._beside.items():
            if not is_at(path, expected):  # whatever we write there is gone when this process is killed
                self._leave_moved()
                raise StoreReplaced(f"{path.name} was deleted or replaced", where=self._where)
        if self._is_wal_cut():
            leak(self._connection)  # carried over into the database, what was cut off would be zeros there
            self._connection = None
            sqlite_library.give_up()
            for path in self._beside:
                path.unlink(missing_ok=True)
            raise StoreReplaced("the ledger's WAL was truncated, and what it held is gone", where=self._where)

    def _is_wal_cut(self) -> bool:
        """Whether the WAL is shorter than the shared memory says (https://sqlite.org/walformat.html, 2.1)."""
        shared = [ours.fd for ours in self._files if ours.identity in self._beside.values()]
        wal = next((path for path in self._beside if path.name.endswith("-wal")), None)
        if not shared or wal is None:
            return False
        header = os.pread(shared[-1], _WAL_INDEX.size, 0)  # descriptors of SQLite's: closing one would drop its locks
        if len(header) < _WAL_INDEX.size:
            return False
        page, frames = _WAL_INDEX.unpack(header)
        return bool(frames) and wal.stat().st_size < 32 + frames * (24 + (65_536 if page == 1 else page))

    def _leave_moved(self) -> None:
        """Carry the WAL over into the file, wherever it is now, and leave the names to the file that takes its place.

        Closing in the usual way would delete the WAL by its name, which may be another database's by now.
        """
        connection, self._connection = self._connection, None
        if self._apsw is None:
            leak(connection)
            return
        try:
            sqlite_library.keep_wal(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            connection.close()
        except self._apsw.Error:
            leak(connection)

    def interrupt(self) -> None:
        """Break off what runs, from another thread."""
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Close the connection, unless it would close files of others."""
        if self._connection is not None:
            if all(self._files):
                self._connection.close()
            else:
                leak(self._connection)
                sqlite_library.give_up()
            self._connection = None


def connect(path: Path, *, timeout_seconds: float, read_only: bool) -> Driver:
    """Open the file.

    Raises:
        StoreUnavailable: It cannot be opened, or this SQLite is too old.
    """
    where = str(path)
    apsw = sqlite_library.library()
    try:
        if apsw is not None:
            flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
            connection = apsw.Connection(where, flags=flags)
            connection.set_busy_timeout(int(timeout_seconds * 1000))
            return Driver(connection, apsw.sqlite_lib_version(), where, apsw)
        if _numbers(sqlite3.sqlite_version) < OLDEST_VERSION:
            raise StoreUnavailable(
                f"this Python has SQLite {sqlite3.sqlite_version}, too old for the ledger",
                where=where,
                do="Install a newer one: pip install 'tachograph[sqlite]'",
            )
        mode = "ro" if read_only else "rwc"
        plain = sqlite3.connect(
            f"file:{_quoted(where)}?mode={mode}",
            uri=True,
            timeout=timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        return Driver(plain, sqlite3.sqlite_version, where)
    except Exception as error:
        if isinstance(error, sqlite3.Error) or (apsw is not None and isinstance(error, apsw.Error)):
            raise StoreUnavailable(
                f"the ledger cannot be opened: {error}",
                where=where,
                do="Check that the file exists and may be read and written, or set ledger.data_dir.",
            ) from error
        raise


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
