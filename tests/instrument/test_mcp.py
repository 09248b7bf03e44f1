"""MCP clients and servers, watched: in process, over streamable HTTP, and through the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.server import MCPServer
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context
from mcp_types import ListToolsResult
from opentelemetry import propagate
from opentelemetry.trace import SpanKind

from tachograph import instrument, labels, run, uninstrument
from tachograph.mcp import MCPClient, ToolExecutor, ToolRegistry
from tachograph.testing import Recording, recording
from tachograph_demo.tool_servers import ToolServers


@pytest.fixture(scope="module")
def process() -> Iterator[ToolServers]:
    with ToolServers(seed=7) as running:
        yield running


@pytest.fixture
def workshop(process: ToolServers) -> ToolServers:
    if process.pid is None:
        process.restart()
    for tool in ("*", "stock_level"):
        process.behave(tool)
    return process


@pytest.fixture
def weather() -> MCPServer:
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # a crash is logged with a slow, rich traceback
    server = MCPServer("weather")

    @server.tool()
    def forecast(city: str) -> str:
        return f"sun in {city}"

    @server.tool()
    def broken(city: str) -> str:
        raise ValueError("no weather today")

    return server


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tool_calls_are_recorded_by_client_and_server_apart(
    weather: MCPServer, seen: Recording, mode: Any
) -> None:
    async with Client(weather, mode=mode) as client:
        with labels(team="travel"):
            assert not (await client.call_tool("forecast", {"city": "Ulm"})).is_error
        assert (await client.call_tool("broken", {"city": "Ulm"})).is_error
        assert (await client.call_tool("forecast", {"town": "Ulm"})).is_error
        assert (await client.call_tool("nothing", {})).is_error
    for side in ("client", "server"):
        ended = [(call.tool_name, call.outcome, call.error_kind) for call in seen.tool_calls if call.side == side]
        assert ended == [
            ("forecast", "success", None),
            ("broken", "error", "execution"),
            ("forecast", "error", "validation"),
            ("nothing", "error", "validation"),
        ]
    assert {call.server_id for call in seen.tool_calls} == {"weather"}
    assert seen.tool_calls[0].labels == {"team": "travel"}
    assert seen.value("mcp_tool_execute_seconds_count") == 4
    assert seen.value("mcp_server_tool_execute_seconds_count") == 4
    assert all(call.content is None for call in seen.tool_calls)


async def test_names_that_a_model_made_up_are_one_label_value_and_crowd_no_tool_out(weather: MCPServer) -> None:
    with recording(metrics={"label_limit": 3}) as seen:
        instrument()
        try:
            async with Client(weather) as client:
                for number in range(10):
                    assert (await client.call_tool(f"invented_{number}", {})).is_error
                await client.call_tool("forecast", {"city": "Ulm"})
        finally:
            uninstrument()
    for family in ("mcp_tool", "mcp_server_tool"):
        assert seen.value(f"{family}_errors_total", tool_name="unknown", error_kind="validation") == 10
        assert seen.value(f"{family}_execute_seconds_count", tool_name="forecast", outcome="success") == 1
    assert seen.value("tachograph_label_overflow_total") == 0


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_server_that_refuses_by_a_json_rpc_error_is_recorded_by_its_code(seen: Recording, mode: Any) -> None:
    async def refuse(context: Any, params: Any) -> Any:
        raise MCPError(-32602, f"Unknown tool: {params.name}")

    async def tools(context: Any, params: Any) -> Any:
        return ListToolsResult(tools=[])

    async with Client(Server("strict", on_list_tools=tools, on_call_tool=refuse), mode=mode) as client:
        with pytest.raises(MCPError):
            await client.call_tool("invented", {})
    ended = [(call.side, call.outcome, call.error_kind) for call in seen.tool_calls]
    assert sorted(ended) == [("client", "error", "validation"), ("server", "error", "validation")]
    assert seen.value("mcp_tool_errors_total", tool_name="unknown", error_kind="validation") == 1


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_each_side_of_a_tool_call_has_one_span(weather: MCPServer, seen: Recording, mode: Any) -> None:
    async with Client(weather, mode=mode) as client:
        await client.call_tool("forecast", {"city": "Ulm"})
        await client.call_tool("broken", {"city": "Ulm"})
    spans = {span.context.span_id: span for span in seen.spans if "forecast" in str(span.attributes)}
    by_side = {call.side: call for call in seen.tool_calls if call.tool_name == "forecast"}
    assert set(spans) == {by_side["client"].span_id, by_side["server"].span_id}
    served = spans[by_side["server"].span_id]
    assert served.kind is SpanKind.SERVER
    assert served.parent is not None
    assert served.parent.span_id == by_side["client"].span_id
    assert len([span for span in seen.spans if "broken" in str(span.attributes)]) == 2


async def test_connections_and_other_requests_are_counted(weather: MCPServer, seen: Recording) -> None:
    async with Client(weather, mode="legacy") as client:
        assert seen.value("mcp_server_connections_active", server_id="weather") == 1
        await client.list_tools()
        await client.list_prompts()
    assert seen.value("mcp_server_connections_active", server_id="weather") == 0
    assert seen.value("mcp_server_connections_total", outcome="success") == 1
    assert seen.value("mcp_client_operation_seconds_count", method="tools/list") == 1
    assert seen.value("mcp_client_operation_seconds_count", method="prompts/list") == 1


async def test_calls_over_http_that_are_refused_or_late_are_told_apart(workshop: ToolServers, seen: Recording) -> None:
    async with Client(workshop.url) as client:
        tool, asked = "stock_level", {"article": "A-1"}
        await client.list_tools()
        workshop.behave(tool, refuse_status=503, times=1)
        with pytest.raises(MCPError):
            await client.call_tool(tool, asked)
        workshop.behave(tool, hang=True)
        with pytest.raises(MCPError):
            await client.call_tool(tool, asked, read_timeout_seconds=0.2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.call_tool(tool, asked)
    ended = [(call.outcome, call.error_kind) for call in seen.tool_calls]
    assert ended == [("error", "connection"), ("timeout", "timeout"), ("cancelled", None)]


async def test_a_server_that_dies_amid_a_call_is_a_connection_error(workshop: ToolServers, seen: Recording) -> None:
    with pytest.raises(BaseException) as caught:  # noqa: PT011, PT012 - whatever the SDK makes of it
        async with Client(workshop.url) as client:
            tool, asked = "stock_level", {"article": "A-1"}
            await client.list_tools()
            workshop.behave(tool, crash=True)
            await client.call_tool(tool, asked)
    assert caught.value is not None
    workshop.restart()
    assert [(call.outcome, call.error_kind) for call in seen.tool_calls] == [("error", "connection")]
    assert seen.value("mcp_server_connections_active") == 0


async def test_the_engines_own_calls_are_counted_once(workshop: ToolServers, seen: Recording) -> None:
    async with MCPClient({"mcpServers": {"shop": {"type": "http", "url": workshop.url}}}) as client:
        registry = ToolRegistry(client)
        executor = ToolExecutor(registry, timeout=60.0)
        await executor.execute("shop", "stock_level", {"article": "A-1"})
    assert [call.server_id for call in seen.tool_calls] == ["shop"]
    assert seen.value("mcp_tool_execute_seconds_count") == 1
    assert {key for key, value in seen.series("mcp_server_connections_total").items() if value} == {
        (("server_id", "shop"), ("outcome", "success"))
    }


async def test_a_server_gets_the_run_in_meta_without_the_user(seen: Recording) -> None:
    server, told = MCPServer("desk"), []

    @server.tool()
    def look(context: Context) -> str:
        told.append(dict(context.request_context.meta or {}))
        return "ok"

    async with Client(server, mode="legacy") as client:
        with run("refund-agent", execution_id="job-7", session="s-1", user="alice") as own:
            await client.call_tool("look", {})
    (meta,) = told
    assert own.id in meta["baggage"]
    assert "job-7" in meta["baggage"]
    assert "alice" not in str(meta)
    assert {call.run.id for call in seen.tool_calls if call.run is not None} == {own.id}


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_what_a_server_does_belongs_to_the_run_that_asked_from_another_process(
    seen: Recording, mode: Any
) -> None:
    server, carrier = MCPServer("desk"), dict[str, Any]()

    @server.tool()
    def look() -> str:
        seen.recorder.start_llm_call("openai", "gpt-5").finish("success")
        with run("helper"):
            seen.recorder.start_llm_call("openai", "gpt-5").finish("success")
        return "ok"

    with run("refund-agent", execution_id="job-7", session="s-1") as own:
        propagate.inject(carrier)
    async with Client(server, mode=mode) as client:
        await client.call_tool("look", {}, meta=carrier)
        await client.call_tool("look", {}, meta={"baggage": "%%%;==,"})  # anything may come
    executed = [call.run for call in seen.tool_calls if call.side == "server"]
    assert [each and (each.id, each.agent, each.execution_id, each.session_id) for each in executed] == [
        (own.id, "refund-agent", "job-7", "s-1"),
        None,
    ]
    inside, nested, alone, _ = (call.run for call in seen.llm_calls)
    assert inside == executed[0]
    assert nested is not None
    assert (nested.parent_id, nested.execution_id) == (own.id, "job-7")
    assert alone is None
