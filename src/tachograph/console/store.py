"""Calls and traces on disk (SQLite), bounded by number, age and bytes; written in batches off the caller's path.

`add` puts a call into a bounded queue and returns; one thread writes. `add_all(wait=True)` returns when the calls are
committed, which is what the OTLP receiver does before it says yes. Spending is summed per five minutes beside the
calls, so that it stays exact when old calls are let go.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import stat
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np

from tachograph.console.calls import (
    Call,
    CallAttempt,
    CallDetail,
    Span,
    clip,
    fingerprint,
    merge,
    merge_spans,
    writable,
)
from tachograph.console.columns import Columns, Filter, label_text
from tachograph.console.facts import Facts
from tachograph.console.notes import Note
from tachograph.errors import TachographError
from tachograph.files import UnsafeFile, make_private_directory, make_private_file

BUCKET_SECONDS = 300
_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, time REAL NOT NULL, trace_id BLOB, body BLOB NOT NULL,
  detail BLOB);
CREATE INDEX IF NOT EXISTS calls_trace ON calls(trace_id);
CREATE TABLE IF NOT EXISTS spans(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, trace_id BLOB NOT NULL, span_id BLOB NOT NULL, start REAL NOT NULL,
  body BLOB NOT NULL, UNIQUE(trace_id, span_id));
CREATE TABLE IF NOT EXISTS spending(
  bucket INTEGER NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL, labels TEXT NOT NULL, calls INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cost_nano INTEGER NOT NULL, unpriced INTEGER NOT NULL,
  PRIMARY KEY(bucket, provider, model, labels)) WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS calls_text USING fts5(said, detail=none, columnsize=0, tokenize="unicode61");
CREATE TABLE IF NOT EXISTS views(name TEXT PRIMARY KEY, address TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes(
  at REAL NOT NULL, alert TEXT NOT NULL, kind TEXT NOT NULL, until REAL NOT NULL, text TEXT NOT NULL,
  matchers TEXT NOT NULL DEFAULT '');
"""
_INDEXED = 1
"""The version of a file whose calls are all in the full-text index."""
_MAX_SEARCHED = 8_000
"""Characters of one call that can be searched: its error first, then ids, then what was said."""
_DIACRITICS = re.compile("[\u0300-\u0331]")
"""What the index takes off a letter; other marks part words there."""
_MAX_WORDS = 64
"""Words of one search; what comes after them is not looked for."""
_SPENDING = """
INSERT INTO spending VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET calls=calls+excluded.calls,
  input_tokens=input_tokens+excluded.input_tokens, output_tokens=output_tokens+excluded.output_tokens,
  cost_nano=cost_nano+excluded.cost_nano, unpriced=unpriced+excluded.unpriced
"""


Item = tuple[CallDetail | None, Span | None]


def _prepare(db: sqlite3.Connection) -> None:
    """Set the database up, and bring its tables to those of today."""
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    db.execute("PRAGMA cache_size=-16000")
    db.execute("PRAGMA journal_size_limit=67108864")
    db.executescript(_SCHEMA)
    if "matchers" not in {row[1] for row in db.execute("PRAGMA table_info(notes)")}:  # a file of before
        db.execute("ALTER TABLE notes ADD COLUMN matchers TEXT NOT NULL DEFAULT ''")


logger = logging.getLogger("tachograph.console")


class _Detail(msgspec.Struct):
    attempts: list[CallAttempt]
    error: str | None = None
    content: dict[str, str] = {}


_call_encoder = msgspec.msgpack.Encoder()
_call_decoder = msgspec.msgpack.Decoder(Call)
_detail_decoder = msgspec.msgpack.Decoder(_Detail)
_span_decoder = msgspec.msgpack.Decoder(Span)


