"""The page's own API under /api/console."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tachograph.console.api import catalogue
from tachograph.console.calls import Call
from tachograph.console.columns import Filter
from tachograph.console.notes import matchers_of
from tachograph.console.promql import PromQLError
from tachograph.console.security import problem
from tachograph.console.store import to_json
from tachograph.console.views import Views
from tachograph.errors import TachographError
from tachograph.version import __version__

if TYPE_CHECKING:
    from tachograph.console.console import Console
    from tachograph.settings import Settings

PREFIX = "/api/console"
MAX_CALLS = 1000
MAX_STREAMS = 64
MAX_BODY = 16_384
MAX_VIEWS = 200
SORTS = ("time", "duration", "cost", "first_token", "wait", "input", "cached", "output", "attempts")
EXPLORED = ("facets", "runs", "sessions", "errors")
SOURCES = ("", "calls", "metrics")
_EMPTY_RANGE = ("the range is empty", "parameters from and to", "Give two times in seconds, the earlier first.")
_HEX = re.compile(r"[0-9a-f]{32}")

Handler = Callable[["Console", Request], Response]


class BadRequest(ValueError):
    """A parameter that cannot be used."""

    def __init__(self, what: str, where: str, do: str) -> None:
        super().__init__(what)
        self.where, self.do = where, do


class _Routes:
    """The handlers that need the views, the settings or the open streams; the others are functions."""

    def __init__(self, console: Console, auth: str, settings: Settings | None) -> None:
        self._console, self._auth, self._settings = console, auth, settings
        self._streams = _Streams()
        self._views = Views(console)

    def status(self, console: Console, request: Request) -> Response:
        return _json(_status(console, self._auth))

    def catalogue(self, console: Console, request: Request) -> Response:
        return _json({"dashboards": catalogue.dashboards(self._settings)})

    def runbook(self, console: Console, request: Request) -> Response:
        name = request.path_params["alert"]
        text = catalogue.runbook(name, console.catalogue_rules)
        if text is None:
            return problem(
                f"there is no runbook for {name[:100]!r}", do="See the alerts' list for their names.", status=404
            )
        return _json({"title": name, "markdown": text})

    async def events(self, request: Request) -> Response:
        return self._streams.answer(self._console, _ticks(self._console, request))

    async def tail(self, request: Request) -> Response:
        try:
            wanted, _ = _filter(request)
        except BadRequest as error:
            return problem(str(error), where=error.where, do=error.do)
        return self._streams.answer(self._console, _tail(self._console, request, wanted))

    def dashboard(self, console: Console, request: Request) -> Response:
        start, end = _range(request)
        chosen = {k: v for k, v in request.query_params.items() if k not in ("from", "to", "source", "panels")}
        source = _one_of(request, "source", SOURCES)
        panels = request.query_params.get("panels", "")
        found = self._views.dashboard(request.path_params["uid"], start, end, chosen, source, panels)
        return _found(found, request, "dashboard")

    def now(self, console: Console, request: Request) -> Response:
        return _json(self._views.now(*_range(request), _chosen(request)))

    def incident(self, console: Console, request: Request) -> Response:
        return _found(self._views.incident(request.path_params["alert"]), request, "alert")

    def alerts(self, console: Console, request: Request) -> Response:
        return _json({"alerts": self._views.alerts(), "notify": _notify(console)})

    def explore(self, console: Console, request: Request) -> Response:
        wanted, _ = _filter(request)
        start, end = _range(request)
        return _json(self._views.explore(start, end, wanted, _one_of(request, "what", EXPLORED)))

    def compare(self, console: Console, request: Request) -> Response:
        wanted, _ = _filter(request)
        start, end = _range(request)
        versions = [request.query_params.get(name, "") for name in ("version_a", "version_b")]
        before = _number(request, "a_from"), _number(request, "a_to")
        if any(versions) != all(versions):
            raise BadRequest("one version is missing", "parameters version_a and version_b", "Give both, or none.")
        if (before[0] is None) != (before[1] is None):
            raise BadRequest("half a period is missing", "parameters a_from and a_to", "Give both, or none.")
        return _json(self._views.compare(start, end, wanted, versions[0], versions[1], *before))

    def run(self, console: Console, request: Request) -> Response:
        return _found(self._views.run(request.path_params["id"]), request, "run")

    def session(self, console: Console, request: Request) -> Response:
        return _found(self._views.session(request.path_params["id"]), request, "session")

    def money(self, console: Console, request: Request) -> Response:
        by, chosen = request.query_params.get("by", "model"), _range(request)
        try:
            return _json(self._views.money(*chosen, _chosen(request), by))
        except ValueError:
            what = f"spending is not kept by {by[:50]!r}"
            raise BadRequest(what, "parameter by", "Use provider, model, day or label:KEY.") from None

    async def save(self, request: Request) -> Response:
        return await _written(request, lambda body: _save(self._console, body))

    async def note(self, request: Request) -> Response:
        return await _written(request, lambda body: _note(self._console, request.path_params["alert"], body))


def routes(console: Console, *, auth: str, settings: Settings | None = None) -> list[Route]:
    """Return the routes of the API."""
    own = _Routes(console, auth, settings)
    table: list[tuple[str, Handler]] = [
        ("/board/{uid}", own.dashboard),
        ("/now", own.now),
        ("/alerts", own.alerts),
        ("/incidents/{alert}", own.incident),
        ("/explore", own.explore),
        ("/compare", own.compare),
        ("/runs/{id}", own.run),
        ("/sessions/{id}", own.session),
        ("/money", own.money),
        ("/views", _saved),
        ("/status", own.status),
        ("/catalogue", own.catalogue),
        ("/calls", _calls),
        ("/calls/{id}", _call),
        ("/traces/{trace_id}", _trace),
        ("/runbooks/{alert}", own.runbook),
    ]
    return [
        Route(PREFIX + "/calls/stream", own.tail, methods=["GET"]),
        Route(PREFIX + "/events", own.events, methods=["GET"]),
        Route(PREFIX + "/views", own.save, methods=["POST"]),
        Route(PREFIX + "/alerts/{alert}/notes", own.note, methods=["POST"]),
        *(Route(PREFIX + path, _endpoint(console, handler), methods=["GET"]) for path, handler in table),
    ]


def _endpoint(console: Console, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await run_in_threadpool(handler, console, request)
        except BadRequest as error:
            return problem(str(error), where=error.where, do=error.do)

    return endpoint


def _json(value: object) -> Response:
    return Response(to_json(value), media_type="application/json")


def _status(console: Console, auth: str) -> dict[str, Any]:
    return {
        "version": __version__,
        "started": console.started,
        "source": "prometheus" if console.prometheus else "memory",
        "prometheus_url": console.prometheus.url if console.prometheus else None,
        "rules_told": console.rules_told,
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
        "calls_since": console.calls.kept_since(),
        "metrics_since": console.store.bounds()[0] / 1000 if console.store.series_count else None,
        "data": console.data_state(),
        "dropped_calls": console.calls.dropped,
        "ledger": {"url": console.ledger.url, "last_error": console.ledger.last_error or None}
        if console.ledger is not None
        else None,
        "notify": _notify(console),
        "auth": auth,
    }


def _notify(console: Console) -> dict[str, Any]:
    """Every receiver of notifications, and why none are sent."""
    if console.notifier is None:
        return {"receivers": [], "error": console.notify_error or None}
    return console.notifier.described()


def _saved(console: Console, request: Request) -> Response:
    return _json({"views": [{"name": name, "address": address} for name, address in console.calls.saved_views()]})


def _found(answer: dict[str, Any] | None, request: Request, what: str) -> Response:
    return _json(answer) if answer is not None else _absent(request, what)


def _absent(request: Request, what: str) -> Response:
    do = "It may be older than what the console keeps." if what in ("run", "session") else "See the lists for names."
    return problem(f"there is no such {what} here", where=request.url.path[:200], do=do, status=404)


async def _written(request: Request, act: Callable[[dict[str, Any]], None]) -> Response:
    """Do what a small JSON body asks for."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            return problem("the body is too large", do=f"Send at most {MAX_BODY} bytes.", status=413)
    try:
        body = msgspec.json.decode(bytes(raw), type=dict[str, Any])
        await run_in_threadpool(act, body)
    except (msgspec.DecodeError, UnicodeDecodeError):  # the second: a key that is not UTF-8
        return problem("the body is not a JSON object", where="body", do="Send a JSON object.")
    except TachographError as error:
        return problem(error.what, where=error.where or "", do=error.do or "", status=502)
    except BadRequest as error:
        return problem(str(error), where=error.where, do=error.do)
    return _json({"ok": True})


