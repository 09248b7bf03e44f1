"""The ledger in ClickHouse, for those who outgrow PostgreSQL.

ClickHouse has no transaction over tables, so rows are written first and positions last: a crash in between writes the
same rows again. Replacing tables merge them by (ts_us, id), every read asks for merged rows (FINAL), and a batch that
is sent twice unchanged is recognised by its token. Reports come from the rows; rows are kept as long as the hourly
rollups of the other stores.

Tested against ClickHouse's engine in process (chdb), not against a server: none can be had where the tests run.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

from tachograph.errors import MissingExtraError
from tachograph.urls import split
from tachograph.usage.row import Row
from tachograph.usage.source import Position, Quarantined
from tachograph.usage.stores import schema
from tachograph.usage.stores.base import Adjustment, StoredQuarantine
from tachograph.usage.stores.clickhouse_schema import CREATE_VERSION_TABLE, REVISIONS, USAGE_KINDS, WEEK_US
from tachograph.usage.stores.columns import COLUMNS, FORGET, ROW_COLUMNS, SUBJECTS, row_from, values_of
from tachograph.usage.stores.errors import RowsRejected, StoreTimeout, StoreUnavailable
from tachograph.usage.stores.histograms import Histograms, of_records
from tachograph.usage.stores.query import (
    HOUR_US,
    Query,
    SQLDialect,
    extent_of,
    latency_sql,
    needs_rows,
    rows_where,
    summed_records,
    usage_names,
    usage_sql,
)

try:
    from clickhouse_connect import get_client
    from clickhouse_connect.driver import exceptions
except ImportError as error:
    raise MissingExtraError("The ledger in ClickHouse", "clickhouse", "clickhouse_connect") from error

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

DIALECT: Final = SQLDialect(
    "{{p{}:String}}",
    "JSONExtractString(coalesce({column}, ''), '{name}')",
    usage="(SELECT * FROM usage FINAL)",
    adjustment="(SELECT * FROM usage_adjustment FINAL)",
    escapes_backslash=True,
)
_KINDS: Final = list(USAGE_KINDS.values())
_BAD_VALUES: Final = (exceptions.DataError, struct.error, TypeError, ValueError, OverflowError, AttributeError)


class ClickHouseStore:
    """See `base.Store`. `write` says how many rows it sent, since what was there already shows only when merged.

    Args:
        url: `clickhouse://user:password@host:8123/database`, `clickhouses://` for TLS, or
            `clickhouse+chdb:///directory?database=name` for the engine in this process.
        rollup_labels: Labels that reports by rollups know in the other stores.
        timeout_seconds: Connecting, and one request.
        read_only: For reports.
        create: Make the tables where there are none.
    """

    kind = "clickhouse"

    def __init__(
        self,
        url: str,
        *,
        rollup_labels: tuple[str, ...] = (),
        timeout_seconds: float = 10.0,
        read_only: bool = False,
        create: bool = True,
    ) -> None:
        self._rollup_labels = rollup_labels
        self._values = values_of(rollup_labels)
        self._rev = 0
        self.where = _where(url)
        with self._errors():
            self._client = _connect(url, timeout_seconds)
        if create and not read_only and self.version() is None:
            for revision in REVISIONS:
                for statement in revision.up:
                    self._command(statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
            self._command(CREATE_VERSION_TABLE.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1))
            self._command(f"INSERT INTO {schema.VERSION_TABLE} VALUES ('{schema.HEAD}')")
        if create or not read_only:
            schema.check_version(self.version(), self.where)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except exceptions.OperationalError as error:
            kind = StoreTimeout if "timed out" in str(error).lower() else StoreUnavailable
            do = "Check that the server runs and is reachable; it is tried again."
            raise kind(f"ClickHouse says: {_first_line(error)}", where=self.where, do=do) from error
        except exceptions.DataError as error:
            raise RowsRejected(f"ClickHouse rejects a row: {_first_line(error)}", where=self.where) from error
        except (exceptions.Error, OSError) as error:
            do = "Check the setting ledger.url, and that the server runs and accepts this host; it is tried again."
            do = schema.OTHER_VERSION if "UNKNOWN_IDENTIFIER" in str(error) else do
            raise StoreUnavailable(f"ClickHouse says: {_first_line(error)}", where=self.where, do=do) from error

    def _command(self, sql: str) -> None:
        with self._errors():
            self._client.command(sql)

    def _query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Sequence[Any]]:
        named = {f"p{number}": value for number, value in enumerate(parameters, 1)}
        with self._errors():
            return list(self._client.query(sql, parameters=named or None).result_rows)

    def _insert(self, table: str, rows: Sequence[Sequence[Any]], columns: Sequence[str], token: str = "") -> None:
        settings: dict[str, Any] = {"max_partitions_per_insert_block": 0}
        if token:
            settings["insert_deduplication_token"] = token
        with self._errors():
            try:
                self._client.insert(table, rows, column_names=columns, settings=settings)
            except _BAD_VALUES as error:
                raise RowsRejected(f"ClickHouse cannot hold a value: {_first_line(error)}", where=self.where) from error

    def version(self) -> str | None:
        """The version of its tables, or None when there are none."""
        if not self._query(f"EXISTS TABLE {schema.VERSION_TABLE}")[0][0]:
            return None
        found = self._query(f"SELECT max(version_num) FROM {schema.VERSION_TABLE}")
        return str(found[0][0]) if found and found[0][0] else None

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
        """Write rows, then what was set aside, then positions."""
        if rows:
            values = [self._values(row, ingested_us) for row in rows]
            if any(len(row.id) != 16 for row in rows):
                raise RowsRejected("ClickHouse rejects a row: an id that is not 16 bytes", where=self.where)
            token = hashlib.blake2b(b"".join(row.id for row in rows), digest_size=16).hexdigest()
            self._insert("usage", values, COLUMNS, token)
        if quarantined:
            kept = [
                (ingested_us, host, item.reason, item.detail, item.records, item.payload.hex()) for item in quarantined
            ]
            self._insert("quarantine", kept, ("at_us", "host", "reason", "detail", "records", "payload"))
        if forget or positions:
            self._rev = max(self._rev + 2, time.time_ns())
            reached = [(journal, host, 0, 0, 0, 1, self._rev) for journal in forget]
            reached += [(p.journal, host, p.segment, p.offset, p.sequence, 0, self._rev + 1) for p in positions]
            columns = ("journal", "host", "segment", "offset", "sequence", "gone", "rev")
            self._insert("journal_position", reached, columns)
        return len(rows)

    def positions(self, host: str) -> dict[str, Position]:
        """How far the journals of this host are stored."""
        reached = "SELECT journal, segment, offset, sequence FROM journal_position FINAL"
        found = self._query(f"{reached} WHERE host = {{p1:String}} AND gone = 0", (host,))
        return {row[0]: Position(*row) for row in found}

    def check_files(self) -> None:
        """The server has the files."""

    def cut(self) -> None:
        """Close the connections; a request under way ends with its time-out, which is as long."""
        with suppress(Exception):
            self._client.close_connections()

    def close(self) -> None:
        """Close the client."""
        with suppress(Exception):
            self._client.close()

    def usage(self, query: Query) -> list[dict[str, Any]]:
        """Sums by the query's dimensions, from rows; times are widened to hours like those of rollups."""
        widened = query
        if not needs_rows(query, self._rollup_labels):
            widened = Query(
                query.since_us - query.since_us % HOUR_US,
                query.until_us + -query.until_us % HOUR_US,
                query.by,
                query.where,
                raw=True,
            )
        sql, parameters = usage_sql(widened, DIALECT, self._rollup_labels)
        return summed_records(self._query(sql, parameters), usage_names(widened, self._rollup_labels), len(query.by))

    def latency(self, query: Query) -> list[dict[str, Any]]:
        """Latency buckets by the query's dimensions."""
        sql, parameters = latency_sql(Query(query.since_us, query.until_us, query.by, query.where, raw=True), DIALECT)
        return summed_records(self._query(sql, parameters), (*query.by, "bucket", "n"), len(query.by))

    def histograms(self, query: Query) -> Histograms:
        """Latency counts by bucket."""
        return of_records(self.latency(query), query.by)

    def rows(self, query: Query, *, adjusted: bool = True, chunk: int = 5000) -> Iterator[Row]:
        """Rows, oldest first."""
        where, parameters = rows_where(query, DIALECT)
        corrections: dict[bytes, int] = {}
        if adjusted:
            for item in self.adjustments(query):
                corrections[item.record_id] = corrections.get(item.record_id, 0) + item.cost_delta_nusd
        columns = ", ".join(f"u.{name}" for name in ROW_COLUMNS)
        last_ts, last_id = -1, ""
        cost = ROW_COLUMNS.index("cost_nusd")
        while True:
            found = self._query(
                f"SELECT {columns} FROM usage AS u FINAL WHERE {where}"
                f" AND (u.ts_us, u.id) > ({last_ts}, toFixedString(unhex('{last_id}'), 16))"
                f" ORDER BY u.ts_us, u.id LIMIT {chunk}",
                parameters,
            )
            for values in found:
                row = row_from(values)
                delta = corrections.get(row.id)
                if delta is not None:
                    fields = list(values)
                    fields[cost] = (fields[cost] or 0) + delta
                    row = row_from(fields)
                yield row
            if len(found) < chunk:
                return
            last_ts, last_id = row.ts_us, row.id.hex()  # pyright: ignore[reportPossiblyUnboundVariable]  # a full chunk has rows

    def count(self) -> int:
        """Number of rows."""
        return int(self._query("SELECT count() FROM usage FINAL")[0][0])

    def quarantine(self, limit: int = 1000) -> list[StoredQuarantine]:
        """What was set aside, newest first."""
        found = self._query(
            "SELECT at_us, host, reason, detail, records, payload FROM quarantine FINAL"
            f" ORDER BY at_us DESC LIMIT {int(limit)}"
        )
        return [StoredQuarantine._make((*row[:5], bytes.fromhex(row[5]))) for row in found]

    def adjust(self, adjustments: Sequence[Adjustment]) -> int:
        """Append corrections; reports add them to the rows."""
        if not adjustments:
            return 0
        low, high = min(item.ts_us for item in adjustments), max(item.ts_us for item in adjustments)
        known = {item.id for item in self.adjustments(Query(low, high + 1))}
        new = [item for item in adjustments if item.id not in known]
        if new:
            self._insert(
                "usage_adjustment",
                [(*item[:5], int(item.prices_it), item.price_source, item.reason) for item in new],
                Adjustment._fields,
            )
        return len({item.id for item in new})

    def adjustments(self, query: Query) -> list[Adjustment]:
        """Corrections of rows whose calls began in the query's time."""
        found = self._query(
            f"SELECT {', '.join(Adjustment._fields)} FROM usage_adjustment FINAL"
            f" WHERE ts_us >= {int(query.since_us)} AND ts_us < {int(query.until_us)} ORDER BY at_us, id"
        )
        return [Adjustment._make((*row[:5], bool(row[5]), *row[6:])) for row in found]

    def extent(self, level: str, before_us: int) -> tuple[int, int] | None:
        """When the oldest and the newest of a level before this time are from."""
        found = self._query(f"SELECT min(ts_us), max(ts_us) FROM usage WHERE ts_us < {before_us} HAVING count() > 0")
        return extent_of(found)

    def retain(self, before_us: Mapping[str, int]) -> int:
        """Remove rows that are older than both the rows' and the hourly rollups' keeping time."""
        if not {"rows", "hour"} <= before_us.keys():
            return 0
        before = min(before_us["rows"], before_us["hour"])
        removed = int(self._query(f"SELECT count() FROM usage FINAL WHERE ts_us < {before}")[0][0])
        for (week,) in self._query(
            "SELECT DISTINCT toInt64(partition) FROM system.parts WHERE active AND table = 'usage'"
            " AND database = currentDatabase()"
        ):
            if (week + 1) * WEEK_US <= before:
                self._command(f"ALTER TABLE usage DROP PARTITION {week}")
        for table in ("usage", "usage_adjustment"):
            self._command(f"DELETE FROM {table} WHERE ts_us < {before}")
        return removed

    def relabel(self) -> int:
        """Nothing to do: reports come from the rows."""
        return 0

    def erase(self, label: str, value: str, at_us: int) -> int:
        """Anonymise the rows of one subject."""
        name, wanted = _quoted(label), _quoted(value)
        condition = (
            f"JSONExtractString(coalesce(labels, ''), {name}) = {wanted} AND JSONHas(coalesce(labels, ''), {name})"
        )
        if label in SUBJECTS:
            condition = f"(({condition}) OR coalesce({label}, '') = {wanted})"
        count = int(self._query(f"SELECT count() FROM usage FINAL WHERE {condition}")[0][0])
        others = f"arrayFilter(x -> x.1 != {name}, JSONExtractKeysAndValuesRaw(rollup_labels))"
        self._command(
            f"ALTER TABLE usage UPDATE {FORGET}, rollup_labels = concat('{{',"
            " arrayStringConcat(arrayMap(x -> concat(toJSONString(x.1),"
            f" ':', x.2), {others}), ','), '}}'), labels = NULL WHERE {condition} SETTINGS mutations_sync = 2"
        )
        return count


def _connect(url: str, timeout_seconds: float) -> Client:
    parts = split(url)
    timeout = max(1, round(timeout_seconds))
    if parts.scheme.endswith("+chdb"):
        client = get_client(interface="chdb", path=parts.path)
        database = parse_qs(parts.query).get("database", [""])[0]
        if database:
            client.command(f"CREATE DATABASE IF NOT EXISTS `{database}`")
            client.command(f"USE `{database}`")
            client.database = database
        return client
    secure = parts.scheme == "clickhouses"
    return get_client(
        host=parts.hostname or "localhost",
        port=parts.port or (8443 if secure else 8123),
        username=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/") or "default",
        secure=secure,
        connect_timeout=timeout,
        send_receive_timeout=timeout,
        client_name="tachograph",
        autogenerate_session_id=False,
    )


def _where(url: str) -> str:
    parts = split(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:500]
