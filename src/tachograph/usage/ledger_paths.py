"""Where a ledger's files are on this host, who writes, and how that is known."""

from __future__ import annotations

import os
import platform
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

from msgspec import structs

from tachograph.errors import SettingsError
from tachograph.files import (
    Ours,
    UnsafeFile,
    is_at,
    make_private_directory,
    make_private_file,
    move_up,
    open_plain,
    read_start,
)
from tachograph.settings.ledger import LedgerSettings
from tachograph.usage.locks import is_locked, lock

HEARTBEAT_SECONDS: Final = 1.0
STALE_SECONDS: Final = 20.0
_BEAT_BYTES: Final = 40
_HOST_BYTES: Final = 1024


class LedgerPaths:
    """The data directory: `journals/`, `writer.lock`, `flush`, `host`, and with SQLite `ledger.db`.

    Raises:
        SettingsError: None is named, and this user has no home directory.
    """

    def __init__(self, settings: LedgerSettings) -> None:
        try:
            if settings.data_dir is not None:
                self.directory = Path(settings.data_dir).expanduser().absolute()  # a daemon changes its directory
            else:
                import platformdirs

                self.directory = Path(platformdirs.user_data_dir("tachograph", appauthor=False))
        except (OSError, RuntimeError) as error:  # a user without a home directory, a working directory that is gone
            raise SettingsError(
                f"the ledger has no directory: {error}",
                where="setting ledger.data_dir",
                do="Set it to a full path that this process may write, or set ledger.enabled = false.",
            ) from error
        self.journals = self.directory / "journals"
        self.lock_file = self.directory / "writer.lock"
        self.flush_file = self.directory / "flush"
        self.url = settings.url or f"sqlite:///{self.directory / 'ledger.db'}"

    def make(self) -> None:
        """Make the directories, for no other user to read."""
        make_private_directory(self.directory)
        self.refuse_links()
        make_private_directory(self.journals)

    def make_or_refuse(self) -> None:
        """The same, for what cannot go on without them.

        Raises:
            SettingsError: They cannot be made.
        """
        try:
            self.make()
        except OSError as error:
            raise SettingsError(
                f"the ledger's directory cannot be made: {error.strerror or error}",
                where=str(self.directory),
                do="Set ledger.data_dir to a directory that this process may write, or set ledger.enabled = false.",
            ) from error

    def refuse_links(self) -> None:
        """See that no file of the ledger is a link to, or another name of, a file elsewhere.

        Raises:
            UnsafeFile: One is. Writing there would change the other file.
        """
        database = self.directory / "ledger.db"
        beside = [database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm", ".reserve")]
        for path in (self.journals, *beside, self.lock_file, self.flush_file, self.directory / "host"):
            try:
                status = path.lstat()
            except OSError:
                continue
            if stat.S_ISLNK(status.st_mode):
                raise UnsafeFile(f"{path} is a symbolic link. Remove it; ledger.data_dir may be one")
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1 and path.name != "host":  # made by linking
                raise UnsafeFile(f"{path} has another name (a hard link). Copy it instead")

    def host(self) -> str:
        """A name of this directory on this host that stays the same, for positions in a store that hosts share."""
        if kept := self._kept_host():
            return kept
        path = self.directory / "host"
        name = f"{platform.node() or 'host'}-{secrets.token_hex(4)}"
        temporary = path.with_name(f"host.{secrets.token_hex(4)}")
        try:
            make_private_file(temporary)
            temporary.write_text(name + "\n", "utf-8")
            os.link(temporary, path)  # the first of several processes wins
        except OSError:  # another process has won; or it is no file, the disk is full, or has no links
            name = self._kept_host() or f"{platform.node() or 'host'}-{crc32(os.fsencode(self.directory)):08x}"
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        return name

    def _kept_host(self) -> str:
        try:
            return read_start(self.directory / "host", _HOST_BYTES).strip()
        except (OSError, ValueError):
            return ""

    def ask_for_flush(self) -> None:
        """Ask the writer, in whatever process it is, to store now what waits."""
        with suppress(OSError):  # a full disk: it is stored a little later
            os.close(open_plain(self.flush_file, os.O_WRONLY | os.O_CREAT))
            os.utime(self.flush_file)

    def last_asked_for_flush(self) -> int:
        """When a process last asked for that, by the file system's clock; 0 for never."""
        try:
            return os.stat(self.flush_file).st_mtime_ns
        except OSError:
            return 0

    def try_lock(self) -> WriterLock | None:
        """Become the writer of this host, unless there is one."""
        self.make()
        make_private_file(self.lock_file)
        fd = move_up(open_plain(self.lock_file, os.O_RDWR))
        if lock(fd):
            return WriterLock(fd, self.lock_file)
        os.close(fd)
        return None

    def is_writer_alive(self) -> bool:
        """Whether a writer holds the lock and has been at work in the last seconds."""
        beat = self.heartbeat()
        try:
            return beat is not None and time.time() - beat[1] < STALE_SECONDS and is_locked(self.lock_file)
        except OSError:
            return False

    def heartbeat(self) -> tuple[int, float] | None:
        """Process id of the last writer, and when it last said that it is at work."""
        try:
            pid, at = read_start(self.lock_file, _BEAT_BYTES).split()[:2]
            return int(pid), float(at)
        except (OSError, ValueError):
            return None


class WriterLock:
    """The right to write, and the heartbeat that goes with it.

    Attributes:
        is_lost: The file was deleted or replaced, or its descriptor taken away: another process may write now.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path
        self.is_lost = False
        self._ours = Ours(fd)
        self._beat_at = 0.0

    def beat(self) -> None:
        """Say that the writer is at work; costs nothing more often than once a second."""
        now = time.time()
        if self.is_lost or abs(now - self._beat_at) < HEARTBEAT_SECONDS:
            return
        self._beat_at = now
        if not self._ours or not is_at(self.path, self._ours.identity):
            self.is_lost = True
            return
        with suppress(OSError):  # a full disk: the writer then seems dead, and works
            os.pwrite(self.fd, f"{os.getpid()} {now:.3f}\n".ljust(_BEAT_BYTES).encode(), 0)

    def release(self) -> None:
        """Let another process write."""
        if self.fd >= 0 and self._ours:
            os.close(self.fd)
        self.fd = -1


def configured_ledger(settings: LedgerSettings, url: str | None = None) -> LedgerSettings | None:
    """The ledger to look into: the one asked for, or the configured one where it exists."""
    from tachograph.usage.stores.open import sqlite_path

    if url is not None:
        return structs.replace(settings, url=url)
    found = LedgerPaths(settings).url
    exists = settings.enabled and (not found.startswith("sqlite:") or sqlite_path(found).is_file())
    return settings if exists else None
