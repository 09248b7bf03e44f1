"""The writer: drains what processes have accepted into the store, in batches, and keeps going whatever fails.

One batch after another: read what is new, store it together with the positions reached, then release it. A store
that is down, slow or full is tried again with the same batch, at longer and longer intervals. A batch that the store
rejects is split until the rows that it will never take are found; they are set aside with the reason, in the store
itself, so that this needs no free disk here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from tachograph.native import Signal
from tachograph.usage.retention import Retention
from tachograph.usage.row import Row, decode
from tachograph.usage.source import Batch, Gap, Position, Quarantined
from tachograph.usage.stores.errors import (
    RowsRejected,
    StoreError,
    StoreFull,
    StoreReplaced,
    StoreTimeout,
    StoreUnavailable,
)
from tachograph.usage.watchdog import Watchdog

if TYPE_CHECKING:
    from tachograph.usage.stores.base import Store

logger = logging.getLogger("tachograph")

_FIRST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 2.0
_SYNC_SECONDS: Final = 1.0
"""How often journals are synced while the store fails or lags."""
_GATHERING_SYNC_SECONDS: Final = 2.0
"""How often they are synced while rows gather: a crash of the host takes no more with a long interval."""
_CHECK_SECONDS: Final = 1.0
_MAINTENANCE_SECONDS: Final = 3600.0
_FIRST_MAINTENANCE_SECONDS: Final = 60.0
_PAYLOAD_KEPT: Final = 64 * 1024
_SMALLEST_PART: Final = 50
_ROWS_AT_ONCE: Final = 128
"""Rows that are decoded without offering the interpreter to other threads: 0.3 ms."""
_ASKED_SECONDS: Final = 0.5
"""How soon a flush that another process asks for is noticed."""


class Source(Protocol):
    """Where records come from: the journals of the host, or a queue in this process."""

    def read(self, limit: int) -> Batch:
        """What is new."""
        ...

    def committed(self, batch: Batch) -> None:
        """The store has it."""

    def behind(self, positions: Mapping[str, Position]) -> list[Gap]:
        """What was committed and a store at these positions does not have."""
        ...

    def holds(self, journal: str) -> bool:
        """Whether any of this journal is still there."""
        ...

    def close(self) -> None:
        """Release it."""


class Observer(Protocol):
    """Called with what the writer does; `usage.metrics` counts it."""

    def persisted(self, outcome: str, seconds: float, records: int) -> None:
        """One write of so many records ended: `success` or `error`."""

    def failed(self, error_type: str, records: int) -> None:
        """It failed: `db_error`, `timeout` or `validation`."""

    def quarantined(self, reason: str, records: int) -> None:
        """Records were set aside."""

    def lost(self, records: int) -> None:
        """Accepted records are nowhere any more."""

    def file_fault(self, fault: str) -> None:
        """A file is not what it was, or cannot be used: one of `FILE_FAULTS`' values."""

    def alive(self) -> None:
        """The writer is working; called at least once in a few seconds."""


