"""Which calls are recorded already: sent twice, reported by two instrumentations, or kept by the application itself.

Two accounts are of one call when they have the same id; when one's span is directly inside the other's; or when they
name the same answer and overlap in time (a response's id alone is not enough: small servers use few of them).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph.usage.stores.query import Query

if TYPE_CHECKING:
    from tachograph.records.projection import Projection
    from tachograph.usage.stores.base import Store

logger = logging.getLogger("tachograph")

MOST: Final = 100_000
"""Calls that are remembered."""
_FIRST_LOOK_SECONDS: Final = 3600
_LONG_LOOK_SECONDS: Final = 900
_SHORT_LOOK_SECONDS: Final = 30
_LOOK_EVERY_SECONDS: Final = 2.0
_SHARE: Final = 10
"""A look that took a second is not repeated for ten."""
_SLACK_US: Final = 1_000_000
"""Clocks of two instrumentations in one process differ by less."""

Key = tuple[Any, ...]


class _Account(NamedTuple):
    """What is remembered of a call."""

    started_us: int
    ended_us: int
    keys: tuple[Key, ...]


class RecordedCalls:
    """The newest calls of this service, and of the ledger that it writes to.

    Args:
        open_store: Opens the ledger's store for reading; None: it is not there yet.
    """

    def __init__(self, open_store: Callable[[], Store | None]) -> None:
        self._open = open_store
        self._store: Store | None = None
        self._calls: dict[bytes, _Account] = {}
        self._by_key: dict[Key, bytes] = {}
        self._newest_us = 0
        self._look_at = self._looked_long = 0.0
        self._is_away = False

    def has(self, call: Projection) -> bool:
        """Whether the call is recorded already."""
        if call.id in self._calls:
            return True
        started, ended = call.ts_us - _SLACK_US, call.ts_us + call.latency_us + _SLACK_US
        for key in (*_inside_of(call), *_answers(call)):
            other = self._calls.get(self._by_key.get(key, b""))
            if other is not None and other.started_us <= ended and started <= other.ended_us:
                return True
        return False

    def add(self, call: Projection) -> None:
        """Remember a recorded call."""
        if call.id in self._calls:
            return
        keys = (*_own_place(call), *_answers(call))
        self._calls[call.id] = _Account(call.ts_us, call.ts_us + call.latency_us, keys)
        for key in keys:
            self._by_key[key] = call.id
        while len(self._calls) > MOST:
            self.forget(next(iter(self._calls)))

    def forget(self, call_id: bytes) -> None:
        """The call was not recorded after all."""
        account = self._calls.pop(call_id, None)
        for key in () if account is None else account.keys:
            if self._by_key.get(key) == call_id:
                del self._by_key[key]

    def look(self) -> None:
        """Learn what others have recorded in the ledger meanwhile. A store that is away stops nothing."""
        now = time.monotonic()
        if now < self._look_at:
            return
        try:
            if self._store is None:
                self._store = self._open()
            if self._store is not None:
                self._learn(self._store, now)
            self._is_away = False
        except Exception as error:  # noqa: BLE001 - the ledger itself drops what has the same id
            if not self._is_away:
                logger.warning("tachograph collect: the ledger cannot be read for calls that it has already: %s", error)
            self._is_away = True
            self.close()
        took = time.monotonic() - now
        self._look_at = now + max(_LOOK_EVERY_SECONDS, took * _SHARE)

    def _learn(self, store: Store, now: float) -> None:
        seconds = _SHORT_LOOK_SECONDS
        if not self._newest_us:
            seconds, self._looked_long = _FIRST_LOOK_SECONDS, now
            self._newest_us = time.time_ns() // 1000
        elif now - self._looked_long >= 60:  # calls that took long are in the ledger by when they began
            seconds, self._looked_long = _LONG_LOOK_SECONDS, now
        since = self._newest_us - seconds * 1_000_000
        self._newest_us = time.time_ns() // 1000
        for row in store.rows(Query(since_us=max(0, since), where={"kind": ("llm", "mcp")}, raw=True)):
            self.add(row)

    def close(self) -> None:
        """Release the store."""
        store, self._store = self._store, None
        if store is not None:
            with suppress(Exception):  # only read from: nothing is lost with it
                store.close()


def _what(call: Projection) -> tuple[str, str]:
    """Calls of one kind; tools only of one name, for a tool may use another."""
    return call.kind, call.model if call.kind == "mcp" else ""


def _own_place(call: Projection) -> list[Key]:
    """The places in a trace at which this call is found: its span, and the one around it."""
    found: list[Key] = []
    if call.trace_id and call.span_id:
        found.append(("span", *_what(call), call.trace_id, call.span_id))
        if call.parent_span_id:
            found.append(("around", *_what(call), call.trace_id, call.parent_span_id))
    return found


def _inside_of(call: Projection) -> list[Key]:
    """The places at which another account of this call would be: the span around it, and those inside of it."""
    found: list[Key] = []
    if call.trace_id and call.span_id:
        found.append(("around", *_what(call), call.trace_id, call.span_id))
        if call.parent_span_id:
            found.append(("span", *_what(call), call.trace_id, call.parent_span_id))
    return found


def _answers(call: Projection) -> list[Key]:
    """The answer that a call got, by the ids that the vendor gave it."""
    if not call.counted:
        return []
    ids = (("response", call.response_id), ("request", call.request_id))
    return [(name, *_what(call), value) for name, value in ids if value]
