"""The ledger in PostgreSQL: COPY into a staging table, then one statement that stores and rolls up what is new.

Rows are partitioned by the UTC day of the call, so retention drops tables instead of deleting rows; days that have no
partition (a clock that jumped) land in the default one. The key is (ts_us, id): the time is frozen in the record, so a
replay meets itself.
"""

from __future__ import annotations

# psycopg takes literal strings; our statements are put together from literals and names that are checked.
# pyright: reportArgumentType=false, reportCallIssue=false
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Final

from tachograph.errors import MissingExtraError
from tachograph.usage.row import Row
from tachograph.usage.source import Position, Quarantined
from tachograph.usage.stores import schema
from tachograph.usage.stores.base import Adjustment
from tachograph.usage.stores.columns import COLUMNS, values_of
from tachograph.usage.stores.errors import RowsRejected, StoreError, StoreFull, StoreTimeout, StoreUnavailable
from tachograph.usage.stores.postgres_schema import ALL_TYPES, REVISIONS
from tachograph.usage.stores.query import ADD_TO_ROLLUP, DAY_US, LEVELS, MEASURES, SUMS_OF_ROWS, SQLDialect
from tachograph.usage.stores.relational import RelationalStore
from tachograph.usage.watchdog import Watchdog

try:
    import psycopg
    from psycopg.pq import TransactionStatus

    from tachograph.usage.stores.postgres_connection import LOCK, connect, limits, where
except ImportError as error:
    raise MissingExtraError("The ledger in PostgreSQL", "postgres", "psycopg") from error

logger = logging.getLogger("tachograph")

_DAYS_BACK: Final = 3650
_KEYS = "kind, provider, model, operation, outcome"
_SIMPLE: Final = {"bytea": "bytea", "bigint": "int8", "text": "text", "jsonb": "text", "double": "float8"}
_COPY_TYPES: Final = [_SIMPLE[ALL_TYPES[name].split()[0]] for name in COLUMNS]
_STAGING: Final = f"tachograph_staging_{schema.HEAD}"
"""Named after the version: behind a pooler it may have been made by another Tachograph's transaction."""
_MAKE_STAGING: Final = (
    f"CREATE TEMP TABLE IF NOT EXISTS {_STAGING} ("
    + ", ".join(f"{name} {kind}" for name, kind in zip(COLUMNS, _COPY_TYPES, strict=True))
    + ") ON COMMIT DELETE ROWS"
)
_COPY: Final = f"COPY {_STAGING} ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"


def _store_statement() -> str:
    staged = ", ".join(f"{name}::jsonb" if ALL_TYPES[name] == "jsonb" else name for name in COLUMNS)
    parts = [
        f"new AS (INSERT INTO usage ({', '.join(COLUMNS)}) SELECT {staged} FROM {_STAGING}"
        " ON CONFLICT DO NOTHING RETURNING *)"
    ]
    hour = f"ts_us - mod(ts_us, {LEVELS['hour'] * 1_000_000}) AS start_us"
    keys = f"{_KEYS}, error_type, rollup_labels"
    parts.append(
        f"hours AS MATERIALIZED (SELECT {hour}, {_KEYS}, coalesce(error_type, '') AS error_type, rollup_labels,"
        f" {SUMS_OF_ROWS} FROM new GROUP BY 1, 2, 3, 4, 5, 6, 7, 8)"
    )
    spans = "kind, provider, model, outcome, latency_bucket"
    parts.append(
        f"latencies AS MATERIALIZED (SELECT {hour}, {spans}, count(*) AS n FROM new GROUP BY 1, 2, 3, 4, 5, 6)"
    )
    for name, level in LEVELS.items():  # the days are summed up from the hours; both ordered, or writers would deadlock
        start = f"start_us - mod(start_us, {level * 1_000_000}) AS start"
        parts.append(
            f"usage_{name} AS (INSERT INTO usage_rollup SELECT {level}, {start}, {keys},"
            f" {', '.join(f'sum({measure})' for measure in MEASURES)} FROM hours GROUP BY start, {keys}"
            f" ORDER BY start, {keys} {ADD_TO_ROLLUP})"
        )
        parts.append(
            f"latency_{name} AS (INSERT INTO latency_rollup SELECT {level}, {start}, {spans}, sum(n) FROM latencies"
            f" GROUP BY start, {spans} ORDER BY start, {spans}"
            " ON CONFLICT (level, start_us, kind, provider, model, outcome, bucket)"
            " DO UPDATE SET n = latency_rollup.n + excluded.n)"
        )
    return f"WITH {', '.join(parts)} SELECT count(*) FROM new"


_STORE: Final = _store_statement()


