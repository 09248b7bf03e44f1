"""Watching MCP clients: tool calls and other requests of mcp 1.x, mcp 2.x and fastmcp.

What the application asked for is one call: `mcp.Client.call_tool`, `fastmcp.Client.call_tool_mcp`, or a session's
`call_tool` where it uses that itself. A call lasts through the rounds in which its server asks the user, and a
background task until its end. `mcp_connections` has who is connected to what.

Failures are sorted by the table that the engine uses (`tachograph.mcp.errors`). What the SDK loses on the way, an HTTP
status or a broken connection, is noted by the HTTP hook.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import mcp_connections, settled
from tachograph.instrument.imports import after_import
from tachograph.instrument.mcp_connections import Connection, Exchange, connection_of, ending_of, is_watched, safely
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.watch import WATCH
from tachograph.mcp.errors import is_unknown_tool, kind_of_error_result, outcome_of_kind
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.records import ENGINE_MCP, ToolCall
from tachograph.records.content import keep
from tachograph.records.outcomes import ToolOutcome
from tachograph.vendors.fields import dig, items, pick


def install() -> None:
    """Hook clients and servers, now or once they are imported."""
    from tachograph.instrument import mcp_server, vendor_spans

    vendor_spans.install_mcp()
    mcp_connections.install()
    after_import("mcp.client.session", _hook_session)
    after_import("mcp.client.client", _hook_client)
    after_import("fastmcp.client.client", _hook_fastmcp)
    if settled.settings.mcp_server:
        mcp_server.install()


def _hook_session(module: ModuleType) -> None:
    owner = module.ClientSession
    places: dict[str, tuple[Callable[[Any], Any], str]] = {
        "__init__": (_init, "servers are known by the names that they give themselves only"),
        "call_tool": (_call_session, "tool calls are not seen"),
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


def _hook_client(module: ModuleType) -> None:
    if patch(module.Client, "call_tool", _call_client):
        hooked("mcp", "Client.call_tool")
    else:
        missing("mcp", "Client.call_tool", "each round of a call that asks the user counts as a call")


def _hook_fastmcp(module: ModuleType) -> None:
    if patch(module.Client, "call_tool_mcp", _call_client):
        hooked("fastmcp", "Client.call_tool_mcp")
    else:
        missing("fastmcp", "Client.call_tool_mcp", "calls on a connection that has failed are not seen")


# Tool calls


class Asked(Exchange):
    """A tool call that an application made of a client, while it lasts; the session below it finds it here.

    Attributes:
        session: What it goes through; tool_name: of what.
    """

    session: Any = None
    tool_name = ""


ASKED: Final[ContextVar[Asked | None]] = ContextVar("tachograph_mcp_asked", default=None)


def _session_of(client: Any) -> Any:
    """The session that a client's call goes through, or None."""
    session = getattr(client, "_session", None)  # mcp
    return session if session is not None else dig(client, "_session_state", "session")  # fastmcp


def _call_client(original: Any) -> Any:
    async def call_tool(self: Any, name: str, arguments: Any = None, *args: Any, **kwargs: Any) -> Any:
        if not SWITCH.on or ENGINE_MCP.get():
            return await original(self, name, arguments, *args, **kwargs)
        session = _session_of(self)
        connection = connection_of(session) if session is not None else getattr(self, "_tachograph", None)
        connection = connection or Connection()
        if (call := _begin(connection, session, name, arguments)) is None:
            return await original(self, name, arguments, *args, **kwargs)
        exchange = Asked()
        exchange.connection, exchange.session, exchange.tool_name = connection, session, name
        token = ASKED.set(exchange)
        try:
            result = await original(self, name, arguments, *args, **kwargs)
        except BaseException as error:
            _failed(call, error, exchange, connection)
            raise
        finally:
            ASKED.reset(token)
        _answered(call, result, connection)
        return result

    return call_tool


def _call_session(original: Any) -> Any:
    def call_tool(self: Any, name: str, arguments: Any = None, *args: Any, **kwargs: Any) -> Any:
        """No coroutine function of our own: a client's call passes here without another frame around its awaiting."""
        if not SWITCH.on or ENGINE_MCP.get():
            return original(self, name, arguments, *args, **kwargs)
        asked = ASKED.get()
        if asked is None or asked.session is not self or asked.tool_name != name:
            return _call_of_session(self, original, name, arguments, args, kwargs)
        transport = asked.connection.transport  # type: ignore[union-attr]  # a client's call has one
        if transport is None or transport.url is None:
            return original(self, name, arguments, *args, **kwargs)
        return _send_of_client(asked, original(self, name, arguments, *args, **kwargs))

    if hasattr(inspect, "markcoroutinefunction"):
        inspect.markcoroutinefunction(call_tool)
    return call_tool


async def _send_of_client(asked: Asked, sending: Any) -> Any:
    token = WATCH.set(asked)
    try:
        return await sending
    finally:
        WATCH.reset(token)


async def _call_of_session(session: Any, original: Any, name: str, arguments: Any, args: Any, kwargs: Any) -> Any:
    connection = connection_of(session)
    call = connection.unfinished.pop(str(kwargs.get("request_state") or ""), None)
    call = call or _begin(connection, session, name, arguments)
    if call is None:
        return await original(session, name, arguments, *args, **kwargs)
    exchange = Exchange()
    exchange.connection = connection
    token = WATCH.set(exchange)
    try:
        result = await original(session, name, arguments, *args, **kwargs)
    except BaseException as error:
        _failed(call, error, exchange, connection)
        raise
    finally:
        WATCH.reset(token)
    _answered(call, result, connection)
    return result


