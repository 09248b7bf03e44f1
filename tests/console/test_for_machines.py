"""`tachograph mcp` and `tachograph top` give the page's own answers."""

from __future__ import annotations

import asyncio
import io
import socket
import sys
import time
from typing import Any

import pytest
from rich.cells import cell_len

from support.console_client import Client as Asks
from tachograph.cli import main, top
from tachograph.console import RunningConsole
from tachograph.console.calls import Call, CallDetail
from tachograph.console.mcp_server import build, serve_http
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
    assert told["sentence"]["text"] == client.get("/api/console/now")["sentence"]["plain"]
    assert "{" not in told["sentence"]["text"] + told["troubles"][0]["text"]  # times are filled in
    assert errors["errors"][0]["calls"] == 5


def test_an_agent_reads_why_a_tool_cannot_answer_and_no_more_than_it_needs(failing: RunningConsole) -> None:
    from mcp import Client

    def made(number: int, **facts: Any) -> Call:
        return Call(id=f"{number:032x}", kind="llm", provider="openai", model="gpt-5", duration_seconds=1, attempts=1,
                    run_id="long", trace_id="7" * 32, span_id=f"{number:016x}", **facts)  # fmt: skip

    root = made(1000, time=time.time() - 9, outcome="success")
    outcomes = ["success"] * 299 + ["error"]
    spans = [
        made(1001 + n, time=time.time() - 8 + n / 100, outcome=outcome, parent_span_id=root.span_id)
        for n, outcome in enumerate(outcomes)
    ]
    failing.console.calls.add_all([(CallDetail(call, []), None) for call in (root, *spans)], wait=True)

    async def ask() -> tuple[dict[str, str], Any, Any]:
        async with Client(build(Reader(failing.url, failing.token))) as server:
            asked: dict[str, dict[str, Any]] = {
                "incident": {"alert": "Nope"},
                "call": {"id": "none"},
                "run": {"id": "none"},
                "metrics": {"query": "sum("},
                "calls": {"outcome": "failed"},
            }
            wrong = {name: await server.call_tool(name, given) for name, given in asked.items()}
            assert all(one.is_error for one in wrong.values())
            told = {name: one.content[0].text for name, one in wrong.items()}  # type: ignore[union-attr]
            run = (await server.call_tool("run", {"id": "long"})).structured_content
            return told, run, (await server.call_tool("calls", {"limit": 1})).structured_content

    told, run, calls = asyncio.run(ask())
    assert "Nope" in told["incident"] or "alert" in told["incident"]
    assert "parse error" in told["metrics"]
    assert "rate_limited" in told["calls"]  # what is allowed
    assert all(len(text) > len(f"Error executing tool {name}: ") for name, text in told.items())
    assert (len(run["tree"]), run["spans_left_out"]) == (200, 101)
    assert any(span.get("failed") for span in run["tree"])
    assert "first_token_seconds" not in calls["calls"][0]


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


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_top_cuts_no_number_in_any_window(width: int) -> None:
    from rich.console import Console

    name = "ft:gpt-4o-mini-2024-07-18:acme-corporation-international:support-classifier-v17:9aBcDeFg"
    facts = {
        "calls": 12_345,
        "failed": 617,
        "given_up": 0,
        "errors": [["rate_limit", 9]],
        "p95": 0.512,
        "wait": 3.1,
        "cost": 12.345,
    }
    tiles = [{"title": "Success of calls", "value": 0.95, "before": 0.97, "unit": "percentunit"}] * 7
    now = {
        "sentence": {"plain": "Healthy.", "level": "good"},
        "tiles": tiles,
        "providers": {"rows": [{"provider": "llm.internal.example", "model": name, **facts}], "total": 1},
        "servers": {"rows": [{"server_id": "ファイルサーバー", "tool_name": "読む" * 30, **facts}], "total": 1},
    }
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(top.screen(now, width=width))
    text = console.export_text()
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width
    assert text.count("617 (5.0%)") == text.count("512 ms") == 2
    assert text.count("95.0%") == 7
    assert "BcDeFg" in text  # a name keeps its end
    assert ("rate_limit" in text) is (width >= 80)


def test_a_wrong_token_and_an_absent_console_are_told_plainly(
    failing: RunningConsole, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["top", "--once", "--console", failing.url, "--token", "x" * 20]) == 2
    assert "does not know this token" in capsys.readouterr().err
    assert main(["top", "--once", "--console", "http://127.0.0.1:1"]) == 2
    assert "no console answers" in capsys.readouterr().err
