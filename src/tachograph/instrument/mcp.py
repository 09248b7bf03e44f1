"""Watching MCP clients: tool calls, other requests and connections of `mcp.ClientSession` (mcp 1.x and 2.x).

`mcp.Client`, session groups, fastmcp's client and the adapters of google-genai and anthropic all use a ClientSession.
Failures are sorted by the table that the engine uses (`tachograph.mcp.errors`). What the SDK loses on the way, an HTTP
status or a broken connection, is noted by the HTTP hook: each request is sent in its caller's context.

A server is known by the name it gives itself when it is met; `mcp_servers` in the settings renames it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter_ns
from types import ModuleType
from typing import Any

from tachograph.instrument import settled
from tachograph.instrument.content import keep_arguments, keep_result
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.watch import WATCH
from tachograph.mcp.errors import classify, kind_of_error_result, kind_of_status, outcome_of_kind, unwrap
from tachograph.records import ENGINE_MCP, ToolCall
from tachograph.records.outcomes import ErrorKind, ToolOutcome
from tachograph.vendors.fields import dig, items, pick

NAMELESS = "unknown"
"""The server_id of a server that did not say its name."""


def install() -> None:
    """Hook clients and servers, now or once they are imported."""
    from tachograph.instrument import mcp_server, vendor_spans

    vendor_spans.install_mcp()
    after_import("mcp.client.session", _hook_session)
    if settled.settings.mcp_server:
        mcp_server.install()


class Exchange:
    """What the HTTP hook saw of the requests of one call. It stands in for a watch: no attempt of it is recorded."""

    is_raw = follows_body = uses_aiohttp = False
    body = None
    api = None
    subject = None
    status: int | None = None
    error: BaseException | None = None

    def begin_attempt(self, host: str | None, port: int | None) -> Exchange:
        """A request goes out."""
        return self

    def answered(self, attempt: object, status: int, headers: object, body: Callable[[], object]) -> None:
        """An answer came."""
        self.status, self.error = status, None

    def attempt_failed(self, attempt: object, error: BaseException) -> None:
        """No answer came."""
        if not isinstance(error, asyncio.CancelledError):
            self.error = error

    def end(self, outcome: str) -> None:
        """The answer is whole."""


class Connection:
    """One session: which server it is with, and whether it counts as open.

    Attributes:
        facts: What its calls' spans say of it; None until the first call asks.
    """

    def __init__(self) -> None:
        self.server_id = NAMELESS
        self.is_open = False
        self.facts: dict[str, Any] | None = None

    def opened(self, name: object) -> None:
        """The server has said who it is."""
        self.facts = None
        if isinstance(name, str) and name:
            self.server_id = settled.settings.mcp_servers.get(name, name)
        if not self.is_open:
            self.is_open = True
            metrics = settled.recorder().mcp
            metrics.connection_opened(self.server_id)
            metrics.connect_ended(self.server_id, "success")

    def closed(self) -> None:
        """The session has ended, or its transport has."""
        if self.is_open:
            self.is_open = False
            settled.recorder().mcp.connection_closed(self.server_id)


def connection_of(session: Any) -> Connection:
    """What we know of a session; it stands on the session itself."""
    try:
        found: Connection = session._tachograph
    except AttributeError:
        found = session._tachograph = Connection()
        found.server_id = _name_of(session) or NAMELESS  # a session from before we came
    return found


def _facts_of(connection: Connection, session: Any) -> dict[str, Any]:
    version = pick(session, "protocol_version")
    connection.facts = {"mcp.protocol.version": str(version)} if version else {}
    return connection.facts


def _name_of(session: Any) -> str | None:
    name = dig(session, "server_info", "name") or dig(session, "initialize_result", "serverInfo", "name")
    return settled.settings.mcp_servers.get(name, name) if isinstance(name, str) else None


def _is_watched() -> bool:
    return SWITCH.on and not ENGINE_MCP.get()


def _safely(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        settled.recorder().failed("instrument", error)


def _hook_session(module: ModuleType) -> None:
    owner = module.ClientSession
    places: dict[str, tuple[Callable[[Any], Any], str]] = {
        "call_tool": (_call_tool, "tool calls are not seen"),
        "send_request": (_send_request, "requests other than tool calls are not seen"),
        "initialize": (_initialize, "connections are not seen"),
        "__aenter__": (_enter, "a connection that dies early is seen late"),
        "__aexit__": (_exit, "the end of connections is not seen"),
    }
    if hasattr(owner, "adopt"):
        places["adopt"] = (_adopt, "")
    if hasattr(owner, "_receive_loop"):
        places["_receive_loop"] = (_receive_loop, "")
    for name, (make, consequence) in places.items():
        if patch(owner, name, make):
            hooked("mcp", f"ClientSession.{name}")
        else:
            missing("mcp", f"ClientSession.{name}", consequence)


# Tool calls


def _call_tool(original: Any) -> Any:
    async def call_tool(self: Any, name: str, arguments: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not SWITCH.on or ENGINE_MCP.get() or (call := _begin(self, name, arguments)) is None:
            return await original(self, name, arguments, *args, **kwargs)
        exchange = Exchange()
        token = WATCH.set(exchange)
        try:
            result = await original(self, name, arguments, *args, **kwargs)
        except BaseException as error:
            _failed(call, error, exchange)
            raise
        finally:
            WATCH.reset(token)
        answered(call, result)
        return result

    return call_tool


def _begin(session: Any, name: str, arguments: Any) -> ToolCall | None:
    try:
        connection = connection_of(session)
        count = len(arguments) if arguments else 0
        call = settled.recorder().start_tool_call(connection.server_id, name, argument_count=count)
        facts = connection.facts
        call.attributes = _facts_of(connection, session) if facts is None else facts  # one for all calls
        if settled.content:
            keep_arguments(call, arguments)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        settled.recorder().failed("instrument", error)
        return None
    return call


def _failed(call: ToolCall, error: BaseException, exchange: Exchange) -> None:
    def finish() -> None:
        outcome, kind = ending_of(error, exchange)
        call.finish(outcome, kind, error=None if kind is None else error)

    _safely(finish)


def ending_of(error: BaseException, exchange: Exchange) -> tuple[ToolOutcome, ErrorKind | None]:
    """How an exception ends a call; giving up is no error.

    mcp tears a session down by cancelling whoever waits when its HTTP request broke: then the exchange knows better.
    """
    inner = unwrap(error)
    if isinstance(inner, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)):
        if isinstance(inner, asyncio.CancelledError) and exchange.error is not None:
            return "error", "connection"
        if exchange.status is not None and exchange.status >= 400:
            kind = kind_of_status(exchange.status)
            return outcome_of_kind(kind), kind
        return "cancelled", None
    kind = classify(inner, exchange.status, exchange.error)
    return outcome_of_kind(kind), kind


def answered(call: ToolCall, result: Any) -> None:
    """A tool has answered: end its call."""
    try:
        if settled.content:
            keep_result(call, lambda: result)
        if is_error(result):
            said = text_of(result)
            call.finish("error", kind_of_error_result(said), error=said)
        else:
            call.finish("success")
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        settled.recorder().failed("instrument", error)


def is_error(result: Any) -> bool:
    """Whether a tool's result says that it failed, in the words of mcp 1 or 2, or as sent."""
    if type(result) is dict:
        found = result.get("is_error")
    else:
        try:
            found = result.is_error
        except AttributeError:
            found = pick(result, "is_error")
    return bool(pick(result, "isError") if found is None else found)  # asking for the other one can warn


