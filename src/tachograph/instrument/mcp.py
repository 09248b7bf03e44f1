"""Watching MCP clients: tool calls and other requests of mcp 1.x, mcp 2.x and fastmcp.

What the application asked for is one call: `mcp.Client.call_tool`, `fastmcp.Client.call_tool_mcp`, or a session's
`call_tool` where it uses that itself. A call lasts through the rounds in which its server asks the user, and a
background task until its end. `mcp_connections` has who is connected to what.

Failures are sorted by the table that the engine uses (`tachograph.mcp.errors`). What the SDK loses on the way, an HTTP
status or a broken connection, is noted by the HTTP hook.
"""

from __future__ import annotations

import operator
import sys
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from time import monotonic, perf_counter_ns
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import active_config, mcp_connections
from tachograph.instrument.imports import after_import
from tachograph.instrument.mcp_connections import (
    HTTPExchange,
    WatchedSession,
    connecting_client,
    connection_of,
    ending_of,
    is_watched,
)
from tachograph.instrument.mcp_proxies import EXECUTING, LISTING, PROXIED, Listing, Proxied, WatchedTool
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.watch import WATCH
from tachograph.mcp.errors import is_unknown_tool, kind_of_error_result, outcome_of_kind
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.records import ENGINE_MCP, ToolCall
from tachograph.records.content import keep
from tachograph.records.outcomes import ErrorKind, ToolOutcome
from tachograph.signals.spans import leave
from tachograph.tape.guard import after, call_wrapper, choice
from tachograph.vendors.fields import dig, items, pick


def install() -> None:
    """Hook clients, now or once they are imported."""
    from tachograph.instrument import vendor_spans

    vendor_spans.install_mcp()
    mcp_connections.install()
    after_import("mcp.client.session", _hook_session)
    after_import("mcp.client.client", _hook_client)
    after_import("fastmcp.client.client", _hook_fastmcp)
    after_import("fastmcp.server.providers.proxy", _hook_proxy)
    after_import("fastmcp.server.proxy", _hook_proxy)  # of fastmcp 2


def _hook_session(module: ModuleType) -> None:
    owner = module.ClientSession
    places: dict[str, tuple[Callable[[Any], Any], str]] = {
        "__init__": (_init, "servers are known by the names that they give themselves only"),
        "call_tool": (_call_session, "tool calls are not seen"),
        "send_request": (_send_request, "requests other than tool calls are not seen"),
        "initialize": (_initialize, "connections are not seen"),
        "__aenter__": (_enter, "a connection that ends early is seen late"),
        "__aexit__": (_until_its_end, "the end of connections is not seen"),
    }
    if hasattr(owner, "adopt"):
        places["adopt"] = (_adopt, "")
        places["send_discover"] = (_discover, "a server that a client never asked counts as connected")
    if hasattr(owner, "_receive_loop"):
        places["_receive_loop"] = (_until_its_end, "")
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


def _hook_proxy(module: ModuleType) -> None:
    owner = getattr(module, "ProxyTool", None)
    if owner is None:
        return  # fastmcp 3 and later keep an empty module of the old name
    if patch(owner, "run", _pass_on):
        hooked("fastmcp", "ProxyTool.run")
    else:
        missing("fastmcp", "ProxyTool.run", "a call through a proxy in this process counts twice")
    for name, method in (("ProxyProvider", "_list_tools"), ("ProxyToolManager", "get_tools")):  # the second: fastmcp 2
        lister = getattr(module, name, None)
        if lister is not None:
            patch(lister, method, _list_behind)


# Tool calls


class WatchedToolCall(HTTPExchange):
    """A tool call under way: what an application asked of a client or a session, and what HTTP sees of it.

    Attributes:
        call: Its record.
        session: What a client's call goes through; the session finds it here.
        tool_name: Of what.
        failure: How the request of a proxy below it failed.
        above: What this one is a part of, for a proxy's request; else None.
        request_id: Its id at a server in this process (mcp 1).
    """

    def __init__(self, call: ToolCall, connection: WatchedSession, tool_name: str, session: object = None) -> None:
        self.call = call
        self.connection: WatchedSession = connection  # pyright: ignore[reportIncompatibleVariableOverride]
        self.tool_name = tool_name
        self.session = session
        self.failure: tuple[ToolOutcome, ErrorKind] | None = None
        self.above: Proxied | None = None
        self.request_id: object = None


