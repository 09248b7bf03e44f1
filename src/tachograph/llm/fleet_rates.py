"""Rates of a fleet: each process leases a part of a limit from one PostgreSQL database and keeps to it without asking.

The parts together never pass the limit: a lease grows only by what is free, in one transaction under the lock of the
limit's row. Parts follow what the processes ask for: a tenth of the limit goes evenly, the rest by demand. A process
that needs less gives back at its next look, and one that needs more takes it at its own, a second later.

A process that was killed keeps its part for `LEASE_SECONDS`. One that cannot reach the store keeps to the part that it
has, or to the whole limit alone where it has never reached it. Only the first request for a limit waits for the store,
and no longer than its time-out.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from tachograph.errors import MissingExtraError
from tachograph.native import Thread

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("tachograph")

LEASE_SECONDS: Final = 30.0
SYNC_SECONDS: Final = 1.0
_FULL_AGAIN_SECONDS: Final = 60.0
"""After so long without any process a limit is there in full: a bucket holds what a minute brings."""
_DEMAND_FADES: Final = 0.7
_EVEN: Final = 10
"""This part of the limit (1/n) is given to all alike, so that one that begins to ask has something at once."""

_TABLES_EXIST: Final = "SELECT to_regclass('tachograph_rate_limit'), to_regclass('tachograph_rate_lease')"
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS tachograph_rate_limit (key text PRIMARY KEY, used_at timestamptz NOT NULL)",
    "CREATE TABLE IF NOT EXISTS tachograph_rate_lease (key text, holder text, granted double precision NOT NULL,"
    " demand double precision NOT NULL, heard_at timestamptz NOT NULL, PRIMARY KEY (key, holder))",
)
_MAKE: Final = "INSERT INTO tachograph_rate_limit VALUES (%(key)s, '-infinity') ON CONFLICT DO NOTHING"
_LOCK: Final = (
    "WITH before AS (SELECT used_at FROM tachograph_rate_limit WHERE key = %(key)s FOR UPDATE)"
    " UPDATE tachograph_rate_limit SET used_at = now() FROM before WHERE key = %(key)s"
    " RETURNING before.used_at < now() - make_interval(secs => %(full_again)s)"
)
_FORGET: Final = (
    "DELETE FROM tachograph_rate_lease WHERE key = %(key)s AND heard_at < now() - make_interval(secs => %(seconds)s)"
)
_OTHERS: Final = (
    "SELECT count(*), coalesce(sum(granted), 0), coalesce(sum(demand), 0) FROM tachograph_rate_lease"
    " WHERE key = %(key)s AND holder <> %(holder)s"
)
_LEASE: Final = (
    "INSERT INTO tachograph_rate_lease VALUES (%(key)s, %(holder)s, %(granted)s, %(demand)s, now())"
    " ON CONFLICT (key, holder) DO UPDATE SET granted = excluded.granted, demand = excluded.demand, heard_at = now()"
)
_GIVE_BACK: Final = "DELETE FROM tachograph_rate_lease WHERE holder = %(holder)s"


class Part:
    """What this process holds of one limit.

    Attributes:
        limit: The fleet's, a minute.
        granted: This process's part of it, a minute.
        least: What it will be granted at least when others have given back.
        is_fresh: Whether no process has used the limit lately, so that its bucket is full.
        asked: Asked for since the last look.
    """

    def __init__(self, key: str, limit: float) -> None:
        self.key = key
        self.limit = limit
        self.granted = 0.0
        self.least = limit
        self.is_fresh = False
        self.asked = 0.0
        self.demand = 0.0
        self.is_leased = False


class FleetRates:
    """This process's leases.

    Args:
        url: As libpq takes it.
        changed: A method called, without a lock, when a part has changed.
        timeout_seconds: Connecting, and one statement.

    Raises:
        MissingExtraError: psycopg is not installed.
    """

    def __init__(self, url: str, changed: Callable[[Part], None], *, timeout_seconds: float = 2.0) -> None:
        try:
            from tachograph.usage.stores import postgres_connection
        except ImportError as error:
            raise MissingExtraError("Rate limits of a fleet", "postgres", "psycopg") from error
        self._postgres: Any = postgres_connection
        self._url = url
        self._changed = weakref.WeakMethod(changed)
        self._timeout = timeout_seconds
        self._parts: dict[str, Part] = {}
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        self._connection: Any = None
        self._holder = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._mutex = threading.Lock()
        self._thread: Thread | None = None
        self._stop = threading.Event()
        self._is_away = False

    def part(self, key: str, limit: float) -> Part:
        """This process's part of a limit; leased now where it is asked for the first time."""
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = Part(key, limit)
            self.sync([part])
            if self._thread is None:
                reference: weakref.ref[FleetRates] = weakref.ref(self)
                stop = self._stop
                thread = Thread(lambda: _keep_up(reference, stop), "tachograph-rates")
                with suppress(RuntimeError):  # no thread to be had: the next part that is asked for tries again
                    thread.start()
                    self._thread = thread
        return part

    def sync(self, parts: list[Part] | None = None) -> None:
        """Report what was requested, and take or give back what follows from it. A store that is away stops nothing."""
        parts = list(self._parts.values()) if parts is None else parts
        with self._mutex:
            try:
                for part in parts:
                    self._lease(part)
                self._is_away = False
            except Exception as error:  # noqa: BLE001 - a limiter is not worth the application's call
                self._disconnect()
                if not self._is_away:
                    logger.warning(
                        "tachograph: the store of the rate limits does not answer; this process keeps to the part of "
                        "the limits that it has: %s",
                        error,
                    )
                self._is_away = True
                for part in parts:
                    if not part.is_leased:  # never leased: nothing is known of the others
                        part.granted, part.is_fresh = part.limit, True
        changed = self._changed()
        if changed is not None:
            for part in parts:
                changed(part)

    def _lease(self, part: Part) -> None:
        connection = self._connected()
        asked, part.asked = part.asked, 0.0
        part.demand = max(part.demand * _DEMAND_FADES, asked, part.limit / 1e6)
        names = {
            "key": part.key, "holder": self._holder, "seconds": LEASE_SECONDS, "demand": part.demand,
            "full_again": _FULL_AGAIN_SECONDS,
        }  # fmt: skip
        with connection.transaction():
            connection.execute(self._postgres.limits(self._timeout))
            connection.execute(_MAKE, names)
            is_fresh = connection.execute(_LOCK, names).fetchone()[0]
            connection.execute(_FORGET, names)
            count, granted, demand = connection.execute(_OTHERS, names).fetchone()
            even = part.limit / _EVEN / (count + 1)
            wanted = even + part.limit * (1 - 1 / _EVEN) * part.demand / (part.demand + demand)
            lease = max(0.0, min(wanted, part.limit - granted))
            connection.execute(_LEASE, {**names, "granted": lease})
        part.granted, part.least, part.is_fresh, part.is_leased = lease, even, is_fresh, True

    def _connected(self) -> Any:
        if self._connection is None:
            connection = self._postgres.connect(self._url, timeout_seconds=self._timeout)
            with connection.transaction():
                if None in connection.execute(_TABLES_EXIST).fetchone():
                    connection.execute(f"SELECT pg_advisory_xact_lock({self._postgres.LOCK})")
                    for table in _TABLES:
                        connection.execute(table)
            self._connection = connection
        return self._connection

    def close(self) -> None:
        """Give back what is leased."""
        self._stop.set()
        with self._mutex, suppress(Exception):  # what is not given back lapses with its lease
            if self._connection is not None:
                with self._connection.transaction():
                    self._connection.execute(_GIVE_BACK, {"holder": self._holder})
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # the server may have ended it already
                connection.close()

    def after_fork_in_child(self) -> None:
        """The parent's leases and connection are the parent's."""
        _leaked.append(self._connection)
        self._parts = {}
        self._begin()


def _keep_up(reference: weakref.ref[FleetRates], stop: threading.Event) -> None:
    """Look again and again, for as long as the limiter is in use."""
    while not stop.wait(SYNC_SECONDS):
        rates = reference()
        if rates is None:
            break
        rates.sync()
        del rates


_all: weakref.WeakSet[FleetRates] = weakref.WeakSet()
_leaked: list[object] = []
"""Connections that a parent process uses: closing them in a child would end the parent's."""


def _after_fork_in_child() -> None:
    for rates in list(_all):
        rates.after_fork_in_child()


def _at_exit() -> None:
    for rates in list(_all):
        rates.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
