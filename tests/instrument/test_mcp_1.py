"""MCP clients and servers of mcp 1.x, watched; runs where that version is installed (`make versions`)."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, McpError, StdioServerParameters, types  # type: ignore[attr-defined,unused-ignore]
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client  # type: ignore[attr-defined,unused-ignore]
from mcp.server.fastmcp import FastMCP
from mcp.server.lowlevel import Server
from mcp.shared.memory import create_connected_server_and_client_session as connected

from support.injection import inject_at_entries, watched_quietly
from support.mcp_servers import Gate, TroubleProcess, eventually, serving
from tachograph.testing import Recording

PROGRAM = Path(__file__).parents[1] / "support" / "mcp_1_server.py"
OPENERS: dict[str, Any] = {"http": streamablehttp_client, "sse": sse_client}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("mcp").setLevel(logging.CRITICAL)


@pytest.fixture(params=["http", "sse"])
def server(request: pytest.FixtureRequest) -> Iterator[TroubleProcess]:
    process = TroubleProcess(request.param, PROGRAM)
    try:
        yield process
    finally:
        process.kill()


def endings(seen: Recording) -> list[tuple[str, str | None, str | None]]:
    return [(call.tool_name, call.outcome, call.error_kind) for call in seen.tool_calls]


async def test_tool_calls_connections_and_listings_are_recorded(seen: Recording) -> None:
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


async def test_a_stdio_server_that_hangs_is_a_timeout_and_one_that_dies_a_lost_connection(seen: Recording) -> None:
    parameters = StdioServerParameters(command=sys.executable, args=[str(PROGRAM), "stdio"])
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        assert not (await session.call_tool("echo", {"text": "hi"})).isError
        assert (await session.call_tool("refuse", {})).isError
        assert (await session.call_tool("nothing", {})).isError
        with pytest.raises(Exception, match="Timed out"):
            await session.call_tool("hang", {}, read_timeout_seconds=timedelta(seconds=0.3))
        with pytest.raises(Exception, match="Connection closed"):
            await session.call_tool("crash", {})
        assert seen.value("mcp_server_connections_active") == 0
        with pytest.raises(BaseException):  # noqa: B017, PT011 - a closed stream, without a word
            await session.call_tool("echo", {"text": "hi"})
    assert endings(seen) == [
        ("echo", "success", None),
        ("refuse", "error", "execution"),
        ("nothing", "error", "validation"),
        ("hang", "timeout", "timeout"),
        ("crash", "error", "connection"),
        ("echo", "error", "connection"),
    ]
    assert {call.server_id for call in seen.tool_calls} == {f"{Path(sys.executable).name} {PROGRAM} stdio"}


async def test_an_http_server_that_is_killed_cancels_nothing(server: TroubleProcess, seen: Recording) -> None:
    """mcp 1 cancels the task that waits when its HTTP request breaks: still no call was given up by anybody."""
    url = server.entry["url"]

    async def use() -> None:
        async with OPENERS[server.transport](url) as streams, ClientSession(streams[0], streams[1]) as session:
            await session.initialize()
            await session.call_tool("echo", {"text": "hi"})
            server.kill()
            for _ in range(2):
                with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever the SDK makes of it
                    await session.call_tool("echo", {"text": "hi"})
            eventually(lambda: seen.value("mcp_server_connections_active") == 0, 10)

    await asyncio.wait({task := asyncio.create_task(use())}, timeout=30)
    task.cancelled() or task.exception()
    assert endings(seen) == [("echo", "success", None), *[("echo", "error", "connection")] * 2]
    assert {call.server_id for call in seen.tool_calls} == {url.removeprefix("http://")}


@pytest.mark.needs("websockets")
async def test_a_websocket_that_breaks_is_a_lost_connection_and_one_that_is_left_is_not(seen: Recording) -> None:
    from mcp.client.websocket import websocket_client  # type: ignore[import-not-found,unused-ignore]
    from mcp.server.websocket import websocket_server  # type: ignore[import-not-found,unused-ignore]

    server: Server[Any] = Server("weather")
    asked: list[str] = []

    @server.call_tool(validate_input=False)  # type: ignore[attr-defined,untyped-decorator,unused-ignore]
    async def hang(name: str, arguments: object) -> list[Any]:
        asked.append(name)
        await asyncio.Event().wait()
        return []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        async with websocket_server(scope, receive, send) as streams:
            running = asyncio.create_task(server.run(*streams, server.create_initialization_options()))
            while "break" not in asked:
                await asyncio.sleep(0.01)
            running.cancel()
            raise ConnectionError

    with serving(app) as address:
        url = f"{address.replace('http', 'ws')}/mcp"

        async def use() -> None:
            async with websocket_client(url) as streams, ClientSession(*streams) as session:
                await session.initialize()
                leaving = asyncio.create_task(session.call_tool("leave"))
                while not asked:
                    await asyncio.sleep(0.01)
                leaving.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await leaving
                await session.call_tool("break")

        await asyncio.wait({task := asyncio.create_task(use())}, timeout=30)
        task.cancelled() or task.exception()
    ended = [(call.tool_name, call.outcome, call.error_kind) for call in seen.tool_calls if call.side == "client"]
    assert ended == [("leave", "cancelled", None), ("break", "error", "connection")]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, b"no", "execution"),
        (400, b'{"error": {"code": -32000, "message": "Bad Request: No valid session ID provided"}}', "connection"),
    ],
)
async def test_a_refused_call_ends_its_session_and_no_later_call_is_cancelled(
    seen: Recording, status: int, body: bytes, kind: str
) -> None:
    """mcp 1 cancels the task that waits, then and ever after."""
    gate = Gate(FastMCP("weather").streamable_http_app())
    gate.body, gate.headers_sent = body, [(b"content-length", str(len(body)).encode())]
    with serving(gate) as address:

        async def use() -> None:
            async with streamablehttp_client(f"{address}/mcp") as streams, ClientSession(*streams[:2]) as session:
                await session.initialize()
                gate.status = status
                for _ in range(2):
                    with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever the SDK makes of it
                        await session.call_tool("echo", {"text": "hi"})

        await asyncio.wait({task := asyncio.create_task(use())}, timeout=30)
        task.cancelled() or task.exception()
    assert endings(seen) == [("echo", "error", kind), ("echo", "error", "connection")]


async def test_every_failed_connect_is_counted_with_its_server(seen: Recording) -> None:
    with pytest.raises(FileNotFoundError):
        async with stdio_client(StdioServerParameters(command="no-such-program-here")):
            pass

    async def use() -> None:
        async with (
            streamablehttp_client("http://127.0.0.1:9/mcp") as streams,
            ClientSession(streams[0], streams[1]) as session,
        ):
            await session.initialize()

    await asyncio.wait({task := asyncio.create_task(use())}, timeout=30)
    assert task.cancelled() or task.exception()
    assert {key: value for key, value in seen.series("mcp_server_connections_total").items() if value} == {
        (("server_id", "no-such-program-here"), ("outcome", "error")): 1,
        (("server_id", "127.0.0.1:9/mcp"), ("outcome", "error")): 1,
    }


def job_server() -> Any:
    """A server whose tool runs as a background task, and ends as its arguments say."""
    server: Any = Server("jobs")
    server.experimental.enable_tasks()

    @server.list_tools()
    async def list_tools() -> list[Any]:
        execution = types.ToolExecution(taskSupport="optional")
        return [types.Tool(name="work", inputSchema={"type": "object"}, execution=execution)]

    @server.call_tool()
    async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
        async def work(task: Any) -> Any:
            if arguments.get("raises"):
                raise ValueError("no stock")
            return types.CallToolResult(content=[types.TextContent(type="text", text="done")])

        return await server.request_context.experimental.run_task(work)

    return server


@pytest.mark.parametrize("asks_for", ["its status until it ends", "its result"])
@pytest.mark.parametrize("raises", [False, True])
async def test_an_experimental_task_is_one_call_until_its_end(seen: Recording, raises: bool, asks_for: str) -> None:
    async with connected(job_server()) as session:
        begun = await session.experimental.call_tool_as_task("work", {"raises": raises})
        task_id = begun.task.taskId
        assert [call for call in seen.tool_calls if call.side == "client"] == []
        if asks_for == "its result":
            with suppress(McpError, ValueError):  # mcp 1.30 sends no result of a task that failed
                await session.experimental.get_task_result(task_id, types.CallToolResult)
        else:
            async for _ in session.experimental.poll_task(task_id):
                pass
        (call,) = [call for call in seen.tool_calls if call.side == "client"]
        assert (call.server_id, call.tool_name, call.argument_count) == ("jobs", "work", 1)
        assert (call.outcome, call.error_kind) == (("error", "execution") if raises else ("success", None))
    assert len([call for call in seen.tool_calls if call.side == "client"]) == 1
    assert seen.value("tachograph_telemetry_errors_total") == 0


async def test_an_experimental_task_that_the_server_refuses_is_a_failed_call(seen: Recording) -> None:
    async with connected(FastMCP("weather")._mcp_server) as session:
        with suppress(McpError, ValueError):  # it answers with a result that is no task
            await session.experimental.call_tool_as_task("work", {})
    (call,) = [call for call in seen.tool_calls if call.side == "client"]
    assert (call.tool_name, call.outcome) == ("work", "error")


def test_a_failure_of_ours_changes_no_call() -> None:
    server = FastMCP("weather")

    @server.tool()
    def forecast(city: str) -> str:
        if city == "Atlantis":
            raise ValueError("no weather there")
        return f"sun in {city}"

    async def ask() -> list[str]:
        async with connected(server._mcp_server) as session:
            return [str(await session.call_tool("forecast", {"city": city})) for city in ("Ulm", "Atlantis")]

    with watched_quietly():
        assert inject_at_entries(lambda: asyncio.run(ask())) > 10
