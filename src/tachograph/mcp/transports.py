"""Transports to MCP servers, made from their configuration, with what the SDK does not report watched on the way.

The SDK (mcp 2.3) loses the HTTP status of a refused request, tears the whole connection down when one request meets a
connection error, and does not say when a connection has ended. So requests go through an HTTP client of ours that notes
what happened to the call under way (`EXCHANGE`), and the stream of incoming messages is watched for its end.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any, TextIO

import anyio
import httpx2
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tachograph.mcp.config import HTTPServer, ServerConfig, StdioServer
from tachograph.mcp.errors import says_session_lost
from tachograph.mcp.liveness import how_it_ended
from tachograph.mcp.stderr import StderrTail

_CONNECT_SECONDS = 10.0
_STREAM_READ_SECONDS = 300.0
_GOODBYE_SECONDS = 1.0
_HAS_EVENT_LIMIT = "max_sse_event_size" in inspect.signature(streamable_http_client).parameters  # since mcp 2.3
_EVENT_LIMIT: dict[str, Any] = {"max_sse_event_size": 64 << 20} if _HAS_EVENT_LIMIT else {}
"""Bytes of an answer that comes as an event. The SDK's limit of 1 MiB is less than a screenshot."""


class Exchange:
    """What was seen of one call below the MCP client.

    Attributes:
        begun: The call was handed to the MCP client.
        status: HTTP status of its request.
        error: What kept an answer away.
        is_session_lost: The server no longer has our session, so it has not looked at the call.
        seconds: How long the call may take.
    """

    __slots__ = ("begun", "error", "is_session_lost", "seconds", "status")

    def __init__(self) -> None:
        self.begun = False
        self.seconds = 0.0
        self.is_session_lost = False
        self.status: int | None = None
        self.error: BaseException | None = None


EXCHANGE: ContextVar[Exchange | None] = ContextVar("tachograph_mcp_exchange", default=None)
"""The call under way; the SDK sends each request in the context of the task that asked for it."""


class TransportWatch:
    """What the transports report to the connection.

    Args:
        ended: The connection has ended, and why.
        suspect: A request met a connection error; is the server still there?
    """

    def __init__(self, ended: Callable[[str], None], suspect: Callable[[str], None]) -> None:
        self.ended = ended
        self.suspect = suspect
        self.process: Any = None
        self.stderr: StderrTail | None = None
        self.session_id: str | None = None
        self.answered_at = 0.0

    @property
    def pid(self) -> int | None:
        """Process id of a stdio server."""
        return getattr(self.process, "pid", None)

    async def last_line(self, seconds: float) -> str:
        """The last line of a stdio server's standard error, waiting so long for its end; else empty."""
        return "" if self.stderr is None else await self.stderr.last_line(seconds)

    async def last_words(self, seconds: float) -> str:
        """How a stdio server's process ended and the last line of its standard error, waiting so long; else empty."""
        deadline = asyncio.get_running_loop().time() + seconds
        line = await self.last_line(seconds)
        while (code := getattr(self.process, "returncode", None)) is None and self.process is not None:
            if asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(0.01)  # its pipes are closed before the loop learns that it has exited
        ended = "" if code is None else how_it_ended(code)
        return f"{ended}: {line}" if ended and line else ended or line


class _WatchedStream:
    """The stream of incoming messages; says when it has ended."""

    def __init__(self, inner: Any, ended: Callable[[str], None]) -> None:
        self._inner = inner
        self._ended = ended

    @property
    def last_context(self) -> object:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> object:
        try:
            return await self._inner.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            self._ended("the server closed the connection")
            raise

    async def __anext__(self) -> object:
        try:
            return await self._inner.__anext__()
        except (StopAsyncIteration, anyio.ClosedResourceError):
            self._ended("the server closed the connection")
            raise

    def __aiter__(self) -> _WatchedStream:
        return self

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> _WatchedStream:
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self.aclose()