ASKED: Final[ContextVar[WatchedToolCall | None]] = ContextVar("tachograph_mcp_asked", default=None)

_ARGUMENTS: Final = "self, name, arguments=None, *args, **keywords"


def _session_of(client: object) -> Any:
    """The session that a client's call goes through, or None."""
    session = getattr(client, "_session", None)  # mcp
    return session if session is not None else dig(client, "_session_state", "session")  # fastmcp


def _call_client(original: object) -> Any:
    return call_wrapper(
        original,
        {ASKED: "watch"},
        begin=_begin_of_client,
        done=_answered,
        failed=_failed,
        is_async=True,
        signature=_ARGUMENTS,
        begins="self, name, arguments",
    )


def _begin_of_client(client: object, name: str, arguments: object) -> WatchedToolCall | None:
    if not SWITCH.on or ENGINE_MCP.get():
        return None
    session = _session_of(client)
    connection = connection_of(session) if session is not None else getattr(client, "_tachograph", None)
    connection = connection or WatchedSession()
    if (proxied := PROXIED.get()) is not None:
        return _below(proxied, connection, session, name)
    return WatchedToolCall(_begin(connection, session, name, arguments), connection, name, session)


def _below(proxied: Proxied, connection: WatchedSession, session: object, name: str) -> WatchedToolCall:
    """The request of a proxy, as a part of the call that it passes on."""
    proxied.reached(connection.server_id, connection.call_facts(session))
    below = WatchedToolCall(proxied.asked.call, connection, name, session)
    below.above = proxied
    return below


def _call_session(original: object) -> Any:
    below_client = call_wrapper(
        original, {WATCH: "watch"}, begin=ASKED.get, is_async=True, signature=_ARGUMENTS, begins=""
    )
    alone = call_wrapper(
        original,
        {WATCH: "watch", ASKED: "watch"},
        begin=_begin_of_session,
        done=_answered,
        failed=_failed,
        is_async=True,
        signature=_ARGUMENTS,
        begins="self, name, arguments, keywords",
    )

    def choose(session: object, name: str) -> Any:
        if not SWITCH.on or ENGINE_MCP.get():
            return original
        asked = ASKED.get()
        if asked is None or asked.session is not session or asked.tool_name != name:
            return alone
        transport = asked.connection.transport
        return original if transport is None or transport.url is None else below_client

    return choice(original, choose, signature=_ARGUMENTS, chooses="self, name")


def _begin_of_session(session: object, name: str, arguments: object, keywords: dict[str, Any]) -> WatchedToolCall:
    connection = connection_of(session)
    if (proxied := PROXIED.get()) is not None:
        return _below(proxied, connection, session, name)
    call = connection.unfinished.pop(str(keywords.get("request_state") or ""), None)
    return WatchedToolCall(call or _begin(connection, session, name, arguments), connection, name)


def _begin(connection: WatchedSession, session: object, name: str, arguments: Any) -> ToolCall:
    count = len(arguments) if arguments else 0
    call = active_config.recorder().start_tool_call(connection.server_id, name, argument_count=count)
    try:
        call.attributes = connection.call_facts(session)
        if connection.unreached:  # fastmcp leaves their tools out: they are unknown to what joins the servers
            found = (server for entry, server in connection.unreached.items() if name.startswith(f"{entry}_"))
            call.unlisted = next(found, None)
        if call.sink.content.keeps:
            keep(call, "tool.arguments", lambda: arguments)
    except Exception:
        call.withdraw()
        raise
    return call


