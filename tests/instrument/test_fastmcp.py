"""fastmcp's client, watched; runs where fastmcp is installed (`make versions`: sets fastmcp and fastmcp-2)."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from support.injection import inject_at_entries, watched_quietly
from support.mcp_servers import eventually
from tachograph import instrument
from tachograph.testing import Recording

pytestmark = pytest.mark.needs("fastmcp")

PROGRAM = Path(__file__).parents[1] / "support" / "fastmcp_server.py"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def client_endings(seen: Recording) -> list[tuple[str, str | None, str | None]]:
    return [(call.tool_name, call.outcome, call.error_kind) for call in seen.tool_calls if call.side == "client"]


async def refusals(client: Any, *calls: tuple[str, dict[str, Any]]) -> None:
    import fastmcp

    for name, arguments in calls:
        with pytest.raises(fastmcp.exceptions.ToolError):
            await client.call_tool(name, arguments)


async def test_what_fastmcp_refuses_stops_and_runs_is_told_apart(seen: Recording) -> None:
    import fastmcp

    server: Any = fastmcp.FastMCP("shop")

    @server.tool
    def add(left: int, right: int) -> int:
        return left + right

    @server.tool
    def fail() -> str:
        raise ValueError("no stock")

    @server.tool
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    async with fastmcp.Client(server) as client:
        await client.call_tool("add", {"left": 1, "right": 2})
        await refusals(client, ("add", {"left": "x", "right": 2}), ("add", {"left": 1}), ("nothing", {}), ("fail", {}))
        with pytest.raises(Exception, match=r"timed out|Timed out"):
            await client.call_tool("hang", {}, timeout=0.2)
    assert client_endings(seen) == [
        ("add", "success", None),
        ("add", "error", "validation"),
        ("add", "error", "validation"),
        ("nothing", "error", "validation"),
        ("fail", "error", "execution"),
        ("hang", "timeout", "timeout"),
    ]
    assert seen.value("mcp_server_connections_active", server_id="shop") == 0


@pytest.mark.needs("fastmcp_tasks")
@pytest.mark.parametrize(("fail", "ending"), [(False, ("success", None)), (True, ("error", "execution"))])
async def test_a_background_task_lasts_until_its_end(
    seen: Recording, fail: bool, ending: tuple[str, str | None]
) -> None:
    import fastmcp
    from fastmcp_tasks import TasksExtension, call_tool_task

    server: Any = fastmcp.FastMCP("jobs")
    server.add_extension(TasksExtension())

    @server.tool(task=True)
    async def work(fail: bool = False) -> str:
        await asyncio.sleep(0.3)
        if fail:
            raise ValueError("kaput")
        return "done"

    async def use(client: Any, by_hand: bool) -> None:
        if by_hand:
            task = await call_tool_task(client, "work", {"fail": fail})
            await task.result()
        else:
            await client.call_tool("work", {"fail": fail})

    async with fastmcp.Client(server) as client:
        for by_hand in (False, True):
            try:
                await use(client, by_hand)
            except fastmcp.exceptions.ToolError:
                assert fail
    calls = [call for call in seen.tool_calls if call.side == "client"]
    assert [(call.outcome, call.error_kind) for call in calls] == [ending, ending]
    assert all(call.duration_seconds >= 0.3 for call in calls)


async def test_a_server_without_a_name_has_one_id_in_all_processes(seen: Recording) -> None:
    import fastmcp
    from fastmcp.client.transports import StdioTransport

    for _ in range(2):
        transport = StdioTransport(sys.executable, [str(PROGRAM), "stdio"], keep_alive=False)
        async with fastmcp.Client(transport) as client:
            await client.call_tool("echo", {"text": "hi"})
    assert {call.server_id for call in seen.tool_calls} == {f"{Path(sys.executable).name} {PROGRAM} stdio"}


async def test_the_name_in_an_mcp_configuration_is_the_servers(seen: Recording) -> None:
    import fastmcp

    entry = {"command": sys.executable, "args": [str(PROGRAM), "stdio"]}
    client = fastmcp.Client({"mcpServers": {"parrot": entry}})
    async with client:
        await client.call_tool("echo", {"text": "hi"})
    await client.close()
    assert [(call.server_id, call.outcome) for call in seen.tool_calls] == [("parrot", "success")]
    with pytest.raises(BaseException):  # noqa: B017, PT011 - as fastmcp likes
        async with fastmcp.Client({"mcpServers": {"gone": {"command": "no-such-program-here"}}}):
            pass
    assert seen.value("mcp_server_connections_total", server_id="gone", outcome="error") == 1


def proxy_of(target: Any, name: str) -> Any:
    import fastmcp

    if hasattr(fastmcp.FastMCP, "as_proxy"):
        return fastmcp.FastMCP.as_proxy(target, name=name)
    from fastmcp.server import create_proxy

    return create_proxy(target, name=name)


async def test_a_call_through_a_configuration_of_several_servers_is_one_call_of_the_server_that_answers(
    seen: Recording,
) -> None:
    import fastmcp

    entry = {"command": sys.executable, "args": [str(PROGRAM), "stdio"]}  # the same twice: only the names differ
    async with fastmcp.Client({"mcpServers": {"one": entry, "two": entry}}) as client:
        await asyncio.gather(*(client.call_tool(f"{name}_echo", {"text": "hi"}) for name in ("one", "two", "one")))
        await refusals(client, ("two_echo", {"txt": "hi"}))
    calls = [(call.server_id, call.tool_name, call.outcome) for call in seen.tool_calls if call.side == "client"]
    assert sorted(calls) == [
        ("one", "echo", "success"),
        ("one", "echo", "success"),
        ("two", "echo", "error"),
        ("two", "echo", "success"),
    ]


@pytest.mark.parametrize("depth", [1, 2])
async def test_a_call_through_proxies_in_this_process_is_one_call_as_long_as_the_application_waited(
    seen: Recording, depth: int
) -> None:
    """What a tool behind the proxy asks of another server is a call of its own."""
    import fastmcp

    stock: Any = fastmcp.FastMCP("stock")
    shop: Any = fastmcp.FastMCP("shop")

    @stock.tool
    async def count() -> int:
        return 3

    @shop.tool
    async def ask() -> str:
        async with fastmcp.Client(stock) as client:
            await client.call_tool("count", {})
        return "three"

    @shop.tool
    async def fail() -> str:
        raise ValueError("no stock")

    @shop.tool
    async def hang() -> str:
        await asyncio.Event().wait()
        return "never"

    server = shop
    for number in range(depth):
        server = proxy_of(server, f"gate {number}")
    async with fastmcp.Client(server) as client:
        await client.call_tool("ask", {})
        await refusals(client, ("fail", {}), ("nothing", {}))
        with pytest.raises(Exception, match=r"timed out|Timed out"):
            await client.call_tool("hang", {}, timeout=1)
    calls = {
        (call.server_id if call.tool_name != "hang" else "", call.tool_name, call.outcome, call.error_kind)
        for call in seen.tool_calls
        if call.side == "client"
    }
    assert len([call for call in seen.tool_calls if call.side == "client"]) == 5
    assert calls == {
        ("stock", "count", "success", None),
        ("shop", "ask", "success", None),
        ("shop", "fail", "error", "execution"),
        (f"gate {depth - 1}", "nothing", "error", "validation"),
        ("", "hang", "timeout", "timeout"),
    }


async def test_each_server_of_a_configuration_that_fails_is_counted_by_its_name_and_nothing_else(
    seen: Recording,
) -> None:
    """fastmcp 4 connects to all as it opens, fastmcp 2 when a call needs one."""
    import fastmcp

    gone: Any = {"one": {"url": "http://127.0.0.1:9/mcp"}, "two": {"command": "no-such-program-here"}}
    with suppress(RuntimeError):
        async with fastmcp.Client({"mcpServers": gone}) as client:
            with pytest.raises(Exception):  # noqa: B017, PT011 - as fastmcp likes
                await client.call_tool("one_echo", {"text": "hi"})
    failed = {
        labels[0][1]
        for labels, count in seen.series("mcp_server_connections_total").items()
        if count and labels[1][1] == "error"
    }
    assert failed == {"one", "two"}
    assert {kind for _, _, kind in client_endings(seen)} <= {"connection"}


async def test_a_tool_of_an_entry_that_could_not_be_connected_to_fails_by_its_connection(seen: Recording) -> None:
    import fastmcp

    entry = {"command": sys.executable, "args": [str(PROGRAM), "stdio"]}
    dead = {"command": "no-such-program-here"}
    async with fastmcp.Client({"mcpServers": {"one": entry, "dead": dead}}) as client:
        for name in ("dead_echo", "one_invented", "deadly"):
            with pytest.raises(Exception):  # noqa: B017, PT011 - as fastmcp likes
                await client.call_tool(name, {"text": "hi"})
    kinds = [(call.server_id, call.error_kind) for call in seen.tool_calls if call.side == "client"]
    assert kinds[0] == ("dead", "connection")
    if not fastmcp.__version__.startswith("2."):  # which asks the dead entry for every tool
        assert [kind for _, kind in kinds[1:]] == ["validation", "validation"]


async def test_every_call_on_a_dead_http_server_fails_by_its_connection(seen: Recording) -> None:
    import fastmcp

    instrument(mcp_probe_seconds=0.05)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(PROGRAM), "http", str(port)], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _listens(port))
        with pytest.raises(BaseException):  # noqa: B017, PT011, PT012 - as fastmcp likes
            async with fastmcp.Client(f"http://127.0.0.1:{port}/mcp") as client:
                await client.call_tool("echo", {"text": "hi"})
                process.kill()
                process.wait(10)
                eventually(lambda: seen.value("mcp_server_connections_active") == 0, 10)
                for _ in range(3):
                    with pytest.raises(Exception):  # noqa: B017, PT011 - as fastmcp likes
                        async with asyncio.timeout(2):  # fastmcp 2 would wait forever
                            await client.call_tool("echo", {"text": "hi"})
                raise ConnectionError
    finally:
        process.kill()
        process.wait(10)
    assert client_endings(seen) == [("echo", "success", None), *[("echo", "error", "connection")] * 3]
    assert {call.server_id for call in seen.tool_calls if call.side == "client"} == {f"127.0.0.1:{port}/mcp"}


async def test_a_proxy_whose_server_cannot_be_reached_fails_by_its_connection(seen: Recording) -> None:
    """fastmcp 4 lists the server's tools before a call, and says that there is no such tool."""
    import fastmcp

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    async with fastmcp.Client(proxy_of(f"http://127.0.0.1:{port}/mcp", "gate")) as client:
        with pytest.raises(Exception):  # noqa: B017, PT011 - as fastmcp likes
            await client.call_tool("echo", {"text": "hi"})
    address = f"127.0.0.1:{port}/mcp"
    endings = [(call.side, call.server_id, call.outcome, call.error_kind) for call in seen.tool_calls]
    assert sorted(endings) == [("client", address, "error", "connection"), ("server", "gate", "error", "connection")]
    assert seen.value("mcp_server_connections_total", server_id=address, outcome="error") > 0
    assert seen.value("mcp_server_connections_total", server_id=address, outcome="success") == 0


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_failure_of_ours_changes_no_call_of_fastmcp() -> None:
    import fastmcp

    server: Any = fastmcp.FastMCP("shop")

    @server.tool
    def add(left: int, right: int) -> int:
        return left + right

    async def ask() -> list[str]:
        async with fastmcp.Client(server) as client:
            answer = await client.call_tool("add", {"left": 1, "right": 2})
            try:
                await client.call_tool("add", {"left": "x"})
            except fastmcp.exceptions.ToolError as error:
                return [str(answer.content), str(error)]
            return []

    with watched_quietly():
        assert inject_at_entries(lambda: asyncio.run(ask())) > 10
