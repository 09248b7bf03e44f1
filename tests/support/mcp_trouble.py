"""An MCP server of our tests: tools that work, fail, hang, crash and change. `python mcp_trouble.py stdio|http|sse`.

Over HTTP it prints its port as the first line of standard output.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import warnings
from typing import Annotated, Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, Resolve
from mcp_types import SamplingMessage, TextContent
from pydantic import BaseModel


class Guest(BaseModel):
    name: str


async def _ask() -> Elicit[Guest]:
    return Elicit("who?", Guest)


def make_server(name: str = "trouble") -> MCPServer:
    server = MCPServer(name, log_level="CRITICAL")
    _add_tools_that_fail(server)
    _add_tools_that_ask(server)

    @server.tool()
    def echo(text: str, times: int = 1) -> str:
        """Say it again."""
        return " ".join([text] * times)

    @server.tool()
    def add(left: int, right: int) -> int:
        """Add two numbers."""
        return left + right

    @server.tool()
    def process() -> int:
        """Which process this is."""
        return os.getpid()

    @server.tool()
    def leave_a_child() -> int:
        """Start a child that holds our pipes open."""
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):
                os.set_inheritable(descriptor, True)
        return subprocess.Popen(["sleep", "60"], close_fds=False).pid

    @server.tool()
    def trace(context: Context) -> str:
        """What came in `_meta`."""
        meta: Any = context.request_context.meta
        return json.dumps(dict(meta) if meta else {}, default=str)

    @server.tool()
    async def learn(tool: str, context: Context) -> str:
        """Offer one more tool, and say so."""

        def learned() -> str:
            return f"I am {tool}"

        server.add_tool(learned, name=tool)
        await context.notify_tools_changed()
        await context.session.send_tool_list_changed()
        return f"learned {tool}"

    return server


def _add_tools_that_fail(server: MCPServer) -> None:
    @server.tool()
    def refuse(why: str = "no stock") -> str:
        """Fail in words."""
        raise ToolError(f"refused: {why}")

    @server.tool()
    def blow_up() -> str:
        """Fail by a bug."""
        raise ZeroDivisionError("a secret of the server")

    @server.tool()
    async def hang() -> str:
        """Never answer."""
        await asyncio.Event().wait()
        return "never"

    @server.tool()
    def crash() -> str:
        """End the process."""
        os._exit(3)

    @server.tool()
    def die_saying(words: str) -> str:
        """End the process with a complaint."""
        sys.stderr.write(f"first\n{words}\n\n")
        sys.stderr.flush()
        os._exit(4)


def _add_tools_that_ask(server: MCPServer) -> None:
    @server.tool()
    async def greet(who: Annotated[Guest, Resolve(_ask)]) -> str:
        """Ask the user who it is."""
        return f"hello {who.name}"

    @server.tool()
    async def think(context: Context) -> str:
        """Ask the client's model."""
        message = SamplingMessage(role="user", content=TextContent(type="text", text="and?"))
        with warnings.catch_warnings(action="ignore"):
            answer: Any = await context.session.create_message(messages=[message], max_tokens=5)
        return f"it says {answer.content.text}"


async def serve(transport: str) -> None:
    server = make_server()
    if transport == "stdio":
        await server.run_stdio_async()
        return
    app = server.sse_app() if transport == "sse" else server.streamable_http_app()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 0))
        listener.listen(64)
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        await uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)).serve([listener])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
