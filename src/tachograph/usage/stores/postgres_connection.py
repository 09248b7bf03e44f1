"""Connections to PostgreSQL without state of their own, so that a pooler may lend their servers to others meanwhile.

pgbouncer in transaction mode gives each transaction whichever server connection is free. So nothing here outlasts a
transaction: time-outs are set by `SET LOCAL` in each, no statement is prepared by name, and nothing is asked of the
server at start, which a pooler would refuse.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

LOCK: Final = 0x7AC406 << 16
"""Advisory lock under which tables are made and migrated."""


def where(url: str) -> str:
    """The servers and the database of a URL, for messages: without user and password."""
    try:
        found = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "postgresql://"
    hosts, ports = str(found.get("host") or "").split(","), str(found.get("port") or "").split(",")
    if len(ports) < len(hosts):
        ports = ports[:1] * len(hosts)
    named = (f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False))
    return f"postgresql://{','.join(named)}/{found.get('dbname') or ''}"


def connect(url: str, *, timeout_seconds: float, writes: bool = True, **more: Any) -> psycopg.Connection[Any]:
    """Connect, in autocommit mode unless `more` says otherwise.

    Args:
        url: As libpq takes it. Of several hosts the first is taken that can be written to, where `writes` is set and
            the URL does not say otherwise: after a failover that is the promoted standby.
        timeout_seconds: How long connecting may take, and how long sent bytes may stay without an answer.
        more: For `psycopg.connect`.

    Raises:
        psycopg.Error: It cannot be reached, or refuses.
    """
    found = conninfo_to_dict(url)
    if writes and "," in str(found.get("host") or found.get("hostaddr") or ""):
        more.setdefault("target_session_attrs", found.get("target_session_attrs") or "read-write")
    more.setdefault("autocommit", True)
    return psycopg.connect(
        url,
        prepare_threshold=None,
        connect_timeout=max(2, int(timeout_seconds)),
        application_name="tachograph",
        tcp_user_timeout=int(timeout_seconds * 1000),
        keepalives_idle=30,
        **more,
    )


def limits(timeout_seconds: float, *, read_only: bool = False) -> str:
    """The first statement of each transaction: how long its statements may take, and wait for locks.

    And how long it may stand between two of them: a process that is stopped there would hold its locks, in the way of
    all other hosts.
    """
    milliseconds = int(timeout_seconds * 1000)
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    return "; ".join(f"SET LOCAL {name} = {milliseconds}" for name in names) + (
        "; SET LOCAL transaction_read_only = on" if read_only else ""
    )