def _save(console: Console, body: dict[str, Any]) -> None:
    name, address = body.get("name"), body.get("address")
    if not isinstance(name, str) or not 0 < len(name.strip()) <= 80:
        raise BadRequest("a view needs a name", "name", "Give 1 to 80 characters.")
    if address is not None and (not isinstance(address, str) or not address.startswith("#/") or len(address) > 4000):
        raise BadRequest("this is not an address of the page", "address", "Give one that begins with #/.")
    if address is not None and len(console.calls.saved_views()) >= MAX_VIEWS:
        raise BadRequest("too many views are saved", "name", "Delete one first.")
    console.calls.save_view(name.strip(), address)


def _note(console: Console, alert: str, body: dict[str, Any]) -> None:
    if not any(rule["name"] == alert for rule in console.alert_rules()):
        raise BadRequest(f"no alert is called {alert[:80]!r}", "alert", "See /api/console/alerts for their names.")
    kind, text, minutes = body.get("kind"), body.get("text", ""), body.get("minutes", 0)
    if kind not in ("acknowledge", "silence") or not isinstance(text, str) or len(text) > 500:
        raise BadRequest("this cannot be noted", "kind", "Use acknowledge or silence, and at most 500 characters.")
    if not isinstance(minutes, int | float) or not 0 <= minutes <= 7 * 1440:
        raise BadRequest("a silence ends within a week", "minutes", "Give 0 to 10080.")
    where = body.get("matchers", "")
    if not isinstance(where, str) or len(where) > 1000:
        raise BadRequest("these are no matchers", "matchers", "Give a text of at most 1000 characters.")
    try:
        matchers_of(alert, where)
    except PromQLError as error:
        raise BadRequest(
            f"these matchers cannot be read: {error}", "matchers", 'Write them as provider="openai",model=~"gpt-.*".'
        ) from None
    if kind == "silence" and console.alertmanager is not None:
        console.alertmanager.silence(alert, 60 * float(minutes), text, where)  # first: where it fails, nothing is said
    console.calls.note(alert, kind, time.time() + 60 * float(minutes) if kind == "silence" else 0.0, text, where)


