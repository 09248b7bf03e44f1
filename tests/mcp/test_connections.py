"""`mcp_server_connections_active` is true at every moment, and connections come back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from support.exhaustive import part
from support.mcp_servers import Gate, eventually, serving, stdio_trouble
from support.mcp_trouble import make_server
from tachograph.mcp import ConfigError, MCPClient, ToolConnectionError, ToolError, ToolExecutionError

GAUGE = "mcp_server_connections_active"
LONG = {"backoff_first": 30.0}  # no reconnection meanwhile, so that a fall can be seen


def active(seen, server):
    return seen.value(GAUGE, server_id=server)


async def falls(seen, server):
    """Seconds until the gauge has fallen to zero; it must be within two."""
    took = await asyncio.to_thread(eventually, lambda: active(seen, server) == 0, 2.0)
    assert min(seen.series(GAUGE).values()) >= 0
    return took


async def test_a_normal_close_brings_the_gauge_down_and_ends_the_process(on, seen):
    async with on({"trouble": stdio_trouble()}) as bench:
        pid = await bench.pid("trouble")
        assert active(seen, "trouble") == 1
    assert active(seen, "trouble") == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_killing_a_stdio_server_by_its_pid_brings_the_gauge_down(on, seen):
    async with on({"trouble": stdio_trouble()}, **LONG) as bench:
        os.kill(await bench.pid("trouble"), signal.SIGKILL)
        await falls(seen, "trouble")


async def test_a_grandchild_that_holds_the_pipe_open_does_not_hide_the_death(on, seen):
    async with on({"trouble": stdio_trouble()}, **LONG) as bench:
        child = int((await bench.execute("trouble", "leave_a_child")).text)
        try:
            os.kill(await bench.pid("trouble"), signal.SIGKILL)
            await falls(seen, "trouble")
            assert "signal 9" in (await bench.client.status())["trouble"].error
        finally:
            os.kill(child, signal.SIGKILL)


async def test_a_killed_stdio_server_comes_back(on, seen):
    async with on({"trouble": stdio_trouble()}) as bench:
        first = await bench.pid("trouble")
        os.kill(first, signal.SIGKILL)
        await falls(seen, "trouble")
        await asyncio.to_thread(eventually, lambda: active(seen, "trouble") == 1)
        assert await bench.pid("trouble") != first
        assert (await bench.execute("trouble", "echo", {"text": "back"})).text == "back"
    assert seen.value("mcp_server_connections_total", server_id="trouble", outcome="success") == 2


@pytest.mark.parametrize("protocol", part(["2026-07-28", "legacy"], "2026-07-28"))
async def test_an_http_server_that_vanishes_while_idle_brings_the_gauge_down(on, http_process, seen, protocol):
    async with on({"web": http_process.entry}, protocol=protocol, **LONG) as bench:
        await bench.execute("web", "echo", {"text": "x"})
        assert active(seen, "web") == 1
        http_process.kill()
        await falls(seen, "web")


async def test_an_http_server_that_closes_in_good_order_brings_the_gauge_down(on, seen):
    with serving(make_server().streamable_http_app()) as address:
        client = MCPClient({"mcpServers": {"web": {"url": f"{address}/mcp"}}})
        await client.open()
        assert active(seen, "web") == 1
    await falls(seen, "web")
    await client.close()


async def test_an_sse_server_that_vanishes_brings_the_gauge_down(on, sse_process, seen):
    async with on({"old": sse_process.entry}, **LONG):
        assert active(seen, "old") == 1
        sse_process.kill()
        await falls(seen, "old")


async def test_a_server_is_tried_again_when_a_call_needs_it_and_not_when_its_backoff_ends(on, http_process, seen):
    async with on({"web": http_process.entry}, **LONG) as bench:
        await bench.execute("web", "process")
        http_process.kill()
        await falls(seen, "web")
        for _ in range(2):
            with pytest.raises(ToolConnectionError, match=r"tried again when a call needs it, and in \d\d\.\d s"):
                await bench.execute("web", "process", timeout=60.0)
        http_process.start()
        calls = [bench.execute("web", "process", timeout=60.0) for _ in range(3)]
        started = asyncio.get_running_loop().time()
        assert len({answer.text for answer in await asyncio.gather(*calls)}) == 1
        assert asyncio.get_running_loop().time() - started < LONG["backoff_first"] / 2
    assert seen.value("mcp_server_connections_total", server_id="web", outcome="success") == 2


async def test_a_server_that_dies_says_its_last_line_of_stderr(on, seen, tmp_path):
    python = sys.executable
    with (tmp_path / "errors").open("w") as errlog:
        servers = {
            "quick": {"command": python, "args": ["-c", "raise SystemExit('no key was given')"]},
            "trouble": stdio_trouble(),
        }
        async with on(servers, errlog=errlog, **LONG) as bench:
            with pytest.raises(ToolConnectionError, match=r"exited \(1\): no key was given"):
                await bench.execute("quick", "echo")
            assert "no key was given" in (await bench.client.status())["quick"].error
            with pytest.raises(ToolConnectionError, match=r"exited \(4\): the disk is full"):
                await bench.execute("trouble", "die_saying", {"words": "the disk is full"})
    assert "no key was given\n" in (tmp_path / "errors").read_text()
    assert "first\nthe disk is full\n" in (tmp_path / "errors").read_text()


@pytest.mark.parametrize("protocol", ["2026-07-28", "legacy"])
async def test_a_servers_question_is_answered_by_a_hook(on, gate, seen, protocol):
    asked = []

    def ask_a_person(server_id, question):
        asked.append((server_id, question.message))
        return {"name": "Bo"} if len(asked) == 1 else None

    async with on({"web": gate.entry}, protocol=protocol, elicitation=ask_a_person) as bench:
        assert (await bench.execute("web", "greet")).text == "hello Bo"
        with pytest.raises(ToolExecutionError):
            await bench.execute("web", "greet")  # declined
    assert asked == [("web", "who?")] * 2
    assert [call.outcome for call in seen.tool_calls] == ["success", "error"]


async def test_a_server_that_wants_a_model_gets_its_answer_by_a_hook(on, gate, seen):
    async def ask_a_model(server_id, request):
        return f"nothing to {request.messages[0].content.text}"

    async with on({"web": gate.entry}, protocol="legacy", sampling=ask_a_model) as bench:
        assert (await bench.execute("web", "think")).text == "it says nothing to and?"


@pytest.mark.parametrize(("tool", "hook", "protocol"), [
    ("greet", "elicitation", "2026-07-28"), ("greet", "elicitation", "legacy"), ("think", "sampling", "legacy"),
])  # fmt: skip
async def test_a_question_without_a_hook_is_refused_by_name(on, gate, seen, tool, hook, protocol):
    async with on({"web": gate.entry}, protocol=protocol) as bench:
        with pytest.raises(ToolError, match=rf"needs {hook}.*ConnectionOptions\({hook}=\.\.\.\)"):
            await bench.execute("web", tool)


async def test_a_hook_that_fails_fails_the_call_and_nothing_else(on, gate, seen, caplog):
    async def broken(server_id, question):
        raise ZeroDivisionError

    async with on({"web": gate.entry}, elicitation=broken) as bench:
        with pytest.raises(ToolError, match="the elicitation hook failed: ZeroDivisionError"):
            await bench.execute("web", "greet")
        assert (await bench.execute("web", "echo", {"text": "on"})).text == "on"
    assert "'web': the elicitation hook failed" in caplog.text


@pytest.mark.parametrize("protocol", part(["2026-07-28", "legacy"], "2026-07-28"))
async def test_an_http_server_that_comes_back_is_used_again(on, http_process, seen, protocol):
    async with on({"web": http_process.entry}, protocol=protocol, backoff_longest=0.5) as bench:
        before = (await bench.execute("web", "process")).text
        http_process.kill()
        await falls(seen, "web")
        http_process.start()
        await asyncio.to_thread(eventually, lambda: active(seen, "web") == 1)
        assert (await bench.execute("web", "process")).text != before


async def test_a_server_that_forgets_the_session_is_connected_anew(on, gate, seen):
    async with on({"web": gate.entry}, protocol="legacy") as bench:
        await bench.execute("web", "echo", {"text": "x"})
        gate.status, gate.times = 404, 1
        assert (await bench.execute("web", "echo", {"text": "new session"})).text == "new session"
    assert gate.seen.count("initialize") == 2
    assert [call.outcome for call in seen.tool_calls] == ["success", "success"]


async def test_a_server_that_forgets_every_session_is_asked_twice_and_no_more(on, gate, seen):
    async with on({"web": gate.entry}, protocol="legacy") as bench:
        await bench.registry.find("web", "echo")
        gate.status = 404
        with pytest.raises(ToolConnectionError, match="HTTP 404"):
            await bench.execute("web", "echo", {"text": "x"})
    assert gate.seen.count("tools/call") == 2


async def test_a_server_that_was_never_up_stands_at_zero(on, seen):
    async with on({"gone": {"command": "no-such-program"}}, **LONG):
        assert seen.series(GAUGE) == {(("server_id", "gone"),): 0}


async def test_a_client_is_opened_once(on, seen):
    async with on({}) as bench:
        with pytest.raises(ConfigError, match="open already"):
            await bench.client.open()


async def test_a_busy_http_server_is_not_taken_for_a_dead_one(on, seen):
    """A tool that blocks the server's event loop keeps it from answering anything, and the call still succeeds."""
    import time

    server = make_server()

    @server.tool()
    async def block() -> str:
        time.sleep(2.5)
        return "done"

    with serving(server.streamable_http_app()) as address:
        async with on({"web": {"url": f"{address}/mcp"}}) as bench:
            assert (await bench.execute("web", "block")).text == "done"
        assert seen.value("mcp_server_connections_total", outcome="success") == 1


