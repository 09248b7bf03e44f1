"""Which file a descriptor or a path stands for, and how to leave a descriptor that is no longer ours.

A daemonizer closes every descriptor of its process, and the application's next files get their numbers. Files are
deleted, renamed and replaced while we have them open. So nothing here trusts a number or a name: each is compared
with the device and inode that it had when we opened it.

A comparison is true only for a moment: between it and the write that follows, another thread can close the descriptor
and open a file in its place. So what stays open is moved up to numbers that the application's files are not given.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any, Final

if sys.platform != "win32":
    import fcntl
    import resource

Identity = tuple[int, int]
"""Device and inode."""

CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
NOFOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
NONBLOCK: Final = getattr(os, "O_NONBLOCK", 0)
private: Final[Callable[[str, int], int]] = partial(os.open, mode=0o600)
"""An `opener`: what it makes is for this user alone. A partial, so that no signal handler runs inside it."""

_KEY_PARTS: Final = 32
"""Of a dotted key in TOML. tomllib needs memory by the square of their number: 1.5 GB for 20,000."""
_LONG_KEY: Final = (
    r"""(?<![\w"'-])(?:(?>[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){%d}""" % _KEY_PARTS  # noqa: UP031 - its braces would be doubled
)

_ASIDE: Final = 64
"""How many numbers below the limit are ours to use."""
_HIGHEST: Final = 1024
"""No higher: the system's table of a process's descriptors grows with the highest number, and is copied at fork."""
_turn: Final = count()


def move_up(fd: int) -> int:
    """Give a descriptor that stays open a number close to the limit; returns it, or the old one where none is free.

    A new file gets the lowest free number, so the application's files do not get these, also after a daemonizer has
    closed them. The numbers take turns: a file of ours must not get the number that SQLite still writes to, either.
    """
    if sys.platform == "win32":  # pragma: no cover
        return fd
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    top = _HIGHEST if limit == resource.RLIM_INFINITY else min(limit, _HIGHEST)
    if top < 4 * _ASIDE:
        return fd
    try:
        moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, top - _ASIDE + next(_turn) % (_ASIDE // 2))
    except OSError:  # all are taken
        return fd
    os.close(fd)
    return moved


def private_and_high(path: str, flags: int) -> int:
    """An `opener` for what stays open."""
    return move_up(private(path, flags))


def mapped(fd: int, size: int, offset: int = 0) -> memoryview:
    """Map a part of a file, shared, until the last view of it is gone.

    `mmap.mmap` keeps a second descriptor, of a number of its own, and closes that number in the end, whatever file has
    it by then. This can be turned off only since Python 3.13.
    """
    import mmap  # a library of its own, which most imports of this file do not need

    if sys.platform == "win32":  # pragma: no cover
        return memoryview(mmap.mmap(fd, size, offset=offset))
    address = _libc.mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, offset)
    if address == _MAP_FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    memory = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(memory, _libc.munmap, address, size).atexit = False
    return memoryview(memory).cast("B")


def identity(file: int | Path) -> Identity | None:
    """Device and inode of an open descriptor or of a path (a symbolic link is itself); None where there is nothing."""
    try:
        status = os.fstat(file) if isinstance(file, int) else os.lstat(file)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_at(path: Path, expected: Identity) -> bool:
    """Whether this path still names that file. True too where the system cannot say: a full answer comes later.

    Only "not there" and "another file" count as a change: a stalled or forbidden look does not.
    """
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return (status.st_dev, status.st_ino) == expected


def printable(path: Path) -> str:
    """A path as logs can hold it: a file's name may have line ends, and bytes that are no UTF-8."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else ascii(text)


class UnsafeFile(OSError):
    """A name in the data directory is a link, or is not a plain file: writing there could harm another file."""


def open_plain(path: Path, flags: int, longest: int | None = None) -> int:
    """Open a plain file that only its own name refers to.

    Args:
        longest: Bytes that such a file has at most.

    Raises:
        UnsafeFile: It is a symbolic link, has further hard links, is a directory, pipe or device, or is too long.
        OSError: It cannot be opened.
    """
    try:
        fd = os.open(path, flags | CLOEXEC | NOFOLLOW | NONBLOCK, 0o600)
    except OSError as error:
        if path.is_symlink():
            raise UnsafeFile(f"{printable(path)} is a symbolic link") from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeFile(f"{printable(path)} is not a plain file")
        if status.st_nlink > 1:
            raise UnsafeFile(f"{printable(path)} has another name (a hard link)")
        if longest is not None and status.st_size > longest:
            raise UnsafeFile(f"{printable(path)} has {status.st_size} bytes, more than any such file")
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_start(path: Path, size: int) -> str:
    """The first bytes of a small file, as text.

    Raises:
        OSError: It is not there, is no plain file or cannot be opened.
        ValueError: It is not text.
    """
    fd = os.open(path, os.O_RDONLY | CLOEXEC | NOFOLLOW | NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UnsafeFile(f"{printable(path)} is not a plain file")
        return os.read(fd, size).decode()
    finally:
        os.close(fd)


def open_named(path: str | Path, longest: int, *, takes_pipes: bool = False) -> FileIO:
    """Open a file that a person names, for reading. Links are followed; what is not a plain file is never waited for.

    Args:
        longest: Bytes that such a file has at most.
        takes_pipes: Whether a pipe will do, for commands: `<(zcat bill.gz)`. Its reader bounds what it reads.

    Raises:
        OSError: It is not there, cannot be opened, is no plain file or is too long; `strerror` says which.
    """
    file = FileIO(str(path), opener=_without_waiting)
    try:
        status = os.fstat(file.fileno())
        if takes_pipes and stat.S_ISFIFO(status.st_mode):
            os.set_blocking(file.fileno(), True)
        elif not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a plain file", str(path))
        elif status.st_size > longest:
            text = f"it has {status.st_size:,} bytes, and such a file has at most {longest:,}"
            raise OSError(errno.EFBIG, text, str(path))
    except BaseException:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | CLOEXEC | NONBLOCK)


def read_named(path: str | Path, longest: int, *, takes_pipes: bool = False) -> str:
    """The text (UTF-8, with or without a byte order mark) of a file that a person names; see `open_named`.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    with open_named(path, longest, takes_pipes=takes_pipes) as file:
        parts, left = [], longest
        while left and (part := file.read(min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
        if not left and file.read(1):  # a pipe, or it has grown
            raise OSError(errno.EFBIG, f"it has more than {longest:,} bytes", str(path))
    return b"".join(parts).decode("utf-8-sig")


def read_toml(path: str | Path, longest: int, *, parse_float: Callable[[str], object] = float) -> dict[str, Any]:
    """What a TOML file that a person names says; see `read_named`.

    Raises:
        OSError: It cannot be read.
        ValueError, RecursionError: It is not TOML, or a key has too many parts.
    """
    import tomllib

    text = read_named(path, longest)
    if found := re.search(_LONG_KEY, text):
        line = text.count("\n", 0, found.start()) + 1
        raise tomllib.TOMLDecodeError(f"a key has more than {_KEY_PARTS} parts (at line {line})")
    return tomllib.loads(text, parse_float=parse_float)


def make_private_directory(path: Path) -> None:
    """Make a directory (and those above it) for this user alone, at any umask; one that is there stays as it is."""
    try:
        path.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        path.chmod(0o700)


def make_private_file(path: Path) -> None:
    """Make an empty file for this user alone, at any umask, or take the others' rights from the one that is there.

    One that is there is not opened: closing it again would drop the file locks that SQLite has in this process.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | CLOEXEC, 0o600)
    except FileExistsError:
        with suppress(OSError):  # another user's, that we may write all the same
            if stat.S_ISREG(path.lstat().st_mode):
                path.chmod(0o600)
        return
    try:
        os.fchmod(fd, 0o600)
    finally:
        os.close(fd)


def leak(thing: object) -> None:
    """Keep an object for as long as the process lives, past the end of its interpreter: it must never be closed.

    For what a parent process uses, and for files whose descriptors now are the application's: closing those would
    close the application's files.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


class Ours:
    """Says in under a microsecond whether a descriptor still is the file that it was.

    fstat(2) through `ctypes.PyDLL` keeps the interpreter lock: `os.fstat` releases it, and getting it back takes
    milliseconds beside a busy thread. Device and inode are among the first bytes of the system's answer.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._answer = ctypes.create_string_buffer(512)
        self._first = self._look()
        self.identity = identity(fd) or (0, 0)

    def _look(self) -> bytes | None:
        if _fstat is None:
            found = identity(self.fd)
            return None if found is None else repr(found).encode()
        return None if _fstat(self.fd, self._answer) else self._answer.raw[:16]

    def __bool__(self) -> bool:
        return self._first is not None and self._look() == self._first

    def holds(self, size: int) -> bool:
        """Whether the file, as it was when this was last asked whether it is ours, has so many bytes."""
        if _fstat is None or sys.maxsize < 1 << 32:
            return os.fstat(self.fd).st_size >= size
        return int.from_bytes(self._answer.raw[_SIZE_AT : _SIZE_AT + 8], sys.byteorder) >= size


_SIZE_AT: Final = 48
"""Of st_size in the system's answer, on every 64-bit Linux."""


def _fstat_function() -> Callable[[int, ctypes.Array[ctypes.c_char]], int] | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.PyDLL(None, use_errno=True), "fstat", None)  # not in glibc before 2.33
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p)
        function.restype = ctypes.c_int
    return function


_fstat: Final = _fstat_function()


def _libc_functions() -> Any:  # noqa: ANN401 - ctypes
    if sys.platform == "win32":  # pragma: no cover
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return libc


_libc: Final = _libc_functions()
_MAP_FAILED: Final = ctypes.c_void_p(-1).value