class CallStore:
    """Keeps calls and spans.

    Args:
        path: The database file, or None for memory only.
        max_calls, max_spans: How many are kept; the oldest go first.
        max_age_seconds: How long they are kept.
        max_bytes: How large the file may become.
        queue: How many may wait for the writer; past it new ones are dropped and counted in `dropped`.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        max_calls: int = 500_000,
        max_spans: int = 500_000,
        max_age_seconds: float = 30 * 86400,
        max_bytes: int = 2 * 1024**3,
        queue: int = 50_000,
        label_sets: int = 500,
    ) -> None:
        self.max_calls, self.max_spans = max_calls, max_spans
        self.max_age_seconds, self.max_bytes = max_age_seconds, max_bytes
        self.dropped = 0
        self.generation = 0
        self._path = path
        self._label_sets = label_sets
        self._labels_now: tuple[int, set[str]] = (0, set())
        self._limit = queue
        self._pending: deque[Item | Callable[[], Item]] = deque()
        self._wake = threading.Condition()
        self._accepted = self._written = 0
        self._failed_to = 0  # the last of those accepted that could not be written
        self._urgent = False
        self._closing = False
        self._lock = threading.RLock()
        self._loaded = threading.Event()
        self._db = self._open()
        self._columns = Columns(max_calls)
        newest = self._db.execute("SELECT coalesce(max(seq), 0) FROM calls").fetchone()[0]
        self._calls_kept = self._db.execute("SELECT count(*) FROM calls").fetchone()[0] if newest else 0
        self._spans_kept = self._db.execute("SELECT count(*) FROM spans").fetchone()[0]
        self._last_seq = int(newest)
        self._writer = threading.Thread(target=self._write_loop, name="tachograph-console-store", daemon=True)
        self._writer.start()
        if newest:
            threading.Thread(target=self._load, args=(newest,), name="tachograph-console-load", daemon=True).start()
        else:
            self._db.execute(f"PRAGMA user_version={_INDEXED}")
            self._loaded.set()

    def _open(self) -> sqlite3.Connection:
        """The database, with its tables.

        Raises:
            TachographError: It cannot be opened, or is none.
        """
        try:
            if self._path is not None:
                make_private_directory(self._path.parent)
                make_private_file(self._path)  # its WAL gets the same rights
                if not stat.S_ISREG(self._path.lstat().st_mode):
                    raise UnsafeFile("it is a link, or no plain file")
            db = sqlite3.connect(
                ":memory:" if self._path is None else str(self._path),
                check_same_thread=False,
                isolation_level=None,
                timeout=10,
            )
            try:
                _prepare(db)
            except BaseException:
                db.close()
                raise
            return db
        except (sqlite3.Error, OSError) as error:
            raise TachographError(
                f"the console's calls cannot be kept there: {getattr(error, 'strerror', None) or error}",
                where=str(self._path),
                do="Move the file away: a new one is begun. Or name a directory that may be written with --data-dir.",
            ) from error

    # -- writing ------------------------------------------------------------------------------------------

    def add(self, detail: CallDetail | None, span: Span | None = None) -> bool:
        """Queue one call and its span; False when the queue is full."""
        return self.add_all([(detail, span)]) == 1

    def add_later(self, make: Callable[[], Item]) -> None:
        """Queue something that the writer turns into a call and its span; costs the caller about a microsecond."""
        with self._wake:
            if len(self._pending) >= self._limit or self._closing:
                self.dropped += 1
                return
            self._pending.append(make)
            self._accepted += 1

    def add_all(self, items: Iterable[Item], *, wait: bool = False, timeout: float = 10.0) -> int:
        """Queue calls and spans; with `wait` return only when they are committed.

        Returns:
            How many were taken (with `wait`: and committed in time).
        """
        taken = 0
        with self._wake:
            for item in items:
                if len(self._pending) >= self._limit or self._closing:
                    self.dropped += 1
                    continue
                self._pending.append(item)
                taken += 1
            self._accepted += taken
            mark = self._accepted
            self._urgent = True
            self._wake.notify_all()
            if wait and not (
                self._wake.wait_for(lambda: self._written >= mark, timeout) and self._failed_to <= mark - taken
            ):
                return 0
        return taken

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything queued so far is committed."""
        with self._wake:
            mark = self._accepted
            self._urgent = True
            self._wake.notify_all()
            return self._wake.wait_for(lambda: self._written >= mark, timeout)

    def close(self) -> None:
        """Write what is queued, and close."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._writer.join(30)
        self._loaded.wait(30)
        with self._lock:
            self._db.close()

    def _write_loop(self) -> None:
        while True:
            with self._wake:
                # No event wakes the writer for what `add_later` queues: it looks itself, twenty times a second.
                self._wake.wait_for(lambda: self._urgent or self._closing, 0.05)
                self._urgent = False
                if not self._pending:
                    if self._closing:
                        return
                    continue
                batch = [self._pending.popleft() for _ in range(min(len(self._pending), 5000))]
                self._urgent = bool(self._pending)
            failed = self._write_all(batch)
            with self._wake:
                self._written += len(batch)
                if failed:
                    self._failed_to = self._written
                self._wake.notify_all()
            self.generation += 1

    def _write_all(self, batch: Sequence[Item | Callable[[], Item]]) -> int:
        """Write a batch; returns how many of it could not be. One that cannot be written takes no other along."""
        try:
            self._write([one() if callable(one) else one for one in batch])
        except (sqlite3.Error, OSError) as error:
            return self._failed(len(batch), error)
        except Exception:  # noqa: BLE001 - it is one call's
            return sum(map(self._write_alone, batch))
        return 0

    def _write_alone(self, one: Item | Callable[[], Item]) -> int:
        try:
            detail, span = one() if callable(one) else one
            self._write([(writable(detail), writable(span))])
        except Exception as error:  # noqa: BLE001 - the others are written all the same
            return self._failed(1, error)
        return 0

    def _failed(self, count: int, error: Exception) -> int:
        self.dropped += count
        logger.warning("tachograph console: %d calls could not be written: %s", count, error)
        return count

    def _write(self, batch: list[Item]) -> None:
        spending: dict[tuple[int, str, str, str], list[int]] = {}
        added: dict[int, CallDetail] = {}
        changed: dict[int, CallDetail] = {}
        with self._lock:
            db = self._db
            db.execute("BEGIN IMMEDIATE")
            try:
                for detail, span in batch:
                    if detail is not None:
                        self._write_call(detail, added, changed, spending)
                    if span is not None:
                        self._write_span(span)
                if spending:
                    db.executemany(_SPENDING, [(*key, *sums) for key, sums in spending.items()])
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # on a full disk SQLite has ended it already
                    db.execute("ROLLBACK")
                raise
            for seq, detail in added.items():
                self._columns.add(seq, detail.call, detail.attempts, fingerprint(detail.call, detail.error))
                self._last_seq = seq
            if changed:
                self._columns.replace(
                    {q: (d.call, d.attempts, fingerprint(d.call, d.error)) for q, d in changed.items()}
                )
            self._calls_kept += len(added)
            self._trim()

    def _write_call(
        self,
        detail: CallDetail,
        added: dict[int, CallDetail],
        changed: dict[int, CallDetail],
        spending: dict[tuple[int, str, str, str], list[int]],
    ) -> None:
        """Insert a call, or add what this account of it says to what is known."""
        db, call = self._db, detail.call
        identity = bytes.fromhex(call.id)
        row = db.execute("SELECT seq, body, detail FROM calls WHERE id = ?", (identity,)).fetchone()
        if row is None:
            values = (identity, call.time, *_written(detail))
            cursor = db.execute("INSERT INTO calls(id, time, trace_id, body, detail) VALUES(?,?,?,?,?)", values)
            seq = int(cursor.lastrowid or 0)
            self._index(seq, detail)
            added[seq] = detail
            if call.kind == "llm":
                self._spend(call, spending, 1)
            return
        seq, known = int(row[0]), _detail_of(row[1], row[2])
        merged = merge(known, detail)
        if merged == known:
            return
        db.execute("UPDATE calls SET trace_id=?, body=?, detail=? WHERE seq=?", (*_written(merged), seq))
        self._index(seq, merged)
        if call.kind == "llm" and _spent_of(merged.call) != _spent_of(known.call):
            self._spend(known.call, spending, -1)
            self._spend(merged.call, spending, 1)
        (added if seq in added else changed)[seq] = merged

    def _index(self, seq: int, detail: CallDetail) -> None:
        said = _searched(detail)
        if said:
            self._db.execute("INSERT OR REPLACE INTO calls_text(rowid, said) VALUES(?,?)", (seq, said))

    def _write_span(self, span: Span) -> None:
        db = self._db
        key = (bytes.fromhex(span.trace_id), bytes.fromhex(span.span_id))
        row = db.execute("SELECT seq, body FROM spans WHERE trace_id = ? AND span_id = ?", key).fetchone()
        if row is None:
            values = (*key, span.start_unix, _call_encoder.encode(span))
            db.execute("INSERT INTO spans(trace_id, span_id, start, body) VALUES(?,?,?,?)", values)
            self._spans_kept += 1
            return
        merged = merge_spans(_span_decoder.decode(row[1]), span)
        db.execute("UPDATE spans SET body=? WHERE seq=?", (_call_encoder.encode(merged), row[0]))

    def _spend(self, call: Call, spending: dict[tuple[int, str, str, str], list[int]], sign: int) -> None:
        bucket = int(call.time) // BUCKET_SECONDS * BUCKET_SECONDS
        labels = label_text(call.labels) if call.labels else ""
        current, known = self._labels_now
        if bucket > current:
            known = set()
            self._labels_now = (bucket, known)
        if labels and labels not in known:
            # Past the bound the money still counts, only without its labels.
            if len(known) < self._label_sets:
                known.add(labels)
            else:
                labels = ""
        sums = spending.setdefault((bucket, call.provider, call.model, labels), [0] * 5)
        for i, value in enumerate(_spent_of(call)):
            sums[i] += sign * value

    def _trim(self) -> None:
        """Let the oldest go, a slice at a time, so that no write takes long."""
        oldest = time.time() - self.max_age_seconds
        db = self._db
        large = self._too_large()
        self._calls_kept -= self._drop_oldest("calls", self._calls_kept, self.max_calls, large)
        self._spans_kept -= self._drop_oldest("spans", self._spans_kept, self.max_spans, large)
        first = db.execute("SELECT time FROM calls ORDER BY seq LIMIT 1").fetchone()
        if first is not None and first[0] < oldest:
            edge = db.execute("SELECT seq FROM calls ORDER BY seq LIMIT 1 OFFSET 5000").fetchone()
            limit = edge[0] if edge else self._last_seq + 1
            db.execute(
                "DELETE FROM calls_text WHERE rowid IN (SELECT seq FROM calls WHERE seq < ? AND time < ?)",
                (limit, oldest),
            )
            gone = db.execute("DELETE FROM calls WHERE seq < ? AND time < ?", (limit, oldest)).rowcount
            self._calls_kept -= gone
            self._spans_kept -= db.execute("DELETE FROM spans WHERE start < ?", (oldest,)).rowcount
            db.execute("DELETE FROM spending WHERE bucket < ?", (int(oldest) - 10 * 86400,))

    def _drop_oldest(self, table: str, kept: int, limit: int, too_large: bool) -> int:
        over = kept - limit
        if over > limit // 50:
            cut = min(over, 20_000)
        elif too_large:
            cut = min(max(kept // 2, 1), 20_000)
        else:
            return 0
        edge = self._db.execute(f"SELECT seq FROM {table} ORDER BY seq LIMIT 1 OFFSET ?", (cut,)).fetchone()
        if edge is None:
            return 0
        if table == "calls":
            self._db.execute("DELETE FROM calls_text WHERE rowid < ?", (edge[0],))
        return self._db.execute(f"DELETE FROM {table} WHERE seq < ?", (edge[0],)).rowcount

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _used_bytes(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def _too_large(self) -> bool:
        if self._pragma("freelist_count") > self._pragma("page_count") // 5:
            # Give back what was let go, a little at a time.
            self._db.execute("PRAGMA incremental_vacuum(500)").fetchall()
        return self._used_bytes() > self.max_bytes

    def _load(self, newest: int) -> None:
        """Read the columns of calls that an earlier run left, oldest first, and put them in front."""
        older = Columns(self.max_calls)
        last = 0
        indexed = self._pragma("user_version") >= _INDEXED
        while True:
            with self._lock:
                rows = self._db.execute(
                    "SELECT seq, body, detail FROM calls WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 20000",
                    (last, newest),
                ).fetchall()
            if not rows:
                break
            found = [(int(seq), _detail_of(body, detail)) for seq, body, detail in rows]
            for seq, one in found:
                older.add(seq, one.call, one.attempts, fingerprint(one.call, one.error))
            if not indexed:  # kept by an earlier edition, which had no index
                with self._lock:
                    self._db.execute("BEGIN IMMEDIATE")
                    for seq, one in found:
                        self._index(seq, one)
                    self._db.execute("COMMIT")
            last = rows[-1][0]
        with self._lock:
            self._db.execute(f"PRAGMA user_version={_INDEXED}")
            self._columns.prepend(older)
        self.generation += 1
        self._loaded.set()

    # -- reading ------------------------------------------------------------------------------------------

    def find(
        self, wanted: Filter, limit: int, *, newest_first: bool = True, sort: str = "time", skip: int = 0
    ) -> tuple[list[tuple[int, Call]], int, bool]:
        """Return matching calls with their seq, how many match, and whether there are more.

        Args:
            sort: `arrival`, or a number to order by: `time` (when they began), `duration`, `cost`, ...
        """
        self._loaded.wait(5)
        with self._lock:
            self._match(wanted)
            seqs, count, more = self._columns.find(wanted, limit, newest_first=newest_first, sort=sort, skip=skip)
            found = []
            for seq in seqs:
                row = self._db.execute("SELECT body FROM calls WHERE seq = ?", (seq,)).fetchone()
                if row is not None:
                    found.append((seq, _call_decoder.decode(row[0])))
        return found, count, more

    def _match(self, wanted: Filter) -> None:
        """Ask the full-text index for what the columns do not hold: errors, ids, what was said."""
        words = _words(wanted.text)
        if not words or wanted.matched is not None:
            return
        asked = " ".join(f'"{word}"*' for word in words)
        rows = self._db.execute("SELECT rowid FROM calls_text WHERE calls_text MATCH ?", (asked,)).fetchall()
        wanted.matched = np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))

    def facts(self, wanted: Filter) -> tuple[Facts, Facts]:
        """Return the matching calls, and the requests on the wire that they made, as columns."""
        self._loaded.wait(5)
        with self._lock:
            self._match(wanted)
            calls, requests = self._columns.calls, self._columns.requests
            found = np.flatnonzero(self._columns.mask(wanted)) + calls.rows.start
            sent = np.isin(requests.seq[requests.rows], calls.seq[found])
            return Facts.of(calls, found), Facts.of(requests, np.flatnonzero(sent) + requests.rows.start)

    def newest(self) -> float | None:
        """Return when the newest call began, or None when there is none."""
        with self._lock:
            times = self._columns.calls.numbers["time"][self._columns.calls.rows]
            return float(times.max()) if len(times) else None

    def read(self, seqs: Iterable[int]) -> list[CallDetail]:
        """Return the calls of these seqs, in this order."""
        found = []
        with self._lock:
            for seq in seqs:
                row = self._db.execute("SELECT body, detail FROM calls WHERE seq = ?", (int(seq),)).fetchone()
                if row is not None:
                    found.append(_detail_of(row[0], row[1]))
        return found

    def get(self, identity: bytes) -> CallDetail | None:
        """Return one call, or None."""
        with self._lock:
            row = self._db.execute("SELECT body, detail FROM calls WHERE id = ?", (identity,)).fetchone()
        return None if row is None else _detail_of(row[0], row[1])

    def kept_since(self) -> float | None:
        """Return when the oldest call that is kept began, or None when there is none."""
        with self._lock:
            times = self._columns.calls.numbers["time"][self._columns.calls.rows]
            return float(times.min()) if len(times) else None

    def trace(self, trace_id: bytes, limit: int = 5000) -> tuple[list[Span], list[Call]]:
        """Return the spans and calls of one trace, by start."""
        with self._lock:
            spans = self._db.execute(
                "SELECT body FROM spans WHERE trace_id = ? ORDER BY start LIMIT ?", (trace_id, limit)
            ).fetchall()
            calls = self._db.execute(
                "SELECT body FROM calls WHERE trace_id = ? ORDER BY time LIMIT ?", (trace_id, limit)
            ).fetchall()
        return [_span_decoder.decode(r[0]) for r in spans], [_call_decoder.decode(r[0]) for r in calls]

    def spending(self, start: float, end: float) -> list[tuple[int, str, str, str, int, int, int, int, int]]:
        """Return the five-minute sums in [start, end): bucket, provider, model, labels, calls, tokens in and out,
        nano-dollars, calls without a price."""
        with self._lock:
            return self._db.execute(
                "SELECT * FROM spending WHERE bucket >= ? AND bucket < ? ORDER BY bucket",
                (int(start) // BUCKET_SECONDS * BUCKET_SECONDS, int(end) + 1),
            ).fetchall()

    def add_history(self, rows: Iterable[tuple[int, str, str, str, int, int, int, int, int]]) -> None:
        """Add sums of a time that no call here belongs to; sums that are there already stay as they are."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR IGNORE INTO spending VALUES(?,?,?,?,?,?,?,?,?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def spent_since(self) -> float | None:
        """Return when the oldest sum begins, or None when there is none."""
        with self._lock:
            found = self._db.execute("SELECT min(bucket) FROM spending").fetchone()[0]
        return None if found is None else float(found)

    @property
    def last_seq(self) -> int:
        """The seq of the newest call."""
        return self._last_seq

    @property
    def count(self) -> int:
        """Number of calls kept."""
        return self._calls_kept

    # -- what people keep ---------------------------------------------------------------------------------

    def saved_views(self) -> list[tuple[str, str]]:
        """Return the saved views: name and address."""
        with self._lock:
            return self._db.execute("SELECT name, address FROM views ORDER BY name").fetchall()

    def save_view(self, name: str, address: str | None) -> None:
        """Keep a view under a name, or forget it."""
        with self._lock:
            if address is None:
                self._db.execute("DELETE FROM views WHERE name = ?", (name,))
            else:
                self._db.execute("INSERT OR REPLACE INTO views VALUES(?,?)", (name, address))

    def note(self, alert: str, kind: str, until: float, text: str, where: str = "") -> None:
        """Keep what a person said about an alert: `acknowledge` or `silence`, until a time, of some of its alerts."""
        with self._lock:
            self._db.execute("INSERT INTO notes VALUES(?,?,?,?,?,?)", (time.time(), alert, kind, until, text, where))

    def notes(self, alert: str | None = None) -> list[Note]:
        """Return what was said about alerts, the newest first."""
        with self._lock:
            if alert is None:
                return self._db.execute("SELECT * FROM notes ORDER BY at DESC LIMIT 500").fetchall()
            asked = "SELECT * FROM notes WHERE alert = ? ORDER BY at DESC LIMIT 100"
            return self._db.execute(asked, (alert,)).fetchall()

    @property
    def bytes(self) -> int:
        """Bytes on disk that are in use."""
        with self._lock:
            return self._used_bytes()


