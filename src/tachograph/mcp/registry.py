"""The tools of all servers, by name: an index that is loaded when first asked and kept current by notifications.

A server's part of the index is fresh from its loading until the server says that its tools changed, or reconnects;
then it is loaded again in the background, and a lookup waits for that. Some servers say so whenever they are asked for
their tools: they are listened to at growing intervals, and lookups are answered by what they last listed. A tool that
the index does not have is always asked for. Each lookup is measured: `hit` from the index, `miss` when a server had to
be asked.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any, Final, overload

from tachograph.mcp.client import MCPClient
from tachograph.mcp.connection import Event
from tachograph.mcp.errors import AmbiguousToolError, UnknownToolError, tool_error
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.mcp.validation import ArgumentCheck

logger = logging.getLogger("tachograph.mcp")

_PAUSE_FIRST_SECONDS: Final = 0.5
_PAUSE_LONGEST_SECONDS: Final = 60.0
"""How long a server's next word waits after a listing that its word caused; twice as long each time it comes soon."""


@dataclass(frozen=True, slots=True)
class ToolEntry:
    """One tool of one server, as the server describes it.

    Attributes:
        input_schema, output_schema: JSON Schema.
        annotations: The server's hints (`readOnlyHint`, ...); not to be trusted.
        check: Checks arguments against `input_schema`.
    """

    server_id: str
    name: str
    title: str | None
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None
    annotations: dict[str, Any]
    check: ArgumentCheck = field(repr=False, compare=False)


class _ServerTools:
    """One server's part of the index. Written on the connections' loop, read from anywhere."""

    __slots__ = ("changes", "is_fresh", "is_missed", "later", "listen_at", "loading", "pause", "tools")

    def __init__(self) -> None:
        self.tools: dict[str, ToolEntry] = {}
        self.is_fresh = False
        self.is_missed = False
        self.changes = 0
        self.loading: asyncio.Task[None] | None = None
        self.later: asyncio.Task[None] | None = None  # a listing that waits for the pause to end
        self.listen_at = 0.0
        self.pause = _PAUSE_FIRST_SECONDS


