"""Watching the connections of MCP clients: who is connected to which server, since when, and whether it still is.

    mcp.Client.__aenter__, fastmcp.Client._connect     an Attempt: what the application asked for, counted once
      stdio_client, streamable_http_client, ...        a Transport: where it leads, and what its HTTP layer met
        ClientSession.initialize, adopt                a Connection: the server has answered, and is up

A session that an application opens itself, over a transport of its own, counts the same without an attempt around it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final
from weakref import WeakKeyDictionary

from tachograph.instrument import active_config, mcp_identity
from tachograph.instrument.imports import after_import
from tachograph.instrument.mcp_ports import PORTS
from tachograph.instrument.mcp_proxies import LISTING, PROXIED, WatchedTool
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.watch import WATCH, error_body
from tachograph.mcp.errors import classify, kind_of_status, outcome_of_kind, says_session_lost, unwrap
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.records import ENGINE_MCP, ToolCall
from tachograph.records.outcomes import ErrorKind, ToolOutcome
from tachograph.signals import semconv
from tachograph.tape.guard import call_wrapper, generate
from tachograph.urls import split
from tachograph.vendors.fields import dig, pick


def install() -> None:
    """Hook transports and clients, now or once they are imported."""
    for module, name in _TRANSPORTS:
        after_import(module, _hook_transport(name))
    after_import("mcp.client.client", _hook_client)
    after_import("fastmcp.client.client", _hook_fastmcp)
    after_import("fastmcp.client.transports.config", _hook_fastmcp_config)
    after_import("fastmcp.utilities.mcp_config", _hook_fastmcp_entries)  # of fastmcp 2


def is_watched() -> bool:
    """Whether what happens here is another library's client's and is to be watched."""
    return SWITCH.on and not ENGINE_MCP.get()


class HTTPExchange:
    """What the HTTP hook saw of the requests of one call, or of one transport.

    It stands in for a watch; no attempt of it is recorded. mcp 2 sends each request in its caller's context, where the
    call's own exchange stands. mcp 1 sends them from tasks of the transport: its exchange sees them all.

    Attributes:
        connection: Whose server answers; None until the session is known.
        status: HTTP status of the last answer; error: what kept it away; error_body(): what came with an error.
        seen_ns: When either was seen last (monotonic).
    """

    is_raw = follows_body = uses_aiohttp = expects_events = hides_usage = False
    notes_breaks = True
    host = body = api = subject = None
    sent = ()
    status: int | None = None
    error: BaseException | None = None
    seen_ns = 0
    ended_ns = 0
    connection: WatchedSession | None = None
    _response: object = None

    def error_body(self) -> object:
        """What came with an error."""
        return error_body(self._response)

    def sending(self, url: object) -> HTTPExchange:
        """A request goes out."""
        return self

    def answered(self, sent: object, status: int, response: object, is_read: bool = False) -> bool:
        """An answer came; says whether there is a body to follow."""
        if status == 405:  # a server that offers no stream of its own says so to the GET for it
            return False
        self.status, self.error, self.seen_ns = status, None, time.perf_counter_ns()
        self._response = response if status >= 400 else None
        if status < 400 and self.connection is not None:
            self.connection.server_answered()
        return status < 400 and not is_read

    def not_answered(self, sent: object, error: BaseException) -> None:
        """No answer came, or its body broke off."""
        if isinstance(error, Exception):
            self.status, self.error, self.seen_ns = None, error, time.perf_counter_ns()


def ending_of(
    error: BaseException, *exchanges: HTTPExchange | None, since_ns: int = 0, is_dead: bool = False
) -> tuple[ToolOutcome, ErrorKind | None]:
    """How an exception ends a call or a connecting; giving up is not an error.

    mcp ends a session by cancelling the tasks that wait when its HTTP request broke: then the exchange says more.

    Args:
        error: What the application gets.
        exchanges: Where HTTP was seen, the call's own first.
        since_ns: A status seen before this is of an earlier call; a failure stands until an answer comes.
        is_dead: The session had ended before the call began.
    """
    inner = unwrap(error)
    known = (seen for seen in exchanges if seen is not None and (seen.error is not None or seen.seen_ns > since_ns))
    exchange = next(known, None) or HTTPExchange()
    if isinstance(inner, (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)):
        if not isinstance(inner, asyncio.CancelledError):
            return "cancelled", None
        if exchange.error is not None:
            return "error", "connection"
        if exchange.status is None or exchange.status < 400:
            return ("error", "connection") if is_dead else ("cancelled", None)
        kind = kind_of_status(exchange.status)
    else:
        kind = classify(inner, exchange.status, exchange.error)
    if says_session_lost(exchange.error_body()):
        kind = "connection"
    return outcome_of_kind(kind), kind


class Transport:
    """One opened transport.

    Attributes:
        address: Where it leads, as an id; url: of an HTTP server.
        facts: What its calls' spans say of it.
        exchange: What its HTTP layer met in tasks of its own.
        socket: Of a WebSocket connection (mcp 1); None of other transports.
    """

    socket: Any = None

    def __init__(self, address: str, url: str | None) -> None:
        self.address = address
        self.url = url
        self.exchange = HTTPExchange()
        self.facts: dict[str, Any] = {semconv.NETWORK_TRANSPORT: "pipe"}
        if url is not None:
            parts = split(url)
            port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
            self.facts = {
                semconv.NETWORK_TRANSPORT: "tcp",
                semconv.SERVER_ADDRESS: parts.hostname or "",
                semconv.SERVER_PORT: port,
            }


class ConnectAttempt:
    """One attempt to connect that an application made.

    Attributes:
        name: The name of the server's entry in an `mcpServers` configuration, where the client was given one.
        client: That connects.
        address: Where its transport leads, as far as the client says.
        transport: What was opened for it; connection: what came of it.
        has_inner: Clients below it connect to servers of their own: it leads to none, only to what joins them.
        outer: What it is below of; unreached: servers below it that could not be connected to, by their entries' names.
        is_over: It has ended; tasks that it left behind still have it in their context.
    """

    def __init__(self, name: str | None = None, client: Any = None, outer: ConnectAttempt | None = None) -> None:
        self.name = name
        self.outer = outer
        self.unreached: dict[str, str] = {}
        self.client = client
        self.address = _address_of(getattr(client, "transport", None))
        self.transport: Transport | None = None
        self.connection: WatchedSession | None = None
        self.has_inner = self.is_over = False

    def failed(self, error: BaseException) -> None:
        """It came to nothing: counted with its server, also where the application gave up."""
        transport = self.transport
        outcome, kind = ending_of(error, transport.exchange if transport is not None else None)
        if self.has_inner:
            return
        own_name = self.connection.own_name if self.connection is not None else None
        address = transport.address if transport is not None else self.address
        server_id = mcp_identity.server_id(address, own_name, self.name)
        active_config.recorder().metrics.part(MCPMetrics).connect_ended(server_id, outcome)
        if self.outer is not None and self.name:
            self.outer.unreached[self.name] = server_id
        if (listing := LISTING.get()) is not None:
            listing.server_id = server_id
        if (proxied := PROXIED.get()) is not None:
            proxied.reached(server_id)
            proxied.failed(outcome, kind)


class WatchedSession:
    """One session: which server it is with, and whether it counts as open. Called from the client's loop and from ours.

    Attributes:
        own_name: What the server calls itself; name: of its entry in a configuration that a client was given.
        exchange: What HTTP met outside of a call's own requests.
        facts: What its calls' spans say of it; None until the first call asks.
        answered_at: When its server last answered over HTTP (monotonic seconds).
        ended_ns: When it ended, or a call showed that it has (monotonic); None before.
        unreached: Servers that it joins and that could not be connected to, by the names before their tools' names.
        is_expected: The client took an HTTP server to be there and asked nothing: it counts by its first answer.
        unfinished: Calls that go on after their request was answered: rounds of questions that the application drives
            itself, and background tasks, by their ids at the server.
        requests: Calls under way by the ids that the server gets (mcp 1).
    """

    def __init__(self, transport: Transport | None = None, name: str | None = None) -> None:
        self.transport = transport
        self.exchange = transport.exchange if transport is not None else HTTPExchange()
        self.own_name: str | None = None
        self.facts: dict[str, Any] | None = None
        self.answered_at = 0.0
        self.ended_ns: int | None = None
        self.unfinished: dict[str, ToolCall] = {}
        self.requests: dict[object, WatchedTool] = {}
        self.is_expected = False
        self.unreached: dict[str, str] = {}
        self.name = name
        self._lock = threading.Lock()
        self._is_open = self._is_counted = False
        if transport is not None:
            transport.exchange.connection = self
        self.server_id = self._identify()

    def _identify(self) -> str:
        address = self.transport.address if self.transport is not None else None
        return mcp_identity.server_id(address, self.own_name, self.name)

    def adopted(self, own_name: object) -> None:
        """The client has what the server can do: from an answer of it, or from elsewhere."""
        transport = self.transport
        if self.answered_at or transport is None or transport.url is None:
            self.opened(own_name)
        else:
            self.is_expected = True

    def opened(self, own_name: object) -> None:
        """The server has said who it is, if it does."""
        self.is_expected = False
        self.answered_at = time.monotonic()
        with self._lock:
            is_first, self._is_counted = not self._is_counted, True
        if is_first:
            if isinstance(own_name, str) and own_name:
                self.own_name = own_name
            self.facts, self.server_id = None, self._identify()
            active_config.recorder().metrics.part(MCPMetrics).connect_ended(self.server_id, "success")
            self._rise()

    def _rise(self) -> None:
        with self._lock:
            if self._is_open or self.ended_ns is not None or not self._is_counted:
                return
            self._is_open = True
        active_config.recorder().metrics.part(MCPMetrics).connection_opened(self.server_id)
        if self.transport is not None and self.transport.url is not None:
            PORTS.add(self, self.transport.url)

    def server_answered(self) -> None:
        """An HTTP answer came: it is there, whatever we thought."""
        self.answered_at = time.monotonic()
        if self.transport is not None:
            self.transport.exchange.error = None
        if self.is_expected:
            self.opened(self.own_name)
        elif not self._is_open and self._is_counted:
            self._rise()

    def not_answered(self, outcome: ToolOutcome, kind: ErrorKind | None) -> None:
        """A request failed; where it was the first, so did the connecting."""
        if self.is_expected and kind in ("connection", "timeout"):
            self.is_expected = False
            active_config.recorder().metrics.part(MCPMetrics).connect_ended(self.server_id, outcome)

    def has_ended_by(self, now_ns: int) -> bool:
        """Whether it had ended then, or its WebSocket has closed: mcp 1 then cancels the task that waits."""
        socket = self.transport.socket if self.transport is not None else None
        return (self.ended_ns is not None and self.ended_ns < now_ns) or getattr(socket, "close_code", None) is not None

    def server_gone(self) -> None:
        """Its port refuses; the session may go on when the server is back."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
        active_config.recorder().metrics.part(MCPMetrics).connection_closed(self.server_id)

    def closed(self) -> None:
        """The session has ended, or its transport has."""
        with self._lock:
            self.ended_ns = self.ended_ns or time.perf_counter_ns()
        PORTS.remove(self)
        self.server_gone()
        for call in [self.unfinished.pop(key) for key in list(self.unfinished)]:
            call.finish("cancelled")  # its end will not be read

    def call_facts(self, session: object) -> dict[str, Any]:
        """What a call's span says of the connection; one dictionary for all calls."""
        facts = self.facts
        if facts is None:
            facts = dict(self.transport.facts) if self.transport is not None else {}
            version = pick(session, "protocol_version")
            if version:
                facts[semconv.MCP_PROTOCOL_VERSION] = str(version)
            self.facts = facts
        return facts