def text_of(result: Any) -> str:
    """What an error result says."""
    return "\n".join(str(said) for block in items(result, "content") if (said := pick(block, "text")))


# Other requests


def _send_request(original: Any) -> Any:
    def send_request(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        """No coroutine function of our own: a tool call passes here without another frame around its awaiting."""
        if type(request) in _COUNTED_ELSEWHERE or not SWITCH.on or ENGINE_MCP.get():
            return original(self, request, *args, **kwargs)
        return _timed(self, original, request, args, kwargs)

    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(send_request)
    return send_request


async def _timed(session: Any, original: Any, request: Any, args: Any, kwargs: Any) -> Any:
    method = pick(request, "method") or dig(request, "root", "method")
    if method in (None, "tools/call", "initialize", "server/discover"):
        field = getattr(type(request), "model_fields", {}).get("method")
        if method is not None and getattr(field, "default", None) == method:  # mcp 2 has a type for each method
            _COUNTED_ELSEWHERE.add(type(request))
        return await original(session, request, *args, **kwargs)
    started = perf_counter_ns()
    exchange = Exchange()
    token = WATCH.set(exchange)
    outcome: ToolOutcome = "success"
    try:
        return await original(session, request, *args, **kwargs)
    except BaseException as error:
        outcome, _ = ending_of(error, exchange)
        raise
    finally:
        WATCH.reset(token)
        seconds = (perf_counter_ns() - started) / 1e9
        _safely(
            lambda: settled.recorder().mcp.operation(connection_of(session).server_id, str(method), outcome, seconds)
        )


_COUNTED_ELSEWHERE: set[type[Any]] = set()
"""Types of requests that are a tool call or open the connection."""


# Connections


def _initialize(original: Any) -> Any:
    async def initialize(self: Any) -> Any:
        if not _is_watched():
            return await original(self)
        try:
            result = await original(self)
        except BaseException as error:
            outcome, _ = ending_of(error, Exchange())
            if outcome != "cancelled":
                _safely(lambda: settled.recorder().mcp.connect_ended(connection_of(self).server_id, outcome))
            raise
        name = dig(result, "server_info", "name") or dig(result, "serverInfo", "name")
        _safely(lambda: connection_of(self).opened(name))
        return result

    return initialize


def _adopt(original: Any) -> Any:
    def adopt(self: Any, result: Any) -> None:
        original(self, result)
        if _is_watched():
            _safely(lambda: connection_of(self).opened(dig(self, "server_info", "name")))

    return adopt


def _enter(original: Any) -> Any:
    async def __aenter__(self: Any) -> Any:
        dispatcher = getattr(self, "_dispatcher", None)
        run = getattr(dispatcher, "run", None)
        if dispatcher is not None and run is not None and _is_watched():

            async def watched_run(*args: Any, **kwargs: Any) -> Any:
                try:
                    return await run(*args, **kwargs)
                finally:  # the transport has ended, though the session may still be open
                    _safely(connection_of(self).closed)

            with suppress(AttributeError):  # slots: its end is seen when the session closes
                dispatcher.run = watched_run
        return await original(self)

    return __aenter__


def _receive_loop(original: Any) -> Any:
    async def _receive_loop(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        finally:
            _safely(connection_of(self).closed)

    return _receive_loop


def _exit(original: Any) -> Any:
    async def __aexit__(self: Any, *exc_info: Any) -> Any:
        try:
            return await original(self, *exc_info)
        finally:
            _safely(connection_of(self).closed)

    return __aexit__
