"""The demo's simulators beneath the clients' HTTP layer: their own code answers, and no socket is opened."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from tachograph_demo.simulators.server import Request
from tachograph_demo.simulators.vendor import Vendor


class InMemory(httpx2.AsyncBaseTransport):
    """Hands requests to a simulator in the caller's own event loop.

    Args:
        vendor: The simulator; it need not be started.
    """

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        reply = _Reply()
        asked = Request(
            method=request.method,
            path=request.url.path,
            query=dict(request.url.params),
            raw_query=request.url.query.decode("latin-1"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.aread(),
        )
        task = asyncio.create_task(self._vendor._handle(asked, reply))  # type: ignore[arg-type]
        try:
            status, headers = await reply.head
        except BaseException:
            await _end(task)
            raise
        return httpx2.Response(status, headers=headers, stream=_Body(reply, task), request=request)


class _Reply:
    """Stands for the connection's reply: what is sent goes into a queue."""

    def __init__(self) -> None:
        self.head: asyncio.Future[tuple[int, Mapping[str, str]]] = asyncio.get_running_loop().create_future()
        self.pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.is_started = self.is_broken = False

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.is_started = True
        if not self.head.done():
            self.head.set_result((status, headers))

    def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.start(status, headers)
        self.send(body)
        self.finish()

    def send(self, data: bytes) -> None:
        if data:
            self.pieces.put_nowait(data)

    def finish(self) -> None:
        self.pieces.put_nowait(None)

    end_early = finish

    def drop(self) -> None:
        self.is_broken = True
        error = httpx2.RemoteProtocolError("the server closed the connection")
        if self.head.done():
            self.pieces.put_nowait(error)
        else:
            self.head.set_exception(error)

    reset = drop


class _Body(httpx2.AsyncByteStream):
    def __init__(self, reply: _Reply, task: asyncio.Task[Any]) -> None:
        self._reply, self._task = reply, task

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._reply.pieces.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        await _end(self._task)


async def _end(task: asyncio.Task[Any]) -> None:
    """Tell the simulator that its client is gone, if it is still answering."""
    if not task.done():
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