_streams: WeakKeyDictionary[Any, Transport] = WeakKeyDictionary()
"""Transports by the stream that a session reads."""

_ATTEMPT: Final[ContextVar[ConnectAttempt | None]] = ContextVar("tachograph_mcp_attempt", default=None)
_OPENING: Final[ContextVar[Transport | None]] = ContextVar("tachograph_mcp_opening", default=None)
_CONFIGURED_NAME: Final[ContextVar[str | None]] = ContextVar("tachograph_mcp_configured_name", default=None)


def current_attempt() -> ConnectAttempt | None:
    """The attempt to connect that is under way here."""
    attempt = _ATTEMPT.get()
    return None if attempt is None or attempt.is_over else attempt


def connecting_client() -> WatchedSession | None:
    """The session of the client that connected where this task comes from, to a server in this process."""
    attempt = _ATTEMPT.get()
    return None if attempt is None else attempt.connection


def session_made(session: Any, read_stream: object) -> None:
    """A session was made: it belongs to the transport whose stream it reads, or to the attempt under way."""
    attempt = current_attempt()
    transport = None
    with suppress(TypeError):  # a stream that the application put around ours
        transport = _streams.get(getattr(read_stream, "_inner", read_stream))
    if transport is None and attempt is not None:
        transport = attempt.transport
    session._tachograph = connection = WatchedSession(transport, attempt.name if attempt is not None else None)
    if attempt is not None:
        attempt.connection = connection
        name = dig(attempt.client, "transport", "server", "name")  # of a server in this process, which may not say it
        connection.own_name = name if isinstance(name, str) else None


