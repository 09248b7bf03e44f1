"""POST /v1/traces, /v1/metrics and /v1/logs: bounded bodies in either encoding, and answers as OTLP/HTTP has them."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tachograph.console.ingest.otlp import logs, traces, wire
from tachograph.console.ingest.otlp.metrics import MetricsReceiver
from tachograph.console.ingest.otlp.wire import varint

if TYPE_CHECKING:
    from tachograph.console.console import Console

MAX_BODY = 8 * 1024 * 1024
# What a body unpacks to. JSON becomes the most objects for its bytes, so it may be half as long.
MAX_UNPACKED = 16 * 1024 * 1024
MAX_JSON = 8 * 1024 * 1024
MAX_SENDERS = 16
MAX_AT_ONCE = 2
BODY_SECONDS = 20.0
MAX_SERVICES = 200
PROTOBUF, JSON = "application/x-protobuf", "application/json"


class Takers(NamedTuple):
    """Who takes what is received; each returns how many items were not usable, or raises `Refused`.

    Attributes:
        traces, metrics, logs: Take one request of their signal, decoded.
    """

    traces: Callable[[dict[str, Any]], int]
    metrics: Callable[[dict[str, Any]], int]
    logs: Callable[[dict[str, Any]], int]


class Refused(Exception):
    """A request that is not taken."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def routes(takers: Takers) -> list[Route]:
    """Return the routes of a receiver."""
    gate = _Gate()
    signals = (
        ("traces", wire.read_traces, takers.traces, "rejectedSpans"),
        ("metrics", wire.read_metrics, takers.metrics, "rejectedDataPoints"),
        ("logs", wire.read_logs, takers.logs, "rejectedLogRecords"),
    )
    return [
        Route(f"/v1/{signal}", _endpoint(gate, decode, take, counted), methods=["POST"])
        for signal, decode, take, counted in signals
    ]


def console_takers(console: Console, price: traces.Pricer | None = None) -> Takers:
    """The console takes spans and events into its calls, and metrics into its store."""
    receiver = MetricsReceiver(console.store)

    def seen(service: str) -> None:
        if service in console.otlp_sources or len(console.otlp_sources) < MAX_SERVICES:
            console.otlp_sources[service[:200]] = time.time()

    def keep(received: list[traces.Received]) -> None:
        for service in {found.span.service for found in received}:
            seen(service)
        items = traces.items(received)
        # The sender is answered 200 when the calls are on disk, so it sends again what a crash would lose.
        if items and console.calls.add_all(items, wait=True) < len(items):
            raise Refused(503, "the console cannot write as fast as it is sent to; try again")

    def take_traces(request: dict[str, Any]) -> int:
        received, refused = traces.records(request, price)
        keep(received)
        return refused

    def take_logs(request: dict[str, Any]) -> int:
        received, refused, _ = logs.records(request, price)
        keep(received)
        return refused

    def take_metrics(request: dict[str, Any]) -> int:
        _, refused, services = receiver.take(request)
        for service in services:
            seen(service)
        return refused

    return Takers(take_traces, take_metrics, take_logs)


class _Gate:
    """Bounds how many senders are served and how many bodies are worked on at the same time."""

    def __init__(self) -> None:
        self.work = asyncio.Semaphore(MAX_AT_ONCE)
        self._senders = 0

    @contextmanager
    def sender(self) -> Iterator[None]:
        """Take what one sender sends.

        Raises:
            Refused: There are too many already.
        """
        if self._senders >= MAX_SENDERS:
            raise Refused(503, "too many requests at once; try again")
        self._senders += 1
        try:
            yield
        finally:
            self._senders -= 1


def _endpoint(
    gate: _Gate, decode: Callable[[bytes], dict[str, Any]], take: Callable[[dict[str, Any]], int], counted: str
) -> Callable[[Request], Awaitable[Response]]:
    def work(kind: str, body: bytes) -> int:
        try:
            parsed = decode(body) if kind == PROTOBUF else json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"the body is not OTLP: {error}") from None
        if not isinstance(parsed, dict):
            raise Refused(400, "the body is not OTLP: an object was expected")
        return take(parsed)

    async def endpoint(request: Request) -> Response:
        try:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in (PROTOBUF, JSON):
                raise Refused(415, f"send {PROTOBUF} or {JSON}")
            with gate.sender():
                async with asyncio.timeout(BODY_SECONDS):
                    body = await _body(request)
                async with gate.work:
                    refused = await run_in_threadpool(work, kind, body)
            return _answer(request, refused, counted)
        except TimeoutError:
            return _failure(request, Refused(408, f"the body did not arrive within {BODY_SECONDS:g} seconds"))
        except Refused as error:
            return _failure(request, error)

    return endpoint


async def _body(request: Request) -> bytes:
    """Read a body, unpacked, within its bounds."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "deflate", ""):
        raise Refused(415, f"content-encoding {encoding[:50]} is not known; send gzip or nothing")
    most = MAX_JSON if _is_json(request) else MAX_UNPACKED
    unpacker = zlib.decompressobj(31 if encoding == "gzip" else 15) if encoding in ("gzip", "deflate") else None
    out = bytearray()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > MAX_BODY:
            raise Refused(413, f"the body is larger than {MAX_BODY} bytes")
        if unpacker is None:
            out += chunk
            continue
        try:
            out += unpacker.decompress(chunk, most + 1 - len(out))
        except zlib.error as error:
            raise Refused(400, f"the body is not {encoding}: {error}") from None
        if len(out) > most or unpacker.unconsumed_tail:
            raise Refused(413, f"the body unpacks to more than {most} bytes")
    if unpacker is not None and not unpacker.eof:
        raise Refused(400, f"the body is not whole {encoding}")
    return bytes(out)


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == JSON


def _answer(request: Request, refused: int, counted: str) -> Response:
    message = f"{refused} were not usable" if refused else ""
    if _is_json(request):
        body = {"partialSuccess": {counted: str(refused), "errorMessage": message}} if refused else {}
        return Response(json.dumps(body), media_type=JSON)
    text = b""
    if refused:
        partial = b"\x08" + varint(refused) + b"\x12" + varint(len(message)) + message.encode()
        text = b"\x0a" + varint(len(partial)) + partial
    return Response(text, media_type=PROTOBUF)


def _failure(request: Request, error: Refused) -> Response:
    headers = {"Retry-After": "1"} if error.status == 503 else {}
    if _is_json(request):
        return Response(
            json.dumps({"code": 3, "message": str(error)}), status_code=error.status, media_type=JSON, headers=headers
        )
    message = str(error).encode()
    status = b"\x08\x03\x12" + varint(len(message)) + message
    return Response(status, status_code=error.status, media_type=PROTOBUF, headers=headers)
