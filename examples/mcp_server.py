"""An MCP server watched from inside: `agent.py` starts it. By hand: tachograph run -- python examples/mcp_server.py

Its tool executions stand under families of their own, mcp_server_tool_execute_seconds and
mcp_server_tool_errors_total, apart from those of clients.
"""

from __future__ import annotations

import random

from mcp.server import MCPServer

import tachograph

tachograph.instrument()

server = MCPServer("weather")


@server.tool()
def forecast(city: str) -> str:
    """The weather that a city will have tomorrow."""
    return f"{city}: {random.choice(['sun', 'rain', 'fog'])}"


if __name__ == "__main__":
    server.run("stdio")
