"""The registry: hits and misses, pages, changes, and names that several servers have."""

from __future__ import annotations

import asyncio
import time

import mcp_types as types
import pytest
from mcp.server.lowlevel import NotificationOptions, Server

from support.exhaustive import part
from support.mcp_servers import eventually, serving, stdio_trouble
from tachograph.mcp import AmbiguousToolError, ToolConnectionError, UnknownToolError

LOOKUPS = "mcp_tool_registry_lookup_seconds_count"


def lookups(seen):
    return seen.value(LOOKUPS, outcome="hit"), seen.value(LOOKUPS, outcome="miss")


async def test_the_first_lookup_asks_the_server_and_the_next_does_not(on, gate, seen):
    async with on({"web": gate.entry}) as bench:
        first = await bench.registry.find("web", "add")
        assert lookups(seen) == (0, 1)
        assert await bench.registry.find("web", "add") is first
        assert await bench.registry.find("add") is first
        assert lookups(seen) == (2, 1)
    assert gate.seen.count("tools/list") == 1
    assert (first.server_id, first.name, first.description) == ("web", "add", "Add two numbers.")
    assert first.input_schema["required"] == ["left", "right"]
    assert seen.value("mcp_client_operation_seconds_count", method="tools/list", outcome="success") == 1


async def test_a_tool_nobody_has_is_asked_for_once_more_and_names_what_comes_near(on, gate, seen):
    async with on({"web": gate.entry}) as bench:
        with pytest.raises(UnknownToolError, match=r"no MCP server has a tool 'echos'.*Did you mean 'echo'"):
            await bench.registry.find("echos")
        with pytest.raises(UnknownToolError, match="the MCP server 'web' has no tool 'echos'"):
            await bench.registry.find("web", "echos")
        with pytest.raises(UnknownToolError, match="no MCP server 'wab'"):
            await bench.registry.find("wab", "echo")
    assert lookups(seen)[0] == 1  # the unknown server: no server was asked


async def test_the_same_tool_on_two_servers_must_be_told_apart(on, gate, seen):
    async with on({"web": gate.entry, "pipe": stdio_trouble()}) as bench:
        with pytest.raises(AmbiguousToolError, match="'web' and 'pipe'"):
            await bench.registry.find("echo")
        assert (await bench.registry.find("pipe", "echo")).server_id == "pipe"


async def test_a_server_that_cannot_be_asked_is_told_of_once(on, gate, caplog):
    async with on({"gone": {"command": "no-such-program"}, "web": gate.entry}, backoff_first=30.0) as bench:
        await bench.registry.tools()
        await bench.registry.tools()
    (told,) = [record.getMessage() for record in caplog.records if "are left out" in record.getMessage()]
    assert told.startswith("The tools of an MCP server are left out: ")
    assert "no-such-program" in told
    assert "(in MCP server 'gone')" in told


async def test_a_dead_server_does_not_keep_others_from_being_found(on, gate, seen):
    async with on({"gone": {"command": "no-such-program"}, "web": gate.entry}, backoff_first=30.0) as bench:
        assert (await bench.registry.find("echo")).server_id == "web"
        with pytest.raises(UnknownToolError, match="not reachable: 'gone'"):
            await bench.registry.find("nowhere")
        with pytest.raises(ToolConnectionError, match="no-such-program"):
            await bench.registry.find("gone", "echo")
        assert {entry.server_id for entry in await bench.registry.tools()} == {"web"}


async def test_concurrent_lookups_ask_once(on, gate, seen):
    async with on({"web": gate.entry}) as bench:
        await asyncio.gather(*(bench.registry.find("web", "echo") for _ in range(20)))
    assert gate.seen.count("tools/list") == 1


@pytest.mark.parametrize("way", part(
    [(protocol, transport) for protocol in ("auto", "2026-07-28", "legacy") for transport in ("http", "stdio")],
    ("auto", "http"), ("2026-07-28", "stdio"), ("legacy", "http"),
), ids="-".join)  # fmt: skip
async def test_a_tool_learnt_later_is_known_without_asking(on, gate, seen, way):
    protocol, transport = way
    entry = gate.entry if transport == "http" else stdio_trouble()
    async with on({"web": entry}, protocol=protocol) as bench:
        await bench.registry.tools()
        name = f"trick_{transport}_{protocol[:4]}"
        await bench.execute("web", "learn", {"tool": name})
        await asyncio.to_thread(eventually, lambda: name in bench.registry._servers["web"].tools)
        hits, misses = lookups(seen)
        assert (await bench.registry.find("web", name)).name == name
        assert lookups(seen) == (hits + 1, misses)
        assert (await bench.execute("web", name)).text == f"I am {name}"


async def test_every_page_of_tools_is_read(on, seen):
    def tool(number):
        return types.Tool(name=f"tool_{number:02}", input_schema={"type": "object"})

    async def pages(context, params):
        start = int(params.cursor) if params is not None and params.cursor else 0
        following = str(start + 10) if start < 20 else None
        return types.ListToolsResult(tools=[tool(n) for n in range(start, start + 10)], next_cursor=following)

    async def call(context, params):
        return types.CallToolResult(content=[types.TextContent(text=f"ran {params.name}")])

    server = Server("pages", on_list_tools=pages, on_call_tool=call)
    with serving(server.streamable_http_app()) as address:
        async with on({"book": {"url": f"{address}/mcp"}}) as bench:
            assert [entry.name for entry in await bench.registry.tools("book")] == [f"tool_{n:02}" for n in range(30)]
            assert (await bench.execute("book", "tool_29")).text == "ran tool_29"


async def test_a_server_that_says_changed_whenever_it_is_asked_is_not_asked_for_ever(on, seen):
    asked = []

    async def tools(context, params):
        asked.append(1)
        await context.session.send_tool_list_changed()
        return types.ListToolsResult(tools=[types.Tool(name="ok", input_schema={"type": "object"})])

    async def call(context, params):
        return types.CallToolResult(content=[types.TextContent(text="ran")])

    server = Server("lazy", on_list_tools=tools, on_call_tool=call)
    options = server.create_initialization_options
    server.create_initialization_options = lambda *_, **__: options(NotificationOptions(tools_changed=True))
    with serving(server.streamable_http_app()) as address:
        async with on({"lazy": {"url": f"{address}/mcp"}}, protocol="legacy") as bench:
            began = time.monotonic()

            def most() -> float:
                """The first two, and two after each of the shortest pauses: a busy machine has time for many."""
                return 3 + 2 * (time.monotonic() - began) / 0.5

            for _ in range(20):
                assert (await bench.execute("lazy", "ok")).text == "ran"
            assert len(asked) <= most()
            hits, misses = lookups(seen)
            assert hits + misses == 20
            assert 1 <= misses <= len(asked)
            lazy = bench.registry._servers["lazy"]
            await asyncio.to_thread(eventually, lambda: lazy.pause >= 2.0)
            assert len(asked) <= most()


async def test_a_server_that_came_back_is_listed_anew(on, http_process, seen):
    async with on({"web": http_process.entry}, backoff_longest=0.5) as bench:
        await bench.execute("web", "learn", {"tool": "forgotten"})
        assert (await bench.registry.find("web", "forgotten")).name == "forgotten"
        http_process.kill()
        await asyncio.to_thread(eventually, lambda: not bench.client.is_up("web"))
        http_process.start()
        await asyncio.to_thread(eventually, lambda: bench.client.is_up("web"))
        with pytest.raises(UnknownToolError):
            await bench.registry.find("web", "forgotten")
