"""The SQLite that connections are opened with: a copy of its own for a process that cannot use the one it has.

SQLite keeps a list of the files and file locks of its process. After fork the child has its parent's list and none of
its locks. A connection of the child then acts as if it held what it does not, and when the parent has ended, the next
program that looks into the database takes itself for the only one, removes the WAL under the child, and the child's
next rows are gone (seen with SQLite 3.54, 2026-11-27; https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_
connection_across_a_fork_). Locks of SQLite's own that another thread held at the fork stay taken forever, too. The
same list is wrong once other code has closed SQLite's descriptors. A second copy of the library has a list of its own.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

from tachograph.files import Ours, identity, move_up
from tachograph.native import original
from tachograph.usage.stores.errors import StoreUnavailable

try:
    import apsw
except ImportError:  # the extra `sqlite` is not installed
    apsw = None  # type: ignore[assignment]

_FILE_POINTER, _PERSIST_WAL, _JOURNAL_POINTER = 7, 10, 28
# https://sqlite.org/c3ref/c_fcntl_begin_atomic_write.html (SQLITE_FCNTL_FILE_POINTER, _PERSIST_WAL, _JOURNAL_POINTER)
_DESCRIPTOR_AT: Final = 3 * ctypes.sizeof(ctypes.c_void_p)
"""Where struct unixFile has its descriptor, after pMethod, pVfs and pInode; compared with the file before use."""

if sys.platform != "win32":
    _OPEN: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_int, use_errno=True)

_lock = original("allocate_lock")()
_moving = original("allocate_lock")()
_module: Any = apsw
_opened_in = 0
"""The process in which a connection was opened with this copy; 0 for none."""
_copies = 0
"""How many were made, in this process and those that it was forked from."""


def library() -> Any:
    """The `apsw` to open a connection with; None where only the standard library's SQLite is there.

    Raises:
        StoreUnavailable: The parent's SQLite cannot be used here, and no other is to be had.
    """
    global _module, _opened_in
    with _lock:
        if _opened_in not in (0, os.getpid()):
            _renew()
        _opened_in = os.getpid()
        return _module


def give_up() -> None:
    """Open nothing more with the present copy: its descriptors are no longer its own."""
    global _opened_in
    with _lock:
        _opened_in = -1


def _renew() -> None:
    global _module
    if apsw is None:
        raise StoreUnavailable(
            "this process was forked from one that has the ledger open, and cannot open it safely itself",
            do="Install apsw: pip install 'tachograph[sqlite]'. Until then its records wait in the journal "
            "for another process.",
        )
    try:
        _module = _copy(Path(apsw.__file__))
    except (OSError, ImportError) as error:
        raise StoreUnavailable(f"SQLite could not be loaded again after a fork: {error}") from error


def _copy(extension: Path) -> object:
    global _copies
    if hasattr(os, "memfd_create"):
        fd, path = os.memfd_create("tachograph-sqlite"), ""
    else:
        fd, path = tempfile.mkstemp(suffix=extension.suffix)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(extension.read_bytes())
        _copies += 1
        where = path or f"/proc/self/{'./' * _copies}fd/{fd}"  # a name used before would give the copy it had before
        loader = ExtensionFileLoader("apsw", where)
        spec = spec_from_file_location("apsw", where, loader=loader)
        assert spec is not None
        module = module_from_spec(spec)
        loader.exec_module(module)
        return module
    finally:
        os.close(fd)
        if path:
            os.unlink(path)


@contextmanager
def moved_up(module: Any) -> Iterator[None]:
    """Have what SQLite opens meanwhile moved up, out of the numbers that the application's files get.

    A daemonizer may close SQLite's descriptors within a transaction. Were their numbers given to the application's
    files, the rest of the transaction would go into those; and locks on them would be granted, so that SQLite would
    go on without the database's. A number that no file has fails, and the transaction is rolled back.

    Not in the main thread: an exception of a signal handler would be swallowed there, and the answer be wrong.
    """
    if module is None or sys.platform == "win32" or _is_main_thread() or not _moving.acquire(False):
        yield  # or another thread has what is opened moved up just now
        return
    try:
        system = module.VFS("tachograph-open", "unix")
        pointer = system.xGetSystemCall("open")
        system.xSetSystemCall("open", ctypes.cast(_opening_high(pointer), ctypes.c_void_p).value)
        try:
            yield
        finally:
            system.xSetSystemCall("open", pointer)
            system.unregister()
    finally:
        _moving.release()


def _is_main_thread() -> bool:
    if sys.platform == "linux":
        return threading.get_native_id() == os.getpid()  # true also where gevent has replaced the threads
    return threading.get_ident() == threading.main_thread().ident


@cache
def _opening_high(pointer: int) -> Any:
    """A replacement for this `open`; kept, because another thread may be inside it when it is taken away."""
    real = _OPEN(pointer)

    def open_high(path: bytes, flags: int, mode: int) -> int:
        fd: int = real(path, flags, mode)
        return fd if fd < 0 else move_up(fd)

    return _OPEN(open_high)


def keep_wal(connection: Any) -> None:
    """Leave the names of the WAL and the shared memory alone when the connection is closed."""
    keep = ctypes.c_int(1)
    connection.file_control("main", _PERSIST_WAL, ctypes.addressof(keep))


def descriptors(connection: Any, path: Path) -> list[Ours]:
    """The descriptors that SQLite has for the database, its WAL and its shared memory, where it says so."""
    found = []
    if not isinstance(connection, sqlite3.Connection):
        for operation, file in ((_FILE_POINTER, path), (_JOURNAL_POINTER, path.with_name(f"{path.name}-wal"))):
            pointer = ctypes.c_void_p(0)
            if connection.file_control("main", operation, ctypes.addressof(pointer)) and pointer.value:
                fd = ctypes.c_int.from_address(pointer.value + _DESCRIPTOR_AT).value
                if fd > 2 and identity(fd) is not None and identity(fd) == identity(file):
                    found.append(Ours(fd))
    shared = identity(path.with_name(f"{path.name}-shm"))  # one for all connections of the process
    if shared is not None:
        found += [Ours(fd) for fd in _open_descriptors() if identity(fd) == shared][-1:]
    return found


def _open_descriptors() -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir("/dev/fd") if name.isdigit())
    except OSError:
        return []


def _after_fork_in_child() -> None:
    global _lock, _moving
    _lock, _moving = original("allocate_lock")(), original("allocate_lock")()  # another thread may have held them


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