def _range(request: Request) -> tuple[float, float]:
    now = time.time()
    start, end = _number(request, "from"), _number(request, "to")
    end = now if end is None else end
    start = end - 900 if start is None else start
    if not 0 <= start < end < 1e11:
        raise BadRequest(*_EMPTY_RANGE)
    return start, end


def _chosen(request: Request) -> dict[str, str]:
    names = ("provider", "model", "server_id", "tool_name", "service", "app_version", "agent")
    return {name: request.query_params[name] for name in names if request.query_params.get(name)}


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


def _whole(request: Request, name: str) -> int | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not re.fullmatch(r"\d{1,18}", text):
        raise BadRequest(f"{text[:50]!r} is not a cursor", f"parameter {name}", "Give the one an earlier answer had.")
    return int(text)


def _cursor(request: Request) -> tuple[int | None, int]:
    """The newest call that counts, so that pages do not shift while calls arrive; and how many to skip."""
    text = request.query_params.get("cursor", "")
    if not text:
        return None, 0
    found = re.fullmatch(r"(\d{1,18})-(\d{1,9})", text)
    if found is None:
        raise BadRequest(f"{text[:50]!r} is not a cursor", "parameter cursor", "Give the one an earlier answer had.")
    return int(found[1]), int(found[2])


def _filter(request: Request) -> tuple[Filter, int]:
    parameters = request.query_params
    fields: dict[str, tuple[str, ...]] = {}
    for name, column in (
        ("kind", "kind"), ("provider", "provider"), ("model", "model"), ("server", "server_id"), ("tool", "tool_name"),
        ("outcome", "outcome"), ("error", "error"), ("service", "service"), ("server_id", "server_id"),
        ("tool_name", "tool_name"), ("agent", "agent"), ("session_id", "session_id"), ("user_id", "user_id"),
        ("app_version", "app_version"), ("finish_reason", "finish_reason"), ("fingerprint", "fingerprint"),
    ):  # fmt: skip
        values = [v for text in parameters.getlist(name) for v in re.split(r"~" if name == "fingerprint" else r"[,~]",
                                                                           text) if v]  # fmt: skip
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
    began, ended = _number(request, "from"), _number(request, "to")
    if not 0 <= (began or 0) < (1e11 if ended is None else ended) <= 1e11:
        raise BadRequest(*_EMPTY_RANGE)
    wanted = Filter(
        fields=fields,
        labels=tuple(labels),
        cost=(_number(request, "min_cost"), _number(request, "max_cost")),
        duration=(_number(request, "min_duration"), _number(request, "max_duration")),
        time=(began, ended),
        text=parameters.get("q", "")[:200],
        after=_whole(request, "after"),
        run=parameters.get("run", "")[:200],
    )
    return wanted, _limit(request)


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "") or "100"
    if not re.fullmatch(r"\d{1,9}", text) or not 1 <= int(text) <= MAX_CALLS:
        raise BadRequest(f"{text[:50]!r} is no limit", "parameter limit", f"Give a whole number from 1 to {MAX_CALLS}.")
    return int(text)


