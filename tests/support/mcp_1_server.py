"""An MCP server on mcp 1.x for tests: `python mcp_1_server.py stdio|http|sse [port]`; over HTTP it prints its port."""

import asyncio
import os
import socket
import sys

import uvicorn
from mcp.server.fastmcp import FastMCP


def make_server() -> FastMCP:
    server = FastMCP("trouble", log_level="CRITICAL")

    @server.tool()
    def echo(text: str) -> str:
        return text

    @server.tool()
    def refuse() -> str:
        raise ValueError("no stock")

    @server.tool()
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    @server.tool()
    def crash() -> str:
        os._exit(3)

    return server


async def serve(transport: str, port: int) -> None:
    server = make_server()
    if transport == "stdio":
        await server.run_stdio_async()
        return
    app = server.sse_app() if transport == "sse" else server.streamable_http_app()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        await uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)).serve([listener])


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
