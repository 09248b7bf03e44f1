"""An MCP server with tools that work, fail, hang and crash; over stdio when run as a script."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any


def make_server() -> Any:
    """The server."""
    from mcp.server.mcpserver import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    server = MCPServer("workshop", log_level="CRITICAL")

    @server.tool()
    def add(left: int, right: int) -> int:
        return left + right

    @server.tool()
    def refuse() -> str:
        raise ToolError("no stock")

    @server.tool()
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    @server.tool()
    def crash() -> str:
        os._exit(3)

    return server


if __name__ == "__main__":
    make_server().run("stdio")
