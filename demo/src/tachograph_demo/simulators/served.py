"""The ledger of truth: every exchange a simulator had, to compare metrics and ledger with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from .prices import cost_nano_usd
from .script import ToolCall
from .usage import ServedUsage


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and what was answered. Times are `time.monotonic()` in seconds."""

    vendor: str
    operation: str
    model: str
    """The requested model."""
    served_model: str = ""
    """The model that the answer names; empty for failures."""
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    body_hash: str
    is_stream: bool
    started: float
    started_unix: float = 0.0
    """UTC, seconds since the epoch."""
    ended: float | None = None
    """When the last byte was handed to the socket, or the client was gone; None while it lasts."""
    status: int | None = None
    """None when nothing was answered."""
    attempt: int = 1
    """1, or one more than that of the failed exchange with the same body that came before."""
    gap_seconds: float | None = None
    """From the end of that failed exchange to the start of this one, i.e. what the client waited."""
    usage: ServedUsage | None = None
    """What the wire says to a client that reads all that was sent; None if no usage was sent."""
    full_usage: ServedUsage | None = None
    """What the answer used, whether or not it was reported."""
    response_id: str | None = None
    is_complete: bool = False
    """The whole answer was sent, the last event of a stream included."""
    client_gone: bool = False
    pieces_sent: int = 0
    conversation: int = 0
    """The same number for every request of a conversation."""
    tool_results: int = 0
    """How many tool results the conversation held when this was asked."""
    tool_calls: Sequence[ToolCall] = ()
    """Which tools the answer calls."""
    prefix: int | None = None
    """Stands for the part of the prompt that the vendor's cache may hold; None where it may hold none."""

    @property
    def is_success(self) -> bool:
        return self.is_complete and self.status is not None and self.status < 400


@dataclass(slots=True, kw_only=True)
class Totals:
    """Sums over exchanges.

    Attributes:
        requests: Exchanges, the failed ones included.
        by_status: Exchanges by HTTP status (None: nothing was answered).
        usage: Usage on the wire.
        billed_requests, billed_usage, billed_nano_usd: Of answers that were sent whole, reported or not, and of those
            that broke off, as far as they had reported their usage.
        nano_usd: What the usage on the wire costs, summed over exchanges rounded each to a billionth of a dollar.
        unpriced: Exchanges with usage but without a price.
    """

    requests: int = 0
    by_status: dict[int | None, int] = field(default_factory=dict)
    usage: ServedUsage = field(default_factory=ServedUsage)
    billed_requests: int = 0
    billed_usage: ServedUsage = field(default_factory=ServedUsage)
    billed_nano_usd: int = 0
    nano_usd: int = 0
    unpriced: int = 0

    def count(self, exchange: Exchange) -> None:
        """Add one exchange."""
        self.requests += 1
        self.by_status[exchange.status] = self.by_status.get(exchange.status, 0) + 1
        if exchange.usage is not None:
            self.usage += exchange.usage
            if exchange.usage.total:
                model = exchange.served_model or exchange.model
                nano_usd = cost_nano_usd(exchange.vendor, model, exchange.usage)
                self.unpriced += nano_usd is None
                self.nano_usd += nano_usd or 0
        billed = exchange.full_usage if exchange.is_success else exchange.usage
        if billed is not None and billed.total:
            self.billed_requests += 1
            self.billed_usage += billed
            model = exchange.served_model or exchange.model
            self.billed_nano_usd += cost_nano_usd(exchange.vendor, model, billed) or 0

    def add(self, other: Totals) -> None:
        """Add other sums to these."""
        self.requests += other.requests
        for status, count in other.by_status.items():
            self.by_status[status] = self.by_status.get(status, 0) + count
        self.usage += other.usage
        self.billed_requests += other.billed_requests
        self.billed_usage += other.billed_usage
        self.billed_nano_usd += other.billed_nano_usd
        self.nano_usd += other.nano_usd
        self.unpriced += other.unpriced


Line = tuple[str, str, str, date]
"""Vendor, requested model, served model, day (UTC)."""


def _line(exchange: Exchange) -> Line:
    day = datetime.fromtimestamp(exchange.started_unix, UTC).date()
    return (exchange.vendor, exchange.model, exchange.served_model, day)