def _failed(asked: WatchedToolCall, error: BaseException) -> None:
    call, connection = asked.call, asked.connection
    is_dead = connection.has_ended_by(call.started_ns)
    outcome, kind = ending_of(error, asked, connection.exchange, since_ns=call.started_ns, is_dead=is_dead)
    if kind is not None and isinstance(error, CancelledError):
        connection.ended_ns = connection.ended_ns or perf_counter_ns()  # by the SDK: so will be all that comes after
    if asked.request_id is not None:
        connection.requests.pop(asked.request_id, None)
    connection.not_answered(outcome, kind)
    if asked.above is not None:
        asked.above.failed(outcome, kind)
        return
    call.is_made_up = kind == "validation" and is_unknown_tool(error)
    call.finish(outcome, kind, error=None if kind is None else error)


def _answered(asked: WatchedToolCall, result: object) -> None:
    """A request of a tool call was answered: the end of the call, unless it goes on."""
    if asked.request_id is not None:
        asked.connection.requests.pop(asked.request_id, None)
    if asked.above is not None:
        return
    key = goes_on(result)
    if key is None:
        answered(asked.call, result, asked.failure)
        return
    asked.connection.unfinished[key] = asked.call
    leave(asked.call)


def goes_on(result: object) -> str | None:
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


def answered(call: ToolCall, result: object, failure: tuple[ToolOutcome, ErrorKind] | None = None) -> None:
    """A tool has answered: end its call.

    Args:
        failure: How it failed where more is known than the answer says.
    """
    if call.sink.content.keeps:
        keep(call, "tool.result", lambda: result)
    if is_error(result):
        said = text_of(result)
        kind = kind_of_error_result(said)
        call.is_made_up = kind == "validation" and is_unknown_tool(said)
        if call.unlisted is not None and (call.is_made_up or kind == "connection"):
            call.is_made_up, kind = False, "connection"
            if call.side == "client" and call.unlisted:
                call.server_id = call.unlisted
        outcome, kind = failure or (outcome_of_kind(kind), kind)
        call.finish(outcome, kind, error=said)
    else:
        call.finish("success")


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


def text_of(result: object) -> str:
    """What an error result says."""
    return "\n".join(str(said) for block in items(result, "content") if (said := pick(block, "text")))


# Proxies in this process


def _pass_on(original: object) -> Any:
    return call_wrapper(original, {PROXIED: "watch"}, begin=_begin_to_pass_on, is_async=True, begins="self")


def _begin_to_pass_on(tool: Any) -> Proxied | None:
    asked = _asked_of_proxy()
    if asked is None or asked.call.is_finished:
        return None
    root = asked.above.asked if asked.above is not None else asked
    return Proxied(root, str(getattr(tool, "_backend_name", None) or tool.name))


def _list_behind(original: object) -> Any:
    return call_wrapper(
        original, {LISTING: "watch"}, begin=_begin_to_list, failed=Listing.failed, is_async=True, begins="self"
    )


def _begin_to_list(provider: object) -> Listing | None:
    asked = _asked_of_proxy()
    calls = (None if asked is None else asked.call, EXECUTING.get())
    known = [call for call in calls if call is not None]
    return Listing(known) if known else None


def _asked_of_proxy() -> WatchedTool | None:
    """The call that a server in this process handles here, where a watched client asked it in memory."""
    module = sys.modules.get("mcp.server.lowlevel.server")
    requests = getattr(module, "request_ctx", None)
    if requests is None:
        return ASKED.get()  # mcp 2 handles a request in its sender's context
    client = connecting_client()  # mcp 1 handles all in the context in which the client connected
    return None if client is None else client.requests.get(dig(requests.get(None), "request_id"))


# Other requests


