"""Budgets of a fleet: each host leases money from one PostgreSQL database and spends it without asking again.

A lease is one conditional UPDATE: the account's sum of leases grows only while it stays within the limit. What a host
has leased is in a row of its own in the same statement, so a host that lost the answer reads there what it has.
Hosts lease ahead (an eighth of what is free) and give back what they do not need, so that calls find money and little
is left idle; near the limit the leases shrink to single calls.

The lease of a host that died stays spent for the window, since it is not known what it still bought. A host that cannot
reach the store spends what it has leased, for `LEASE_SECONDS` at most; then `budgets.when_store_is_away` holds.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from contextlib import suppress
from typing import Any, Final

from tachograph.errors import MissingExtraError
from tachograph.files import move_up, open_plain
from tachograph.usage.budgets.accounts import FLEET_SPENT, LEASE_NUMBER, LEASED, NUMBER, SYNCED, WANTED, AccountRow
from tachograph.usage.budgets.scope import Scope
from tachograph.usage.ledger_paths import LedgerPaths
from tachograph.usage.locks import lock

logger = logging.getLogger("tachograph")

LEASE_SECONDS: Final = 30.0
_SYNC_SECONDS: Final = 1.0
_SHARE: Final = 8
_WANTED_FADES: Final = 0.9

_TABLES_EXIST: Final = "SELECT to_regclass('tachograph_budget_account'), to_regclass('tachograph_budget_lease')"
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS tachograph_budget_account (key text, begins bigint, leased bigint NOT NULL,"
    " base bigint NOT NULL, PRIMARY KEY (key, begins))",
    "CREATE TABLE IF NOT EXISTS tachograph_budget_lease (key text, begins bigint, host text, granted bigint NOT NULL,"
    " spent bigint NOT NULL, heard_at timestamptz NOT NULL, PRIMARY KEY (key, begins, host))",
)
_MAKE: Final = "INSERT INTO tachograph_budget_account VALUES (%s, %s, 0, 0) ON CONFLICT DO NOTHING"
_READ: Final = (
    "SELECT a.leased, coalesce((SELECT granted FROM tachograph_budget_lease WHERE key = a.key AND begins = a.begins"
    " AND host = %(host)s), 0), a.base + coalesce((SELECT sum(spent) FROM tachograph_budget_lease"
    " WHERE key = a.key AND begins = a.begins AND host <> %(host)s), 0)::bigint"
    " FROM tachograph_budget_account a WHERE key = %(key)s AND begins = %(begins)s"
)
_LEASE: Final = (
    "WITH account AS (UPDATE tachograph_budget_account SET leased = leased + %(more)s"
    " WHERE key = %(key)s AND begins = %(begins)s AND (%(more)s <= 0 OR leased + %(more)s <= %(limit)s)"
    " RETURNING leased)"
    " INSERT INTO tachograph_budget_lease AS held SELECT %(key)s, %(begins)s, %(host)s, %(more)s, %(spent)s, now()"
    " FROM account ON CONFLICT (key, begins, host) DO UPDATE SET granted = held.granted + %(more)s,"
    " spent = %(spent)s, heard_at = now() RETURNING granted"
)
_RAISE: Final = (
    "WITH known AS (SELECT base + coalesce((SELECT sum(CASE WHEN heard_at > now() - interval '5 s' THEN spent"
    " ELSE granted END) FROM tachograph_budget_lease l WHERE l.key = a.key AND l.begins = a.begins), 0) AS spent"
    " FROM tachograph_budget_account a WHERE key = %(key)s AND begins = %(begins)s)"
    " UPDATE tachograph_budget_account SET base = base + (%(nano)s - known.spent)::bigint,"
    " leased = leased + (%(nano)s - known.spent)::bigint"
    " FROM known WHERE key = %(key)s AND begins = %(begins)s AND %(nano)s > known.spent"
)
_FORGET: Final = (
    "WITH gone AS (DELETE FROM tachograph_budget_lease WHERE key = %(key)s AND begins = 0"
    " AND heard_at < now() - make_interval(secs => %(seconds)s) RETURNING granted)"
    " UPDATE tachograph_budget_account SET leased = leased - (SELECT coalesce(sum(granted), 0) FROM gone)::bigint"
    " WHERE key = %(key)s AND begins = 0 AND EXISTS (SELECT FROM gone)"
)


class Fleet:
    """This host's leases.

    Args:
        url: As libpq takes it.
        place: Names the host and holds the lock under which one process at a time leases for it.
        timeout_seconds: Connecting, and one statement.

    Raises:
        MissingExtraError: psycopg is not installed.
    """

    lag_seconds: Final = 10.0
    """The ledger is read up to so long ago, so that hosts have reported by then what they spent."""

    def __init__(self, url: str, place: LedgerPaths, *, timeout_seconds: float) -> None:
        try:
            from tachograph.usage.stores import postgres_connection
        except ImportError as error:
            raise MissingExtraError("Budgets of a fleet", "postgres", "psycopg") from error
        self._postgres = postgres_connection
        self._url = url
        self._place = place
        self._timeout = timeout_seconds
        self._connection: Any = None
        self._mutex = threading.Lock()
        self._host = ""
        self._failed_at = 0.0

    def after_fork_in_child(self) -> None:
        """The parent's connection is the parent's."""
        _leaked.append(self._connection)
        self._connection = None
        self._mutex = threading.Lock()

    # Asked on the caller's path

    def allowance(self, row: AccountRow, number: int, now: float) -> int | None:
        """What this host may spend in this window, or None when that is not known now."""
        if row[LEASE_NUMBER] != _lease_number(row, number) or now * 1000 - row[SYNCED] > LEASE_SECONDS * 1000:
            return None
        return row[LEASED]

    def is_away(self, row: AccountRow) -> bool:
        """Whether the store did not answer this process lately, and no other process has reached it since."""
        return self._failed_at * 1000 > row[SYNCED]

    def spent(self, row: AccountRow, number: int) -> int:
        """What all hosts have spent in this window, as last read."""
        return row[FLEET_SPENT] if row[LEASE_NUMBER] == _lease_number(row, number) else 0

    def want(self, row: AccountRow, nano: int) -> None:
        """A call of this size asks for money."""
        if row[WANTED] < nano:
            row[WANTED] = nano

    # In the background

    def sync(self, rows: list[tuple[Scope, AccountRow]], now: float) -> None:
        """Lease what is needed and give back what is not, for all processes of this host.

        Raises:
            psycopg.Error, OSError: The store does not answer; leases stay as they are.
        """
        due = [(scope, row) for scope, row in rows if self._is_due(scope, row, now)]
        if not due or now - self._failed_at < _SYNC_SECONDS:
            return
        fd = self._host_lock()
        if fd is None:
            return
        try:
            for scope, row in due:
                self._sync_row(scope, row, time.time())
        except BaseException:
            self._failed_at = time.time()
            self._disconnect()
            raise
        finally:
            os.close(fd)

    def _is_due(self, scope: Scope, row: AccountRow, now: float) -> bool:
        number = scope.window.number(now)
        if row[LEASE_NUMBER] != _lease_number(row, number):
            return row[NUMBER] >= number - scope.window.buckets or not row[SYNCED] or row.reserved() > 0
        held = row.spent(number) + row.reserved()
        is_dry = row[LEASED] - held < row[WANTED]
        return is_dry or now * 1000 - row[SYNCED] >= _SYNC_SECONDS * 1000

    def _host_lock(self) -> int | None:
        directory = self._place.directory / "budgets"
        fd = move_up(open_plain(directory / "fleet.lock", os.O_RDWR | os.O_CREAT))
        if lock(fd):
            return fd
        os.close(fd)
        return None

    def _sync_row(self, scope: Scope, row: AccountRow, now: float) -> None:
        number = scope.window.number(now)
        key = self._key(scope, row)
        begins = 0 if scope.window.kind == "rolling" else number
        names = {"key": key, "begins": begins, "host": self._name(), "limit": scope.limit_nano}
        found = self._run(_READ, names)
        if not found:
            self._run(_MAKE, (key, begins))
            found = self._run(_READ, names)
        leased, granted, spent_elsewhere = found[0]
        row[LEASED], row[LEASE_NUMBER] = granted, _lease_number(row, number)
        for _ in range(2):
            held = row.spent(number) + row.reserved()
            free = max(0, scope.limit_nano - leased) + max(0, granted - held)
            target = held + max(row[WANTED], min(free // _SHARE, scope.limit_nano // _SHARE))
            more = min(target - granted, max(0, scope.limit_nano - leased))
            if more < 0:
                row[LEASED] = granted + more  # first here, so that it is not spent, then in the store
                held = row.spent(number) + row.reserved()
                more = min(0, max(more, held - granted))
            given = self._run(_LEASE, {**names, "more": more, "spent": row.spent(number)})
            if given:
                granted = given[0][0]
                break
            leased = self._run(_READ, names)[0][0]  # another host was faster: look again how much is left
        row[LEASED] = granted
        row[WANTED] = int(row[WANTED] * _WANTED_FADES)
        row[FLEET_SPENT] = row.spent(number) + spent_elsewhere
        row[SYNCED] = int(now * 1000)
        if scope.window.kind == "rolling":
            begins_at, ends_at = scope.window.bounds(now)
            self._run(_FORGET, {"key": key, "seconds": (ends_at - begins_at).total_seconds()})

    def raise_base(self, scope: Scope, row: AccountRow, nano: int, now: float) -> None:
        """The ledger holds this much spending by all hosts, as of `lag_seconds` ago; never lowers anything."""
        if scope.window.kind == "rolling":
            return  # nothing would take it out again when it leaves the window
        key, begins = self._key(scope, row), scope.window.number(now)
        self._run(_MAKE, (key, begins))
        self._run(_RAISE, {"key": key, "begins": begins, "nano": nano})

    def _key(self, scope: Scope, row: AccountRow) -> str:
        return f"{scope.file_name()}-{row.accounts.key_of(row):x}"

    def _name(self) -> str:
        if not self._host:
            self._host = self._place.host()
        return self._host

    def _run(self, statement: str, parameters: object) -> list[Any]:
        with self._mutex:
            if self._connection is None:
                self._connection = self._postgres.connect(self._url, timeout_seconds=self._timeout)
                self._make_tables()
            return self._in_transaction(statement, parameters)

    def _in_transaction(self, statement: str, parameters: object = None) -> list[Any]:
        with self._connection.transaction():
            self._connection.execute(self._postgres.limits(self._timeout))
            cursor = self._connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description is not None else []

    def _make_tables(self) -> None:
        """Under a lock: two hosts that make the same table at once would both get an error by the server."""
        if None not in self._in_transaction(_TABLES_EXIST)[0]:
            return
        lock_and_make = f"SELECT pg_advisory_xact_lock({self._postgres.LOCK}); {'; '.join(_TABLES)}"
        self._in_transaction(lock_and_make)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # the server may have ended it already
                connection.close()


def _lease_number(row: AccountRow, number: int) -> int:
    """Leases of a rolling window hold on; those of a calendar period end with it."""
    return 1 if row.window.kind == "rolling" else number


_leaked: list[object] = []
"""Connections that a parent process uses: closing them in a child would end the parent's."""
