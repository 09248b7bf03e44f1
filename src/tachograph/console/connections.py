"""Connections that send no request are ended, so that they never take the places of those that do."""

from __future__ import annotations

import asyncio
from typing import Any

IDLE_SECONDS = 10.0
"""A connection without a request is ended after this time to twice this time."""


def bounded(protocol: type[Any]) -> type[Any]:
    """uvicorn's protocol, of either parser, with a bound that it lacks: for a request's head that never ends."""

    class Bounded(protocol):  # type: ignore[misc]  # chosen by what is installed
        """Looks now and then whether the connection has been without a request since the last look."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._idle_in: object = self
            self.loop.call_later(IDLE_SECONDS, self._look)

        def _look(self) -> None:
            transport: asyncio.Transport = self.transport
            if transport.is_closing() or transport.get_protocol() is not self:
                return
            cycle = self.cycle
            is_idle = cycle is None or cycle.response_complete
            if is_idle and self._idle_in is cycle:
                transport.close()
                return
            self._idle_in = cycle if is_idle else self
            self.loop.call_later(IDLE_SECONDS, self._look)

    return Bounded