class _Request:
    """A request under way that is no tool call.

    Attributes:
        exchange: What HTTP sees of it: of a client's background task that it looks after, the task's own.
    """

    def __init__(self, connection: WatchedSession, method: str, exchange: HTTPExchange) -> None:
        self.connection = connection
        self.method = method
        self.exchange = exchange
        self.started_ns = perf_counter_ns()

    def ended(self, outcome: ToolOutcome) -> None:
        seconds = (perf_counter_ns() - self.started_ns) / 1e9
        metrics = active_config.recorder().metrics.part(MCPMetrics)
        metrics.operation(self.connection.server_id, self.method, outcome, seconds)

    def answered(self, result: object) -> None:
        try:
            self.ended("success")
            if self.method == "tools/list":
                _listed(self.connection, result)
        finally:
            if self.connection.unfinished:
                _end_of_task(self.connection, result)

    def failed(self, error: BaseException) -> None:
        outcome, kind = ending_of(error, self.exchange)
        self.ended(outcome)
        self.connection.not_answered(outcome, kind)
        if (listing := LISTING.get()) is not None:
            listing.server_id = self.connection.server_id


class _TaskRequest(_Request):
    """A request by which an application that uses a session's experimental tasks (mcp 1) asks for a tool, or for the
    result of such a call.

    Attributes:
        asked: The tool call.
    """

    exchange: WatchedToolCall

    def answered(self, result: object) -> None:
        asked = self.exchange
        task_id = dig(result, "task", "taskId")
        if task_id is None:
            answered(asked.call, result)
        else:
            self.connection.unfinished[str(task_id)] = asked.call
            leave(asked.call)

    def failed(self, error: BaseException) -> None:
        if self.method == "tasks/result" and isinstance(error, ValueError):
            self.exchange.call.finish("error", "execution", error=error)  # mcp 1.30 has no result of a failed task
        else:
            _failed(self.exchange, error)


def _send_request(original: object) -> Any:
    timed = call_wrapper(
        original,
        {WATCH: "watch.exchange"},
        begin=_begin_request,
        done=lambda watch, result: watch.answered(result),
        failed=lambda watch, error: watch.failed(error),
        is_async=True,
        signature="self, request, *args, **keywords",
        begins="self, request",
    )

    def choose(request: object) -> Any:
        is_ours = type(request) not in _COUNTED_ELSEWHERE and SWITCH.on and not ENGINE_MCP.get()
        return timed if is_ours else original

    return choice(original, choose, signature="self, request, *args, **keywords", chooses="request")


def _begin_request(session: Any, request: object) -> _Request | None:
    method = pick(request, "method") or dig(request, "root", "method")
    connection = connection_of(session)
    params = dig(request, "root", "params")  # mcp 1 alone has one type around all requests
    if method == "tools/call" and params is not None and not _is_inside(session, connection):
        name = str(pick(params, "name"))
        call = _begin(connection, session, name, pick(params, "arguments"))
        return _TaskRequest(connection, method, WatchedToolCall(call, connection, name))
    begun = connection.unfinished.pop(str(pick(params, "taskId")), None) if method == "tasks/result" else None
    if begun is not None:
        return _TaskRequest(connection, "tasks/result", WatchedToolCall(begun, connection, begun.tool_name))
    if method == "tools/call" and params is not None and (asked := ASKED.get()) is not None:
        asked.request_id = session._request_id  # which this request will have
        connection.requests[asked.request_id] = asked
        return None
    if method in (None, "tools/call", "initialize", "server/discover"):
        field = getattr(type(request), "model_fields", {}).get("method")
        if method is not None and getattr(field, "default", None) == method:  # mcp 2 has a type for each method
            _COUNTED_ELSEWHERE.add(type(request))
        return None
    asked = ASKED.get()  # looking after its task: what HTTP meets here ends the call
    exchange = asked if asked is not None and asked.session is session else HTTPExchange()
    exchange.connection = connection
    return _Request(connection, str(method), exchange)


def _is_inside(session: object, connection: WatchedSession) -> bool:
    """Whether a request is sent by a tool call that is watched already, of a client or of a session."""
    asked, watch = ASKED.get(), WATCH.get()
    return (asked is not None and asked.session is session) or (
        isinstance(watch, WatchedToolCall) and watch.connection is connection
    )