class Writer:
    """Drains a source into a store.

    Args:
        open_store: Opens the store; called again after a failure.
        open_source: Opens the source at the positions that the store has.
        observer: Called with it.
        host: Whose positions these are.
        batch_limit: Most records in one transaction.
        interval_seconds: Rows gather for so long before they are stored: alone a row costs SQLite 195 us, with 63
            others 10. `wake` ends the wait; journals are synced meanwhile.
        timeout_seconds: What takes longer in the store is cut off.
        retain: Levels (`rows`, `hour`, `day`) and for how many days they are kept.
        sync: Makes durable what is not committed; called now and then while rows wait.
        asked: When another process last asked for a flush; a change ends the wait.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        open_source: Callable[[Mapping[str, Position]], Source],
        observer: Observer,
        *,
        host: str,
        batch_limit: int = 2000,
        interval_seconds: float = 5.0,
        timeout_seconds: float = 10.0,
        retain: Mapping[str, int] | None = None,
        sync: Callable[[], None] | None = None,
        asked: Callable[[], int] | None = None,
    ) -> None:
        self._open_store = open_store
        self._open_source = open_source
        self._observer = observer
        self._host = host
        self._batch_limit = batch_limit
        self._interval = interval_seconds
        self._watchdog = Watchdog(timeout_seconds)
        self._retention = Retention(retain or {}, lambda: observer.file_fault("clock_jump"))
        self._sync = sync
        self._asked = asked
        self._asked_at = asked() if asked is not None else 0  # what was asked before, the first step does
        self._store: Store | None = None
        self._source: Source | None = None
        self._batch: Batch | None = None
        self._part = batch_limit  # rows in one write: fewer after a time-out, until writes are quick again
        self._wait = 0.0
        self._retry_at = 0.0
        self._synced_at = self._stored_at = time.monotonic()
        self._maintained_at = self._synced_at - _MAINTENANCE_SECONDS + _FIRST_MAINTENANCE_SECONDS
        self._checked_at = self._synced_at
        self._logged: set[str] = set()
        self._waker = Signal()
        self.idle = False
        """Whether the last look found nothing to do."""
        self.is_ending = False
        """Whether no more rows come: none need to gather."""
        self.last_error: BaseException | None = None

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped()`, then close everything."""
        try:
            while not stopped():
                self._observer.alive()
                self._pause(self.step(), stopped)
        finally:
            self.close()

    def _pause(self, seconds: float, stopped: Callable[[], bool]) -> None:
        """Let rows gather, until the time is over or they are wanted in the store."""
        until = time.monotonic() + seconds
        while not stopped() and (left := until - time.monotonic()) > 0:
            if self._waker.wait(min(left, _ASKED_SECONDS)):
                break
            asked_at = self._asked() if self._asked is not None else 0
            if asked_at != self._asked_at:
                self._asked_at = asked_at
                break
            now = time.monotonic()
            if min(now - self._synced_at, now - self._stored_at) >= _GATHERING_SYNC_SECONDS:
                self._observer.alive()
                self._sync_journals(now)

    def wake(self) -> None:
        """Look again now."""
        self._waker.set()

    def step(self) -> float:
        """Do one thing; returns how many seconds to wait before the next."""
        now = time.monotonic()
        lags = now - self._stored_at > _SYNC_SECONDS + self._interval
        if lags and now - self._synced_at > _SYNC_SECONDS:
            self._sync_journals(now)
        if now < self._retry_at:
            return self._retry_at - now
        try:
            return self._step(now)
        except StoreReplaced as error:
            self._observer.file_fault("database_replaced")
            self._let_go()  # what was in the old file's positions may not be in the new one
            self._failed("db_error", error)
        except StoreTimeout as error:
            self._part = max(_SMALLEST_PART, self._part // 2)
            self._failed("timeout", error)
        except StoreFull as error:
            self._part = _SMALLEST_PART
            self._failed("db_error", error)
        except (StoreError, OSError) as error:
            self._failed("db_error", error)
        except Exception as error:  # noqa: BLE001 - the writer keeps going; the batch is tried again
            self._failed("db_error", error)
        return self._wait

    def _sync_journals(self, now: float) -> None:
        self._synced_at = now
        if self._sync is not None:
            self._attempt("syncing the journals", self._sync)

    def _step(self, now: float) -> float:
        store, source = self._connected()
        if now - self._checked_at >= _CHECK_SECONDS:
            self._checked_at = now
            store.check_files()
        if self._batch is None:
            self.idle = False
            batch = source.read(self._batch_limit)
            for fault, what in batch.faults:
                self._observer.file_fault(fault)
                logger.warning("tachograph: the ledger leaves out %s, and drains what else there is", what)
            if not batch:
                self.idle = True
                self._stored_at = now
                if now - self._maintained_at > _MAINTENANCE_SECONDS:
                    self._maintained_at = now
                    self._retention.run(store)
                return self._interval
            self._batch = batch
        batch = self._batch
        full = len(batch.payloads) >= self._batch_limit
        self._store_batch(store, batch)
        self._batch = None
        self._stored_at = now
        self._wait = 0.0
        self._part = min(self._batch_limit, self._part * 2)
        if self._logged:
            self._logged.clear()
            logger.info("tachograph: the ledger's store is back; what has waited is being stored")
        source.committed(batch)
        return 0.0 if full or self.is_ending else self._interval

    def _connected(self) -> tuple[Store, Source]:
        if self._store is not None and self._source is not None:
            return self._store, self._source
        if self._store is None:
            self._store = self._open_store()
        with self._guard(self._store):
            positions = self._store.positions(self._host)
        if self._source is not None and (behind := self._source.behind(positions)):
            self._go_back(self._source, behind)
        if self._source is None:
            self._source = self._open_source(positions)
        return self._store, self._source

    def _go_back(self, source: Source, behind: Sequence[Gap]) -> None:
        """The store that answers now is an older one: read again what the journals still hold, and count the rest."""
        gone = sum(gap.records for gap in behind if not source.holds(gap.journal))
        logger.error(
            "tachograph: the ledger's store has lost %d record(s) that it had taken (a standby that was behind, or a"
            " restored backup); what the journals still hold is stored again",
            sum(gap.records for gap in behind),
        )
        self._observer.file_fault("database_replaced")
        if gone:
            self._observer.lost(gone)
        self._source = self._batch = None
        source.close()

    def _guard(self, store: Store) -> AbstractContextManager[None]:
        return self._watchdog.guard(store.cut)

    def _failed(self, error_type: str, error: BaseException) -> None:
        self.last_error = error
        records = max(1, len(self._batch.payloads)) if self._batch else 1
        self._observer.failed(error_type, records)
        self._wait = min(_LONGEST_WAIT, self._wait * 2 or _FIRST_WAIT)
        self._retry_at = time.monotonic() + self._wait
        if self._store is not None:
            store, self._store = self._store, None
            self._attempt("closing the store", store.close)
        kind = f"{error_type} {type(error).__name__} {getattr(error, 'do', None)}"  # another advice is worth a line
        if kind not in self._logged:
            self._logged.add(kind)
            known = isinstance(error, StoreError | OSError)
            logger.warning(
                "tachograph: the ledger's store fails, records wait in the journals meanwhile: %s",
                error,
                exc_info=None if known else error,
            )

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - not worth stopping for
            logger.debug("tachograph: %s failed: %s", what, error)

    def _store_batch(self, store: Store, batch: Batch) -> None:
        rows: list[Row] = []
        payloads: list[bytes] = []
        quarantined = list(batch.quarantined)
        for number, payload in enumerate(batch.payloads):
            if not number % _ROWS_AT_ONCE:
                time.sleep(0)  # another thread's turn
            try:
                rows.append(decode(payload))
                payloads.append(payload)
            except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
                quarantined.append(Quarantined("invalid", str(error), payload, 1))
        started = time.perf_counter()
        lost = self._lost(store, batch)
        try:
            try:
                first = 0
                while len(rows) - first > self._part:  # positions follow with the last part
                    self._write(store, rows[first : first + self._part], None, ())
                    first += self._part
                self._write(store, rows[first:], batch, quarantined)
            except RowsRejected as error:
                self._observer.failed("validation", 1)
                quarantined += self._store_good_ones(store, rows, payloads, error)
                self._write(store, (), batch, quarantined)
        except Exception:
            self._observer.persisted("error", time.perf_counter() - started, len(rows))
            raise
        self._observer.persisted("success", time.perf_counter() - started, len(rows))
        for item in quarantined:
            self._observer.quarantined(item.reason, item.records)
            logger.warning("tachograph: the ledger set %d record(s) aside: %s", item.records, item.detail)
        if lost:
            self._observer.lost(lost)
            logger.error("tachograph: %d accepted usage record(s) are gone from the journals", lost)

    def _lost(self, store: Store, batch: Batch) -> int:
        """How many records of the batch's gaps are gone: not those that another writer has stored and removed."""
        if not batch.gaps:
            return 0
        with self._guard(store):
            known = store.positions(self._host)
        lost = 0
        for gap in batch.gaps:
            position = known.get(gap.journal)
            stored = 0 if position is None else min(max(0, position.sequence - gap.first), gap.end - gap.first)
            lost += max(0, gap.records - stored)
        return lost

    def _write(
        self, store: Store, rows: Sequence[Row], batch: Batch | None, quarantined: Sequence[Quarantined]
    ) -> None:
        kept = [item._replace(payload=item.payload[:_PAYLOAD_KEPT]) for item in quarantined]
        try:
            with self._guard(store):
                store.write(
                    rows,
                    ingested_us=time.time_ns() // 1000,
                    host=self._host,
                    positions=batch.positions if batch else (),
                    quarantined=kept,
                    forget=batch.forget if batch else (),
                )
        except RowsRejected:
            raise
        except StoreUnavailable as error:
            if self._watchdog.fired:
                raise StoreTimeout(
                    f"the store did not answer in {self._watchdog.seconds:g} s and was cut off", where=store.where
                ) from error
            raise
        except (StoreError, OSError):  # a file of the store cannot be read: no row is at fault
            raise
        except Exception as error:
            if self._watchdog.fired or not rows:
                raise
            store.version()  # is it there at all? Then it is these rows that it cannot take
            raise RowsRejected(f"{type(error).__name__}: {error}", where=store.where) from error

    def _store_good_ones(
        self, store: Store, rows: Sequence[Row], payloads: Sequence[bytes], error: RowsRejected
    ) -> list[Quarantined]:
        """Store the rows that can be stored, by halves; returns the others. Ids make it safe to be cut short."""
        if not rows:
            raise error  # it was not the rows
        if len(rows) == 1:
            return [Quarantined("rejected", error.what, payloads[0], 1)]
        found: list[Quarantined] = []
        middle = len(rows) // 2
        for part, data in ((rows[:middle], payloads[:middle]), (rows[middle:], payloads[middle:])):
            try:
                self._write(store, part, None, ())
            except RowsRejected as smaller:
                found += self._store_good_ones(store, part, data, smaller)
        return found

    def after_fork_in_child(self) -> None:
        """Close the segments, which would stay locked for as long as the child lives; the rest is the parent's."""
        if self._source is not None:
            self._source.close()

    def close(self) -> None:
        """Release source and store. What is not committed stays in the journals."""
        self._watchdog.stop()
        self._let_go()

    def _let_go(self) -> None:
        source, self._source = self._source, None
        store, self._store = self._store, None
        self._batch = None
        with suppress(Exception):
            if source is not None:
                source.close()
        with suppress(Exception):
            if store is not None:
                store.close()