def connection_of(session: Any) -> WatchedSession:
    """What we know of a session; it is on the session itself."""
    try:
        found: WatchedSession = session._tachograph
    except AttributeError:  # a session from before we came
        found = session._tachograph = WatchedSession()
        found.own_name = dig(session, "server_info", "name") or dig(session, "initialize_result", "serverInfo", "name")
        found.server_id = mcp_identity.server_id(None, found.own_name)
    return found


def connect_failed(connection: WatchedSession, error: BaseException) -> None:
    """A handshake failed: counted here where no attempt around it is."""
    if current_attempt() is not None:
        return
    outcome, _ = ending_of(error, connection.exchange)
    active_config.recorder().metrics.part(MCPMetrics).connect_ended(connection.server_id, outcome)


# Clients


def _hook_client(module: ModuleType) -> None:
    if patch(module.Client, "__aenter__", _connect):
        hooked("mcp", "Client.__aenter__")
    else:
        missing("mcp", "Client.__aenter__", "connections that fail are counted without their server")


def _hook_fastmcp(module: ModuleType) -> None:
    if patch(module.Client, "_connect", _connect):
        hooked("fastmcp", "Client._connect")
    else:
        missing("fastmcp", "Client._connect", "connections that fail are counted without their server")


def _connect(original: object) -> Any:
    return call_wrapper(
        original, {_ATTEMPT: "watch"}, begin=_begin_attempt, done=_connected, failed=_not_connected, is_async=True
    )


