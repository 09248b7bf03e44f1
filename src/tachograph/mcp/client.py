"""The MCP client: every configured server, connected for as long as the client is open.

    async with MCPClient("mcp.json") as client:      # or `with MCPClient(...)`, from code without a loop
        registry = ToolRegistry(client)
        ...

All methods may be called from any thread and any event loop. Code without a loop runs any coroutine of this package by
`client.run(...)`: there is one implementation, and it is the asynchronous one.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeVar

from tachograph.errors import MissingExtraError
from tachograph.mcp.config import HTTPServer, ServerConfig, StdioServer, load_config
from tachograph.mcp.errors import ConfigError, ServerUnavailableError, classify, outcome_of_kind
from tachograph.mcp.loop import LoopThread
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.recorder import Recorder
from tachograph.records import ENGINE_MCP
from tachograph.runtime import get_recorder
from tachograph.signals.native import silence_span_function

try:
    from mcp.shared import jsonrpc_dispatcher

    from tachograph.mcp.connection import Connection, ConnectionOptions, Event, ServerStatus
except ImportError as error:
    if (error.name or "").split(".")[0] not in ("mcp", "mcp_types", "anyio", "httpx2"):
        raise
    raise MissingExtraError("the MCP client", "mcp", error.name or "mcp") from error

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import Tool

    from tachograph.mcp.transports import Exchange

logger = logging.getLogger("tachograph.mcp")

T = TypeVar("T")
Listener = Callable[[str, "Event"], None]

_PAGES_AT_MOST = 1000


def _is_not_ours(record: logging.LogRecord) -> bool:
    return not ENGINE_MCP.get() or logger.isEnabledFor(logging.DEBUG)


for _name in ("sse", "stdio", "streamable_http"):
    # The SDK logs a traceback for every server that goes away; our connections log it themselves, in one line.
    logging.getLogger(f"mcp.client.{_name}").addFilter(_is_not_ours)


class MCPClient:
    """Connections to MCP servers.

    Args:
        servers: An `mcpServers` mapping, the path of a JSON file with one, or servers made by hand.
        recorder: Where calls are recorded; by default the process's.
        options: Timeouts, backoff and the like.

    Raises:
        ConfigError: The configuration says something that cannot be, or names a server twice.
    """

    def __init__(
        self,
        servers: str | Path | Mapping[str, Any] | Iterable[ServerConfig],
        *,
        recorder: Recorder | None = None,
        options: ConnectionOptions | None = None,
    ) -> None:
        configs = (
            load_config(servers)  # pyright: ignore[reportArgumentType]
            if isinstance(servers, (str, Path, Mapping))
            else tuple(_checked(server) for server in servers)
        )
        self._configs = {config.id: config for config in configs}
        if len(self._configs) < len(configs):
            raise ConfigError("two servers have the same id")
        self.recorder = recorder or get_recorder()
        self._options = options or ConnectionOptions()
        self._loop = LoopThread("tachograph-mcp")
        self._connections: dict[str, Connection] = {}
        self._listeners: tuple[Listener, ...] = ()
        silence_span_function(jsonrpc_dispatcher, "otel_span")

    @property
    def server_ids(self) -> tuple[str, ...]:
        """The servers' names, in the order of the configuration."""
        return tuple(self._configs)

    def config(self, server_id: str) -> ServerConfig:
        """How a server is configured.

        Raises:
            ServerUnavailableError: There is no server of this name.
        """
        try:
            return self._configs[server_id]
        except KeyError:
            known = ", ".join(map(repr, self._configs)) or "none"
            raise ServerUnavailableError(
                server_id, "there is no such server", do=f"Configured servers: {known}"
            ) from None

    # Opening and closing.

    async def open(self) -> None:
        """Start connecting to every server, and return when each has been tried once.

        A server that cannot be reached is not an error here: it is tried again, and `status()` says why.
        """
        self._start()
        await self._loop.call(self._connect_all())

    async def close(self) -> None:
        """Close every connection and end the thread. Idempotent."""
        if self._loop.is_running:
            await self._loop.call(self._disconnect_all())
            await asyncio.to_thread(self._stop)

    async def __aenter__(self) -> MCPClient:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def __enter__(self) -> MCPClient:
        self._start()
        self._loop.run(self._connect_all())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._close_at_exit()

    def _start(self) -> None:
        if self._loop.is_running:
            raise ConfigError("the MCP client is open already", do="Open it once and share it: it may be used anywhere")
        self._loop.start()
        atexit.register(self._close_at_exit)

    def _stop(self) -> None:
        self._loop.stop()
        atexit.unregister(self._close_at_exit)

    def _close_at_exit(self) -> None:
        if self._loop.is_running:
            self._loop.run(self._disconnect_all())
            self._stop()

    async def _connect_all(self) -> None:
        self._connections = {
            config.id: Connection(config, self._options, self.recorder, self._tell) for config in self._configs.values()
        }
        await asyncio.gather(*(connection.attempt_ended() for connection in self._connections.values()))

    async def _disconnect_all(self) -> None:
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    # Using.

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Wait for a coroutine of this package from code without an event loop: `client.run(executor.execute(...))`."""
        return self._loop.run(work, timeout)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine on the connections' own loop, from any loop."""
        return await self._loop.call(work)

    async def status(self) -> dict[str, ServerStatus]:
        """How each connection stands."""

        async def collect() -> dict[str, ServerStatus]:
            return {server_id: connection.status for server_id, connection in self._connections.items()}

        return await self._loop.call(collect())

    async def request(
        self,
        server_id: str,
        operation: Callable[[Client], Awaitable[T]],
        timeout: float | None = None,
        exchange: Exchange | None = None,
    ) -> T:
        """Run one request of the SDK's client on a server's connection, waiting for the connection if need be.

        Args:
            operation: Gets the SDK's `mcp.Client`; runs on the connections' loop.
            timeout: Seconds for all of it; by default the options' `read_timeout`.

        Raises:
            TimeoutError: No answer in time.
            ServerUnavailableError: Not connected, and not about to be.
            Exception: What the SDK raises.
        """
        self.config(server_id)
        seconds = self._options.read_timeout if timeout is None else timeout

        async def there() -> T:
            return await self._connections[server_id].request(operation, seconds, exchange)

        return await self._loop.call(there())

    async def list_tools(self, server_id: str) -> tuple[Tool, ...]:
        """All tools of a server, every page of them, from the wire. Measured as operation `tools/list`."""

        async def pages(client: Client) -> tuple[Tool, ...]:
            tools: list[Tool] = []
            cursors: list[str | None] = [None]
            while len(cursors) <= _PAGES_AT_MOST:
                page = await client.list_tools(cursor=cursors[-1])
                tools.extend(page.tools)
                if page.next_cursor is None:
                    return tuple(tools)
                if page.next_cursor in cursors:
                    logger.warning(
                        "MCP server %r: a page of tools leads to one already read; taken as the last", server_id
                    )
                    return tuple(tools)
                cursors.append(page.next_cursor)
            logger.warning(
                "MCP server %r: more than %d pages of tools; the rest is left out", server_id, _PAGES_AT_MOST
            )
            return tuple(tools)

        started_ns = perf_counter_ns()
        outcome = "success"
        try:
            return await self.request(server_id, pages)
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        except Exception as error:
            outcome = outcome_of_kind(classify(error))
            raise
        finally:
            self.recorder.metrics.part(MCPMetrics).operation(
                server_id, "tools/list", outcome, (perf_counter_ns() - started_ns) / 1e9
            )

    def is_reachable(self, server_id: str) -> bool:
        """Whether a server is up or about to be. May be called on the connections' loop only."""
        connection = self._connections.get(server_id)
        return connection is not None and connection.is_reachable

    def facts(self, server_id: str) -> dict[str, str | int]:
        """What a call's span says of its server, under OpenTelemetry's names; empty for a server not connected to."""
        connection = self._connections.get(server_id)
        return dict(connection.facts) if connection is not None else {}

    def is_up(self, server_id: str) -> bool:
        """Whether a server is connected now."""
        connection = self._connections.get(server_id)
        return connection is not None and connection.is_up

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call a function when a server connects, disconnects or changes its tools, on the connections' loop: be quick.

        Returns what removes the listener.
        """
        self._listeners = (*self._listeners, listener)

        def remove() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return remove

    def _tell(self, server_id: str, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(server_id, event)
            except Exception as error:  # noqa: BLE001 - a listener must not break the connection
                self.recorder.failed("listener", error)


def _checked(server: object) -> ServerConfig:
    if not isinstance(server, (StdioServer, HTTPServer)):
        raise ConfigError(f"a server must be a StdioServer or an HTTPServer, not {server!r}")
    return server
