"""FastMCP's own spans, of its client and its server; tools only, and mcp's own spans beneath."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"  # whose spans have a line of their own
    emitted.make_global()


def tool_client(server: Any) -> Any:
    """FastMCP's client of a server in this process, or of the command that starts one."""
    from fastmcp import Client
    from fastmcp.client.transports import StdioTransport

    if isinstance(server, Sequence):
        command, *arguments = server
        return Client(StdioTransport(command, list(arguments), keep_alive=False))
    return Client(server)


def tool_server(tools: Sequence[Any]) -> Any:
    """FastMCP's server with these functions."""
    from fastmcp import FastMCP

    server = FastMCP("workshop")
    for tool in tools:
        server.tool(tool)
    return server