def _begin_attempt(client: object, args: object, keywords: object) -> ConnectAttempt | None:
    if not is_watched():
        return None
    outer = current_attempt()
    if outer is not None:
        outer.has_inner = True
    return ConnectAttempt(_CONFIGURED_NAME.get() or _name_in_config(client), client, outer)


def _connected(attempt: ConnectAttempt, _: object) -> None:
    attempt.is_over = True
    if attempt.connection is not None:  # else it went on with a session that was open
        attempt.client._tachograph = attempt.connection
        attempt.connection.unreached = attempt.unreached


def _not_connected(attempt: ConnectAttempt, error: BaseException) -> None:
    attempt.is_over = True
    attempt.failed(error)


def _name_in_config(client: object) -> str | None:
    """The name of the client's server in an `mcpServers` configuration, where fastmcp was given one."""
    name: str | None = dig(client, "transport", "_tachograph_name")
    if name is not None:
        return name
    servers = dig(client, "transport", "config", "mcpServers")
    return next(iter(servers), None) if isinstance(servers, dict) and len(servers) == 1 else None


def _address_of(transport: object) -> str | None:
    """Where one of fastmcp's transports leads, or an entry of a configuration."""
    url, command = getattr(transport, "url", None), getattr(transport, "command", None)
    if url is not None:
        return mcp_identity.address_of_url(str(url))
    return None if command is None else mcp_identity.address_of_command(command, getattr(transport, "args", ()))


def _hook_fastmcp_config(module: ModuleType) -> None:
    patch(module.MCPConfigTransport, "_create_proxy", _create_proxy)


def _hook_fastmcp_entries(module: ModuleType) -> None:
    patch(module, "mcp_server_type_to_servers_and_transports", _make_entry)


def _make_entry(original: object) -> Any:
    """fastmcp 2 makes the transports of a configuration at once and opens them when a call needs them."""

    def made(_: object, entry: tuple[str, Any, Any]) -> None:
        name, _server, transport = entry
        transport._tachograph_name = name

    signature = "*args, **keywords"
    return call_wrapper(original, begin=lambda: True, done=made, is_async=False, signature=signature, begins="")


