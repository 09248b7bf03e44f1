"""A PostgreSQL server of the tests' own, on a Unix socket: really started, stopped at once and hung."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from support.parts import program

_databases = count(1)


def _user() -> str | None:
    """Whom to run it as: initdb refuses root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RuntimeError("no user to run PostgreSQL as")


class PostgresServer:
    """One cluster in a temporary directory. `url(name)` makes a fresh database."""

    def __init__(self, initdb: str) -> None:
        self.bin = Path(initdb).resolve().parent
        self.user = _user()
        self.root = Path(tempfile.mkdtemp(prefix="tg-pg-", dir="/tmp"))
        self.data = self.root / "data"
        self.name = self.user or pwd.getpwuid(os.getuid()).pw_name
        if self.user is not None:
            shutil.chown(self.root, self.user)
        os.chmod(self.root, 0o755)
        self._run(
            str(self.bin / "initdb"), "-D", str(self.data), "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
        )
        settings = (
            f"listen_addresses = ''\nunix_socket_directories = '{self.root}'\nfsync = on\n"
            "shared_buffers = '64MB'\nmax_wal_size = '256MB'\nlog_min_messages = fatal\n"
        )
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(settings)
        self.start()

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, user=self.user, group=None if self.user is None else pwd.getpwnam(self.user).pw_gid,
            cwd=self.root, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "LC_ALL": "C", "HOME": str(self.root)},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = str(self.root / "log")
        self._run(str(self.bin / "pg_ctl"), "-D", str(self.data), "-l", log, "-w", "-t", "100", "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is like pulling the plug."""
        self._run(str(self.bin / "pg_ctl"), "-D", str(self.data), "-m", mode, "-w", "stop")

    def backends(self) -> list[int]:
        """Process ids of the postmaster and all its children."""
        postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    @contextmanager
    def hung(self) -> Iterator[None]:
        """All of it stopped with SIGSTOP: connections stay open and nothing answers."""
        stopped = self.backends()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(stopped):
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    continue

    def url(self, name: str | None = None) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = name or f"t{next(_databases)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql://{self.name}@/{name}?host={self.root}"

    def close(self) -> None:
        """End it without ceremony and remove its files."""
        with suppress(FileNotFoundError, ProcessLookupError):
            processes = self.backends()
            os.kill(processes[0], signal.SIGQUIT)  # an immediate stop
            deadline = time.monotonic() + 60
            while (self.data / "postmaster.pid").exists():
                if time.monotonic() > deadline:
                    for pid in processes:
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    break
                time.sleep(0.02)
        shutil.rmtree(self.root, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; skips the test where PostgreSQL is not installed."""
    server = PostgresServer(program("initdb"))
    try:
        yield server
    finally:
        server.close()
