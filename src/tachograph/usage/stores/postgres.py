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
from tachograph.usage.stores.base import Adjustment, StoredQuarantine
from tachograph.usage.stores.columns import COLUMNS, FORGET, ROW_COLUMNS, SUBJECTS, row_from, values_of
from tachograph.usage.stores.errors import RowsRejected, StoreError, StoreFull, StoreTimeout, StoreUnavailable
from tachograph.usage.stores.histograms import Histograms, as_records, of_records, unpacked
from tachograph.usage.stores.postgres_schema import ALL_TYPES, REVISIONS
from tachograph.usage.stores.query import (
    DAY_US,
    LEVELS,
    MEASURES,
    Query,
    SQLDialect,
    extent_of,
    extent_sql,
    latency_needs_rows,
    latency_sql,
    packed_latency_sql,
    rows_where,
    summed_records,
    usage_names,
    usage_sql,
)
from tachograph.usage.stores.relabel import relabel
from tachograph.usage.watchdog import Watchdog

try:
    import psycopg
    from psycopg.pq import TransactionStatus

    from tachograph.usage.stores.postgres_connection import LOCK, connect, limits, where
except ImportError as error:
    raise MissingExtraError("The ledger in PostgreSQL", "postgres", "psycopg") from error

logger = logging.getLogger("tachograph")

DIALECT: Final = SQLDialect(
    "${}",
    "({column}::jsonb ->> '{name}')",
    text="coalesce({column}::text, '')",
    floor="({column} - mod({column}, {size}))",
    packed="string_agg({}::text, ',')",
)
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
    sums = {
        "n": "count(*)",
        "estimated_nusd": "sum(CASE WHEN cost_quality = 'estimated' THEN coalesce(cost_nusd, 0) ELSE 0 END)",
    }
    measures = ", ".join(f"{sums.get(name, f'sum(coalesce({name}, 0))')} AS {name}" for name in MEASURES)
    added = ", ".join(f"{name} = usage_rollup.{name} + excluded.{name}" for name in MEASURES)
    parts = [
        f"new AS (INSERT INTO usage ({', '.join(COLUMNS)}) SELECT {staged} FROM {_STAGING}"
        " ON CONFLICT DO NOTHING RETURNING *)"
    ]
    hour = f"ts_us - mod(ts_us, {LEVELS['hour'] * 1_000_000}) AS start_us"
    keys = f"{_KEYS}, error_type, rollup_labels"
    parts.append(
        f"hours AS MATERIALIZED (SELECT {hour}, {_KEYS}, coalesce(error_type, '') AS error_type, rollup_labels,"
        f" {measures} FROM new GROUP BY 1, 2, 3, 4, 5, 6, 7, 8)"
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
            f" ORDER BY start, {keys}"
            " ON CONFLICT (level, start_us, kind, provider, model, operation, outcome, error_type, labels)"
            f" DO UPDATE SET {added})"
        )
        parts.append(
            f"latency_{name} AS (INSERT INTO latency_rollup SELECT {level}, {start}, {spans}, sum(n) FROM latencies"
            f" GROUP BY start, {spans} ORDER BY start, {spans}"
            " ON CONFLICT (level, start_us, kind, provider, model, outcome, bucket)"
            " DO UPDATE SET n = latency_rollup.n + excluded.n)"
        )
    return f"WITH {', '.join(parts)} SELECT count(*) FROM new"


_STORE: Final = _store_statement()


