"""Each way in which a tool call can end: its exception, its kind and its outcome."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time

import pytest

from support.mcp_servers import stdio_trouble
from tachograph.mcp import (
    ToolConnectionError,
    ToolExecutionError,
    ToolTimeoutError,
    ToolValidationError,
    UnknownToolError,
)
from tachograph.testing import recording


def ending(seen):
    """Outcome and kind of the last tool call, which must also be what the metrics say."""
    call = seen.tool_calls[-1]
    labels = {"server_id": call.server_id, "tool_name": "unknown" if call.is_made_up else call.tool_name}
    assert seen.value("mcp_tool_execute_seconds_count", outcome=call.outcome, **labels) >= 1
    if call.error_kind is not None:
        assert seen.value("mcp_tool_errors_total", error_kind=call.error_kind, **labels) >= 1
    return call.outcome, call.error_kind


async def test_an_answer_comes_back_whole(web, seen):
    result = await web.execute("trouble", "add", {"left": 2, "right": 40})
    assert (result.text, result.structured_content, result.is_error) == ("42", {"result": 42}, False)
    call = seen.tool_calls[0]
    assert (call.server_id, call.tool_name, call.argument_count) == ("trouble", "add", 2)
    assert ending(seen) == ("success", None)
    assert seen.value("mcp_tool_errors_total") == 0


async def test_a_tool_that_fails_in_words_is_an_execution_error_whose_content_can_be_read(web, seen):
    with pytest.raises(ToolExecutionError, match="refused: sold out") as caught:
        await web.execute("trouble", "refuse", {"why": "sold out"})
    assert caught.value.result.is_error
    assert "refused: sold out" in caught.value.result.text
    assert ending(seen) == ("error", "execution")


async def test_a_tool_that_fails_by_a_bug_is_an_execution_error(web, seen):
    with pytest.raises(ToolExecutionError):
        await web.execute("trouble", "blow_up")
    assert ending(seen) == ("error", "execution")


async def test_bad_arguments_are_refused_before_anything_is_sent(on, gate, seen):
    async with on({"trouble": gate.entry}) as bench:
        with pytest.raises(ToolValidationError, match="missing 'left'") as caught:
            await bench.execute("trouble", "add", {"right": 1})
        with pytest.raises(ToolValidationError, match="left: must be integer, not string"):
            await bench.execute("trouble", "add", {"left": "two", "right": 1})
    assert caught.value.server_id == "trouble"
    assert ending(seen) == ("error", "validation")
    assert "tools/call" not in gate.seen


async def test_an_unknown_tool_is_refused_before_anything_is_sent(on, gate, seen):
    async with on({"trouble": gate.entry}) as bench:
        with pytest.raises(UnknownToolError, match="Did you mean 'echo'"):
            await bench.execute("trouble", "ecco", {})
    assert ending(seen) == ("error", "validation")
    assert "tools/call" not in gate.seen


async def test_names_that_a_model_made_up_are_one_label_value_and_crowd_no_tool_out(on, gate):
    with recording(metrics={"label_limit": 3}) as seen:
        async with on({"trouble": gate.entry}) as bench:
            for number in range(10):
                with pytest.raises(UnknownToolError):
                    await bench.execute("trouble", f"invented_{number}")
            await bench.execute("trouble", "add", {"left": 1, "right": 2})
    assert seen.value("mcp_tool_errors_total", tool_name="unknown", error_kind="validation") == 10
    assert seen.value("mcp_tool_execute_seconds_count", tool_name="add", outcome="success") == 1
    assert seen.value("tachograph_label_overflow_total") == 0
    assert [call.tool_name for call in seen.tool_calls][:2] == ["invented_0", "invented_1"]  # spans and rows have it


async def test_an_unknown_server_says_which_there_are(web, seen):
    with pytest.raises(UnknownToolError, match="Configured servers: 'trouble'"):
        await web.execute("truble", "echo", {"text": "x"})
    assert ending(seen) == ("error", "validation")


async def test_a_hanging_tool_is_a_timeout_within_its_time(web, seen):
    await web.registry.find("trouble", "hang")
    started = time.monotonic()
    with pytest.raises(ToolTimeoutError, match=r"no answer within 0\.3 s"):
        await web.execute("trouble", "hang", timeout=0.3)
    assert 0.29 < time.monotonic() - started < 9.0  # well under the executor's own patience of 10 s
    assert ending(seen) == ("timeout", "timeout")
    assert (await web.execute("trouble", "echo", {"text": "still there"})).text == "still there"


async def test_a_tool_that_ends_the_process_is_a_connection_error_and_the_next_call_works(stdio, seen):
    with pytest.raises(ToolConnectionError):
        await stdio.execute("trouble", "crash")
    assert ending(seen) == ("error", "connection")
    assert (await stdio.execute("trouble", "echo", {"text": "back"})).text == "back"


async def test_a_server_killed_during_a_call_is_a_connection_error_at_once(stdio, seen):
    await stdio.registry.find("trouble", "hang")
    call = asyncio.create_task(stdio.execute("trouble", "hang"))
    await asyncio.to_thread(_until_sent, stdio)
    started = time.monotonic()
    os.kill(await stdio.pid("trouble"), signal.SIGKILL)
    with pytest.raises(ToolConnectionError):
        await call
    assert time.monotonic() - started < 9.0  # at once, and not when the patience of 10 s ends
    assert ending(seen) == ("error", "connection")


def _until_sent(bench):
    """Until the server has answered something asked after the call, which it therefore has."""
    bench.client.run(bench.client.list_tools("trouble"), 10)


async def test_a_server_that_does_not_exist_is_a_connection_error_that_says_so(on, seen):
    async with on({"gone": {"command": "no-such-program"}}) as bench:
        with pytest.raises(ToolConnectionError, match="'no-such-program' does not exist"):
            await bench.execute("gone", "echo", {"text": "x"}, timeout=60.0)
    assert ending(seen) == ("error", "connection")


async def test_a_server_that_exits_at_once_is_a_connection_error(on, seen):
    async with on({"gone": {"command": "false"}}) as bench:
        with pytest.raises(ToolConnectionError, match=r"the server process exited \(1\)"):
            await bench.execute("gone", "echo", {"text": "x"}, timeout=60.0)
    assert ending(seen) == ("error", "connection")


async def test_a_server_that_never_shakes_hands_is_a_connection_error_within_the_time(on, seen):
    async with on({"mute": {"command": "sh", "args": ["-c", "cat > /dev/null"]}}, connect_timeout=0.5) as bench:
        started = time.monotonic()
        with pytest.raises(ToolConnectionError, match=r"no handshake within|not connected"):
            await bench.execute("mute", "echo", {"text": "x"}, timeout=0.4)
        assert time.monotonic() - started < 9.0
    assert ending(seen) == ("error", "connection")


async def test_a_cancelled_call_is_no_error(stdio, seen):
    await stdio.registry.find("trouble", "hang")
    call = asyncio.create_task(stdio.execute("trouble", "hang"))
    await asyncio.to_thread(_until_sent, stdio)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ending(seen) == ("cancelled", None)
    assert seen.value("mcp_tool_errors_total") == 0


@pytest.mark.parametrize(
    ("status", "kind", "exception"),
    [
        (400, "validation", ToolValidationError),
        (401, "connection", ToolConnectionError),
        (403, "connection", ToolConnectionError),
        (429, "connection", ToolConnectionError),
        (500, "execution", ToolExecutionError),
        (503, "connection", ToolConnectionError),
        (504, "timeout", ToolTimeoutError),
    ],
)
@pytest.mark.parametrize("protocol", ["2026-07-28", "legacy"])
async def test_http_statuses_are_told_apart(on, gate, seen, protocol, status, kind, exception):
    async with on({"trouble": gate.entry}, protocol=protocol) as bench:
        await bench.registry.find("trouble", "echo")
        gate.status = status
        with pytest.raises(exception, match=f"HTTP {status}") as caught:
            await bench.execute("trouble", "echo", {"text": "x"})
        assert caught.value.status == status
        assert ending(seen)[1] == kind
        gate.status = None
        assert (await bench.execute("trouble", "echo", {"text": "again"})).text == "again"


async def test_an_sse_server_that_refuses_a_message_is_a_connection_error_at_once(on, sse_process, seen):
    async with on({"old": sse_process.entry}) as bench:
        await bench.registry.find("old", "echo")
        sse_process.kill()
        started = time.monotonic()
        with pytest.raises(ToolConnectionError):
            await bench.execute("old", "echo", {"text": "x"})
        assert time.monotonic() - started < 9.0
    assert ending(seen) == ("error", "connection")


async def test_sse_works(on, sse_process, seen):
    async with on({"old": sse_process.entry}) as bench:
        assert (await bench.execute("old", "echo", {"text": "hi", "times": 2})).text == "hi hi"


async def test_headers_of_the_configuration_are_sent(on, gate):
    entry = {**gate.entry, "headers": {"Authorization": "Bearer abc"}}
    async with on({"trouble": entry}) as bench:
        await bench.execute("trouble", "echo", {"text": "x"})
    assert {headers.get("authorization") for headers in gate.headers} == {"Bearer abc"}


async def test_many_calls_at_once_are_each_answered_and_counted(web, seen):
    words = [f"word {number}" for number in range(50)]
    answers = await asyncio.gather(*(web.execute("trouble", "echo", {"text": word}) for word in words))
    assert [answer.text for answer in answers] == words
    assert seen.value("mcp_tool_execute_seconds_count", outcome="success") == 50


def test_code_without_a_loop_uses_the_same_calls(seen):
    from tachograph.mcp import MCPClient, ToolExecutor, ToolRegistry

    with MCPClient({"mcpServers": {"trouble": stdio_trouble()}}) as client:
        executor = ToolExecutor(ToolRegistry(client))
        assert client.run(executor.execute("trouble", "echo", {"text": "sync"})).text == "sync"
        with pytest.raises(ToolExecutionError):
            client.run(executor.execute("trouble", "refuse"))
    assert [call.outcome for call in seen.tool_calls] == ["success", "error"]
    assert seen.value("mcp_server_connections_active") == 0


async def test_trace_context_travels_in_meta(web, seen):
    from opentelemetry import trace

    with trace.get_tracer("test").start_as_current_span("outer") as outer:
        result = await web.execute("trouble", "trace")
    _, trace_id, span_id, _ = json.loads(result.text)["traceparent"].split("-")
    assert int(trace_id, 16) == outer.get_span_context().trace_id
    call = seen.tool_calls[0]
    if call.span_id:  # the span signal is on: the server's spans hang under the call's
        assert int(span_id, 16) == call.span_id


async def test_the_sdk_makes_no_second_span_for_our_call(web, seen):
    await web.execute("trouble", "echo", {"text": "x"})
    assert [span.name for span in seen.spans if "tools/call" in span.name and "send" in span.name] == []
