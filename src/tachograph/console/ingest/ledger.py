"""Copies calls from the usage ledger into the console, as they are stored there.

Calls keep their ids, so one that the console has already, from the same process or over OTLP, is not there twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tachograph.console.calls import CallDetail, Span, from_row
from tachograph.console.columns import NUMBERS, TEXTS, label_text
from tachograph.console.facts import Facts, from_rows
from tachograph.console.store import CallStore
from tachograph.usage.stores.open import without_password

if TYPE_CHECKING:
    from tachograph.usage.stores.base import Store

# A call is stored when it ends and found by when it began, so each look goes back a while; a longer while is looked
# at once a minute, for calls that took long.
SHORT_LOOK, LONG_LOOK = 30.0, 3600.0
FIRST_LOOK = 86_400.0
HISTORY = 40 * 86_400.0
MAX_SEEN = 200_000


class LedgerFeed:
    """Looks into a ledger again and again.

    Args:
        url: The store's URL, for showing; a password in it is not shown.
        open_store: Opens it for reading.
        labels: The labels that its sums are kept by.
        ask: Asks the ledger's writer to store now what waits.
    """

    def __init__(
        self,
        url: str,
        open_store: Callable[[], Store],
        calls: CallStore,
        labels: tuple[str, ...] = (),
        ask: Callable[[], None] = lambda: None,
    ) -> None:
        self.ask = ask
        self._labels = labels
        self.url = without_password(url)
        self.last_error = ""
        self._open = open_store
        self._calls = calls
        self._looking = threading.Lock()
        self._store: Store | None = None
        self._seen: dict[bytes, None] = {}
        self._newest = 0.0
        self._looked_long = 0.0
        self._history: dict[tuple[float, float], tuple[float, Facts, float]] = {}
        self._waste: dict[tuple[Any, ...], tuple[float, dict[str, tuple[int, float]]]] = {}

    def look(self, now: float | None = None) -> int:
        """Copy what is new; returns how many calls. A failure is kept in `last_error`, and tried again next time.

        Who looks while another thread does waits for it: what that one has seen is copied when this returns.
        """
        at = time.time() if now is None else now
        with self._looking:
            try:
                if self._store is None:
                    self._store = self._open()
                copied = self._copy(at)
                self.last_error = ""
                return copied
            except Exception as error:  # noqa: BLE001 - a ledger that is away must not stop the console
                self.last_error = f"{type(error).__name__}: {error}"
                self.close()
                return 0

    def _copy(self, now: float) -> int:
        from tachograph.usage.stores.query import Query

        assert self._store is not None
        if not self._newest:
            # On the hour, where the ledger's own sums end and its rows begin.
            since = (now - FIRST_LOOK) // 3600 * 3600
            self._looked_long = now
            self._copy_history(since)
        elif now - self._looked_long >= 60:
            since, self._looked_long = self._newest - LONG_LOOK, now
        else:
            since = self._newest - SHORT_LOOK
        copied = 0
        batch: list[tuple[CallDetail, Span]] = []
        calls = {"kind": ("llm", "mcp")}
        for row in self._store.rows(Query(since_us=max(int(since * 1e6), 0), where=calls, raw=True)):
            self._newest = max(self._newest, row.ts_us / 1e6)
            if row.id in self._seen:
                continue
            self._seen[row.id] = None
            batch.append(from_row(row))
            if len(batch) >= 1000:
                copied += self._calls.add_all(batch, wait=True)
                batch = []
        if batch:
            copied += self._calls.add_all(batch, wait=True)
        while len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        return copied

    def _copy_history(self, until: float) -> None:
        """Copy hourly sums of the weeks before the first look, so that the month's spending is whole."""
        from tachograph.usage.stores.query import Query

        assert self._store is not None
        known_since = self._calls.spent_since()
        until = until if known_since is None else min(until, known_since // 3600 * 3600)
        query = Query(
            since_us=int((until - HISTORY) // 3600 * 3600 * 1e6),
            until_us=int(until * 1e6),
            by=("hour", "provider", "model", *(f"label:{name}" for name in self._labels)),
            where={"kind": ("llm",)},
        )
        rows = []
        for found in self._store.usage(query):
            labels = {name: found[f"label:{name}"] for name in self._labels if found[f"label:{name}"]}
            sums = [int(found[name] or 0) for name in ("n", "input_tokens", "output_tokens", "cost_nusd", "unpriced")]
            rows.append((int(found["hour"]) // 1_000_000, found["provider"], found["model"], label_text(labels), *sums))
        self._calls.add_history(rows)

    def history(self, start: float, end: float) -> tuple[Facts, float] | None:
        """Hourly sums of [start, end) with the spread of their latencies, and when the ledger begins.

        Both times are on the hour. None when the ledger cannot be asked: `last_error` says why. An answer is kept
        for a minute.
        """
        from tachograph.usage.stores.query import Query

        key = (start, end)
        with self._looking:
            known = self._history.get(key)
            if known is not None and time.monotonic() - known[0] < 60:
                return known[1], known[2]
            try:
                if self._store is None:
                    self._store = self._open()
                span = (int(start * 1e6), int(end * 1e6))
                by = ("hour", "kind", "provider", "model", "outcome", "error_type")
                sums = self._store.usage(Query(*span, by=by))
                buckets = self._store.histograms(Query(*span, by=by[:5]))
                oldest = self._store.usage(Query(until_us=int(end * 1e6), by=("day",)))
            except Exception as error:  # noqa: BLE001 - a ledger that is away must not stop the page
                self.last_error = f"{type(error).__name__}: {error}"
                return None
            rows = [_sums(row) for row in sums]
            facts = from_rows(rows, TEXTS, NUMBERS)
            facts.spread = from_rows([_spread(k, b, n) for k, own in buckets.items() for b, n in own.items()],
                                     TEXTS, NUMBERS)  # fmt: skip
            hours = [row["time"] for row in rows]
            first = min([*hours, *(int(row["day"]) / 1e6 for row in oldest if not hours)], default=end)
            if oldest and min(int(row["day"]) for row in oldest) / 1e6 < start:
                first = start
            if len(self._history) > 8:
                self._history.clear()
            self._history[key] = (time.monotonic(), facts, first)
            return facts, first

    def waste(
        self, start: float, end: float, where: Mapping[str, tuple[str, ...]]
    ) -> dict[str, tuple[int, float]] | None:
        """How many calls of [start, end) wasted how many dollars, by cause; None when the ledger cannot be asked.

        An answer is kept for a few seconds.
        """
        from tachograph.usage.stores.query import Query

        key = (round(start), round(end), tuple(where.items()))
        with self._looking:
            known = self._waste.get(key)
            if known is not None and time.monotonic() - known[0] < 5:
                return known[1]
            try:
                if self._store is None:
                    self._store = self._open()
                chosen = {**where, "kind": ("waste",)}
                rows = self._store.usage(Query(int(start * 1e6), int(end * 1e6), ("operation",), chosen, raw=True))
            except Exception as error:  # noqa: BLE001 - a ledger that is away must not stop the page
                self.last_error = f"{type(error).__name__}: {error}"
                return None
            found = {row["operation"]: (int(row["n"]), int(row["cost_nusd"] or 0) / 1e9) for row in rows}
            if len(self._waste) > 8:
                self._waste.clear()
            self._waste[key] = (time.monotonic(), found)
            return found

    def close(self) -> None:
        """Release the store."""
        store, self._store = self._store, None
        if store is not None:
            store.close()


def _sums(row: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the ledger's sums in the words of the console's columns."""
    is_llm = row["kind"] == "llm"
    found = {
        "kind": "llm" if is_llm else "tool",
        ("provider" if is_llm else "server_id"): row["provider"],
        ("model" if is_llm else "tool_name"): row["model"],
        "outcome": row["outcome"],
        "error": row["error_type"],
        "weight": float(row["n"]),
        "time": int(row["hour"]) / 1e6,
        "duration": row["latency_us"] / 1e6,
        "attempts": float(row["attempts"]),
        "wait": row["wait_us"] / 1e6,
        "unpriced": float(row["unpriced"]),
        "usage_missing": float(row["usage_missing"]),
        "reported": 0.0,
    }
    if is_llm and (row["input_tokens"] or row["output_tokens"] or row["cost_nusd"] or row["unpriced"]):
        found["reported"] = 1.0
    if is_llm and (row["input_tokens"] or row["output_tokens"] or row["cost_nusd"]):  # else nothing was reported
        found |= {
            "input": float(row["input_tokens"]),
            "output": float(row["output_tokens"]),
            "cached": float(row["cache_read_tokens"]),
            "reasoning": float(row["reasoning_tokens"]),
        }
        if row["cost_nusd"] or not row["unpriced"]:
            found["cost"] = row["cost_nusd"] / 1e9
    return found


def _spread(key: tuple[Any, ...], bucket: int, count: int) -> dict[str, Any]:
    """So many calls of one latency bucket."""
    from tachograph.usage.row import bucket_seconds

    hour, kind, provider, model, outcome = key
    is_llm = kind == "llm"
    return {
        "kind": "llm" if is_llm else "tool",
        ("provider" if is_llm else "server_id"): provider,
        ("model" if is_llm else "tool_name"): model,
        "outcome": outcome,
        "weight": float(count),
        "time": int(hour) / 1e6,
        "duration": bucket_seconds(bucket),
    }
