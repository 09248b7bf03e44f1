"""`tachograph mcp` and `tachograph top` give the page's own answers."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Any

import pytest

from support.console_client import Client as Asks
from tachograph.cli import main
from tachograph.console import RunningConsole
from tachograph.console.calls import Call, CallDetail
from tachograph.console.mcp_server import serve_http
from tachograph.console.reader import Reader
from tachograph.errors import TachographError


@pytest.fixture
def failing(running: RunningConsole) -> RunningConsole:
    """A console whose OpenAI calls fail for their key."""
    calls = [
        Call(id=f"{i + 1:032x}", kind="llm", time=time.time() - 5, provider="openai", model="gpt-5", outcome="error",
             error_type="auth", duration_seconds=1, attempts=1)
        for i in range(5)
    ]  # fmt: skip
    running.console.calls.add_all(
        [(CallDetail(call, [], "AuthenticationError: bad key"), None) for call in calls], wait=True
    )
    return running


def test_an_agent_asks_over_stdio_and_gets_the_pages_answer(failing: RunningConsole, client: Asks) -> None:
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    arguments = ["-m", "tachograph", "mcp", "--console", failing.url, "--token", failing.token]

    async def ask() -> tuple[set[str], Any, Any]:
        async with Client(stdio_client(StdioServerParameters(command=sys.executable, args=arguments))) as server:
            tools = (await server.list_tools()).tools
            assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools)
            told = await server.call_tool("now", {})
            errors = await server.call_tool("errors", {})
            return {tool.name for tool in tools}, told.structured_content, errors.structured_content

    names, told, errors = asyncio.run(ask())
    assert names == {"now", "alerts", "incident", "runbook", "calls", "call", "errors", "run", "cost", "metrics"}
    assert told["sentence"]["text"] == client.get("/api/console/now")["sentence"]["text"]
    assert errors["errors"][0]["calls"] == 5


def test_streamable_http_needs_the_token(failing: RunningConsole) -> None:
    from mcp import Client

    served = serve_http(Reader(failing.url, failing.token), "127.0.0.1", 0, failing.token)
    idle = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(300)]  # more than it holds
    try:
        asks = Asks(served.url, failing.token)
        assert asks.request("POST", "/mcp", body=b"{}", login=False).status == 401
        answer = asks.request("POST", "/mcp", body=b"\xff" * 1000)
        assert answer.status in (400, 406)

        async def names() -> set[str]:
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client

            headers = {"Authorization": f"Bearer {failing.token}"}
            async with create_mcp_http_client(headers=headers) as http:
                transport = streamable_http_client(f"{served.url}mcp", http_client=http)
                async with Client(transport) as server_:
                    return {tool.name for tool in (await server_.list_tools()).tools}

        assert "incident" in asyncio.run(names())
        with pytest.raises(TachographError, match="cannot listen"):
            serve_http(Reader(failing.url, failing.token), "127.0.0.1", served.port, failing.token)
    finally:
        for one in idle:
            one.close()
        served.close()


def test_top_prints_the_sentence_and_the_tables(failing: RunningConsole, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--console", failing.url, "--token", failing.token]) == 0
    told = capsys.readouterr().out
    assert "OpenAI rejects the key since" in told
    assert "5 (100%)" in told


def test_a_wrong_token_and_an_absent_console_are_told_plainly(
    failing: RunningConsole, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "--once", "--console", failing.url, "--token", "x" * 20]) == 2
    assert "does not know this token" in capsys.readouterr().err
    assert main(["top", "--once", "--console", "http://127.0.0.1:1"]) == 2
    assert "no console answers" in capsys.readouterr().err
