"""Proxies inside one process: fastmcp's proxy servers, and its router for a configuration of several servers.

The application asks a client; in memory, the proxy passes the call on to a client of its own. That is one call: its
record is the application's, with the server and the tool that it reached in the end.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Final, Protocol

from tachograph.records import ToolCall
from tachograph.records.outcomes import ErrorKind, ToolOutcome


class WatchedTool(Protocol):
    """A tool call of the application, as a proxy below it needs it.

    Attributes:
        call: Its record.
        failure: How the proxy's own request failed, which holds more than the text that the proxy makes of it.
        above: What it is a part of, where it is a proxy's request itself.
    """

    call: ToolCall
    failure: tuple[ToolOutcome, ErrorKind] | None
    above: Proxied | None


class Proxied:
    """A tool call that a proxy passes on.

    Attributes:
        asked: What the application asked for.
        tool_name: What the tool is called behind the proxy.
    """

    def __init__(self, asked: WatchedTool, tool_name: str) -> None:
        self.asked = asked
        self.tool_name = tool_name

    def reached(self, server_id: str, facts: dict[str, Any] | None = None) -> None:
        """The proxy asks this server."""
        call = self.asked.call
        if call.is_finished:  # the application has given up
            return
        call.server_id, call.tool_name = server_id, self.tool_name
        if facts is not None:
            call.attributes = facts

    def failed(self, outcome: ToolOutcome, kind: ErrorKind | None) -> None:
        """The proxy's own request, or its connecting, came to this."""
        if kind is not None:
            self.asked.failure = outcome, kind


class Listing:
    """Tool calls for which a proxy lists the tools of its server.

    Attributes:
        server_id: That server, where asking it failed.
    """

    def __init__(self, calls: list[ToolCall]) -> None:
        self.calls = calls
        self.server_id = ""

    def failed(self, error: BaseException) -> None:
        """The proxy takes the tools of a server that it cannot list for tools that are not there."""
        for call in self.calls:
            call.unlisted = self.server_id


PROXIED: Final[ContextVar[Proxied | None]] = ContextVar("tachograph_mcp_proxied", default=None)
"""What a proxy passes on here; None inside of a tool, whose own calls are calls."""

LISTING: Final[ContextVar[Listing | None]] = ContextVar("tachograph_mcp_listing", default=None)
"""What a proxy lists tools for here."""

EXECUTING: Final[ContextVar[ToolCall | None]] = ContextVar("tachograph_mcp_executing", default=None)
"""The execution of a tool that a server handles here. A proxy may have to list its server's tools for it."""