class Served:
    """Exchanges in the order in which they began. Safe to read from any thread.

    Args:
        keep: How many exchanges to keep; older ones live on in the totals only. None keeps all.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._folded: dict[Line, Totals] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._exchanges: list[Exchange] = []
        self._last_of_body: dict[tuple[str, str, str], Exchange] = {}
        self._seen: dict[tuple[str, str, str], int] = {}
        self._watchers: list[Callable[[Exchange], None]] = []

    def on_end(self, watch: Callable[[Exchange], None]) -> None:
        """Call `watch` with every exchange that ends, in that order."""
        self._watchers.append(watch)

    def begin(self, exchange: Exchange) -> int:
        """Add an exchange; returns how often its body had been seen before."""
        key = (exchange.vendor, exchange.path, exchange.body_hash)
        with self._changed:
            before = self._last_of_body.get(key)
            if before is not None and before.ended is not None and not before.is_success:
                exchange.attempt = before.attempt + 1
                exchange.gap_seconds = exchange.started - before.ended
            self._last_of_body[key] = exchange
            occurrence = self._seen.get(key, 0)
            self._seen[key] = occurrence + 1
            self._exchanges.append(exchange)
            if self._keep is not None and len(self._exchanges) > 2 * self._keep:
                self._fold(self._keep)
            self._changed.notify_all()
        return occurrence

    def _fold(self, keep: int) -> None:
        """Turn the oldest exchanges into sums; those that still last stay."""
        old, kept = self._exchanges[:-keep], self._exchanges[-keep:]
        lasting = [e for e in old if e.ended is None]
        for exchange in old:
            if exchange.ended is not None:
                self._folded.setdefault(_line(exchange), Totals()).count(exchange)
        self._exchanges = lasting + kept
        self._last_of_body = {
            key: e for key, e in self._last_of_body.items() if e.ended is None or e.started >= kept[0].started
        }
        self._seen = {key: count for key, count in self._seen.items() if key in self._last_of_body}

    def end(self, exchange: Exchange, ended: float) -> None:
        with self._changed:
            if exchange.ended is None:
                exchange.ended = ended
                for watch in self._watchers:
                    watch(exchange)
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything, e.g. after a warm-up."""
        with self._lock:
            self._exchanges.clear()
            self._folded.clear()
            self._last_of_body.clear()
            self._seen.clear()

    def snapshot(self) -> list[Exchange]:
        with self._lock:
            return list(self._exchanges)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(self.snapshot())

    def __len__(self) -> int:
        with self._lock:
            return len(self._exchanges)

    def __getitem__(self, index: int) -> Exchange:
        with self._lock:
            return self._exchanges[index]

    def of(self, vendor: str, model: str | None = None) -> list[Exchange]:
        """Exchanges of one vendor, and of one requested model if given."""
        return [e for e in self.snapshot() if e.vendor == vendor and model in (None, e.model)]

    def wait(self, count: int, timeout_seconds: float = 10.0) -> list[Exchange]:
        """Wait until `count` exchanges have ended.

        Raises:
            TimeoutError: They have not.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: sum(e.ended is not None for e in self._exchanges) >= count, timeout_seconds
            ):
                ended = sum(e.ended is not None for e in self._exchanges)
                raise TimeoutError(f"{ended} of {count} exchanges had ended after {timeout_seconds} s")
            return list(self._exchanges)

    def wait_for_all(self, timeout_seconds: float = 10.0) -> bool:
        """Wait until no exchange is under way; returns whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: all(e.ended is not None for e in self._exchanges), timeout_seconds)

    def lines(self) -> dict[Line, Totals]:
        """Sums by vendor, requested model, served model and day."""
        found: dict[Line, Totals] = {}
        with self._lock:
            for line, totals in self._folded.items():
                found.setdefault(line, Totals()).add(totals)
            exchanges = list(self._exchanges)
        for exchange in exchanges:
            found.setdefault(_line(exchange), Totals()).count(exchange)
        return found

    def totals(self) -> dict[tuple[str, str], Totals]:
        """Sums by vendor and requested model, over everything put on the wire."""
        found: dict[tuple[str, str], Totals] = {}
        for (vendor, model, _, _), totals in self.lines().items():
            found.setdefault((vendor, model), Totals()).add(totals)
        return found
