"""The engine and `instrument()` in one process: nothing is counted twice."""

from __future__ import annotations

import os
import signal

import pytest

from support.mcp_servers import eventually, stdio_trouble
from tachograph.instrument import instrument, uninstrument
from tachograph.mcp import ToolExecutionError


@pytest.fixture
def watched(seen):
    instrument()
    yield seen
    uninstrument()


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_our_own_calls_and_connections_count_once(on, gate, watched, transport):
    entry = stdio_trouble() if transport == "stdio" else gate.entry
    async with on({"ours": entry}) as bench:
        await bench.execute("ours", "echo", {"text": "x"})
        with pytest.raises(ToolExecutionError):
            await bench.execute("ours", "refuse")
        client_side = {key: value for key, value in watched.series("mcp_server_connections_active").items() if value}
        assert client_side == {(("server_id", "ours"),): 1}
        assert watched.value("mcp_tool_execute_seconds_count") == 2
        assert watched.value("mcp_tool_errors_total") == 1
        assert watched.value("mcp_client_operation_seconds_count", server_id="ours", method="tools/list") == 1
        names = [span.name for span in watched.spans]
        assert names.count("mcp.tool.execute") == 2  # the client's; a server in this process has the SDK's own spans
        assert names.count("tools/call echo") == (0 if transport == "stdio" else 1)
    assert watched.value("mcp_server_connections_active") == 0


async def test_a_killed_server_is_noticed_once(on, watched):
    async with on({"ours": stdio_trouble()}, backoff_first=30.0) as bench:
        os.kill(await bench.pid("ours"), signal.SIGKILL)
        eventually(lambda: watched.value("mcp_server_connections_active") == 0, 2.0)
    assert set(watched.series("mcp_server_connections_active").values()) == {0}


async def test_somebody_elses_client_is_still_watched(gate, watched):
    from mcp import Client

    async with Client(gate.entry["url"]) as client:
        await client.list_tools()
        assert (await client.call_tool("echo", {"text": "x"})).content[0].text == "x"
        assert watched.value("mcp_server_connections_active") == 1
    assert watched.value("mcp_tool_execute_seconds_count") == 1
