"""Connections whose other end does nothing are ended, so that they never take the places of those that work.

A server waits for three things: for a request's head, for its body, and for its answer to be read. Each of these
waits is bounded here; how long the answer takes to make is not. When all places are taken, a new connection gets the
place of the one that has waited longest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final

IDLE_SECONDS = 10.0
"""How often a connection is looked at. One without a request, or that takes nothing of its answer, is ended at the
second look."""
BODY_LOOKS: Final = 3
"""A request whose body is not complete at so many looks is ended."""
_TAKEN_BYTES: Final = 16 * 1024
"""A client that takes less of an answer between two looks counts as one that takes nothing."""
_SAY_SECONDS: Final = 60.0


class _Seldom(logging.Filter):
    """Lets each kind of message through once a minute, so that bad requests do not fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now, kind = time.monotonic(), str(record.msg)
        if now - self._said.get(kind, -_SAY_SECONDS) < _SAY_SECONDS:
            return False
        self._said[kind] = now
        return True


def _waits_for(connection: Any) -> str:  # noqa: ANN401 - uvicorn's
    """The head or the body of a request, a reader of its answer; "" while the answer is made."""
    if connection.transport.get_write_buffer_size():
        return "reader"
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        return "head"
    return "body" if cycle.more_body else ""


def _make_room(connections: set[Any], new: object) -> None:
    """End the connection that has waited longest, if any waits."""
    waiting = [one for one in connections if one is not new and _waits_for(one)]
    if waiting:
        longest = min(waiting, key=lambda one: one._waits_since)
        connections.discard(longest)  # connection_lost comes a moment later
        longest.transport.abort()


def bounded(protocol: type[Any]) -> type[Any]:
    """uvicorn's protocol, of either parser, with bounds that it lacks."""

    logger = logging.getLogger("tachograph.console.http")
    logger.filters = [_Seldom()]

    class Bounded(protocol):  # type: ignore[misc]  # chosen by what is installed
        """Looks now and then what the connection has waited for since the last look."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            self.logger = logger
            super().connection_made(transport)
            self._waits_since = self.loop.time()
            self._seen: tuple[str, object] = ("head", None)  # what it waited for at the last look, for which request
            self._looks = 0
            self._unread = 0
            self._next_look = self.loop.call_later(IDLE_SECONDS, self._look)
            if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
                _make_room(self.connections, self)

        def connection_lost(self, error: Exception | None) -> None:
            self._next_look.cancel()
            super().connection_lost(error)

        def on_response_complete(self) -> None:
            self._waits_since = self.loop.time()
            super().on_response_complete()

        def resume_writing(self) -> None:
            self._unread = 0  # most of what was waiting has been taken
            super().resume_writing()

        def _look(self) -> None:
            if self.transport.get_protocol() is not self:
                return
            self._next_look = self.loop.call_later(IDLE_SECONDS, self._look)
            unread, self._unread = self._unread, self.transport.get_write_buffer_size()
            seen, self._seen = self._seen, (_waits_for(self), self.cycle)
            if seen != self._seen or (seen[0] == "reader" and not 0 < unread < self._unread + _TAKEN_BYTES):
                self._looks = 0
                self._waits_since = self.loop.time()
                return
            self._looks += 1
            if seen[0] and self._looks >= (BODY_LOOKS if seen[0] == "body" else 1):
                self.transport.abort()

    return Bounded