def _one_of(request: Request, name: str, allowed: tuple[str, ...]) -> str:
    """A parameter with few values; the first one where it is not given."""
    text = request.query_params.get(name, "") or allowed[0]
    if text not in allowed:
        raise BadRequest(f"{text[:50]!r} is not known", f"parameter {name}", f"Use {', '.join(filter(None, allowed))}.")
    return text


def _calls(console: Console, request: Request) -> Response:
    wanted, limit = _filter(request)
    identity = wanted.text.strip().lower()
    if _HEX.fullmatch(identity):
        return _by_id(console, bytes.fromhex(identity))
    sort = _one_of(request, "sort", SORTS)
    down = _one_of(request, "order", ("desc", "asc")) == "desc"
    newest, skip = _cursor(request)
    wanted.before = newest + 1 if newest else None
    if wanted.after is not None:
        sort = "arrival"
    last = console.calls.last_seq
    found, count, more = console.calls.find(wanted, limit, newest_first=down, sort=sort, skip=skip)
    return _json(
        {
            "calls": [call for _, call in found],
            "next_cursor": f"{newest or last}-{skip + len(found)}" if found and more else None,
            "newest_cursor": str(max([last, *(seq for seq, _ in found)])),
            "total_estimate": count,
            "kept_since": console.calls.kept_since(),
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
            "content": detail.content,
            "arithmetic": _arithmetic(console, detail.call),
        }
    )


def _arithmetic(console: Console, call: Call) -> list[dict[str, Any]]:
    """Tokens by kind times their price, where the console has the price list."""
    return console.price_lines(call) if call.kind == "llm" and call.cost_usd is not None else []


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


def _event(name: str, data: object, number: int | None = None) -> str:
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
            asked = replace(wanted, before=None, after=seen, matched=None)
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
    return console.calls.find(wanted, 200, newest_first=False, sort="arrival")
