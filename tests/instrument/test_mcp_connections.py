"""What a watched MCP client asked for and is connected to: rounds, failures, servers' deaths and their names."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import Annotated, Any

import mcp_types as types
import pytest
from mcp import Client, ClientSession, MCPError, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve
from pydantic import BaseModel

from support.mcp_servers import TROUBLE, Gate, TroubleProcess, eventually, installed_server, serving
from support.mcp_trouble import make_server
from support.parts import npm_package
from tachograph import instrument
from tachograph.testing import Recording

ANSWER_SECONDS = 0.2


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # a crash is logged with a slow, rich traceback


@pytest.fixture
def server() -> Iterator[TroubleProcess]:
    process = TroubleProcess()
    try:
        yield process
    finally:
        process.kill()


class Guest(BaseModel):
    name: str


async def ask_for_guest() -> Elicit[Guest]:
    return Elicit("who?", Guest)


@pytest.fixture
def host() -> MCPServer:
    server = MCPServer("host")

    @server.tool()
    async def greet(who: Annotated[Guest, Resolve(ask_for_guest)]) -> str:
        if who.name == "nobody":
            raise ValueError("there is no such person")
        return f"hello {who.name}"

    return server


async def answer_slowly(name: str) -> Any:
    await asyncio.sleep(ANSWER_SECONDS)
    return types.ElicitResult(action="accept", content={"name": name})


def counted(seen: Recording, family: str) -> dict[tuple[str, ...], float]:
    return {tuple(value for _, value in labels): count for labels, count in seen.series(family).items() if count}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize(("name", "outcome"), [("Bo", "success"), ("nobody", "error")])
async def test_a_call_that_asks_the_user_is_one_record_on_each_side(
    host: MCPServer, seen: Recording, name: str, outcome: str
) -> None:
    async def elicit(context: Any, params: Any) -> Any:
        return await answer_slowly(name)

    async with Client(host, elicitation_callback=elicit) as client:
        await client.call_tool("greet", {})
    assert sorted((call.side, call.outcome) for call in seen.tool_calls) == [("client", outcome), ("server", outcome)]
    asked = next(call for call in seen.tool_calls if call.side == "client")
    assert asked.duration_seconds >= ANSWER_SECONDS  # the user's wait is in it
    assert seen.value("mcp_tool_execute_seconds_count") == 1
    assert len([span for span in seen.spans if span.name == "mcp.tool.execute"]) == 1


async def test_rounds_that_an_application_drives_itself_are_one_record_too(host: MCPServer, seen: Recording) -> None:
    async with Client(host, elicitation_callback=lambda *_: answer_slowly("Bo")) as client:
        asking: Any = await client.session.call_tool("greet", {}, allow_input_required=True)
        assert not [call for call in seen.tool_calls if call.side == "client"]
        key = next(iter(asking.input_requests))
        answer = types.ElicitResult(action="accept", content={"name": "Bo"})
        result: Any = await client.session.call_tool(
            "greet", {}, input_responses={key: answer}, request_state=asking.request_state
        )
        assert result.content[0].text == "hello Bo"
        await client.session.call_tool("greet", {}, allow_input_required=True)
    ended = [call.outcome for call in seen.tool_calls if call.side == "client"]
    assert ended == ["success", "cancelled"]  # the second question got no answer


async def test_a_call_inside_the_answer_to_a_question_is_a_call_of_its_own(host: MCPServer, seen: Recording) -> None:
    @host.tool()
    def guests() -> str:
        return "Bo"

    async def elicit(context: Any, params: Any) -> Any:
        result = await client.call_tool("guests", {})
        return types.ElicitResult(action="accept", content={"name": result.content[0].text})  # type: ignore[union-attr]

    async with Client(host, elicitation_callback=elicit) as client:
        await client.call_tool("greet", {})
    ended = [(call.tool_name, call.outcome) for call in seen.tool_calls if call.side == "client"]
    assert ended == [("guests", "success"), ("greet", "success")]


async def test_every_failed_connect_is_counted_with_its_server(seen: Recording) -> None:
    url = f"http://127.0.0.1:{free_port()}/mcp"
    python = [sys.executable, "-c", "raise SystemExit(3)"]
    clients = [
        lambda: Client(url),
        lambda: Client(url, mode="legacy"),
        lambda: Client(StdioServerParameters(command="no-such-program-here", args=["--at", "all"])),
        lambda: Client(StdioServerParameters(command=python[0], args=python[1:])),
    ]
    for make in clients:
        with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever the SDK makes of it
            async with make():
                pass
    assert counted(seen, "mcp_server_connections_total") == {
        (url.removeprefix("http://"), "error"): 2,
        ("no-such-program-here --at all", "error"): 1,
        (f"{python[0].rpartition('/')[2]} -c raise SystemExit(3)", "error"): 1,
    }
    assert seen.value("mcp_server_connections_active") == 0


async def test_a_server_that_a_client_takes_to_be_there_counts_by_its_first_answer(
    server: TroubleProcess, seen: Recording
) -> None:
    """A client that is given the protocol's revision connects without a word to its server."""
    async with Client(server.entry["url"], mode="2026-07-28") as client:
        assert seen.value("mcp_server_connections_total") == seen.value("mcp_server_connections_active") == 0
        await client.call_tool("echo", {"text": "hi"})
        assert seen.value("mcp_server_connections_active") == 1
    server.kill()
    for ask in (lambda: client.call_tool("echo", {"text": "hi"}), lambda: client.list_tools()):
        with suppress(BaseExceptionGroup):  # leaving it fails as the request did
            async with Client(server.entry["url"], mode="2026-07-28") as client:
                for _ in range(2):
                    with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever the SDK makes of it
                        await ask()
    address = server.entry["url"].removeprefix("http://")
    expected = {(address, "success"): 1, (address, "error"): 2}
    assert counted(seen, "mcp_server_connections_total") == expected
    assert seen.value("mcp_server_connections_active") == 0


