"""What the stores in SQLite and PostgreSQL have in common: their tables are the same, and so is how they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final

from tachograph.usage.row import Row
from tachograph.usage.source import Position, Quarantined
from tachograph.usage.stores import schema
from tachograph.usage.stores.base import Adjustment, StoredQuarantine
from tachograph.usage.stores.columns import FORGET, ROW_COLUMNS, SUBJECTS, row_from
from tachograph.usage.stores.histograms import Histograms, as_records, of_records, unpacked
from tachograph.usage.stores.query import (
    ADD_TO_ROLLUP,
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
from tachograph.usage.stores.schema import Revision

_TS: Final = ROW_COLUMNS.index("ts_us")
_ROLLUP: Final = "level, start_us, kind, provider, model, operation, outcome, error_type"


class RelationalStore(ABC):
    """See `base.Store`.

    Attributes:
        dialect: Its words.
        revisions: Its tables.
        row_key: The column by which rows of one time are ordered, and a value before all of its values.
        without_label: A JSON column without a label: `{column}`, `{name}`.
        has_label: Whether a JSON column has a label with a value: `{column}`, `{name}`, `{value}`.
    """

    dialect: ClassVar[SQLDialect]
    revisions: ClassVar[tuple[Revision, ...]]
    row_key: ClassVar[tuple[str, object]]
    without_label: ClassVar[str]
    has_label: ClassVar[str]
    where: str

    def __init__(self, rollup_labels: tuple[str, ...]) -> None:
        self._rollup_labels = rollup_labels

    @abstractmethod
    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and fetch what it gives."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[None]:
        """All of what is inside, or nothing."""

    @abstractmethod
    def _has_tables(self) -> bool:
        """Whether there is a table of the version."""

    @abstractmethod
    def _lock_tables(self) -> None:
        """Keep others from making tables until the transaction ends."""

    def version(self) -> str | None:
        """The version of its tables, or None when there are none."""
        found = self._run(f"SELECT version_num FROM {schema.VERSION_TABLE}") if self._has_tables() else ()
        return str(found[0][0]) if found else None

    def _create_tables(self) -> None:
        """Make the tables where there are none."""
        if self.version() is not None:
            return
        with self._transaction():
            self._lock_tables()
            if self.version() is None:
                for revision in self.revisions:
                    for statement in revision.up:
                        self._run(statement)
                self._run(schema.CREATE_VERSION_TABLE)
                self._run(f"INSERT INTO {schema.VERSION_TABLE} VALUES ('{schema.HEAD}')")

    def _places(self, count: int) -> str:
        return ", ".join(self._place(number) for number in range(1, count + 1))

    def _place(self, number: int) -> str:
        return self.dialect.placeholder.format(number)

    def _write_beside(
        self,
        now_us: int,
        host: str,
        positions: Sequence[Position],
        quarantined: Sequence[Quarantined],
        forget: Sequence[str],
    ) -> None:
        """What is written in one transaction with rows."""
        for item in quarantined:
            self._run(
                f"INSERT INTO quarantine (at_us, host, reason, detail, records, payload) VALUES ({self._places(6)})",
                (now_us, host, item.reason, item.detail.replace("\0", "\ufffd"), item.records, item.payload),
            )
        for journal in forget:
            self._run(f"DELETE FROM journal_position WHERE journal = {self._place(1)}", (journal,))
        for position in positions:
            self._run(
                'INSERT INTO journal_position (journal, host, segment, "offset", sequence, at_us)'
                f" VALUES ({self._places(6)}) ON CONFLICT (journal) DO UPDATE SET segment = excluded.segment,"
                ' "offset" = excluded."offset", sequence = excluded.sequence, at_us = excluded.at_us'
                " WHERE excluded.sequence >= journal_position.sequence",  # another writer may be further
                (position.journal, host, position.segment, position.offset, position.sequence, now_us),
            )

    def positions(self, host: str) -> dict[str, Position]:
        """How far the journals of this host are stored."""
        sql = f'SELECT journal, segment, "offset", sequence FROM journal_position WHERE host = {self._place(1)}'
        return {row[0]: Position(*row) for row in self._run(sql, (host,))}

    def usage(self, query: Query) -> list[dict[str, Any]]:
        """Sums by the query's dimensions."""
        sql, parameters = usage_sql(query, self.dialect, self._rollup_labels)
        return summed_records(self._run(sql, parameters), usage_names(query, self._rollup_labels), len(query.by))

    def latency(self, query: Query) -> list[dict[str, Any]]:
        """Latency buckets by the query's dimensions."""
        if latency_needs_rows(query):
            sql, parameters = latency_sql(query, self.dialect)
            return summed_records(self._run(sql, parameters), (*query.by, "bucket", "n"), len(query.by))
        return as_records(self.histograms(query), query.by)

    def histograms(self, query: Query) -> Histograms:
        """Latency counts by bucket."""
        if latency_needs_rows(query):
            return of_records(self.latency(query), query.by)
        sql, parameters, keys = packed_latency_sql(query, self.dialect)
        return unpacked(self._run(sql, parameters), keys, query.by)

    def rows(self, query: Query, *, adjusted: bool = True, chunk: int = 5000) -> Iterator[Row]:
        """Rows, oldest first."""
        where, parameters = rows_where(query, self.dialect)
        cost = "u.cost_nusd"
        if adjusted:
            delta = (
                "(SELECT CAST(sum(a.cost_delta_nusd) AS bigint) FROM usage_adjustment AS a"
                " WHERE a.record_id = u.id AND a.ts_us = u.ts_us)"
            )
            cost = f"CASE WHEN {delta} IS NULL THEN u.cost_nusd ELSE coalesce(u.cost_nusd, 0) + {delta} END"
        columns = ", ".join(cost if name == "cost_nusd" else f"u.{name}" for name in ROW_COLUMNS)
        key, last_key = self.row_key
        last_ts = -1
        first = len(parameters) + 1
        while True:
            found = self._run(
                f"SELECT u.{key}, {columns} FROM usage AS u WHERE {where}"
                f" AND (u.ts_us, u.{key}) > ({self._place(first)}, {self._place(first + 1)})"
                f" ORDER BY u.ts_us, u.{key} LIMIT {chunk}",
                [*parameters, last_ts, last_key],
            )
            for row in found:
                yield row_from(row[1:])
            if len(found) < chunk:
                return
            last_key, last_ts = found[-1][0], found[-1][1 + _TS]

    def count(self) -> int:
        """Number of rows."""
        return int(self._run("SELECT count(*) FROM usage")[0][0])

    def quarantine(self, limit: int = 1000) -> list[StoredQuarantine]:
        """What was set aside, newest first."""
        sql = "SELECT at_us, host, reason, detail, records, payload FROM quarantine ORDER BY seq DESC LIMIT "
        return [StoredQuarantine(*row) for row in self._run(sql + self._place(1), (limit,))]

    def adjustments(self, query: Query) -> list[Adjustment]:
        """Corrections of rows whose calls began in the query's time."""
        found = self._run(
            f"SELECT {', '.join(Adjustment._fields)} FROM usage_adjustment"
            f" WHERE ts_us >= {self._place(1)} AND ts_us < {self._place(2)} ORDER BY at_us, id",
            (query.since_us, query.until_us),
        )
        return [Adjustment._make((*row[:5], bool(row[5]), *row[6:])) for row in found]

    def extent(self, level: str, before_us: int) -> tuple[int, int] | None:
        """When the oldest and the newest of a level before this time are from."""
        return extent_of(self._run(extent_sql(level, before_us)))

    def _retain_rollups(self, before_us: Mapping[str, int]) -> None:
        """Remove what is too old of the levels `hour` and `day`."""
        for name, level in LEVELS.items():
            if name in before_us:
                for table in ("usage_rollup", "latency_rollup"):
                    old = f"level = {level} AND start_us < {int(before_us[name])}"
                    self._run(f"DELETE FROM {table} WHERE {old}")

    def relabel(self) -> int:
        """Move the sums of all rows to the rollups of the labels that they are kept by now."""
        return relabel(self._run, self._transaction, self.dialect, self._rollup_labels)

    def erase(self, label: str, value: str, at_us: int) -> int:
        """Anonymise the rows of one subject."""
        names = {"name": f"CAST({self._place(1)} AS text)", "value": f"CAST({self._place(2)} AS text)"}
        has = self.has_label.format(column="labels", **names)
        or_named = f" OR {label} = {names['value']}" if label in SUBJECTS else ""
        rollup_labels, left_over = (
            self.without_label.format(column=column, **names) for column in ("rollup_labels", "labels")
        )
        sums = ", ".join(f"sum({name})" for name in MEASURES)
        with self._transaction():
            gone = self._run(
                f"UPDATE usage SET labels = NULL, rollup_labels = {rollup_labels}, {FORGET}"
                f" WHERE (labels IS NOT NULL AND {has}){or_named} RETURNING 1",
                (label, value),
            )
            self._run(
                f"INSERT INTO usage_rollup SELECT {_ROLLUP}, left_over, {sums} FROM (SELECT *, {left_over} AS left_over"
                f" FROM usage_rollup WHERE {has}) AS touched GROUP BY {_ROLLUP}, left_over {ADD_TO_ROLLUP}",
                (label, value),
            )
            self._run(f"DELETE FROM usage_rollup WHERE {has}", (label, value))
        return len(gone)