def _begin(connection: Connection, session: Any, name: str, arguments: Any) -> ToolCall | None:
    try:
        count = len(arguments) if arguments else 0
        call = settled.recorder().start_tool_call(connection.server_id, name, argument_count=count)
        call.attributes = connection.call_facts(session)
        keep(call, "tool.arguments", lambda: arguments)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        settled.recorder().failed("instrument", error)
        return None
    return call


def _failed(call: ToolCall, error: BaseException, exchange: Exchange, connection: Connection) -> None:
    def finish() -> None:
        transport = connection.transport
        shared = transport.exchange if transport is not None else None
        outcome, kind = ending_of(error, exchange, shared, since_ns=call.started_ns)
        call.is_made_up = kind == "validation" and is_unknown_tool(error)
        call.finish(outcome, kind, error=None if kind is None else error)

    safely(finish)


def _answered(call: ToolCall, result: Any, connection: Connection) -> None:
    """A request of a tool call was answered: the end of the call, unless it goes on."""
    key = goes_on(result)
    if key is None:
        answered(call, result)
        return
    connection.unfinished[key] = call
    safely(lambda: settled.recorder().leave(call))


def goes_on(result: Any) -> str | None:
    """What an answer that is not yet the tool's is known by: a question's state, or a background task's id."""
    if type(result) is dict:
        kind = result.get("resultType")
        if kind == "input_required":
            return str(result.get("requestState") or "")
        return str(result.get("taskId")) if kind == "task" else None
    kind = getattr(result, "result_type", None)
    if kind is None or kind == "complete":
        return None
    if kind == "input_required":
        return str(pick(result, "request_state") or "")
    if kind == "task":
        return str(pick(result, "task_id"))
    return None


def answered(call: ToolCall, result: Any) -> None:
    """A tool has answered: end its call."""
    try:
        keep(call, "tool.result", lambda: result)
        if is_error(result):
            said = text_of(result)
            kind = kind_of_error_result(said)
            call.is_made_up = kind == "validation" and is_unknown_tool(said)
            call.finish(outcome_of_kind(kind), kind, error=said)
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
    connection = connection_of(session)
    asked = ASKED.get()  # looking after its task: what HTTP meets here ends the call
    exchange = asked if asked is not None and asked.session is session else Exchange()
    exchange.connection = connection
    token = WATCH.set(exchange)
    outcome: ToolOutcome = "success"
    try:
        result = await original(session, request, *args, **kwargs)
    except BaseException as error:
        outcome, _ = ending_of(error, exchange)
        raise
    finally:
        WATCH.reset(token)
        seconds = (perf_counter_ns() - started) / 1e9
        safely(
            lambda: (
                settled.recorder()
                .metrics.part(MCPMetrics)
                .operation(connection.server_id, str(method), outcome, seconds)
            )
        )
    if connection.unfinished:
        safely(lambda: _end_of_task(connection, result))
    return result


def _end_of_task(connection: Connection, result: Any) -> None:
    """Finish the call of a background task that an application looks after itself, once it is told the end."""
    status, key = pick(result, "status"), str(pick(result, "task_id"))
    if status not in ("completed", "failed", "cancelled") or (call := connection.unfinished.pop(key, None)) is None:
        return
    if status == "completed":
        answered(call, pick(result, "result") or {})
    elif status == "cancelled":
        call.finish("cancelled")
    else:
        said = str(dig(result, "error", "message") or pick(result, "status_message") or "")
        kind = kind_of_error_result(said)
        call.finish(outcome_of_kind(kind), kind, error=said)


_COUNTED_ELSEWHERE: set[type[Any]] = set()
"""Types of requests that are a tool call or open the connection."""


# Sessions


def _init(original: Any) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if is_watched():
            stream = args[0] if args else kwargs.get("read_stream")
            safely(lambda: mcp_connections.session_made(self, stream))

    return __init__


def _initialize(original: Any) -> Any:
    async def initialize(self: Any) -> Any:
        if not is_watched():
            return await original(self)
        try:
            result = await original(self)
        except BaseException as error:
            failure = error
            safely(lambda: mcp_connections.connect_failed(self, failure))
            raise
        name = dig(result, "server_info", "name") or dig(result, "serverInfo", "name")
        safely(lambda: connection_of(self).opened(name))
        return result

    return initialize


def _adopt(original: Any) -> Any:
    def adopt(self: Any, result: Any) -> None:
        original(self, result)
        if is_watched():
            safely(lambda: connection_of(self).opened(dig(self, "server_info", "name")))

    return adopt


def _enter(original: Any) -> Any:
    async def __aenter__(self: Any) -> Any:
        dispatcher = getattr(self, "_dispatcher", None)
        run = getattr(dispatcher, "run", None)
        if dispatcher is not None and run is not None and is_watched():

            async def watched_run(*args: Any, **kwargs: Any) -> Any:
                try:
                    return await run(*args, **kwargs)
                finally:  # the transport has ended, though the session may still be open
                    safely(connection_of(self).closed)

            with suppress(AttributeError):  # slots: its end is seen when the session closes
                dispatcher.run = watched_run
        return await original(self)

    return __aenter__


def _receive_loop(original: Any) -> Any:
    async def _receive_loop(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        finally:
            safely(connection_of(self).closed)

    return _receive_loop


def _exit(original: Any) -> Any:
    async def __aexit__(self: Any, *exc_info: Any) -> Any:
        try:
            return await original(self, *exc_info)
        finally:
            safely(connection_of(self).closed)

    return __aexit__
