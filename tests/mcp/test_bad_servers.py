"""Servers that do not keep to the protocol: the client goes on, says what is wrong, and can always be closed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from anyio.streams.text import TextReceiveStream
from mcp.client import stdio

from support.raw_mcp_server import LONG
from tachograph.mcp import ConnectionOptions, MCPClient, ToolConnectionError, ToolFactory, ToolValidationError

PROGRAM = Path(__file__).parents[1] / "support" / "raw_mcp_server.py"


def raw(habit: str = "") -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(PROGRAM), habit]}


async def test_closing_while_a_server_that_never_answered_is_being_stopped_leaves_no_process(seen, monkeypatch):
    monkeypatch.setattr(stdio, "PROCESS_TERMINATION_TIMEOUT", 0.3)  # so long the SDK waits before it kills
    stop, stopping = stdio._stop_server_process, []

    async def noting(process: Any) -> None:
        stopping.append(process.pid)
        await stop(process)

    monkeypatch.setattr(stdio, "_stop_server_process", noting)
    client = MCPClient({"mcpServers": {"raw": raw("never answers")}}, options=ConnectionOptions(connect_timeout=0.05))
    opening = asyncio.create_task(client.open())
    while not stopping:
        await asyncio.sleep(0.01)
    await client.close()
    await opening
    for pid in stopping:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_a_handshake_that_ran_out_of_time_says_so(on, seen, monkeypatch):
    monkeypatch.setattr(stdio, "PROCESS_TERMINATION_TIMEOUT", 0.01)
    async with on({"raw": raw("never answers")}, connect_timeout=0.05, backoff_first=30.0) as bench:
        assert (await bench.client.status())["raw"].error == "no handshake within 0.05 s"


async def test_a_list_of_tools_that_leads_in_a_circle_ends(on, seen, caplog):
    async with on({"raw": raw("lists in a circle")}) as bench:
        assert {tool.name for tool in await bench.registry.tools("raw")} == {"long", "unknown_block", "arguments"}
    assert "leads to one already read" in caplog.text


async def test_an_answer_that_is_none_of_the_protocol_is_explained_without_what_it_says(on, seen):
    async with on({"raw": raw()}) as bench:
        with pytest.raises(ToolValidationError, match=r"does not fit the protocol: content\.0") as raised:
            await bench.execute("raw", "unknown_block")
    assert "4111" not in str(raised.value)


async def test_a_long_answer_is_searched_once_for_its_end(on, seen, monkeypatch):
    """The SDK searches all that it has of a line whenever more of it comes."""
    searched = []
    receive = TextReceiveStream.receive

    async def counting(self: TextReceiveStream) -> str:
        searched.append(chunk := await receive(self))
        return chunk

    monkeypatch.setattr(TextReceiveStream, "receive", counting)
    async with on({"raw": raw()}) as bench:
        assert len((await bench.execute("raw", "long")).text) == LONG
    assert max(map(len, searched)) > LONG


async def test_a_model_is_given_names_of_arguments_that_its_provider_takes_and_the_server_gets_its_own(on, seen):
    async with on({"raw": raw()}) as bench:
        tool = await ToolFactory(bench.executor).create("arguments")
        properties = tool.definition("anthropic")["input_schema"]["properties"]
        assert list(properties) == ["gr__e"]
        assert json.loads((await tool.call({"gr__e": 3})).text) == {"größe": 3}


@pytest.mark.parametrize("protocol", ["2026-07-28", "legacy"])
async def test_an_answer_of_two_megabytes_comes_as_an_event(on, gate, protocol):
    async with on({"web": gate.entry}, protocol=protocol) as bench:
        assert len((await bench.execute("web", "echo", {"text": "x" * 1000, "times": 2000})).text) >= 2_000_000


@pytest.mark.parametrize(
    ("body", "headers", "error", "said"),
    [
        (b"card 4111", [], ToolValidationError, "the answer is no JSON-RPC message"),
        (b"card 4111", [(b"content-encoding", b"gzip")], ToolConnectionError, "decompress"),
    ],
)
async def test_an_answer_that_cannot_be_read_fails_its_call_and_no_other(on, gate, body, headers, error, said):
    async with on({"web": gate.entry}) as bench:
        waiting = asyncio.create_task(bench.execute("web", "hang"))
        while "tools/call" not in gate.seen:
            await asyncio.sleep(0.01)
        gate.status, gate.times, gate.body = 200, 1, body
        gate.headers_sent = [(b"content-type", b"application/json"), *headers]
        with pytest.raises(error, match=said) as raised:
            await bench.execute("web", "echo", {"text": "x"})
        assert "4111" not in str(raised.value)
        assert not waiting.done()
        waiting.cancel()


async def test_a_server_that_refuses_our_credentials_says_what_to_do_at_every_call(on, gate):
    gate.status, gate.methods = 401, ("server/discover", "initialize")
    async with on({"web": gate.entry}, backoff_first=30.0) as bench:
        with pytest.raises(ToolConnectionError, match=r'HTTP 401 .*Give the server\'s credentials in "headers"'):
            await bench.execute("web", "echo", {"text": "x"})