class PostgresStore(RelationalStore):
    """See `base.Store`.

    Args:
        url: As libpq takes it; a password may be in it, in PGPASSWORD or in a passfile.
        rollup_labels: Labels that rollups are kept by.
        timeout_seconds: Connecting, and one statement.
        read_only: For reports.
        create: Make the tables where there are none.
    """

    kind = "postgresql"
    dialect = SQLDialect(
        "${}",
        "({column}::jsonb ->> '{name}')",
        text="coalesce({column}::text, '')",
        floor="({column} - mod({column}, {size}))",
        packed="string_agg({}::text, ',')",
    )
    revisions = REVISIONS
    row_key = "id", b""
    # as `columns.json_text` writes it: jsonb would order keys otherwise
    without_label = (
        "(SELECT '{{' || coalesce(string_agg(to_json(key)::text || ':' || to_json(value)::text, ','"
        " ORDER BY key COLLATE \"C\"), '') || '}}' FROM jsonb_each_text({column}::jsonb) WHERE key <> {name})"
    )
    has_label = "{column}::jsonb ->> {name} = {value}"

    def __init__(
        self,
        url: str,
        *,
        rollup_labels: tuple[str, ...] = (),
        timeout_seconds: float = 10.0,
        read_only: bool = False,
        create: bool = True,
    ) -> None:
        self.where = where(url)
        super().__init__(rollup_labels)
        self._values = values_of(rollup_labels)
        self._days: set[int] = set()
        self._limits = limits(timeout_seconds, read_only=read_only)
        try:
            self._db = connect(
                url, timeout_seconds=timeout_seconds, writes=not read_only, cursor_factory=psycopg.RawCursor
            )
        except (psycopg.Error, OSError) as error:
            raise StoreUnavailable(
                f"no connection to PostgreSQL: {_first_line(error)}", where=self.where, do=_how_to_connect(error)
            ) from error
        watchdog = Watchdog(timeout_seconds)  # the server may hang between accepting us and answering
        try:
            with watchdog.guard(self.cut):
                if create and not read_only:
                    self._create_tables()
                if create or not read_only:
                    schema.check_version(self.version(), self.where)
        except BaseException:
            self._db.close()
            raise
        finally:
            watchdog.stop()

    def _lock_tables(self) -> None:
        self._run(f"SELECT pg_advisory_xact_lock({LOCK})")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable, psycopg.errors.ConnectionTimeout) as e:
            raise StoreTimeout(f"PostgreSQL did not answer in time: {_first_line(e)}", where=self.where) from e
        except (psycopg.DataError, psycopg.IntegrityError, UnicodeEncodeError, OverflowError) as e:
            raise RowsRejected(f"PostgreSQL rejects a row: {_first_line(e)}", where=self.where) from e
        except (psycopg.errors.DiskFull, psycopg.errors.OutOfMemory) as e:
            raise StoreFull(f"PostgreSQL has no space: {_first_line(e)}", where=self.where) from e
        except psycopg.errors.InsufficientPrivilege as e:
            raise StoreUnavailable(
                f"PostgreSQL says: {_first_line(e)}",
                where=self.where,
                do="Let this user create tables in the schema, or make them with: tachograph ledger migrate",
            ) from e
        except psycopg.errors.UndefinedColumn as e:
            raise StoreUnavailable(
                f"PostgreSQL says: {_first_line(e)}", where=self.where, do=schema.OTHER_VERSION
            ) from e
        except (psycopg.Error, OSError) as e:
            raise StoreUnavailable(f"PostgreSQL says: {_first_line(e)}", where=self.where) from e

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        is_alone = self._db.info.transaction_status == TransactionStatus.IDLE
        with self._errors(), self._transaction() if is_alone else nullcontext():
            cursor = self._db.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description is not None else []

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors(), self._db.transaction():
            self._db.execute(self._limits)
            yield

    def _has_tables(self) -> bool:
        # to_regclass may answer from a cache that is older than the lock under which the tables were made
        named = f"relname = '{schema.VERSION_TABLE}' AND pg_table_is_visible(oid)"
        return bool(self._run(f"SELECT 1 FROM pg_catalog.pg_class WHERE {named}"))

    def write(
        self,
        rows: Sequence[Row],
        *,
        ingested_us: int,
        host: str = "",
        positions: Sequence[Position] = (),
        quarantined: Sequence[Quarantined] = (),
        forget: Sequence[str] = (),
    ) -> int:
        """Store all of this in one transaction."""
        if rows:
            self._make_partitions({row.ts_us // DAY_US for row in rows}, ingested_us)
        inserted = 0
        with self._transaction():
            if rows:
                self._run(_MAKE_STAGING)
                cursor = self._db.cursor()
                with cursor.copy(_COPY) as copy:
                    copy.set_types(_COPY_TYPES)
                    write_row, values = copy.write_row, self._values
                    for row in rows:
                        write_row(values(row, ingested_us))
                inserted = int(self._run(_STORE)[0][0])
            self._write_beside(ingested_us, host, positions, quarantined, forget)
        return inserted

    def _make_partitions(self, days: set[int], now_us: int) -> None:
        """A partition for each of these days, and for tomorrow; absurd days stay in the default one."""
        today = now_us // DAY_US
        wanted = {day for day in days if today - _DAYS_BACK <= day <= today + 2} - self._days
        if not wanted:
            return
        if today in wanted:
            wanted.add(today + 1)
        for day in sorted(wanted):
            try:
                with self._transaction():
                    self._lock_tables()
                    self._run("SET LOCAL lock_timeout = '3s'")
                    self._run(
                        f"CREATE TABLE IF NOT EXISTS {_partition(day)} PARTITION OF usage"
                        f" FOR VALUES FROM ({day * DAY_US}) TO ({(day + 1) * DAY_US})"
                    )
            except RowsRejected:
                logger.info("tachograph: rows of %s are in the default partition already and stay there", day)
            except StoreTimeout:
                continue  # a long read holds the default partition: this batch goes there
            self._days.add(day)

    def check_files(self) -> None:
        """The server has the files."""

    def cut(self) -> None:
        """Shut the connection's socket: a thread that waits for it gets an error at once."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._db.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def adjust(self, adjustments: Sequence[Adjustment]) -> int:
        """Append corrections, and carry them into the rollups."""
        if not adjustments:
            return 0
        columns = [list(column) for column in zip(*adjustments, strict=True)]
        columns[5] = [int(value) for value in columns[5]]
        kinds = ("bytea", "bytea", "bigint", "bigint", "bigint", "bigint", "text", "text")
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, 1))
        updates = []
        keys = ("kind", "provider", "model", "operation", "outcome", "error_type", "rollup_labels")
        same = " AND ".join(f"r.{'labels' if key == 'rollup_labels' else key} = s.{key}" for key in keys)
        for name, level in LEVELS.items():
            updates.append(
                f"{name}s AS (UPDATE usage_rollup AS r SET cost_nusd = r.cost_nusd + s.delta,"
                " estimated_nusd = r.estimated_nusd + s.estimated, unpriced = r.unpriced - s.priced FROM ("
                f"SELECT ts_us - mod(ts_us, {level * 1_000_000}) AS start_us, {', '.join(keys)}, sum(delta) AS delta,"
                " sum(estimated) AS estimated, sum(priced) AS priced FROM touched"
                f" GROUP BY 1, {', '.join(keys)} ORDER BY 1, {', '.join(keys)}) AS s"
                f" WHERE r.level = {level} AND r.start_us = s.start_us AND {same})"
            )
        with self._transaction():
            found = self._run(
                f"WITH new AS (INSERT INTO usage_adjustment SELECT * FROM unnest({arrays}) ON CONFLICT (id) DO NOTHING"
                " RETURNING *), touched AS (SELECT u.ts_us, u.kind, u.provider, u.model, u.operation, u.outcome,"
                " coalesce(u.error_type, '') AS error_type, u.rollup_labels, new.cost_delta_nusd AS delta,"
                " CASE WHEN u.cost_quality = 'estimated' THEN new.cost_delta_nusd ELSE 0 END AS estimated,"
                " new.prices_it AS priced FROM new JOIN usage AS u ON u.id = new.record_id AND u.ts_us = new.ts_us), "
                f"{', '.join(updates)} SELECT count(*) FROM new",
                columns,
            )
        return int(found[0][0])

    def retain(self, before_us: Mapping[str, int]) -> int:
        """Drop the partitions of days that are too old, and delete what is too old elsewhere."""
        removed = 0
        if "rows" in before_us:
            before = before_us["rows"]
            for (name,) in self._run(
                "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = 'usage'::regclass AND c.relname LIKE 'usage\\_p%' ORDER BY 1"
            ):
                day = datetime.strptime(name, "usage_p%Y%m%d").replace(tzinfo=UTC).timestamp() * 1e6
                if day + DAY_US <= before:
                    removed += int(self._run(f"SELECT count(*) FROM {name}")[0][0])
                    with self._transaction():
                        self._run("SET LOCAL lock_timeout = '3s'")
                        self._run(f"DROP TABLE {name}")
            gone = self._run(
                "WITH gone AS (DELETE FROM usage_default WHERE ts_us < $1 RETURNING 1) SELECT count(*) FROM gone",
                (before,),
            )
            removed += int(gone[0][0])
            self._run("DELETE FROM usage_adjustment WHERE ts_us < $1", (before - before % DAY_US,))
            self._days.clear()
        self._retain_rollups(before_us)
        return removed


def _partition(day: int) -> str:
    return f"usage_p{time.strftime('%Y%m%d', time.gmtime(day * 86400))}"


def _how_to_connect(error: BaseException) -> str:
    text = str(error)
    if "startup parameter" in text:
        return "A pooler refuses what the setting ledger.url asks for at start: leave `options` out of it."
    if "password" in text:
        return (
            "A changed password in a passfile (~/.pgpass, or passfile= in the URL) is read at the next attempt; one in"
            " the setting ledger.url or in PGPASSWORD needs a restart."
        )
    return "Check the setting ledger.url, and that the server runs and accepts this host; it is tried again."


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


__all__ = ["LOCK", "PostgresStore", "StoreError", "connect"]