class PostgresStore:
    """See `base.Store`.

    Args:
        url: As libpq takes it; a password may be in it, in PGPASSWORD or in a passfile.
        rollup_labels: Labels that rollups are kept by.
        timeout_seconds: Connecting, and one statement.
        read_only: For reports.
        create: Make the tables where there are none.
    """

    kind = "postgresql"

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
        self._rollup_labels = rollup_labels
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
                    self._create()
                if create or not read_only:
                    schema.check_version(self.version(), self.where)
        except BaseException:
            self._db.close()
            raise
        finally:
            watchdog.stop()

    def _create(self) -> None:
        if self.version() is not None:
            return
        with self._transaction():
            self._run(f"SELECT pg_advisory_xact_lock({LOCK})")
            if self.version() is None:
                for revision in REVISIONS:
                    for statement in revision.up:
                        self._run(statement)
                self._run(schema.CREATE_VERSION_TABLE)
                self._run(f"INSERT INTO {schema.VERSION_TABLE} VALUES ($1)", (schema.HEAD,))

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

    def version(self) -> str | None:
        """The version of its tables, or None when there are none."""
        # to_regclass may answer from a cache that is older than the lock under which the tables were made
        named = f"relname = '{schema.VERSION_TABLE}' AND pg_table_is_visible(oid)"
        if not self._run(f"SELECT 1 FROM pg_catalog.pg_class WHERE {named}"):
            return None
        found = self._run(f"SELECT version_num FROM {schema.VERSION_TABLE}")
        return str(found[0][0]) if found else None

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
            for item in quarantined:
                self._run(
                    "INSERT INTO quarantine (at_us, host, reason, detail, records, payload)"
                    " VALUES ($1, $2, $3, $4, $5, $6)",
                    (ingested_us, host, item.reason, item.detail.replace("\0", "\ufffd"), item.records, item.payload),
                )
            if forget:
                self._run("DELETE FROM journal_position WHERE journal = ANY($1)", (list(forget),))
            for position in positions:
                self._run(
                    'INSERT INTO journal_position (journal, host, segment, "offset", sequence, at_us)'
                    " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (journal) DO UPDATE SET segment = excluded.segment,"
                    ' "offset" = excluded."offset", sequence = excluded.sequence, at_us = excluded.at_us'
                    " WHERE excluded.sequence >= journal_position.sequence",  # another writer may be further
                    (position.journal, host, position.segment, position.offset, position.sequence, ingested_us),
                )
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
                    self._run(f"SELECT pg_advisory_xact_lock({LOCK})")
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

    def positions(self, host: str) -> dict[str, Position]:
        """How far the journals of this host are stored."""
        sql = 'SELECT journal, segment, "offset", sequence FROM journal_position WHERE host = $1'
        return {row[0]: Position(*row) for row in self._run(sql, (host,))}

    def check_files(self) -> None:
        """The server has the files."""

    def cut(self) -> None:
        """Shut the connection's socket: a thread that waits for it gets an error at once."""
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._db.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def usage(self, query: Query) -> list[dict[str, Any]]:
        """Sums by the query's dimensions."""
        sql, parameters = usage_sql(query, DIALECT, self._rollup_labels)
        return summed_records(self._run(sql, parameters), usage_names(query, self._rollup_labels), len(query.by))

    def latency(self, query: Query) -> list[dict[str, Any]]:
        """Latency buckets by the query's dimensions."""
        if latency_needs_rows(query):
            sql, parameters = latency_sql(query, DIALECT)
            return summed_records(self._run(sql, parameters), (*query.by, "bucket", "n"), len(query.by))
        return as_records(self.histograms(query), query.by)

    def histograms(self, query: Query) -> Histograms:
        """Latency counts by bucket."""
        if latency_needs_rows(query):
            return of_records(self.latency(query), query.by)
        sql, parameters, keys = packed_latency_sql(query, DIALECT)
        return unpacked(self._run(sql, parameters), keys, query.by)

    def rows(self, query: Query, *, adjusted: bool = True, chunk: int = 5000) -> Iterator[Row]:
        """Rows, oldest first."""
        where, parameters = rows_where(query, DIALECT)
        cost = "u.cost_nusd"
        if adjusted:
            delta = (
                "(SELECT sum(a.cost_delta_nusd)::bigint FROM usage_adjustment AS a"
                " WHERE a.record_id = u.id AND a.ts_us = u.ts_us)"
            )
            cost = f"CASE WHEN {delta} IS NULL THEN u.cost_nusd ELSE coalesce(u.cost_nusd, 0) + {delta} END"
        columns = ", ".join(cost if name == "cost_nusd" else f"u.{name}" for name in ROW_COLUMNS)
        last = (-1, b"")
        first = len(parameters) + 1
        while True:
            found = self._run(
                f"SELECT {columns} FROM usage AS u WHERE {where} AND (u.ts_us, u.id) > (${first}, ${first + 1})"
                f" ORDER BY u.ts_us, u.id LIMIT {chunk}",
                [*parameters, *last],
            )
            rows = [row_from(row) for row in found]
            yield from rows
            if len(rows) < chunk:
                return
            last = (rows[-1].ts_us, rows[-1].id)

    def count(self) -> int:
        """Number of rows."""
        return int(self._run("SELECT count(*) FROM usage")[0][0])

    def quarantine(self, limit: int = 1000) -> list[StoredQuarantine]:
        """What was set aside, newest first."""
        sql = "SELECT at_us, host, reason, detail, records, payload FROM quarantine ORDER BY seq DESC LIMIT $1"
        return [StoredQuarantine._make((*row[:5], bytes(row[5]))) for row in self._run(sql, (limit,))]

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

    def adjustments(self, query: Query) -> list[Adjustment]:
        """Corrections of rows whose calls began in the query's time."""
        found = self._run(
            "SELECT id, record_id, ts_us, at_us, cost_delta_nusd, prices_it, price_source, reason FROM usage_adjustment"
            " WHERE ts_us >= $1 AND ts_us < $2 ORDER BY at_us, id",
            (query.since_us, query.until_us),
        )
        return [Adjustment(bytes(r[0]), bytes(r[1]), r[2], r[3], r[4], bool(r[5]), r[6], r[7]) for r in found]

    def extent(self, level: str, before_us: int) -> tuple[int, int] | None:
        """When the oldest and the newest of a level before this time are from."""
        return extent_of(self._run(extent_sql(level, before_us)))

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
        for name, level in LEVELS.items():
            if name in before_us:
                for table in ("usage_rollup", "latency_rollup"):
                    self._run(f"DELETE FROM {table} WHERE level = {level} AND start_us < $1", (before_us[name],))
        return removed

    def relabel(self) -> int:
        """Move the sums of all rows to the rollups of the labels that they are kept by now."""
        return relabel(self._run, self._transaction, DIALECT, self._rollup_labels)

    def erase(self, label: str, value: str, at_us: int) -> int:
        """Anonymise the rows of one subject."""
        added = ", ".join(f"{name} = usage_rollup.{name} + excluded.{name}" for name in MEASURES)
        moved = "level, start_us, kind, provider, model, operation, outcome, error_type"
        named = f" OR {label} = $2::text" if label in SUBJECTS else ""
        with self._transaction():
            gone = self._run(
                f"WITH gone AS (UPDATE usage SET labels = NULL, {FORGET}, rollup_labels = {_without('rollup_labels')}"
                f" WHERE labels ->> $1::text = $2::text{named} RETURNING 1) SELECT count(*) FROM gone",
                (label, value),
            )
            self._run(
                f"INSERT INTO usage_rollup SELECT {moved}, left_over, {', '.join(f'sum({name})' for name in MEASURES)}"
                f" FROM (SELECT *, {_without('labels')} AS left_over FROM usage_rollup"
                f" WHERE labels::jsonb ->> $1::text = $2::text) AS touched GROUP BY {moved}, left_over"
                f" ON CONFLICT (level, start_us, kind, provider, model, operation, outcome, error_type, labels)"
                f" DO UPDATE SET {added}",
                (label, value),
            )
            self._run("DELETE FROM usage_rollup WHERE labels::jsonb ->> $1::text = $2::text", (label, value))
        return int(gone[0][0])


def _without(column: str) -> str:
    """A JSON column without the key $1, written as `columns.json_text` writes it: jsonb would order keys otherwise."""
    return (
        "(SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || to_json(value)::text, ','"
        " ORDER BY key COLLATE \"C\"), '') || '}'"
        f" FROM jsonb_each_text({column}::jsonb) WHERE key <> $1::text)"
    )


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
