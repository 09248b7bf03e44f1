"""Prompt tokens of tool definitions are counted under the server whose tools they are, called or not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client
from mcp.server import MCPServer

from tachograph import instrument, uninstrument
from tachograph.mcp import ToolFactory
from tachograph.records import Usage
from tachograph.records.tool_owners import ToolOwners
from tachograph.testing import Recording, recording


@pytest.fixture
def seen() -> Iterator[Recording]:
    with recording(waste={"prompts": True}) as caught:
        instrument()
        try:
            yield caught
        finally:
            uninstrument()


def server(name: str, *tools: str) -> MCPServer:
    made = MCPServer(name)
    for tool in tools:
        made.add_tool(lambda: "done", name=tool)
    return made


def offer(seen: Recording, *names: str) -> dict[str, float]:
    """Offer a model these tools; returns the tokens of their definitions by server."""
    tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names]
    asks = {"messages": [{"role": "user", "content": "hello"}], "tools": tools}
    call = seen.recorder.start_llm_call("openai", "gpt-5", asks=asks)
    call.begin_attempt().end("success")
    call.usage = Usage(100_000, 1)
    call.finish("success")
    seen.recorder.settle()
    found = {
        dict(labels)["server_id"]: value for labels, value in seen.series("llm_tool_definition_tokens_total").items()
    }
    return {server_id: value for server_id, value in found.items() if value}


async def test_a_tool_that_is_never_called_belongs_to_the_server_that_listed_it(seen: Recording) -> None:
    async with Client(server("shop", "buy", "sell")) as client:
        await client.list_tools()
    assert offer(seen, "buy", "sell", "own_function").keys() == {"shop", "none"}
    found = offer(seen, "buy", "sell")
    assert found["shop"] > 3 * found["none"]


@pytest.mark.parametrize("name", ["web-shop_buy_now", "mcp__web-shop__buy_now", "Web_Shop-buy-now", "buy_now"])
async def test_names_as_frameworks_write_them_are_found(seen: Recording, name: str) -> None:
    async with Client(server("web-shop", "buy.now")) as client, Client(server("other", "pay")) as other:
        await client.list_tools()
        await other.list_tools()
    assert offer(seen, name).keys() == {"web-shop"}


async def test_a_name_on_two_servers_is_no_servers_unless_it_says_which(seen: Recording) -> None:
    for name in ("a", "b"):
        async with Client(server(name, "search")) as client:
            await client.list_tools()
            await client.call_tool("search", {})
    assert offer(seen, "search").keys() == {"none"}
    assert offer(seen, "b_search").keys() == {"none", "b"}


def test_a_call_tells_where_no_list_was_read(seen: Recording) -> None:
    seen.recorder.start_tool_call("shop", "buy").finish("success")
    assert offer(seen, "buy", "shop_buy").keys() == {"shop"}


async def test_a_server_that_joins_others_gives_way_to_the_server_that_a_name_has(seen: Recording) -> None:
    async with Client(server("files", "read")) as client, Client(server("router", "files_read")) as router:
        await client.list_tools()
        await router.list_tools()
    assert offer(seen, "files_read").keys() == {"files"}


async def test_the_engines_tools_are_found_by_the_names_that_it_gives_them(on: Any, gate: Any, seen: Recording) -> None:
    async with on({"one": gate.entry, "two.b": gate.entry}) as bench:
        factory = ToolFactory(bench.executor)
        names = [tool.name for tool in await factory.create_all() if tool.entry.name == "echo"]
        assert names == ["one__echo", "two_b__echo"]
        assert offer(seen, "two_b__echo").keys() == {"two.b"}
        assert (await factory.create("echo", server="one")).name == "echo"
        assert offer(seen, "echo").keys() == {"two.b", "one"}


def test_what_is_remembered_is_bounded_and_comes_back_when_it_is_read_again() -> None:
    owners = ToolOwners()
    owners.listed(["first"], "shop")
    owners.listed([f"tool{number}" for number in range(10_000)], "large")
    assert (owners.of("first"), owners.of("tool9999")) == ("none", "large")
    owners.listed(["first"], "shop")
    assert owners.of("first") == "shop"