class _WholeLines:
    """A server's standard output in whole lines: the SDK searches all that it has of a line whenever more comes."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def receive(self) -> bytes:
        parts: list[bytes] = []
        while not parts or b"\n" not in parts[-1]:
            try:
                parts.append(await self._inner.receive())
            except anyio.EndOfStream:
                if not parts:
                    raise
                break
        return b"".join(parts)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _WatchedClient(httpx2.AsyncClient):
    """An HTTP client that notes each exchange, and turns a failed request into an answer that fails only its call."""

    def __init__(self, watch: TransportWatch, *, is_sse: bool, **options: Any) -> None:
        super().__init__(**options)
        self._watch = watch
        self._is_sse = is_sse

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        exchange = EXCHANGE.get()
        if request.method == "DELETE":  # the goodbye to a session: a server that hangs must not hold up closing
            request.extensions["timeout"] = httpx2.Timeout(_GOODBYE_SECONDS).as_dict()
        elif exchange is not None and exchange.seconds > _STREAM_READ_SECONDS:
            # The call's own limit ends it; this one only frees the connection of a call that was given up.
            seconds = exchange.seconds + _CONNECT_SECONDS
            request.extensions["timeout"] = httpx2.Timeout(_CONNECT_SECONDS, read=seconds).as_dict()
        try:
            response = await super().send(request, **options)
            if response.headers.get("content-type", "").lower().startswith("application/json"):
                await response.aread()  # here, where a connection that breaks halfway can be detected
        except httpx2.RequestError as error:
            if exchange is not None:
                exchange.error = error
            self._failed(request, f"{type(error).__name__}: {error}")
            if request.method != "POST" or self._is_sse:
                raise
            message = f"no answer from the server ({type(error).__name__}: {error})"
            body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": message}}
            return httpx2.Response(502, json=body, request=request)
        if exchange is not None:
            exchange.status = response.status_code
        if response.status_code < 400:
            self._watch.answered_at = anyio.current_time()
            self._watch.session_id = response.headers.get("mcp-session-id") or self._watch.session_id
        elif request.method == "POST":
            if self._watch.session_id is not None and (response.status_code == 404 or _says_session_lost(response)):
                if exchange is not None:
                    exchange.is_session_lost = True
                self._watch.ended("the server has forgotten the session")
            else:
                self._failed(request, f"HTTP {response.status_code}")
        return response

    def _failed(self, request: httpx2.Request, why: str) -> None:
        if request.method == "POST" and self._is_sse:
            # The SDK's SSE transport stops sending after one failed POST and lets callers wait: end it here.
            self._watch.ended(why)
        else:
            self._watch.suspect(why)


def _says_session_lost(response: httpx2.Response) -> bool:
    try:
        return response.is_closed and says_session_lost(response.json())
    except ValueError:
        return False


def open_transport(
    config: ServerConfig, watch: TransportWatch, errlog: TextIO | int | None
) -> AbstractAsyncContextManager[Any]:
    """The transport to a server; nothing is started before it is entered.

    Args:
        errlog: Where a stdio server's standard error goes; None: to ours.
    """
    return _open_stdio(config, watch, errlog) if isinstance(config, StdioServer) else _open_http(config, watch)


@asynccontextmanager
async def _open_stdio(config: StdioServer, watch: TransportWatch, errlog: TextIO | int | None) -> AsyncIterator[Any]:
    parameters = StdioServerParameters(
        command=config.command, args=list(config.args), env=dict(config.env), cwd=config.cwd
    )
    watch.stderr = StderrTail(errlog)
    context: Any = stdio_client(parameters, watch.stderr.writer)
    try:
        streams = await context.__aenter__()
    finally:
        watch.stderr.started()
    async with _Entered(context, streams) as (read, write):
        # The SDK keeps the process to itself. It is wanted for its pid, and to notice a death that a grandchild hides
        # by holding the pipe open. Where a later SDK names it otherwise, the end of the pipe still shows it.
        frame = getattr(getattr(context, "gen", None), "ag_frame", None)
        watch.process = frame.f_locals.get("process") if frame is not None else None
        if getattr(watch.process, "_stdout", None) is not None:  # nothing has been read before the first await
            watch.process._stdout = _WholeLines(watch.process._stdout)
        yield _WatchedStream(read, watch.ended), write


class _Entered:
    """A context manager that has been entered; leaving this leaves it."""

    def __init__(self, manager: Any, result: Any) -> None:
        self._manager = manager
        self._result = result

    async def __aenter__(self) -> Any:
        return self._result

    async def __aexit__(self, *exc_info: Any) -> object:
        return await self._manager.__aexit__(*exc_info)


@functools.cache
def _tls() -> ssl.SSLContext:
    """The certificates to trust, read once: it takes tens of milliseconds, which every reconnection would cost."""
    return httpx2.create_ssl_context()


@asynccontextmanager
async def _open_http(config: HTTPServer, watch: TransportWatch) -> AsyncIterator[Any]:
    tls = await asyncio.to_thread(_tls)

    def make_client(headers: Any = None, timeout: object = None, auth: object = None) -> httpx2.AsyncClient:
        return _WatchedClient(
            watch,
            is_sse=config.transport == "sse",
            headers={**config.headers, **(headers or {})},
            timeout=httpx2.Timeout(_CONNECT_SECONDS, read=_STREAM_READ_SECONDS),
            limits=httpx2.Limits(max_connections=1000, max_keepalive_connections=20),
            auth=auth,
            verify=tls,
        )

    if config.transport == "sse":
        async with sse_client(config.url, httpx_client_factory=make_client) as (read, write):
            yield _WatchedStream(read, watch.ended), write
        return
    client = make_client()
    async with client, streamable_http_client(config.url, http_client=client, **_EVENT_LIMIT) as (read, write):
        yield _WatchedStream(read, watch.ended), write