async def test_a_connect_that_the_application_gives_up_is_counted_with_its_server(seen: Recording) -> None:
    async def initialize(transport: Any) -> None:
        async with transport as streams, ClientSession(*streams) as session:
            await session.initialize()

    async def enter(client: Client) -> None:
        async with client:
            pass

    asked = asyncio.Event()
    silent = await asyncio.start_server(lambda reader, writer: asked.set(), "127.0.0.1", 0)  # never answers
    async with silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/mcp"
        ways = (
            lambda: enter(Client(url)),
            lambda: enter(Client(url, mode="legacy")),
            lambda: initialize(streamable_http_client(url)),
            lambda: initialize(sse_client(url)),
        )
        for way in ways:
            asked.clear()
            giving_up = asyncio.create_task(way())
            await asked.wait()
            giving_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await giving_up
    assert counted(seen, "mcp_server_connections_total") == {(url.removeprefix("http://"), "cancelled"): 4}
    assert seen.value("mcp_server_connections_active") == 0


async def test_sessions_over_transports_of_their_own_are_counted_the_same(seen: Recording) -> None:
    with pytest.raises(FileNotFoundError):
        async with stdio_client(StdioServerParameters(command="no-such-program-here")):
            pass
    refused = f"127.0.0.1:{free_port()}/mcp"
    for connect in (ClientSession.initialize, ClientSession.discover):
        with pytest.raises(ExceptionGroup):
            async with streamable_http_client(f"http://{refused}") as streams, ClientSession(*streams) as session:
                await connect(session)  # is cancelled by the transport
    parameters = StdioServerParameters(command=sys.executable, args=[str(TROUBLE), "stdio"])
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        await session.call_tool("echo", {"text": "hi"})
    name = f"{sys.executable.rpartition('/')[2]} {TROUBLE} stdio"
    assert counted(seen, "mcp_server_connections_total") == {
        ("no-such-program-here", "error"): 1,
        (refused, "error"): 2,
        (name, "success"): 1,
    }
    assert counted(seen, "mcp_tool_execute_seconds_count") == {(name, "echo", "success"): 1}