async def test_the_gauge_counts_each_client_and_never_goes_below_zero(seen):
    config = {"mcpServers": {"trouble": stdio_trouble()}}
    async with MCPClient(config), MCPClient(config):
        assert active(seen, "trouble") == 2
    assert active(seen, "trouble") == 0


async def test_closing_twice_is_closing_once(seen):
    client = MCPClient({"mcpServers": {"trouble": stdio_trouble()}})
    await client.open()
    await client.close()
    await client.close()
    assert active(seen, "trouble") == 0


async def test_one_failed_request_leaves_the_other_calls_alone(on, gate, seen):
    async with on({"web": gate.entry}) as bench:
        await bench.registry.find("web", "hang")
        hanging = asyncio.create_task(bench.execute("web", "hang"))
        await asyncio.to_thread(eventually, lambda: "tools/call" in gate.seen)
        gate.status = 500
        with pytest.raises(Exception, match="HTTP 500"):
            await bench.execute("web", "echo", {"text": "x"})
        assert not hanging.done()
        assert active(seen, "web") == 1
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)


async def test_a_failed_connection_is_counted_and_explained(on, seen):
    gate = Gate(make_server().streamable_http_app())
    gate.status, gate.methods = 401, ("server/discover", "initialize")
    with serving(gate) as address:
        async with on({"web": {"url": f"{address}/mcp"}}, **LONG) as bench:
            assert "HTTP 401" in (await bench.client.status())["web"].error
    assert seen.value("mcp_server_connections_total", server_id="web", outcome="error") == 1
    assert active(seen, "web") == 0


async def test_calls_from_several_threads_and_loops_share_the_connections(on, seen):
    def elsewhere(bench):
        return asyncio.run(bench.execute("trouble", "process")).text

    async with on({"trouble": stdio_trouble()}) as bench:
        texts = await asyncio.gather(*(asyncio.to_thread(elsewhere, bench) for _ in range(4)))
        assert set(texts) == {str(await bench.pid("trouble"))}
    assert seen.value("mcp_server_connections_total", outcome="success") == 1


def test_a_process_that_ends_without_closing_leaves_no_server_behind():
    import subprocess
    import sys

    code = (
        "import json, sys\n"
        "from tachograph.mcp import MCPClient\n"
        "client = MCPClient(json.loads(sys.argv[1])).__enter__()\n"
        "print(client.run(client.status())['trouble'].pid)\n"
    )
    import json

    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps({"mcpServers": {"trouble": stdio_trouble()}})],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    pid = int(done.stdout)
    eventually(lambda: not _lives(pid), 60.0)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
