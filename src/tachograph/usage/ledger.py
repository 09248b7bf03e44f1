"""The ledger as the application has it: takes finished records, and in one process of the host drains them.

The drain of the tape hands each record to `accept`, which encodes it, and calls `write` after each batch, which appends
the batch to this process's journal. All else is done by one thread, begun with the first batch. It tries to become the
host's writer until it is, and meanwhile keeps the gauges.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, TypeVar

from msgspec import structs

from tachograph.errors import TachographError
from tachograph.files import UnsafeFile, leak
from tachograph.native import Signal, Thread, original
from tachograph.records import NOWHERE, LLMCall, ToolCall
from tachograph.records.projection import project
from tachograph.settings.ledger import LedgerSettings
from tachograph.signals.registry import Metrics
from tachograph.tape import TAPE
from tachograph.tape.ring import Ring, are_there_others, dead, directory_of, sweep
from tachograph.usage.frames import LARGEST_PAYLOAD
from tachograph.usage.journal import Journal
from tachograph.usage.labels import ids_of, labels_of
from tachograph.usage.ledger_paths import LedgerPaths, WriterLock
from tachograph.usage.memory import MemoryQueue, MemorySource
from tachograph.usage.metrics.observe import UsageMetrics
from tachograph.usage.reports.run_cost import RunCost, cost_of, rows_of, rows_where
from tachograph.usage.row import Row, encode, encode_as_text
from tachograph.usage.source import JournalSource, JournalSync, Position, backlog
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.open import open_store, store_class
from tachograph.usage.writer import Source, Writer

logger = logging.getLogger("tachograph")

_CANDIDATE_SECONDS = 1.0
_CANNOT_WRITE = (
    "tachograph: the journals in %s cannot be written (a read-only or failing file system); records wait in the ring, "
    "and llm_usage_persist_queue_size counts them"
)
_GAUGE_SECONDS = 5.0
"""How often the gauges are set for siblings that show them; a scrape of this process sets them anyway."""
_LOOK_SECONDS = 0.05
"""How often `drain` looks whether more has come: who asks for it does not want rows to gather."""
_SWEEP_SECONDS = 3600.0
_ASK_SECONDS = 0.1
_WRITTEN_AT_ONCE: Final = 256
"""Records that are handed to the journal in one piece: other threads get their turn in between."""
MOST_PENDING: Final = 100_000
"""Records that wait in memory for a disk that does not answer; further ones are refused as `queue_full`."""


Found = TypeVar("Found")


class Ledger:
    """Keeps every record it has accepted. Safe from any thread, task and forked process.

    Args:
        settings: The section `ledger`.
        metrics: Where its families are counted.

    Raises:
        SettingsError: A setting that would silently keep nothing.
    """

    def __init__(self, settings: LedgerSettings, metrics: Metrics) -> None:
        if settings.mode == "journal" and sys.platform == "win32":
            logger.warning("tachograph: journals need POSIX file locks; here the ledger's queue is in memory only.")
            settings = structs.replace(settings, mode="memory")
        self.settings = settings
        self.place = LedgerPaths(settings)
        if settings.data_dir is not None:
            self.place.make_or_refuse()
        self._labels = labels_of(settings)
        self._hash_ids = ids_of(settings)
        with suppress(TachographError):  # the writer says what is wrong
            store_class(self.place.url)  # here: a child forked during an import of the writer's could not finish it
        self.registry = metrics
        self._metrics = UsageMetrics(metrics, self._beat)
        self._queue: Journal | MemoryQueue
        if settings.mode == "memory":
            self._queue = MemoryQueue(settings.queue_limit)
        else:
            self._queue = Journal(
                self.place.journals,
                segment_bytes=int(settings.segment_mb * 1e6),
                limit_bytes=int(settings.spool_limit_mb * 1e6),
            )
        self._append = self._queue.append_many
        self._sync = None if settings.mode == "memory" else JournalSync(self.place.journals)
        place = self.place.directory
        self.ring = None if settings.mode == "memory" else Ring(directory_of(place), place)
        self.recovered: Callable[[LLMCall | ToolCall], None] | None = None
        """Takes the records that a killed process left in its ring, pricing first; the ledger alone unless set."""
        self._begin()
        self._write_after_batches()
        metrics.before_collect(self.refresh)
        _all.add(self)

    def _write_after_batches(self) -> None:
        """Have `write` called after each batch of the drain, for as long as this ledger is in use."""
        reference = weakref.ref(self)

        def write() -> None:
            ledger = reference()
            if ledger is not None and ledger._pending:
                ledger.write()

        ended = weakref.finalize(self, TAPE.after_batch(write))
        ended.atexit = False  # `close` still has records to write then

    def _begin(self) -> None:
        self._lock = original("allocate_lock")()
        self._writing = original("allocate_lock")()
        self._pending: deque[tuple[bytes, int]] = deque()
        self._thread: Thread | None = None
        self._writer: Writer | None = None
        self._writer_lock: WriterLock | None = None
        self._stop_at: float | None = None
        self._retired = False
        self._wake = Signal()
        self._gauges_at = self._recovered_at = 0.0
        self._swept_at = -_SWEEP_SECONDS
        self._said: set[str] = set()

    def accept(self, record: LLMCall | ToolCall) -> None:
        """Take one finished record: it is encoded now, and goes into the journal with the batch that it belongs to.

        The drain calls this for each record, and `write` after each batch.
        """
        payload = self._payload(record)
        if payload is None or len(payload) > LARGEST_PAYLOAD:
            self._refuse(record, "invalid")
        elif len(self._pending) >= MOST_PENDING:
            self._refuse(record, "queue_full")
        else:
            self._pending.append((payload, record.slot))

    def _refuse(self, record: LLMCall | ToolCall, reason: str) -> None:
        self._queue.refuse(reason)
        if record.slot >= 0 and self.ring is not None:
            self.ring.release([record.slot])

    def write(self) -> None:
        """Append what was taken to the journal, in one write. May wait for the disk, so it is never asked of a call."""
        if not self._writing.acquire(blocking=False):
            return  # the thread that writes takes what has come meanwhile
        try:
            while self._pending:
                taken = list(islice(self._pending, _WRITTEN_AT_ONCE))
                before = self._queue.sequence
                reason = self._append([payload for payload, _ in taken], are_kept=True)
                if reason == "io_error":
                    taken = taken[: self._queue.sequence - before]  # the next batch tries the others again
                self._say_waiting(reason == "io_error")
                if self.ring is not None:
                    self.ring.release([slot for _, slot in taken if slot >= 0])
                for _ in taken:
                    self._pending.popleft()
                if not taken:
                    break
                time.sleep(0)  # another thread's turn
        finally:
            self._writing.release()
        if self._thread is None and self._queue.sequence:
            self._start()

    def _say_waiting(self, is_failing: bool) -> None:
        """Say once that the journals cannot be written, and again when they can and could not."""
        if is_failing and _CANNOT_WRITE not in self._said:
            self._said.add(_CANNOT_WRITE)
            logger.warning(_CANNOT_WRITE, self.place.journals)
        elif not is_failing:
            self._said.discard(_CANNOT_WRITE)

    def keep(self, records: Sequence[LLMCall | ToolCall]) -> str | None:
        """Append finished records to the journal now, durably; None when it has them all, else why not.

        For records that the caller keeps until this says yes: what is refused here is handed over again.
        """
        payloads: list[bytes] = []
        for record in records:
            payload = self._payload(record)
            if payload is None or len(payload) > LARGEST_PAYLOAD:
                self._queue.refuse("invalid")  # and would be each time
            else:
                payloads.append(payload)
        reason = self._append(payloads, are_kept=True)
        if reason is None and self._sync is not None:
            try:
                self._sync()
            except OSError as error:
                logger.warning("tachograph: the journals cannot be synced: %s", error)
                reason = "io_error"
        if self._thread is None and self._queue.sequence:
            self._start()
        return reason

    def _settle(self, deadline: float) -> bool:
        """Deliver what lies on the tape and write what is pending; whether all of it is written."""
        TAPE.flush(wait_seconds=max(0.0, deadline - time.monotonic()))
        pause = threading.Event()
        while self._pending:
            if time.monotonic() >= deadline:
                return False
            pause.wait(0.002)
            TAPE.run_after_batch()
        return True

    def _payload(self, record: LLMCall | ToolCall) -> bytes | None:
        """The record as a journal keeps it; None where that cannot be made."""
        try:
            row = project(record)
            labels = row.labels
            if labels is not None and (self._labels is not None or type(labels) is not dict):
                row = structs.replace(row, labels=dict(labels) if self._labels is None else self._labels(labels))
            if self._hash_ids is not None:
                row = self._hash_ids(row)
            try:
                return encode(row)
            except (TypeError, ValueError, OverflowError):
                return encode_as_text(row)
        except (TypeError, ValueError, OverflowError, AttributeError):
            return None

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that this process has accepted so far is in the store; whether it is."""
        queue = self._queue
        deadline = time.monotonic() + timeout
        if not self._settle(deadline):
            return False
        target = queue.sequence
        if not queue.check():
            return False
        pause, asked_at = threading.Event(), 0.0
        while queue.committed < target:
            if time.monotonic() >= deadline:
                return False
            if self._thread is None:
                self._start()
            writer = self._writer
            if self._thread is None:  # none is to be had
                self._try_to_write(lambda: queue.committed >= target or time.monotonic() >= deadline)
            elif writer is not None:
                writer.wake()
            elif time.monotonic() >= asked_at + _ASK_SECONDS:
                asked_at = time.monotonic()
                self.place.ask_for_flush()  # of the process that is the writer
            pause.wait(0.002)
        return True

    def close(self, timeout: float | None = None) -> bool:
        """Take no more, store what was accepted, and end; whether all of it is stored.

        What is not stored in time stays in the journal for the next writer.
        """
        timeout = self.settings.exit_seconds if timeout is None else timeout
        deadline = time.monotonic() + timeout
        if not self._settle(deadline):
            self._leave_pending()
        self._queue.close()
        if self._writer is not None:
            self._writer.is_ending = True
            self._writer.idle = False  # there is the journal's end to read
        done = self.flush(timeout) if self._queue.sequence else True
        thread = self._thread
        if thread is not None:
            self._stop_at = max(deadline, time.monotonic() + 0.2)
            self._wake_thread()
            thread.join(max(0.5, deadline + 0.5 - time.monotonic()))
        if self.ring is not None:
            self.ring.close()
        self.refresh()
        return done

    def _leave_pending(self) -> None:
        """The journal takes nothing: what is in the ring stays there for the next writer, the rest is refused."""
        while self._pending:
            _, slot = self._pending.popleft()
            if slot < 0 or self.ring is None:
                self._queue.refuse("io_error")

    def retire(self) -> None:
        """Another ledger takes over: drain what is there, then rest. Late records are still taken and drained."""
        self._retired = True
        self._wake_thread()

    def _wake_thread(self) -> None:
        self._wake.set()
        writer = self._writer
        if writer is not None:
            writer.wake()

    def open_store(self, *, read_only: bool = False) -> Store:
        """The store of these settings."""
        if self.settings.url is None:
            self.place.refuse_links()
        return open_store(
            self.place.url,
            rollup_labels=self.settings.rollup_labels,
            timeout_seconds=self.settings.timeout_seconds,
            read_only=read_only,
        )

    def by_execution(self, execution_id: str) -> list[Row]:
        """The calls and tool calls of one execution with all its runs, oldest first; flushed before."""
        return self._read(lambda store: rows_of(store, execution_id))

    def total(self, **where: str) -> RunCost:
        """Sums over the calls that match, flushed before: `total(agent="refund-agent")`, `total(run_id=...)`.

        Args:
            where: `execution_id`, `run_id`, `agent`, `session_id`, `user_id`, `app_version`, `model`, ...: every
                dimension of a report; several must all match.

        Raises:
            QueryError: The ledger has no such dimension.
        """
        return self._read(lambda store: cost_of(rows_where(store, {name: (value,) for name, value in where.items()})))

    def _read(self, ask: Callable[[Store], Found]) -> Found:
        self.flush()
        store = self.open_store(read_only=True)
        try:
            return ask(store)
        finally:
            store.close()

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._stop_at = None
            thread = Thread(self._run, "tachograph-ledger")
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # none to be had: `flush` writes, and what it is not asked for waits in the journal
                self._thread = None
                logger.debug("tachograph: the ledger's thread cannot be started")

    def _run(self) -> None:
        try:
            while not self._is_over():
                try:
                    self._try_to_write(self._is_over)
                except Exception as error:  # noqa: BLE001 - an unwritable directory may become writable
                    self._cannot_write(error)
                if not self._is_over():
                    self._refresh_now_and_then()
                    self._wake.wait(_CANDIDATE_SECONDS)
        finally:
            self._thread = None

    def _cannot_write(self, error: Exception) -> None:
        """Say once why records wait; `llm_usage_writer_alive` stays at 0 meanwhile."""
        text = f"{type(error).__name__}: {error}"
        if text not in self._said:
            self._said.add(text)
            if isinstance(error, UnsafeFile):
                self._metrics.file_fault("entry_unreadable")
            logger.warning("tachograph: the ledger cannot be written now, records wait in the journals: %s", text)

    def _is_over(self) -> bool:
        if self._stop_at is not None:
            writer = self._writer
            return writer is None or writer.idle or time.monotonic() >= self._stop_at
        return self._retired and self._queue.committed >= self._queue.sequence

    def _try_to_write(self, stopped: Callable[[], bool]) -> None:
        if self.settings.mode == "memory":
            self._write(stopped)
        elif self.settings.writer == "in_process":
            self.write_if_free(stopped)

    def write_if_free(self, stopped: Callable[[], bool], interval_seconds: float | None = None) -> bool:
        """Be the host's writer until `stopped()`, unless there is one already; whether we were.

        Rows gather for so long as the setting says, or as `interval_seconds` says.
        """
        held = self._writer_lock = self.place.try_lock()
        if held is None:
            return False
        try:
            self._write(lambda: held.is_lost or stopped(), interval_seconds)
            if held.is_lost:
                self._metrics.file_fault("lock_replaced")
                logger.warning("tachograph: %s was deleted or replaced; the writer asks for it again", held.path)
        finally:
            held.release()
            self._writer_lock = None
        return True

    def drain(self, timeout: float) -> bool:
        """Store all that waits on this host, of whatever process, or wait for the writer that does; whether it is done.

        For use where this ledger takes no records itself.
        """
        deadline = time.monotonic() + timeout

        def done() -> bool:
            writer = self._writer
            looked = writer is None or writer.idle
            if time.monotonic() >= deadline:
                return True
            return looked and not backlog(self.place.journals)[0] and not self.recover()

        pause = threading.Event()
        while not self.write_if_free(done, _LOOK_SECONDS):
            if done():
                break
            pause.wait(_LOOK_SECONDS)
        return not backlog(self.place.journals)[0]

    def _write(self, stopped: Callable[[], bool], interval_seconds: float | None = None) -> None:
        self._writer = self.make_writer(self._metrics, interval_seconds)
        try:
            self._writer.run(stopped)
        finally:
            self._writer = None

    def make_writer(self, observer: UsageMetrics, interval_seconds: float | None = None) -> Writer:
        """A writer as these settings say, or with another interval; the caller holds the lock."""
        settings = self.settings
        memory = settings.mode == "memory"
        retain = {"rows": settings.keep_rows_days, "hour": settings.keep_hours_days, "day": settings.keep_days_days}
        return Writer(
            self.open_store,
            self._open_source,
            observer,
            host="" if memory else self.place.host(),
            batch_limit=settings.batch_limit,
            interval_seconds=settings.interval_seconds if interval_seconds is None else interval_seconds,
            timeout_seconds=settings.timeout_seconds,
            retain={level: days for level, days in retain.items() if days is not None},
            sync=None if memory else JournalSync(self.place.journals),
            asked=None if memory else self.place.last_asked_for_flush,
        )

    def _open_source(self, positions: Mapping[str, Position]) -> Source:
        if isinstance(self._queue, MemoryQueue):
            return MemorySource(self._queue)
        return JournalSource(self.place.journals, positions)

    def recover(self) -> int:
        """Store what processes that were killed had put into their rings; how many records that were.

        The complete row of a record may be in the journal of the same process: it is stored first, and wins.
        """
        if self.ring is None or not are_there_others(self.ring) or backlog(self.place.journals, dead_only=True)[0]:
            return 0
        count = 0
        for found in dead(self.ring.directory, NOWHERE, self._leave_out):
            for record in found.records:
                record.slot = -1  # of another process's ring
                (self.recovered or self.accept)(record)
            count += len(found.records)
            self.write()
            if self._pending:
                break  # the disk does not take them now: the file stays
        if count and isinstance(self._queue, Journal):
            self._queue.rotate()
        return count

    def _leave_out(self, what: str) -> None:
        """Count and say once that what a process left cannot be read."""
        if what not in self._said:
            self._said.add(what)
            self._metrics.file_fault("entry_unreadable")
            logger.warning("tachograph: the ledger leaves out %s, and recovers what else there is", what)

    def _beat(self) -> None:
        if self._writer_lock is not None:
            self._writer_lock.beat()
            if time.monotonic() - self._recovered_at >= _CANDIDATE_SECONDS:
                self._recovered_at = time.monotonic()
                try:
                    self.recover()
                    self._sweep_now_and_then()
                except Exception as error:  # noqa: BLE001 - the rings stay; the next beat tries again
                    logger.debug("tachograph: what killed processes left could not be recovered: %s", error)
        self._refresh_now_and_then()

    def _sweep_now_and_then(self) -> None:
        """Remove rings on /dev/shm that no writer will ask for: those of data directories that are gone."""
        root = self.ring.directory.parent if self.ring is not None else self.place.directory
        if root != self.place.directory and time.monotonic() - self._swept_at >= _SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            sweep(root, time.time())

    def _refresh_now_and_then(self) -> None:
        if self._pending:
            TAPE.run_after_batch()  # the journal did not take it: once more
        if time.monotonic() - self._gauges_at >= _GAUGE_SECONDS:
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001 - a gauge is not worth the writer
                logger.debug("tachograph: the ledger's gauges could not be set: %s", error)

    def refresh(self) -> None:
        """Set the gauges and counters of this process to what is true now."""
        self._gauges_at = time.monotonic()
        queue = self._queue
        queue.check()
        waiting = max(0, queue.sequence - queue.committed)
        oldest = queue.oldest_accepted_us() if waiting else None
        waiting += len(self._pending)  # on a disk that takes none
        spool, alive = 0, self._writer is not None
        if isinstance(queue, Journal):
            alive = self.place.is_writer_alive()
            spool = queue.spool_bytes()
            if self._writer_lock is not None:  # the journals of processes that are gone are the writer's to count
                orphans, since = backlog(self.place.journals, (queue.name,), dead_only=True)
                waiting += orphans
                oldest = min(oldest, since) if oldest is not None and since is not None else oldest or since
        self._metrics.set_queue_counters(queue.sequence, queue.refused, queue.replaced)
        self._metrics.set_queue_levels(waiting=waiting, oldest_us=oldest, spool_bytes=spool, writer_alive=alive)

    def _after_fork_in_child(self) -> None:
        """What the parent has open is the parent's: leave it without closing it, and start again."""
        if self._writer_lock is not None:
            self._writer_lock.release()  # the parent's opening, and its lock, stay
        if self._writer is not None:
            self._writer.after_fork_in_child()
            leak(self._writer)  # closing its store in a child would end the parent's connections
        self._begin()
        self._queue.after_fork_in_child()
        if self.ring is not None:
            self.ring.after_fork_in_child()
        self._metrics.forget_reported()


_all: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for ledger in list(_all):
        ledger._after_fork_in_child()


def _at_exit() -> None:
    """Close what is open. All together take as long as the most patient of them may."""
    started = time.monotonic()
    for ledger in list(_all):
        try:
            ledger.close(max(0.0, ledger.settings.exit_seconds - (time.monotonic() - started)))
        except Exception as error:  # noqa: BLE001 - the application is ending; what is in the journal stays there
            logger.debug("tachograph: the ledger could not be closed in good order: %s", error)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