def _end_of_task(connection: WatchedSession, result: object) -> None:
    """Finish the call of a background task that an application looks after itself, once its end is known to it."""
    status, key = pick(result, "status"), str(pick(result, "task_id") or pick(result, "taskId"))
    if status not in ("completed", "failed", "cancelled") or (call := connection.unfinished.pop(key, None)) is None:
        return
    if status == "completed":
        answered(call, pick(result, "result") or {})
    elif status == "cancelled":
        call.finish("cancelled")
    else:
        said = str(
            dig(result, "error", "message") or pick(result, "status_message") or pick(result, "statusMessage") or ""
        )
        kind = kind_of_error_result(said)
        call.finish(outcome_of_kind(kind), kind, error=said)


def _listed(connection: WatchedSession, result: object) -> None:
    """A server has said which tools it has, or some of them."""
    owners = active_config.recorder().tool_owners
    if owners is not None:
        names = [str(pick(tool, "name")) for tool in items(result, "tools")]
        owners.listed(names, connection.server_id, connection.own_name, connection.name)


_COUNTED_ELSEWHERE: set[type[Any]] = set()
"""Types of requests that are a tool call or open the connection."""


# Sessions


def _init(original: object) -> Any:
    def made(session: Any, _: None, args: Any, keywords: dict[str, Any]) -> None:
        if is_watched():
            mcp_connections.session_made(session, args[0] if args else keywords.get("read_stream"))

    return after(original, made)


def _watched_session(session: object, args: object, keywords: object) -> WatchedSession | None:
    return connection_of(session) if is_watched() else None


def _initialize(original: object) -> Any:
    return call_wrapper(
        original,
        {WATCH: "watch.exchange"},  # mcp 2 sends the handshake in its caller's context
        begin=_watched_session,
        done=_initialized,
        failed=mcp_connections.connect_failed,
        is_async=True,
    )


def _initialized(connection: WatchedSession, result: object) -> None:
    connection.opened(dig(result, "server_info", "name") or dig(result, "serverInfo", "name"))


def _adopt(original: object) -> Any:
    def adopted(session: object, _: None, args: object, keywords: object) -> None:
        if is_watched():
            connection_of(session).adopted(dig(session, "server_info", "name"))

    return after(original, adopted)


def _discover(original: object) -> Any:
    return call_wrapper(
        original,
        {WATCH: "watch.exchange"},
        begin=_watched_session,
        done=_discovered,
        failed=_not_discovered,
        is_async=True,
    )


def _discovered(connection: WatchedSession, _: object) -> None:
    connection.answered_at = monotonic()


def _not_discovered(connection: WatchedSession, error: BaseException) -> None:
    """A server that refuses the question is then asked by the older handshake; a connection that broke cancels all."""
    if not isinstance(error, Exception):
        mcp_connections.connect_failed(connection, error)


def _enter(original: object) -> Any:
    return call_wrapper(original, begin=_watch_dispatcher, is_async=True)


def _watch_dispatcher(session: object, args: object, keywords: object) -> None:
    """See a session's transport end, though the session may still be open."""
    dispatcher = getattr(session, "_dispatcher", None)
    run = getattr(dispatcher, "run", None)
    if dispatcher is not None and run is not None and is_watched():
        with suppress(AttributeError):  # slots: its end is seen when the session closes
            dispatcher.run = partial(_run_dispatcher, connection_of(session), run)


def _until_its_end(original: object) -> Any:
    """Around what ends when a session ends: its loop, its leaving."""
    return call_wrapper(
        original, begin=connection_of, begins="self", done=_session_ended, failed=_session_ended, is_async=True
    )


def _session_ended(connection: WatchedSession, _: object) -> None:
    connection.closed()


_run_dispatcher: Final = call_wrapper(
    operator.call,
    begin=lambda connection: connection,
    done=_session_ended,
    failed=_session_ended,
    is_async=True,
    signature="connection, run, *args, **keywords",
    begins="connection",
    plain="run, *args, **keywords",
)
