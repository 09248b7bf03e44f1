"""A small HTTP/1.1 server on asyncio that can also do what real ones do only when they break.

Stdlib only, so that it starts in a millisecond and serves a few thousand requests a second. It serves
keep-alive, Content-Length and chunked bodies; nothing more is needed by the clients that it exists for.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

from .websocket import WebSocket, accept_headers


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, its body read to the end. Header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    raw_query: str
    headers: Mapping[str, str]
    body: bytes


class Reply:
    """Writes one response. `whole()`, or `start()`, `send()`... and one of the endings."""

    def __init__(
        self, transport: asyncio.Transport, is_head: bool, take_over: Callable[[WebSocket], WebSocket]
    ) -> None:
        self._transport = transport
        self._is_head = is_head
        self._take_over = take_over
        self.is_started = False
        self.is_broken = False

    @property
    def transport(self) -> asyncio.Transport:
        return self._transport

    def whole(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.is_started = True
        head = _head(status, {**headers, "content-length": str(len(body))})
        self._transport.write(head if self._is_head else head + body)

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.is_started = True
        self._transport.write(_head(status, {**headers, "transfer-encoding": "chunked"}))

    def send(self, data: bytes) -> None:
        if data:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def finish(self) -> None:
        self._transport.write(b"0\r\n\r\n")

    def end_early(self) -> None:
        """Close the body properly although something is missing."""
        self.finish()

    def upgrade(self, request: Request) -> WebSocket:
        """Turn the connection into a WebSocket."""
        self._transport.write(_head(101, accept_headers(request.headers)))
        return self._take_over(WebSocket(self._transport))

    def drop(self) -> None:
        """Close the connection in an orderly way, wherever the response stands."""
        self.is_broken = True
        self._transport.close()

    def reset(self) -> None:
        """Send a TCP reset."""
        self.is_broken = True
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


Handler = Callable[[Request, Reply], Awaitable[None]]


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Status"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class _Connection(asyncio.Protocol):
    """One client's connection: requests one after the other, the handler cancelled when the client goes."""

    def __init__(self, handler: Handler, connections: set[_Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._websocket: WebSocket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._websocket is not None:
            self._websocket.feed(data)
            return
        self._buffer += data
        self._next_request()

    def _take_over(self, websocket: WebSocket) -> WebSocket:
        self._websocket = websocket
        websocket.feed(bytes(self._buffer))
        self._buffer.clear()
        return websocket

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _next_request(self) -> None:
        if self._task is not None or self._transport is None or self._transport.is_closing():
            return
        try:
            parsed = _parse(self._buffer)
        except ValueError:
            self._transport.abort()
            return
        if parsed is None:
            return
        request, used = parsed
        del self._buffer[:used]
        self._task = asyncio.get_running_loop().create_task(self._answer(request, self._transport))

    async def _answer(self, request: Request, transport: asyncio.Transport) -> None:
        reply = Reply(transport, request.method == "HEAD", self._take_over)
        try:
            await self._handler(request, reply)
        except asyncio.CancelledError:
            return
        except Exception:
            transport.abort()
            raise
        finally:
            self._task = None
        if request.headers.get("connection", "").lower() == "close":
            transport.close()
        if self._websocket is None:
            self._next_request()


def _parse(buffer: bytearray) -> tuple[Request, int] | None:
    """One request from the front of `buffer` and its length, or None when it is not all there yet."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    method, target, _version = lines[0].split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    start = end + 4
    if "chunked" in headers.get("transfer-encoding", "").lower():
        chunked = _parse_chunked(buffer, start)
        if chunked is None:
            return None
        body, used = chunked
    else:
        length = int(headers.get("content-length", "0"))
        used = start + length
        if len(buffer) < used:
            return None
        body = bytes(buffer[start:used])
    path, _, query = target.partition("?")
    return Request(method, unquote(path), dict(parse_qsl(query)), query, headers, body), used


def _parse_chunked(buffer: bytearray, position: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while True:
        line_end = buffer.find(b"\r\n", position)
        if line_end < 0:
            return None
        size = int(bytes(buffer[position:line_end]).split(b";")[0], 16)
        position = line_end + 2
        if len(buffer) < position + size + 2:
            return None
        body += buffer[position : position + size]
        position += size + 2
        if size == 0:
            return bytes(body), position


class HTTPServer:
    """Listens on one loopback port; can vanish and come back on the same port."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._handler, self._connections),
            "127.0.0.1",
            self.port if port is None else port,
            backlog=1024,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)
