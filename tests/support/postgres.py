"""A PostgreSQL server of the tests' own, on a Unix socket: really started, stopped at once and hung.

Beside it a standby that follows it (pg_basebackup), and pgbouncer in transaction mode.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

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
    """One cluster in a temporary directory. `url(name)` makes a fresh database.

    Args:
        initdb: The program.
        follows: Be a standby of this server.
    """

    def __init__(self, initdb: str, follows: PostgresServer | None = None) -> None:
        self.bin = Path(initdb).resolve().parent
        self.user = _user()
        # In memory where tests are (conftest.py); under a short name, for the path of a socket has 107 bytes.
        self.root = Path(tempfile.mkdtemp(prefix="tg-pg-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT", "/tmp")))
        self.data = self.root / "data"
        self.name = self.user or pwd.getpwuid(os.getuid()).pw_name
        if self.user is not None:
            shutil.chown(self.root, self.user)
        os.chmod(self.root, 0o755)
        if follows is None:
            self._run(
                str(self.bin / "initdb"), "-D", str(self.data), "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C"
            )
        else:
            self._run(
                str(self.bin / "pg_basebackup"), "-D", str(self.data), "-h", str(follows.root), "-U", self.name,
                "-R", "-X", "stream", "-c", "fast", "--no-sync",
            )  # fmt: skip
        settings = (
            f"listen_addresses = ''\nunix_socket_directories = '{self.root}'\nfsync = on\n"
            "shared_buffers = '64MB'\nmax_wal_size = '256MB'\nlog_min_messages = error\n"
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

    def control(self, command: str) -> None:
        """Another command of pg_ctl: `promote`, `reload`."""
        self._run(str(self.bin / "pg_ctl"), "-D", str(self.data), command)

    @contextmanager
    def admits(self, line: str) -> Iterator[None]:
        """Another first line in pg_hba.conf."""
        file = self.data / "pg_hba.conf"
        before = file.read_text()
        file.write_text(f"{line}\n{before}")
        self.control("reload")
        try:
            yield
        finally:
            file.write_text(before)
            with suppress(RuntimeError):  # it may not run any more
                self.control("reload")

    def log(self) -> str:
        """What the server has logged."""
        return (self.root / "log").read_text(encoding="utf-8")

    def run(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as superuser."""
        import psycopg

        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description is not None else []

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

    def url(self, name: str | None = None, options: str = "") -> str:
        """The URL of a new, empty database. `options`: for CREATE DATABASE."""
        name = name or f"t{next(_databases)}"
        self.run(f"CREATE DATABASE {name} {options}")
        return self.address(name)

    def address(self, name: str, user: str | None = None) -> str:
        """The URL of a database."""
        return f"postgresql://{user or self.name}@/{name}?host={self.root}"

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
def standby_of(server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that follows another one."""
    standby = PostgresServer(str(server.bin / "initdb"), follows=server)
    try:
        yield standby
    finally:
        standby.close()


@contextmanager
def pgbouncer(server: PostgresServer) -> Iterator[int]:
    """pgbouncer in transaction mode before a server: the port of its socket, beside the server's own. All clients share
    two connections.
    """
    found = program("pgbouncer")
    (server.root / "users.txt").write_text(f'"{server.name}" ""\n')
    (server.root / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={server.root}\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\n"
        f"unix_socket_dir = {server.root}\nauth_type = trust\nauth_file = {server.root}/users.txt\n"
        "pool_mode = transaction\ndefault_pool_size = 2\n"
    )
    process = subprocess.Popen(
        [found, "-q", str(server.root / "pgbouncer.ini")], user=server.user,
        group=None if server.user is None else pwd.getpwnam(server.user).pw_gid,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (server.root / ".s.PGSQL.6432").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"pgbouncer does not start: exit code {process.poll()}")
            time.sleep(0.02)
        yield 6432
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; skips the test where PostgreSQL is not installed."""
    server = PostgresServer(program("initdb"))
    try:
        yield server
    finally:
        server.close()


class LosingAnswers:
    """Ends a connection instead of passing on the answer to a statement that the server has carried out.

    Attributes:
        left: How many answers are still to be lost.
    """

    def __init__(self, server: Path, listens_at: Path, after: bytes) -> None:
        listens_at.mkdir()
        self._server, self._after, self.left = str(server / ".s.PGSQL.5432"), after, 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(listens_at / ".s.PGSQL.5432"))
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, answers: int) -> None:
        """Lose so many, from now on."""
        self.left = answers

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._server)
            is_last = False
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65_536)
                    if not data or (ready is server and is_last):
                        return
                    if ready is client and self.left and self._after in data:
                        self.left, is_last = self.left - 1, True
                    (server if ready is client else client).sendall(data)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()


@contextmanager
def losing_answers(server: Path, listens_at: Path, *, after: bytes) -> Iterator[LosingAnswers]:
    """A proxy before a server's socket."""
    proxy = LosingAnswers(server, listens_at, after)
    try:
        yield proxy
    finally:
        proxy.close()