@pytest.mark.parametrize("opens_session", [False, True])
async def test_an_answer_that_breaks_off_is_a_lost_connection(seen: Recording, opens_session: bool) -> None:
    """mcp cancels the task that waits for it, and all that come after."""
    gate = Gate(make_server().streamable_http_app())
    with serving(gate) as address:

        async def use() -> None:
            async with AsyncExitStack() as stack:
                if opens_session:
                    streams = await stack.enter_async_context(streamable_http_client(f"{address}/mcp"))
                    client: Any = await stack.enter_async_context(ClientSession(*streams))
                    await client.initialize()
                else:
                    client = await stack.enter_async_context(Client(f"{address}/mcp"))
                await client.call_tool("echo", {"text": "hi"})
                gate.status, gate.headers_sent = (
                    200,
                    [(b"content-type", b"application/json"), (b"content-length", b"9")],
                )
                for _ in range(2):
                    with pytest.raises(BaseException):  # noqa: B017, PT011 - whatever the SDK makes of it
                        await client.call_tool("echo", {"text": "hi"})

        await asyncio.wait({task := asyncio.create_task(use())}, timeout=30)
        task.cancelled() or task.exception()
    ended = [(call.outcome, call.error_kind) for call in seen.tool_calls if call.side == "client"]
    assert ended == [("success", None), *[("error", "connection")] * 2]


async def test_two_servers_of_one_kind_stay_apart_and_a_configured_name_wins(seen: Recording) -> None:
    program = installed_server("mcp-server-time")
    for zone in ("UTC", "Europe/Berlin"):
        async with Client(StdioServerParameters(command=program, args=["--local-timezone", zone])) as client:
            await client.call_tool("get_current_time", {"timezone": zone})
    instrument(mcp_servers={"mcp-server-time --local-timezone UTC": "clock"})
    async with Client(StdioServerParameters(command=program, args=["--local-timezone", "UTC"])) as client:
        await client.call_tool("get_current_time", {"timezone": "UTC"})
    assert [call.server_id for call in seen.tool_calls] == [
        "mcp-server-time --local-timezone UTC",
        "mcp-server-time --local-timezone Europe/Berlin",
        "clock",
    ]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_gauge_of_an_idle_client_falls_when_its_http_server_dies_and_rises_when_it_answers(
    server: TroubleProcess, seen: Recording, mode: Any
) -> None:
    instrument(mcp_probe_seconds=0.05)
    with pytest.raises(BaseException) if mode == "legacy" else _nothing():  # noqa: PT011 - as the SDK likes
        async with Client(server.entry["url"], mode=mode) as client:
            await client.call_tool("echo", {"text": "hi"})
            assert seen.value("mcp_server_connections_active") == 1
            server.kill()
            eventually(lambda: seen.value("mcp_server_connections_active") == 0, 10)
            server.start()
            await client.call_tool("echo", {"text": "hi"})  # in legacy mode the session is lost
            assert seen.value("mcp_server_connections_active") == 1
    assert seen.value("mcp_server_connections_active") == 0
    last = seen.tool_calls[-1]
    expected = ("success", None) if mode == "auto" else ("error", "connection")
    assert (last.outcome, last.error_kind) == expected
    assert seen.value("mcp_server_connections_total", outcome="success") == 1


async def test_a_typescript_server_that_was_deployed_again_has_lost_the_connection(seen: Recording) -> None:
    modules = npm_package("@modelcontextprotocol/server-everything").parents[1]
    command = [str(modules / ".bin" / "mcp-server-everything"), "streamableHttp"]
    port = free_port()

    def deploy() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            env={"PATH": "/usr/bin:/usr/local/bin:/bin", "PORT": str(port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: _listens(port))
        return process

    process = deploy()
    try:
        async with Client(f"http://127.0.0.1:{port}/mcp", mode="legacy") as client:
            await client.call_tool("echo", {"message": "hi"})
            process.kill()
            process.wait(10)
            process = deploy()
            with pytest.raises(MCPError):
                await client.call_tool("echo", {"message": "hi"})
    finally:
        process.kill()
        process.wait(10)
    ended = [(call.outcome, call.error_kind) for call in seen.tool_calls]
    assert ended == [("success", None), ("error", "connection")]


async def test_a_client_whose_port_is_not_its_way_to_the_server_counts_as_connected(seen: Recording) -> None:
    """An ASGI transport: no server listens at the address."""
    import httpx2

    instrument(mcp_probe_seconds=0.01)
    server = MCPServer("local")
    app = server.streamable_http_app()
    async with app.router.lifespan_context(app):
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app))
        async with Client(streamable_http_client(f"http://127.0.0.1:{free_port()}/mcp", http_client=http)):
            pause = time.monotonic() + 0.2
            while time.monotonic() < pause:
                await asyncio.sleep(0.02)
            assert seen.value("mcp_server_connections_active") == 1


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *exc_info: object) -> None: ...
