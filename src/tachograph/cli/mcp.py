"""`tachograph mcp`: what the console shows, as an MCP server for on-call agents."""

from __future__ import annotations

import argparse

from tachograph.console import reader
from tachograph.option_values import port


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    reader.add_arguments(parser)
    parser.add_argument(
        "--http", type=port, metavar="PORT", help="serve streamable HTTP on 127.0.0.1 at /mcp (default: stdio)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until the client closes stdin, or Ctrl-C."""
    import os
    import sys

    from tachograph.console.mcp_server import build, serve_http
    from tachograph.errors import TachographError

    token = args.token or os.environ.get("TACHOGRAPH_CONSOLE_TOKEN", "")
    if args.http is not None and len(token) < 16:
        raise TachographError(
            "a server that other programs can reach needs a token",
            where=f"--http {args.http}",
            do="Give the console's with --token, or set TACHOGRAPH_CONSOLE_TOKEN (16 characters or more).",
        )
    found = reader.open_reader(args.console, args.token)
    try:
        if args.http is None:
            build(found).run("stdio")
        else:
            served = serve_http(found, "127.0.0.1", args.http, token)
            print(f"Tachograph MCP: {served.url}mcp", file=sys.stderr, flush=True)
            try:
                served.wait()
            except KeyboardInterrupt:
                print("", file=sys.stderr)
            finally:
                served.close()
    finally:
        found.close()
    return 0
