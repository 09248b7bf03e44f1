"""The ledger of truth: every exchange a simulator had, to compare metrics and ledger with."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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
    ended: float | None = None
    """When the last byte was handed to the socket, or the client was gone; None while it lasts."""
    status: int | None = None
    """None when nothing was answered."""
    attempt: int = 1
    """1, or one more than that of the failed exchange with the same body that came before."""
    gap_seconds: float | None = None
    """From the end of that failed exchange to the start of this one, i.e. what the client waited."""
    usage: ServedUsage | None = None
    """What stands on the wire for whoever read everything that was sent; None if no usage was sent."""
    full_usage: ServedUsage | None = None
    """What the answer used, whether or not it was told."""
    response_id: str | None = None
    is_complete: bool = False
    """The whole answer was sent, the last event of a stream included."""
    client_gone: bool = False
    pieces_sent: int = 0

    @property
    def is_success(self) -> bool:
        return self.is_complete and self.status is not None and self.status < 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums for one vendor and requested model."""

    requests: int = 0
    by_status: Mapping[int | None, int] = field(default_factory=dict)
    usage: ServedUsage = field(default_factory=ServedUsage)
    """Usage on the wire, summed."""


class Served:
    """Exchanges in the order in which they began. Safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._exchanges: list[Exchange] = []
        self._last_of_body: dict[tuple[str, str, str], Exchange] = {}
        self._seen: dict[tuple[str, str, str], int] = {}

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
            self._changed.notify_all()
        return occurrence

    def end(self, exchange: Exchange, ended: float) -> None:
        with self._changed:
            if exchange.ended is None:
                exchange.ended = ended
            self._changed.notify_all()

    def clear(self) -> None:
        """Forget everything, e.g. after a warm-up."""
        with self._lock:
            self._exchanges.clear()
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

    def totals(self) -> dict[tuple[str, str], Totals]:
        """Sums by vendor and requested model, over everything put on the wire."""
        statuses: dict[tuple[str, str], dict[int | None, int]] = {}
        usages: dict[tuple[str, str], ServedUsage] = {}
        for exchange in self.snapshot():
            key = (exchange.vendor, exchange.model)
            by_status = statuses.setdefault(key, {})
            by_status[exchange.status] = by_status.get(exchange.status, 0) + 1
            usages[key] = usages.get(key, ServedUsage()) + (exchange.usage or ServedUsage())
        return {
            key: Totals(requests=sum(by_status.values()), by_status=by_status, usage=usages[key])
            for key, by_status in statuses.items()
        }