def _spent_of(call: Call) -> tuple[int, int, int, int, int]:
    """What a call adds to the sums: calls, tokens in and out, nano-dollars, calls without a price."""
    nano = int(Decimal(call.cost_usd).scaleb(9)) if call.cost_usd is not None else 0
    return 1, call.input_tokens or 0, call.output_tokens or 0, nano, int(call.is_unpriced)


def _written(detail: CallDetail) -> tuple[bytes | None, bytes, bytes | None]:
    """The trace, body and detail of a call as they are stored."""
    call = detail.call
    more = detail.attempts or detail.error or detail.content
    return (
        bytes.fromhex(call.trace_id) if call.trace_id else None,
        _call_encoder.encode(call),
        _call_encoder.encode(_Detail(detail.attempts, detail.error, detail.content)) if more else None,
    )


def _detail_of(body: bytes, detail: bytes | None) -> CallDetail:
    more = _detail_decoder.decode(detail) if detail else _Detail([])
    return CallDetail(_call_decoder.decode(body), more.attempts, more.error, more.content)


def _words(text: str) -> list[str]:
    """The words of a search as the index has them: letters and digits that SQLite's Unicode tables know too."""
    known = unicodedata.ucd_3_2_0.category
    letters = _DIACRITICS.sub("", unicodedata.normalize("NFC", text[:_MAX_SEARCHED]))
    return "".join(c if known(c)[0] in "LN" else " " for c in letters).split()[:_MAX_WORDS]


def _searched(detail: CallDetail) -> str:
    """The text by which a call is found, beside the names that the columns hold."""
    call = detail.call
    ids = (call.request_id, call.response_id, call.run_id, call.execution_id)
    return clip(" ".join(part for part in (detail.error, *ids, *detail.content.values()) if part), _MAX_SEARCHED)


def to_json(value: object) -> str:
    """Write a struct, or things that hold structs, as JSON."""
    return msgspec.json.encode(value).decode()
