"""The ledger in SQLite: a file, WAL, synchronous=FULL, one writer.

A statement releases the interpreter lock, and beside a busy Python thread getting it back takes 5 ms, so
`executemany` would manage 200 rows a second there. Rows go in as statements of many rows instead.

SQLite up to 3.51.2 can corrupt a WAL file when two connections write and checkpoint at the same moment
(https://sqlite.org/wal.html#the_wal_reset_bug, checked 2026-11-23). apsw brings its own, newer SQLite; where only an
older one is there, the ledger keeps a rollback journal instead, which is slower and sound, and says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from tachograph.files import make_private_directory, make_private_file
from tachograph.usage.row import Row
from tachograph.usage.source import Position, Quarantined
from tachograph.usage.stores import schema, sqlite_library
from tachograph.usage.stores.base import Adjustment
from tachograph.usage.stores.columns import COLUMNS, values_of
from tachograph.usage.stores.errors import RowsRejected, StoreError, StoreFull, StoreUnavailable
from tachograph.usage.stores.query import ADD_TO_ROLLUP, LEVELS, MEASURES, SUMS_OF_ROWS, SQLDialect
from tachograph.usage.stores.relational import RelationalStore
from tachograph.usage.stores.reserve import Reserve
from tachograph.usage.stores.sqlite_driver import FIXED_VERSION, connect
from tachograph.usage.stores.sqlite_schema import REVISIONS

logger = logging.getLogger("tachograph")

_CHUNKS: Final = (64, 8, 1)
_RETAIN_CHUNK: Final = 5000
_STEP_BYTES: Final = 1 << 20
_ROW_BYTES: Final = 3000
"""Enough for a row in the WAL, in the file and in all indexes; most need 500."""

_KEYS = "kind, provider, model, operation, outcome"


def _insert(count: int) -> str:
    one = f"({', '.join('?' * len(COLUMNS))})"
    return f"INSERT INTO usage({', '.join(COLUMNS)}) VALUES {', '.join([one] * count)} ON CONFLICT(id) DO NOTHING"


def _rollups() -> tuple[str, str]:
    """Sum up the new rows by hours, once, and add that to the hours and to the days."""
    by_hour = f"ts_us - ts_us % {LEVELS['hour'] * 1_000_000} AS start_us"

    def each_level(names: str) -> str:
        return " UNION ALL ".join(
            f"SELECT {level}, start_us - start_us % {level * 1_000_000}, {names} FROM new" for level in LEVELS.values()
        )

    return (
        f"INSERT INTO usage_rollup WITH new AS MATERIALIZED (SELECT {by_hour}, {_KEYS}, coalesce(error_type, '') AS"
        f" error_type, rollup_labels, {SUMS_OF_ROWS} FROM usage WHERE seq > ?1 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8)"
        f" SELECT * FROM ({each_level(f'{_KEYS}, error_type, rollup_labels, ' + ', '.join(MEASURES))})"
        f" WHERE true {ADD_TO_ROLLUP}",
        f"INSERT INTO latency_rollup WITH new AS MATERIALIZED (SELECT {by_hour}, kind, provider, model, outcome,"
        f" latency_bucket, count(*) AS n FROM usage WHERE seq > ?1 GROUP BY 1, 2, 3, 4, 5, 6)"
        f" SELECT * FROM ({each_level('kind, provider, model, outcome, latency_bucket, n')})"
        f" WHERE true ON CONFLICT DO UPDATE SET n = n + excluded.n",
    )


_INSERTS: Final = {count: _insert(count) for count in _CHUNKS}
_ROLLUPS: Final = _rollups()


class SQLiteStore(RelationalStore):
    """See `base.Store`.

    Args:
        path: The file; made with its directory when missing.
        rollup_labels: Labels that rollups are kept by.
        timeout_seconds: How long to wait for another connection's lock.
        read_only: For reports, beside a writer.
        create: Make the tables where there are none.
    """

    kind = "sqlite"
    dialect = SQLDialect(
        "?{}",
        "json_extract({column}, '$.\"{name}\"')",
        odd_label="(SELECT value FROM json_each({column}) WHERE key = '{name}')",
        packed="group_concat({})",  # in the order of the key, so that it need not sort
    )
    revisions = REVISIONS
    row_key = "seq", -1
    without_label = "(SELECT json_group_object(key, value) FROM json_each({column}) WHERE key <> {name})"
    has_label = "(SELECT value FROM json_each({column}) WHERE key = {name}) = {value}"

    def __init__(
        self,
        path: Path,
        *,
        rollup_labels: tuple[str, ...] = (),
        timeout_seconds: float = 10.0,
        read_only: bool = False,
        create: bool = True,
    ) -> None:
        self.path = path
        self.where = str(path)
        super().__init__(rollup_labels)
        self._values = values_of(rollup_labels)
        self._read_only = read_only
        self._reserve = Reserve(path)
        self._is_tight = False
        try:
            if not read_only:
                make_private_directory(path.parent)
                _set_aside_orphan(path)
                make_private_file(path)  # its WAL gets the same rights
        except OSError as error:
            raise StoreUnavailable(f"the ledger's directory cannot be made: {error}", where=str(path)) from error
        try:
            self._open(timeout_seconds, create)
        except StoreUnavailable:  # opening needs some space too
            if read_only or not self._reserve.is_disk_full() or not self._reserve.give(_STEP_BYTES):
                raise
            self._is_tight = True
            self._open(timeout_seconds, create)

    def _open(self, timeout_seconds: float, create: bool) -> None:
        with nullcontext() if self._read_only else sqlite_library.moved_up(sqlite_library.library()):
            self._open_now(timeout_seconds, create)

    def _open_now(self, timeout_seconds: float, create: bool) -> None:
        self._db = connect(self.path, timeout_seconds=timeout_seconds, read_only=self._read_only)
        try:
            if not self._read_only:
                self._prepare(create)
            if create or not self._read_only:
                schema.check_version(self.version(), self.where)
            if not self._read_only:
                self._db.watch_files()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, create: bool) -> None:
        self._db.run(f"PRAGMA journal_mode={'WAL' if self._db.is_wal_safe else 'TRUNCATE'}")
        self._db.run("PRAGMA synchronous=FULL")
        self._db.run("PRAGMA temp_store=MEMORY")  # no file of its own on a disk that may be full
        if not self._db.is_wal_safe:
            logger.warning(
                "tachograph: the ledger uses SQLite %s, older than %s, without a WAL file because of a bug in it; "
                "that is slower. Install apsw for a newer one: pip install 'tachograph[sqlite]'",
                self._db.library_version,
                ".".join(map(str, FIXED_VERSION)),
            )
        if create:
            self._create_tables()

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._db.run(sql, parameters)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.run("BEGIN IMMEDIATE")
        try:
            yield
            self._db.run("COMMIT")
        except BaseException:
            with suppress(StoreError):
                self._db.run("ROLLBACK")
            raise

    def _lock_tables(self) -> None:
        """The transaction holds the lock of the file."""

    def _has_tables(self) -> bool:
        named = f"type = 'table' AND name = '{schema.VERSION_TABLE}'"
        return bool(self._run(f"SELECT 1 FROM sqlite_master WHERE {named}"))

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
        """Store all of this in one transaction; on a full disk, with the space of the reserve."""
        self._db.check_files()
        while True:
            try:
                inserted = self._write(rows, ingested_us, host, positions, quarantined, forget)
                break
            except StoreUnavailable as error:  # a file that cannot grow is not always said to be full
                full = isinstance(error, StoreFull) or self._reserve.is_disk_full()
                if not full or not self._make_room(len(rows)):
                    raise
        self._db.check_files()  # what went into a file that is gone is not stored
        if self._is_tight:
            self._empty_wal()
        if self._reserve.keep():
            self._is_tight = False
        return inserted

    def _make_room(self, rows: int) -> bool:
        """Take space from the reserve; whether there was any."""
        if not self._reserve.give(_STEP_BYTES + rows * _ROW_BYTES):
            return False
        if not self._is_tight:
            logger.warning("tachograph: the disk of the ledger is full; it goes on with the space that it has reserved")
        self._is_tight = True
        self._empty_wal()
        return True

    def _empty_wal(self) -> None:
        """Carry the WAL over into the file and give its space back. What fails here is done with the next write."""
        try:
            self._db.run("PRAGMA wal_checkpoint(TRUNCATE)")
        except StoreFull:
            if self._reserve.give(_STEP_BYTES):
                self._empty_wal()
        except StoreError as error:
            logger.debug("tachograph: the ledger's WAL could not be emptied: %s", error)

    def _write(
        self,
        rows: Sequence[Row],
        ingested_us: int,
        host: str,
        positions: Sequence[Position],
        quarantined: Sequence[Quarantined],
        forget: Sequence[str],
    ) -> int:
        run = self._db.run
        inserted = 0
        with self._transaction():
            if rows:
                before = run("SELECT coalesce(max(seq), 0) FROM usage")[0][0]
                self._insert_rows(rows, ingested_us)
                inserted = self._db.changes_since(before)
                if inserted:
                    for statement in _ROLLUPS:
                        run(statement, (before,))
            self._write_beside(ingested_us, host, positions, quarantined, forget)
        return inserted

    def _insert_rows(self, rows: Sequence[Row], ingested_us: int) -> None:
        start, total, values_of_row = 0, len(rows), self._values
        for count in _CHUNKS:
            statement = _INSERTS[count]
            while total - start >= count:
                values: list[Any] = []
                for row in rows[start : start + count]:  # no tuple outlives its turn: nothing for the garbage collector
                    values += values_of_row(row, ingested_us)
                self._db.run(statement, values)
                start += count

    def check_files(self) -> None:
        """See that the database and its descriptors are still those that were opened."""
        self._db.check_files()

    def cut(self) -> None:
        """Interrupt the statement that runs."""
        self._db.interrupt()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def adjust(self, adjustments: Sequence[Adjustment]) -> int:
        """Append corrections, and carry them into the rollups."""
        run = self._db.run
        new = 0
        with self._transaction():
            for item in adjustments:
                row = run(
                    "INSERT INTO usage_adjustment VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT(id) DO NOTHING RETURNING 1",
                    (*item[:5], int(item.prices_it), *item[6:]),
                )
                if not row:
                    continue
                new += 1
                for level in LEVELS.values():
                    run(
                        "UPDATE usage_rollup SET cost_nusd = cost_nusd + ?1, unpriced = unpriced - ?2,"
                        " estimated_nusd = estimated_nusd + CASE u.cost_quality WHEN 'estimated' THEN ?1 ELSE 0 END"
                        " FROM (SELECT ts_us, kind, provider, model, operation, outcome, error_type, rollup_labels,"
                        " cost_quality FROM usage WHERE id = ?3) AS u"
                        " WHERE level = ?4 AND start_us = u.ts_us - u.ts_us % ?5"
                        " AND usage_rollup.kind = u.kind AND usage_rollup.provider = u.provider"
                        " AND usage_rollup.model = u.model AND usage_rollup.operation = u.operation"
                        " AND usage_rollup.outcome = u.outcome AND usage_rollup.error_type = coalesce(u.error_type, '')"
                        " AND usage_rollup.labels = u.rollup_labels",
                        (item.cost_delta_nusd, int(item.prices_it), item.record_id, level, level * 1_000_000),
                    )
        return new

    def retain(self, before_us: Mapping[str, int]) -> int:
        """Remove what is too old, in transactions of at most 5,000 rows."""
        removed = 0
        if "rows" in before_us:
            while True:
                with self._transaction():
                    gone = self._db.run(
                        "DELETE FROM usage WHERE seq IN (SELECT seq FROM usage WHERE ts_us < ? LIMIT ?) RETURNING 1",
                        (before_us["rows"], _RETAIN_CHUNK),
                    )
                    self._db.run("DELETE FROM usage_adjustment WHERE ts_us < ?", (before_us["rows"],))
                removed += len(gone)
                if len(gone) < _RETAIN_CHUNK:
                    break
                time.sleep(0)  # let a reader or a record's hand-over come in between
        with self._transaction():
            self._retain_rollups(before_us)
        return removed


def _set_aside_orphan(database: Path) -> None:
    """A WAL whose database is gone would be replayed into the new one: keep it under another name."""
    wal = database.with_name(f"{database.name}-wal")
    with suppress(OSError):
        if not database.exists() and wal.stat().st_size:
            kept = wal.with_name(f"{wal.name}.orphan-{time.time_ns()}")
            wal.rename(kept)
            logger.warning("tachograph: %s had lost its database; it is kept as %s", wal.name, kept)


__all__ = ["RowsRejected", "SQLiteStore"]
