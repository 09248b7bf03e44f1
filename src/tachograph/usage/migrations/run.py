"""`tachograph ledger migrate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tachograph.errors import MissingExtraError, TachographError
from tachograph.usage.stores import schema
from tachograph.usage.stores.open import sqlite_path

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection

    from tachograph.usage.ledger_paths import LedgerPaths


def migrate(
    url: str, place: LedgerPaths | None = None, *, to: str | None = None, down: bool = False
) -> tuple[str, str]:
    """Bring a store's tables to a version.

    Args:
        url: The store.
        place: The host's ledger; its writer must not run meanwhile, and cannot begin.
        to: The version; the newest unless given; `base` removes all tables.
        down: Allow an older version than the present one.

    Returns:
        The versions before and after.

    Raises:
        TachographError: A writer is at work, the version is unknown, or it is older and `down` is not set.
        MissingExtraError: Alembic is not installed.
    """
    try:
        from alembic import command
        from alembic.config import Config
        from alembic.runtime.migration import MigrationContext
    except ImportError as error:
        raise MissingExtraError("Migrating the ledger", "migrations", "alembic") from error
    target = to or schema.HEAD
    if target not in (*schema.KNOWN, "base"):
        raise TachographError(
            f"there is no version {target!r} of the ledger's tables",
            do=f"Versions are {', '.join(schema.KNOWN)}, and base for none.",
        )
    with _no_writer(place), _connection(url) as connection:
        options = {"version_table": schema.VERSION_TABLE}
        before = MigrationContext.configure(connection, opts=options).get_current_revision() or "base"
        if before not in (*schema.KNOWN, "base"):
            schema.check_version(before, url.rpartition("@")[2])
        if _order(target) < _order(before) and not down:
            raise TachographError(
                f"version {target} is older than the present one, {before}",
                do="Going back drops what newer versions added. If that is meant, say so with --down.",
            )
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
        config.attributes["connection"] = connection
        config.attributes["kind"] = kind_of(url)
        (command.downgrade if _order(target) < _order(before) else command.upgrade)(config, target)
        return before, target


def kind_of(url: str) -> str:
    """`sqlite`, `postgresql` or `clickhouse`."""
    scheme = urlsplit(url).scheme.partition("+")[0]
    return {"postgres": "postgresql", "clickhouses": "clickhouse"}.get(scheme, scheme)


def _order(version: str) -> int:
    return 0 if version == "base" else int(version)


@contextmanager
def _no_writer(place: LedgerPaths | None) -> Iterator[None]:
    lock = place.try_lock() if place is not None else None
    if place is not None and lock is None:
        raise TachographError(
            "a writer is at work on this host",
            where=str(place.directory),
            do="Stop the application or `tachograph ledger writer`; what it accepts meanwhile waits in the journals.",
        )
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


@contextmanager
def _connection(url: str) -> Iterator[Connection]:
    """A connection that holds the store's own lock and one transaction, where the store has such things."""
    try:
        from sqlalchemy import create_engine, event, text
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError as error:
        raise MissingExtraError("Migrating the ledger", "migrations", "sqlalchemy") from error
    kind = kind_of(url)
    if kind == "sqlite":
        # The standard library's SQLite is enough here: no other process has the file open for writing.
        engine = create_engine(f"sqlite:///{sqlite_path(url)}")

        @event.listens_for(engine, "connect")
        def _connected(connection: sqlite3.Connection, _record: object) -> None:
            connection.isolation_level = None  # or it would commit before each CREATE TABLE

        @event.listens_for(engine, "begin")
        def _begun(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN EXCLUSIVE")

    elif kind == "postgresql":
        from tachograph.usage.stores.postgres import connect

        engine = create_engine(
            "postgresql+psycopg://", creator=lambda: connect(url, timeout_seconds=10.0, autocommit=False)
        )
    elif kind == "clickhouse":
        import clickhouse_connect.cc_sqlalchemy.alembic  # noqa: F401 - registers the dialect's migrations

        if "+chdb" in urlsplit(url).scheme:
            raise TachographError(
                "the in-process ClickHouse engine cannot be migrated", do="Copy its rows into a fresh store instead."
            )
        engine = create_engine("clickhousedb" + url[url.index(":") :])
    else:
        raise TachographError(f"no store is called {kind!r}", where="setting ledger.url")
    try:
        with engine.begin() as connection:
            if kind == "postgresql":
                from tachograph.usage.stores.postgres import LOCK

                connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            yield connection
    except SQLAlchemyError as error:
        raise TachographError(
            f"the migration failed, and nothing was changed: {str(error).splitlines()[0]}"
            if kind != "clickhouse"
            else f"the migration failed half-way: {str(error).splitlines()[0]}",
            where=url.rpartition("@")[2],
        ) from error
    finally:
        engine.dispose()
