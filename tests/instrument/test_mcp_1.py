"""MCP clients and servers of mcp 1.x, watched; runs where that version is installed (`make versions`)."""

from __future__ import annotations

import logging

from mcp.server.fastmcp import FastMCP
from mcp.shared.memory import create_connected_server_and_client_session as connected

from tachograph.testing import Recording


async def test_tool_calls_connections_and_listings_are_recorded(seen: Recording) -> None:
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    server = FastMCP("weather")

    @server.tool()
    def forecast(city: str) -> str:
        return f"sun in {city}"

    @server.tool()
    def broken(city: str) -> str:
        raise ValueError("no weather today")

    async with connected(server._mcp_server) as session:
        assert seen.value("mcp_server_connections_active", server_id="weather") == 1
        await session.list_tools()
        await session.call_tool("forecast", {"city": "Ulm"})
        assert (await session.call_tool("broken", {"city": "Ulm"})).isError
        assert (await session.call_tool("forecast", {"town": "Ulm"})).isError
    assert seen.value("mcp_server_connections_active", server_id="weather") == 0
    for side in ("client", "server"):
        ended = [(call.tool_name, call.outcome, call.error_kind) for call in seen.tool_calls if call.side == side]
        assert ended == [
            ("forecast", "success", None),
            ("broken", "error", "execution"),
            ("forecast", "error", "validation"),
        ]
    assert {call.server_id for call in seen.tool_calls} == {"weather"}
    assert seen.value("mcp_client_operation_seconds_count", method="tools/list") >= 1
