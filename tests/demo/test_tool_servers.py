"""The workshop as a real MCP client meets it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from mcp import Client, MCPError

from tachograph_demo.tool_servers import ToolServers


@pytest.fixture(scope="module")
def process() -> Iterator[ToolServers]:
    with ToolServers(seed=7) as running:
        yield running


@pytest.fixture
def workshop(process: ToolServers) -> ToolServers:
    if process.pid is None:
        process.restart()
    return process


@contextlib.asynccontextmanager
async def connected(workshop: ToolServers) -> AsyncIterator[Client]:
    async with Client(workshop.url, read_timeout_seconds=60) as client:
        yield client


def text_of(result: Any) -> str:
    return "".join(block.text for block in result.content)


async def test_tools_answer_and_repeat_with_the_seed(workshop: ToolServers) -> None:
    async with connected(workshop) as client:
        listed = await client.list_tools()
        assert {tool.name for tool in listed.tools} == {
            "search_orders",
            "quote_refund",
            "weather",
            "summarise_ticket",
            "stock_level",
        }
        first = await client.call_tool("search_orders", {"query": "lamp", "limit": 2})
        again = await client.call_tool("search_orders", {"query": "lamp", "limit": 2})
    assert not first.is_error
    assert first.structured_content == again.structured_content
    assert len(first.structured_content["result"]) == 2


async def test_failing_tools_answer_with_an_error_result(workshop: ToolServers) -> None:
    async with connected(workshop) as client:
        workshop.behave("weather", fail=1.0, times=1)
        failed = await client.call_tool("weather", {"city": "Ulm"})
        well = await client.call_tool("weather", {"city": "Ulm"})
        wrong = await client.call_tool("quote_refund", {"order_id": "77", "reason": "broken"})
    assert (failed.is_error, well.is_error, wrong.is_error) == (True, False, True)
    assert "does not answer" in text_of(failed)
    assert "no order '77'" in text_of(wrong)


async def test_hanging_tools_end_with_the_clients_patience(workshop: ToolServers) -> None:
    async with connected(workshop) as client:
        await client.list_tools()
        workshop.behave("weather", hang=True, times=1)
        with pytest.raises(MCPError) as raised:
            await client.call_tool("weather", {"city": "Ulm"}, read_timeout_seconds=0.2)
        assert raised.value.code == -32001
        assert not (await client.call_tool("weather", {"city": "Ulm"})).is_error


async def test_refused_requests_reach_no_tool(workshop: ToolServers) -> None:
    async with connected(workshop) as client:
        await client.list_tools()
        workshop.behave("weather", refuse_status=429, times=1)
        with pytest.raises(MCPError):
            await client.call_tool("weather", {"city": "Ulm"})
        assert not (await client.call_tool("stock_level", {"article": "lamp"})).is_error
        assert not (await client.call_tool("weather", {"city": "Ulm"})).is_error


async def test_a_crashed_workshop_comes_back_at_the_same_address(workshop: ToolServers) -> None:
    address = workshop.url
    workshop.crash()
    assert workshop.pid is None
    with pytest.raises(BaseException):  # noqa: B017, PT011  # a group of connection errors, or a cancellation
        async with connected(workshop) as client:
            await client.list_tools()
    workshop.restart()
    assert workshop.url == address
    async with connected(workshop) as client:
        assert not (await client.call_tool("weather", {"city": "Ulm"})).is_error


def test_the_process_ends_when_its_parent_lets_go() -> None:
    workshop = ToolServers()
    workshop.start()
    process = workshop._process
    assert process is not None
    workshop.stop()
    assert process.returncode == 0