class ToolRegistry:
    """Finds tools by name on the servers of a client.

    Args:
        client: The connections.
    """

    def __init__(self, client: MCPClient) -> None:
        self.client = client
        self._recorder = client.recorder
        self._servers = {server_id: _ServerTools() for server_id in client.server_ids}
        self._remove_listener = client.add_listener(self._on_event)

    @overload
    async def find(self, tool: str, /) -> ToolEntry: ...
    @overload
    async def find(self, server: str, tool: str, /) -> ToolEntry: ...
    async def find(self, first: str, second: str | None = None, /) -> ToolEntry:
        """Find a tool: `find(tool)` among all servers, or `find(server, tool)`.

        Raises:
            UnknownToolError: No server, or not this one, has it; says what comes near, and who was not reachable.
            AmbiguousToolError: Several servers have it, and none was given.
            ToolConnectionError, ToolTimeoutError, ToolExecutionError: The server given could not be asked.
        """
        started_ns = perf_counter_ns()
        outcome = "hit"
        try:
            entry = self._in_index(first) if second is None else self._on_server(first, second)
            if entry is None:
                outcome = "miss"
                load = self._load_for(first) if second is None else self._load_from(first, second)
                entry = await self.client.call(load)
            return entry
        finally:
            self._recorder.metrics.part(MCPMetrics).registry_lookup(outcome, (perf_counter_ns() - started_ns) / 1e9)

    async def tools(self, server: str | None = None) -> list[ToolEntry]:
        """Every tool of a server, or of all servers that can be reached, loading what is not fresh.

        A server among all that cannot be reached is logged as a warning, once until it can.

        Raises:
            UnknownToolError: There is no such server.
            ToolError: The server given could not be asked.
        """
        if server is not None:
            self._part(server)
        await self.client.call(self._refresh([server] if server is not None else self._servers, server is not None))
        names = [server] if server is not None else list(self._servers)
        return [entry for name in names for entry in self._servers[name].tools.values()]

    def close(self) -> None:
        """Stop listening to the client."""
        self._remove_listener()

    # Looking up: from any thread, without waiting.

    def _part(self, server: str, tool: str = "") -> _ServerTools:
        try:
            return self._servers[server]
        except KeyError:
            known = ", ".join(map(repr, self._servers)) or "none"
            raise UnknownToolError(
                f"there is no MCP server {server!r}",
                server_id=server,
                tool_name=tool,
                do=f"Configured servers: {known}",
            ) from None

    def _on_server(self, server: str, tool: str) -> ToolEntry | None:
        part = self._part(server, tool)
        return part.tools.get(tool) if part.is_fresh else None

    def _in_index(self, tool: str) -> ToolEntry | None:
        """The one tool of this name, if the whole index is fresh."""
        found = None
        for part in self._servers.values():
            if not part.is_fresh:
                return None
            entry = part.tools.get(tool)
            if entry is not None:
                if found is not None:
                    return None
                found = entry
        return found

    # Loading: on the connections' loop.

    async def _load_from(self, server: str, tool: str) -> ToolEntry:
        part = self._servers[server]
        try:
            await self._reload(server)
        except Exception as error:
            raise tool_error(error, server, tool) from error
        entry = part.tools.get(tool)
        if entry is None:
            raise self._unknown(tool, server, part.tools, ())
        return entry

    async def _load_for(self, tool: str) -> ToolEntry:
        reachable = [name for name in self._servers if self.client.is_reachable(name)]
        stale = [name for name in reachable if not self._servers[name].is_fresh]
        missed = await self._refresh(stale, False)
        if not self._holders(tool):
            missed += await self._refresh([name for name in reachable if name not in stale], False, force=True)
        holders = self._holders(tool)
        if len(holders) == 1:
            return holders[0]
        if holders:
            names = " and ".join(repr(entry.server_id) for entry in holders)
            raise AmbiguousToolError(
                f"the tool {tool!r} is on several MCP servers: {names}",
                tool_name=tool,
                do=f"Say which: find({holders[0].server_id!r}, {tool!r})",
            )
        missed += [name for name in self._servers if name not in reachable]
        every = [name for part in self._servers.values() for name in part.tools]
        raise self._unknown(tool, None, every, missed)

    def _holders(self, tool: str) -> list[ToolEntry]:
        return [part.tools[tool] for part in self._servers.values() if tool in part.tools]

    def _unknown(self, tool: str, server: str | None, names: Iterable[str], missed: Iterable[str]) -> UnknownToolError:
        near = difflib.get_close_matches(tool, list(names), n=3)
        where = "no MCP server has" if server is None else f"the MCP server {server!r} has no tool"
        what = f"{where} a tool {tool!r}" if server is None else f"{where} {tool!r}"
        unreachable = ", ".join(map(repr, missed))
        if unreachable:
            what += f" (not reachable: {unreachable})"
        do = "Did you mean " + " or ".join(map(repr, near)) + "?" if near else None
        return UnknownToolError(what, server_id=server or "", tool_name=tool, do=do)

    async def _refresh(self, names: Iterable[str], must: bool, *, force: bool = False) -> list[str]:
        """Load several servers at once; returns those that could not be asked, or raises if `must`."""
        wanted = [name for name in names if force or not self._servers[name].is_fresh]
        results = await asyncio.gather(*map(self._reload, wanted), return_exceptions=True)
        missed = []
        for name, result in zip(wanted, results, strict=True):
            if isinstance(result, BaseException):
                if must or not isinstance(result, Exception):
                    raise tool_error(result, name, "") from result
                missed.append(name)
                self._tell_missed(name, result)
        return missed

    def _tell_missed(self, server: str, error: Exception) -> None:
        part = self._servers[server]
        if not part.is_missed:
            part.is_missed = True
            logger.warning("The tools of an MCP server are left out: %s", tool_error(error, server, ""))

    async def _reload(self, server: str) -> None:
        """Ask a server for its tools; who asks while it is being asked waits for the same answer."""
        part = self._servers[server]
        if part.loading is None or part.loading.done():
            part.loading = asyncio.create_task(self._load(server, part))
            part.loading.add_done_callback(_forget)
        await asyncio.shield(part.loading)

    async def _load(self, server: str, part: _ServerTools) -> None:
        changes = part.changes
        tools = await self.client.list_tools(server)
        if changes != part.changes and part.pause == _PAUSE_FIRST_SECONDS:  # they changed while they were listed
            changes = part.changes
            tools = await self.client.list_tools(server)
        part.tools = {
            tool.name: ToolEntry(
                server,
                tool.name,
                tool.title,
                tool.description or "",
                tool.input_schema,
                tool.output_schema,
                tool.annotations.model_dump(by_alias=True, exclude_none=True) if tool.annotations else {},
                ArgumentCheck(tool.input_schema),
            )
            for tool in tools
        }
        part.is_fresh, part.is_missed = True, False
        if self._recorder.tool_owners is not None:
            self._recorder.tool_owners.listed(part.tools, server)
        if changes != part.changes:
            self._load_later(server, part)

    def _on_event(self, server: str, event: Event) -> None:
        part = self._servers.get(server)
        if part is None or event == "down":
            return
        part.changes += 1
        is_known = bool(part.is_fresh or part.tools)
        if event == "up" or asyncio.get_running_loop().time() >= part.listen_at:
            part.is_fresh = False
            if is_known and (part.loading is None or part.loading.done()):
                asyncio.ensure_future(self._reload_quietly(server, part))  # noqa: RUF006 - `part.loading` has its work
        elif is_known:
            self._load_later(server, part)

    def _load_later(self, server: str, part: _ServerTools) -> None:
        """List a server's tools again when its pause has ended, which is longer each time."""
        if part.later is not None and not part.later.done():
            return
        now = asyncio.get_running_loop().time()
        if part.listen_at <= now:
            part.listen_at = now + part.pause

        async def wait() -> None:
            await asyncio.sleep(part.listen_at - asyncio.get_running_loop().time())
            part.later = None
            await self._reload_quietly(server, part)

        part.later = asyncio.create_task(wait())
        part.later.add_done_callback(_forget)

    async def _reload_quietly(self, server: str, part: _ServerTools) -> None:
        loop = asyncio.get_running_loop()
        is_soon = part.listen_at > 0 and loop.time() < part.listen_at + 2 * part.pause
        part.pause = min(part.pause * 2, _PAUSE_LONGEST_SECONDS) if is_soon else _PAUSE_FIRST_SECONDS
        try:
            await self._reload(server)
        except Exception as error:  # noqa: BLE001 - the next lookup asks again, and raises it to its caller
            logger.info("MCP server %r: its changed tools could not be loaded: %s", server, error)
        part.listen_at = loop.time() + part.pause


def _forget(loading: asyncio.Task[None]) -> None:
    """Look at how a loading ended: everybody who waited for it may have given up."""
    if not loading.cancelled():
        loading.exception()
