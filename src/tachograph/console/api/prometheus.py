"""Prometheus' HTTP API over the console's store, or passed on to a real Prometheus."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tachograph.console.api.answers import dumps, failure, metric_text, result_text, success, time_text
from tachograph.console.api.parameters import Parameters
from tachograph.console.promql import Labels, PromQLError, PromQLSyntaxError, Result
from tachograph.console.promql.labels import NAME
from tachograph.console.promql.matchers import LabelMatcher
from tachograph.console.promql.numerics import sample_text
from tachograph.console.promql.syntax import parse, parse_selector, prettify, selectors
from tachograph.console.tsdb import StoredExemplar
from tachograph.version import __version__

if TYPE_CHECKING:
    from tachograph.console.console import Console
    from tachograph.console.query import Prometheus

PREFIX = "/api/v1"
MAX_AT_ONCE = 4

Handler = Callable[["Console", Parameters, Request], Response]


class NotFound(PromQLError):
    """Something that is not there (HTTP 404)."""

    error_type = "not_found"
    status = 404


def routes(console: Console) -> list[Route]:
    """Return the routes of the API."""
    # What one query may use is bounded; so is how many use it at the same time. Others wait their turn.
    at_once = asyncio.Semaphore(MAX_AT_ONCE)
    table: list[tuple[str, Handler, bool]] = [
        ("/query", _query, True),
        ("/query_range", _query_range, True),
        ("/query_exemplars", _query_exemplars, True),
        ("/format_query", _format_query, True),
        ("/series", _series, True),
        ("/labels", _labels, True),
        ("/label/{name}/values", _label_values, False),
        ("/metadata", _metadata, False),
        ("/rules", _rules, False),
        ("/alerts", _alerts, False),
        ("/targets", _targets, False),
        ("/status/buildinfo", _build_info, False),
        ("/status/runtimeinfo", _runtime_info, False),
    ]
    made = [
        Route(PREFIX + path, _endpoint(console, handler, at_once), methods=["GET", "POST"] if post else ["GET"])
        for path, handler, post in table
    ]
    return [*made, Route(PREFIX + "/{rest:path}", _unknown, methods=["GET", "POST"])]


def _is_forwarded(real: Prometheus, path: str) -> bool:
    """Alerts come from the real one where it has those of ours; where it has none, they are evaluated on its data."""
    return path.removeprefix(PREFIX) not in ("/rules", "/alerts") or real.has_rules()


def _endpoint(
    console: Console, handler: Handler, at_once: asyncio.Semaphore
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            parameters = await Parameters.of(request)
            path = request.url.path
            if console.prometheus is not None and await run_in_threadpool(_is_forwarded, console.prometheus, path):
                return await run_in_threadpool(_forward, console, request.method, path, parameters)
            if console.is_loading:  # an answer without the past would be a wrong one
                await run_in_threadpool(console.wait_until_loaded)
            async with at_once:
                return await run_in_threadpool(handler, console, parameters, request)
        except PromQLError as error:
            return failure(error)

    return endpoint


def _forward(console: Console, method: str, path: str, parameters: Parameters) -> Response:
    assert console.prometheus is not None
    status, kind, body = console.prometheus.forward(path, parameters.pairs(), post=method == "POST")
    return Response(body, status_code=status, media_type=kind)


async def _unknown(request: Request) -> Response:
    return failure(NotFound(f"the console has no {request.url.path}"))


def _timeout(parameters: Parameters) -> float | None:
    return parameters.duration("timeout") / 1000 if parameters.get("timeout") else None


def _now() -> int:
    return int(time.time() * 1000)


def _query(console: Console, parameters: Parameters, request: Request) -> Response:
    limit = parameters.limit()
    at = parameters.optional_time("time", _now())
    result = console.engine.instant(parameters.get("query"), at, timeout=_timeout(parameters))
    return _limited(result, limit)


def _query_range(console: Console, parameters: Parameters, request: Request) -> Response:
    limit = parameters.limit()
    start, end = parameters.time("start"), parameters.time("end")
    if end < start:
        raise PromQLSyntaxError('invalid parameter "end": end timestamp must not be before start time')
    step = parameters.duration("step")
    if step <= 0:
        raise PromQLSyntaxError(
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer"
        )
    result = console.engine.range(parameters.get("query"), start, end, step, timeout=_timeout(parameters))
    return _limited(result, limit)


def _limited(result: Result, limit: int) -> Response:
    warnings = list(result.warnings)
    if limit and result.kind in ("vector", "matrix") and len(result.series) > limit:
        result.series = result.series[:limit]
        warnings.append("results truncated due to limit")
    return success(result_text(result), warnings, result.infos)


def _query_exemplars(console: Console, parameters: Parameters, request: Request) -> Response:
    asked = selectors(parse(parameters.get("query")))
    start, end = _span(parameters)
    found: dict[Labels, list[StoredExemplar]] = {}
    for selector in asked:
        found |= dict(console.store.exemplars(selector.matchers, start, end))
    rows = [
        f'{{"seriesLabels":{metric_text(labels)},"exemplars":[{",".join(_exemplar(one) for one in exemplars)}]}}'
        for labels, exemplars in sorted(found.items())
    ]
    return success(f"[{','.join(rows)}]")


def _exemplar(one: StoredExemplar) -> str:
    value, at = sample_text(one.value), time_text(one.at)
    return f'{{"labels":{metric_text(one.labels)},"value":"{value}","timestamp":{at}}}'


def _format_query(console: Console, parameters: Parameters, request: Request) -> Response:
    return success(dumps(prettify(parameters.get("query"))))


def _matcher_sets(parameters: Parameters) -> list[tuple[LabelMatcher, ...]]:
    return [parse_selector(text) for text in parameters.all("match[]")]


def _span(parameters: Parameters) -> tuple[int, int]:
    far = 1 << 53
    start, end = parameters.optional_time("start", -far), parameters.optional_time("end", far)
    if end < start:
        raise PromQLSyntaxError('invalid parameter "end": end timestamp must not be before start time')
    return start, end


def _selected(console: Console, parameters: Parameters) -> list[Labels]:
    start, end = _span(parameters)
    found: set[Labels] = set()
    for matchers in _matcher_sets(parameters) or [()]:
        found.update(console.store.series(matchers, start, end))
    return sorted(found)


def _narrowed(parameters: Parameters) -> bool:
    return any(parameters.get(name) for name in ("match[]", "start", "end"))


def _cut(values: list[Any], limit: int) -> tuple[list[Any], list[str]]:
    if limit and len(values) > limit:
        return values[:limit], ["results truncated due to limit"]
    return values, []


def _series(console: Console, parameters: Parameters, request: Request) -> Response:
    if not parameters.all("match[]"):
        raise PromQLSyntaxError("no match[] parameter provided")
    found, warnings = _cut(_selected(console, parameters), parameters.limit())
    return success("[" + ",".join(metric_text(labels) for labels in found) + "]", warnings)


def _labels(console: Console, parameters: Parameters, request: Request) -> Response:
    if _narrowed(parameters):
        names = sorted({name for labels in _selected(console, parameters) for name, _ in labels})
    else:
        names = console.store.label_names()
    names, warnings = _cut(names, parameters.limit())
    return success(dumps(names), warnings)


def _label_values(console: Console, parameters: Parameters, request: Request) -> Response:
    name = request.path_params["name"]
    if name.startswith("U__"):
        name = _unescape_name(name)
    if not name:
        raise PromQLSyntaxError(f'invalid label name: "{name}"')
    if _narrowed(parameters):
        values = sorted({v for labels in _selected(console, parameters) for k, v in labels if k == name})
    else:
        values = console.store.label_values(name)
    values, warnings = _cut(values, parameters.limit())
    return success(dumps(values), warnings)


def _unescape_name(name: str) -> str:
    """Read a name as Prometheus escapes it in a path: `U__` and code points between underscores.

    Raises:
        PromQLSyntaxError: It holds something that is no code point.
    """

    def code_point(found: re.Match[str]) -> str:
        code = int(found.group(1), 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise PromQLSyntaxError(f'invalid label name: "{name}"')
        return chr(code)

    text = name.removeprefix("U__").replace("__", "\x00")
    return re.sub(r"_([0-9a-fA-F]+)_", code_point, text).replace("\x00", "_")


def _metadata(console: Console, parameters: Parameters, request: Request) -> Response:
    wanted, limit = parameters.get("metric"), parameters.limit()
    known = console.store.metadata()
    data = {
        family: [{"type": m.type, "unit": m.unit, "help": m.help}]
        for family, m in sorted(known.items())
        if not wanted or family == wanted
    }
    return success(dumps(dict(list(data.items())[:limit] if limit else data)))


def _rules(console: Console, parameters: Parameters, request: Request) -> Response:
    kind = parameters.get("type")
    if kind not in ("", "alert", "record"):
        raise PromQLSyntaxError(f'invalid parameter "type": not supported value "{kind}"')
    names, groups = set(parameters.all("rule_name[]")), set(parameters.all("rule_group[]"))
    return success(dumps({"groups": console.rules.described(kind, names, groups)}))


def _alerts(console: Console, parameters: Parameters, request: Request) -> Response:
    return success(dumps({"alerts": console.rules.alerts()}))


def _targets(console: Console, parameters: Parameters, request: Request) -> Response:
    return success(
        dumps({"activeTargets": console.described_targets(), "droppedTargets": [], "droppedTargetCounts": {}})
    )


def _build_info(console: Console, parameters: Parameters, request: Request) -> Response:
    info = {
        # The version whose API and semantics these are; tools decide by it what they may ask.
        "version": "3.5.0",
        "revision": f"tachograph-{__version__}",
        "branch": "HEAD",
        "buildUser": "tachograph",
        "buildDate": "",
        "goVersion": "",
    }
    return success(dumps(info))


def _runtime_info(console: Console, parameters: Parameters, request: Request) -> Response:
    info = {
        "startTime": _rfc3339(console.started),
        "CWD": "",
        "reloadConfigSuccess": True,
        "lastConfigTime": _rfc3339(console.started),
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": 0,
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": f"{console.store.retention_ms // 1000}s",
    }
    return success(dumps(info))


def _rfc3339(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


__all__ = ["NAME", "routes"]
