"""An MCP server with tools that work, fail, hang and crash; over stdio or HTTP when run as a script."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


def make_asking_server() -> Any:
    """A server whose one tool asks the user for a name."""
    from typing import Annotated

    from mcp.server.mcpserver.resolve import Elicit, Resolve
    from pydantic import create_model

    name = create_model("Name", name=(str, ...))

    async def ask() -> Any:
        return Elicit("Who is there?", name)

    async def greet(who: Any) -> str:
        return f"hello {who.name}"

    greet.__annotations__["who"] = Annotated[name, Resolve(ask)]
    ask.__annotations__["return"] = Elicit[name]
    server = make_server()
    server.tool()(greet)
    return server


@contextmanager
def over_http() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The server in a process of its own, at an address: the address and the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, __file__, str(port)], **quiet)  # type: ignore[call-overload]
    try:
        while server.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp", server
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        make_server().run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        make_server().run("stdio")
