"""The page's own API under /api/console."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tachograph.console.api import catalogue, spending
from tachograph.console.calls import Call
from tachograph.console.columns import Filter
from tachograph.console.security import problem
from tachograph.console.store import to_json
from tachograph.version import __version__

if TYPE_CHECKING:
    from tachograph.console.console import Console

PREFIX = "/api/console"
MAX_CALLS = 1000
MAX_STREAMS = 64
_HEX = re.compile(r"[0-9a-f]{32}")

Handler = Callable[["Console", Request], Response]


class BadRequest(ValueError):
    """A parameter that cannot be used."""

    def __init__(self, what: str, where: str, do: str) -> None:
        super().__init__(what)
        self.where, self.do = where, do


def routes(console: Console, *, auth: str, settings: Any = None) -> list[Route]:
    """Return the routes of the API."""
    streams = _Streams()

    def status(console: Console, request: Request) -> Response:
        return _json(_status(console, auth))

    def shown(console: Console, request: Request) -> Response:
        return _json({"dashboards": catalogue.dashboards(settings)})

    def runbook(console: Console, request: Request) -> Response:
        name = request.path_params["alert"]
        text = catalogue.runbook(name, settings)
        if text is None:
            return problem(
                f"there is no runbook for {name[:100]!r}", do="See the alerts' list for their names.", status=404
            )
        return _json({"title": name, "markdown": text})

    async def events(request: Request) -> Response:
        return streams.answer(console, _ticks(console, request))

    async def tail(request: Request) -> Response:
        try:
            wanted, _ = _filter(request)
        except BadRequest as error:
            return problem(str(error), where=error.where, do=error.do)
        return streams.answer(console, _tail(console, request, wanted))

    table: list[tuple[str, Handler]] = [
        ("/status", status),
        ("/catalogue", shown),
        ("/calls", _calls),
        ("/calls/{id}", _call),
        ("/traces/{trace_id}", _trace),
        ("/cost", _cost),
        ("/values", _values),
        ("/alerts/resolved", _resolved),
        ("/runbooks/{alert}", runbook),
    ]
    return [
        Route(PREFIX + "/calls/stream", tail, methods=["GET"]),
        Route(PREFIX + "/events", events, methods=["GET"]),
        *(Route(PREFIX + path, _endpoint(console, handler), methods=["GET"]) for path, handler in table),
    ]


def _endpoint(console: Console, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await run_in_threadpool(handler, console, request)
        except BadRequest as error:
            return problem(str(error), where=error.where, do=error.do)

    return endpoint


def _json(value: Any) -> Response:
    return Response(to_json(value), media_type="application/json")


def _status(console: Console, auth: str) -> dict[str, Any]:
    return {
        "version": __version__,
        "started": console.started,
        "source": "prometheus" if console.prometheus else "memory",
        "prometheus_url": console.prometheus.url if console.prometheus else None,
        "now": time.time(),
        "retention_seconds": console.store.retention_ms / 1000,
        "step_seconds": console.step_seconds,
        "series": console.store.series_count,
        "refused_series": console.store.refused_series,
        "targets": [
            {"url": t.url, "up": t.state.up, "last_error": t.state.last_error or None} for t in console.targets
        ],
        "otlp": [{"service": name, "seen": seen} for name, seen in sorted(console.otlp_sources.items())],
        "calls": console.calls.count,
        "dropped_calls": console.calls.dropped,
        "ledger": {"url": console.ledger.url, "last_error": console.ledger.last_error or None}
        if console.ledger is not None
        else None,
        "auth": auth,
    }


def _number(request: Request, name: str) -> float | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value:
        raise BadRequest(f"{text[:50]!r} is not a number", f"parameter {name}", "Give a number.")
    return value


def _cursor(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"\d{1,18}", text):
        raise BadRequest(f"{text[:50]!r} is not a cursor", f"parameter {name}", "Give the one an earlier answer had.")
    return int(text)


def _filter(request: Request) -> tuple[Filter, int]:
    parameters = request.query_params
    fields: dict[str, tuple[str, ...]] = {}
    for name, column in (
        ("kind", "kind"), ("provider", "provider"), ("model", "model"), ("server", "server_id"), ("tool", "tool_name"),
        ("outcome", "outcome"), ("error", "error"), ("service", "service"),
    ):  # fmt: skip
        values = [v for text in parameters.getlist(name) for v in re.split(r"[,~]", text) if v]
        if values:
            fields[column] = tuple(values)
    labels = []
    for text in parameters.getlist("label"):
        if not text:
            continue
        key, colon, value = text.partition(":")
        if not colon:
            key, colon, value = text.partition("=")
        if not key or not colon:
            raise BadRequest(f"{text[:50]!r} is not a label", "parameter label", "Write it as key:value.")
        labels.append((key, value))
    limit = _number(request, "limit")
    wanted = Filter(
        fields=fields,
        labels=tuple(labels),
        cost=(_number(request, "min_cost"), _number(request, "max_cost")),
        duration=(_number(request, "min_duration"), _number(request, "max_duration")),
        time=(_number(request, "from"), _number(request, "to")),
        text=parameters.get("q", "")[:200],
        before=_cursor(request, "cursor"),
        after=_cursor(request, "after"),
    )
    return wanted, int(min(max(100 if limit is None else limit, 1), MAX_CALLS))


def _calls(console: Console, request: Request) -> Response:
    wanted, limit = _filter(request)
    identity = wanted.text.strip().lower()
    if _HEX.fullmatch(identity):
        return _by_id(console, bytes.fromhex(identity))
    found, count, more = console.calls.find(wanted, limit)
    return _json(
        {
            "calls": [call for _, call in found],
            "next_cursor": str(found[-1][0]) if found and more else None,
            "newest_cursor": str(max(console.calls.last_seq, found[0][0] if found else 0)),
            "total_estimate": count,
        }
    )


def _by_id(console: Console, identity: bytes) -> Response:
    detail = console.calls.get(identity)
    calls = [detail.call] if detail is not None else console.calls.trace(identity)[1]
    return _json({"calls": calls, "next_cursor": None, "newest_cursor": None, "total_estimate": len(calls)})


def _identity(request: Request, name: str) -> bytes | None:
    text = request.path_params[name].lower()
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None


def _call(console: Console, request: Request) -> Response:
    identity = _identity(request, "id")
    detail = console.calls.get(identity) if identity is not None else None
    if detail is None:
        return problem(
            "there is no such call here",
            where=request.url.path,
            do="It may be older than what the console keeps.",
            status=404,
        )
    attempts = msgspec.to_builtins(detail.attempts)
    body = msgspec.to_builtins(detail.call)
    return _json(
        {
            **body,
            "attempts": attempts,
            "attempts_list": attempts,
            "attempt_count": detail.call.attempts,
            "error": detail.error,
        }
    )


def _trace(console: Console, request: Request) -> Response:
    identity = _identity(request, "trace_id")
    spans, calls = console.calls.trace(identity) if identity is not None else ([], [])
    if not spans and not calls:
        return problem(
            "there is no such trace here",
            where=request.url.path,
            do="It may be older than what the console keeps.",
            status=404,
        )
    return _json(
        {"trace_id": request.path_params["trace_id"].lower(), "spans": spans, "calls": [call.id for call in calls]}
    )


def _cost(console: Console, request: Request) -> Response:
    now = time.time()
    start, end = _number(request, "from"), _number(request, "to")
    end = now if end is None else end
    start = end - 86400 if start is None else start
    if not 0 <= start < end < 1e11:
        raise BadRequest(
            "the range is empty", "parameters from and to", "Give two times in seconds, the earlier first."
        )
    by = request.query_params.get("by", "provider")
    try:
        return _json(spending.summarize(console.calls, start, end, by, now))
    except ValueError:
        raise BadRequest(
            f"spending is not kept by {by[:50]!r}", "parameter by", "Use provider, model, day or label:KEY."
        ) from None


def _values(console: Console, request: Request) -> Response:
    names = {
        "provider": "provider",
        "model": "model",
        "server": "server_id",
        "tool": "tool_name",
        "outcome": "outcome",
        "service": "service",
        "error": "error",
    }
    return _json({name: console.calls.distinct(column)[:500] for name, column in names.items()})


def _resolved(console: Console, request: Request) -> Response:
    return _json({"resolved": list(console.rules.resolved)})


class _Streams:
    """Counts open streams, so that they cannot use up the server."""

    def __init__(self) -> None:
        self._open = 0

    def answer(self, console: Console, source: AsyncIterator[str]) -> Response:
        if self._open >= MAX_STREAMS:
            return problem("too many live streams are open", do="Close some of the console's tabs.", status=503)
        return StreamingResponse(
            self._counted(source), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    async def _counted(self, source: AsyncIterator[str]) -> AsyncIterator[str]:
        self._open += 1
        try:
            async for text in source:
                yield text
        finally:
            self._open -= 1


def _event(name: str, data: Any, number: int | None = None) -> str:
    return f"event: {name}\n" + (f"id: {number}\n" if number is not None else "") + f"data: {to_json(data)}\n\n"


async def _ticks(console: Console, request: Request) -> AsyncIterator[str]:
    before: tuple[int, ...] = ()
    quiet = 0.0
    while not console.closing and not await request.is_disconnected():
        now = (console.store.generation, console.calls.last_seq, console.rules.generation)
        if now != before or quiet >= 15:
            before, quiet = now, 0.0
            data = {"time": time.time(), "metrics": now[0], "calls": now[1], "rules": now[2]}
            yield _event("tick", data)
        await asyncio.sleep(0.5)
        quiet += 0.5


async def _tail(console: Console, request: Request, wanted: Filter) -> AsyncIterator[str]:
    last = request.headers.get("last-event-id", "")
    seen = wanted.after if wanted.after is not None else int(last) if last.isdigit() else console.calls.last_seq
    quiet = 0.0
    yield ": here\n\n"
    while not console.closing and not await request.is_disconnected():
        if console.calls.last_seq > seen:
            newest = console.calls.last_seq
            asked = Filter(
                wanted.fields, wanted.labels, wanted.cost, wanted.duration, wanted.time, wanted.text, None, seen
            )
            found, _, _ = await run_in_threadpool(_oldest_first, console, asked)
            for seq, call in found:
                yield _event("call", call, seq)
            seen = found[-1][0] if len(found) == 200 else newest
            quiet = 0.0
        elif quiet >= 15:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(0.25)
        quiet += 0.25


def _oldest_first(console: Console, wanted: Filter) -> tuple[list[tuple[int, Call]], int, bool]:
    return console.calls.find(wanted, 200, newest_first=False)