def _create_proxy(original: object) -> Any:
    return call_wrapper(
        original,
        {_CONFIGURED_NAME: "watch"},
        begin=lambda name: name,
        is_async=True,
        signature="self, name, *args, **keywords",
        begins="name",
    )


# Transports

_TRANSPORTS: Final = (
    ("mcp.client.stdio", "stdio_client"),
    ("mcp.client.sse", "sse_client"),
    ("mcp.client.streamable_http", "streamable_http_client"),
    ("mcp.client.streamable_http", "streamablehttp_client"),
    ("mcp.client.websocket", "websocket_client"),
)


class _Cell:
    """The variable in which a function made by `asynccontextmanager` keeps its generator function.

    Modules that imported the function by name before we came keep it: what it calls is replaced, not its name.
    """

    def __init__(self, cell: Any) -> None:
        vars(self).update(_cell=cell, generator=cell.cell_contents)

    def __setattr__(self, name: str, value: object) -> None:
        vars(self)[name] = vars(self)["_cell"].cell_contents = value


def _hook_transport(name: str) -> Callable[[ModuleType], None]:
    def hook(module: ModuleType) -> None:
        function = vars(module).get(name)
        if function is None:
            return  # of another version of mcp
        found = None
        while function is not None and found is None:
            names = getattr(getattr(function, "__code__", None), "co_freevars", ())
            if names == ("func",):
                found = function.__closure__[0]
            function = getattr(function, "__wrapped__", None)
        if found is not None and patch(_Cell(found), "generator", _watch_transport):
            hooked("mcp", name)
        else:
            missing("mcp", name, "servers are known by the names that they give themselves only")

    return hook


_OPEN_TRANSPORT: Final = """
    class Opening:
        # Enters a transport where its tasks inherit who watches them; leaving it is its own affair.

        def __init__(self, manager, transport):
            self._manager = manager
            self._transport = transport

        async def __aenter__(self):
            transport = self._transport
            guard pass: begins(transport)
            watch, opening = set_watch(transport.exchange), set_opening(transport)
            try:
                streams = await self._manager.__aenter__()
            except BaseException as error:
                reset_opening(opening)
                reset_watch(watch)
                guard pass: failed(transport, error)
                raise
            reset_opening(opening)
            reset_watch(watch)
            guard pass: opened(transport, streams, self._manager)
            return streams

        async def __aexit__(self, *exc_info):
            return await self._manager.__aexit__(*exc_info)

    async def reading(manager, transport):
        async with Opening(manager, transport) as streams:
            yield streams

    def open_transport(*args, **keywords):
        transport = None
        guard pass: transport = transport_of(*args, **keywords)
        if transport is None:
            return original(*args, **keywords)
        return reading(make_manager(original)(*args, **keywords), transport)
"""


def _watch_transport(original: object) -> Any:
    return generate(
        _OPEN_TRANSPORT,
        "open_transport",
        original=original,
        make_manager=asynccontextmanager,
        transport_of=_transport_of,
        begins=_transport_begins,
        opened=_transport_opened,
        failed=_transport_failed,
        set_watch=WATCH.set,
        reset_watch=WATCH.reset,
        set_opening=_OPENING.set,
        reset_opening=_OPENING.reset,
    )


def _transport_of(target: Any = None, *args: Any, **kwargs: object) -> Transport | None:
    if not is_watched() or _OPENING.get() is not None:
        return None
    target = next((kwargs[name] for name in ("server", "url") if name in kwargs), target)
    if isinstance(target, str):
        return Transport(mcp_identity.address_of_url(target), target)
    return Transport(mcp_identity.address_of_command(target.command, target.args), None)


def _transport_begins(transport: Transport) -> None:
    attempt = current_attempt()
    if attempt is not None:
        attempt.transport = transport


def _transport_opened(transport: Transport, streams: Any, manager: Any) -> None:
    if transport.url is not None and transport.url.startswith("ws"):
        transport.socket = manager.gen.ag_frame.f_locals.get("ws")
    with suppress(TypeError, IndexError):
        _streams[getattr(streams[0], "_inner", streams[0])] = transport


def _transport_failed(transport: Transport, error: BaseException) -> None:
    if current_attempt() is None:
        alone = ConnectAttempt()
        alone.transport = transport
        alone.failed(error)
