"""An MCP server with tools that work, fail, hang and crash; over stdio when run as a script."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any


def tools() -> tuple[Callable[..., Any], ...]:
    """What the server can do. Coroutines where they can be: for others anyio looks through all tasks of the loop."""

    async def add(left: int, right: int) -> int:
        return left + right

    async def refuse() -> str:
        from mcp.server.mcpserver.exceptions import ToolError

        raise ToolError("no stock")

    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    def crash() -> str:
        os._exit(3)

    return add, refuse, hang, crash


def make_server() -> Any:
    """The server."""
    from mcp.server.mcpserver import MCPServer

    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    server = MCPServer("workshop", log_level="CRITICAL")
    for tool in tools():
        server.tool()(tool)
    return server


if __name__ == "__main__":
    make_server().run("stdio")
