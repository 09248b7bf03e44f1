"""A fastmcp server without a name, over stdio or HTTP: `python fastmcp_server.py stdio|http [port]`."""

import os
import sys

import fastmcp

server = fastmcp.FastMCP()


@server.tool
def echo(text: str) -> str:
    return text


@server.tool
def crash() -> str:
    os._exit(3)


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run(show_banner=False)
    else:
        server.run("http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False)
