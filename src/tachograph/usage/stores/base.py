"""What every store can do. The writer and the reports use this interface only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tachograph.usage.row import Row
from tachograph.usage.source import Position, Quarantined
from tachograph.usage.stores.histograms import Histograms
from tachograph.usage.stores.query import Query


class Adjustment(NamedTuple):
    """A correction of one row's cost, appended and never changed.

    Attributes:
        id: 16 bytes; making the same correction again must give the same id, so that it counts once.
        record_id, ts_us: Which row, and when its call began.
        cost_delta_nusd: To be added to the row's cost (to 0, where the row is unpriced).
        prices_it: Whether an unpriced row is priced by this.
    """

    id: bytes
    record_id: bytes
    ts_us: int
    at_us: int
    cost_delta_nusd: int
    prices_it: bool
    price_source: str
    reason: str


class StoredQuarantine(NamedTuple):
    """One quarantined stretch as the store keeps it."""

    at_us: int
    host: str
    reason: str
    detail: str
    records: int
    payload: bytes


class Store(Protocol):
    """A ledger's store. One thread at a time, except for `cut`.

    Attributes:
        kind: `sqlite`, `postgresql`, `clickhouse`.
        where: Where it is, without passwords.
    """

    kind: str
    where: str

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
        """Store all of this in one step, or nothing of it; rows whose ids are there already change nothing.

        Rollups follow in the same step. (ClickHouse has no such step: there rows come first and positions last, and
        what is written again is merged.)

        Args:
            ingested_us: Now, microseconds since the epoch.
            host: Whose positions these are.
            forget: Journals whose positions can go; done before `positions`.

        Returns:
            How many rows were new.

        Raises:
            StoreUnavailable: Try again later.
            RowsRejected: One of the rows will never be taken; nothing was stored.
        """
        ...

    def positions(self, host: str) -> dict[str, Position]:
        """How far the journals of this host are stored."""
        ...

    def check_files(self) -> None:
        """See that the files are still those that were opened; nothing where there are none.

        Raises:
            StoreReplaced: They are not; open the store again.
        """

    def cut(self) -> None:
        """Break off what hangs, from another thread; the call that hung raises `StoreUnavailable`."""

    def close(self) -> None:
        """Release it."""

    def usage(self, query: Query) -> list[dict[str, Any]]:
        """Sums by the query's dimensions, from rollups where they can answer it, else from rows.

        Each has the dimensions by name, and `query.MEASURES`.
        """
        ...

    def latency(self, query: Query) -> list[dict[str, Any]]:
        """Latency buckets (`row.latency_bucket`) and their counts `n`, by the query's dimensions."""
        ...

    def histograms(self, query: Query) -> Histograms:
        """The same as counts by bucket, by the values of the query's dimensions."""
        ...

    def rows(self, query: Query, *, adjusted: bool = True, chunk: int = 5000) -> Iterator[Row]:
        """Rows in the query's time and filters, oldest first; with corrections added to their cost if `adjusted`."""
        ...

    def count(self) -> int:
        """Number of rows."""
        ...

    def quarantine(self, limit: int = 1000) -> list[StoredQuarantine]:
        """What was set aside, newest first."""
        ...

    def adjust(self, adjustments: Sequence[Adjustment]) -> int:
        """Append corrections, and carry them into the rollups in the same step; returns how many were new."""
        ...

    def adjustments(self, query: Query) -> list[Adjustment]:
        """Corrections of rows whose calls began in the query's time."""
        ...

    def extent(self, level: str, before_us: int) -> tuple[int, int] | None:
        """When the oldest and the newest of a level (`rows`, `hour`, `day`) before this time are from."""

    def retain(self, before_us: Mapping[str, int]) -> int:
        """Remove what is older than `before_us` of the levels `rows`, `hour`, `day`; returns how many rows went."""
        ...

    def relabel(self) -> int:
        """Bring the rollups of all rows to the labels that the store was opened with; returns how many rows moved."""
        ...

    def erase(self, label: str, value: str, at_us: int) -> int:
        """Anonymise the rows of one subject: labels, ids and traces go, sums stay. Returns how many rows."""
        ...

    def version(self) -> str | None:
        """The version of its tables, or None when there are none."""
