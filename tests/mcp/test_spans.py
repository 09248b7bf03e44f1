"""What a trace shows of a tool call."""

from __future__ import annotations

import json
import sys

import pytest

from tachograph.mcp import ToolExecutionError, ToolValidationError
from tachograph.testing import recording


def only(spans, name):
    found = [span for span in spans if span.name == name]
    assert len(found) == 1
    return found[0]


async def test_one_span_stands_for_a_call_and_the_server_continues_it(stdio, seen):
    from opentelemetry import trace

    with trace.get_tracer("test").start_as_current_span("outer") as outer:
        told = json.loads((await stdio.execute("trouble", "trace")).text)
    span = only(seen.spans, "mcp.tool.execute")
    assert span.parent.span_id == outer.get_span_context().span_id
    assert told["traceparent"].split("-")[1:3] == [
        f"{span.context.trace_id:032x}",
        f"{span.context.span_id:016x}",
    ]
    assert not [span.name for span in seen.spans if span.name.startswith("MCP send tools/call")]
    attributes = dict(span.attributes)
    attributes.pop("tachograph.call_id")
    assert attributes == {
        "server_id": "trouble",
        "tool_name": "trace",
        "arg_count": 0,
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "trace",
        "network.transport": "pipe",
        "mcp.protocol.version": "2026-07-28",
    }


async def test_an_http_servers_span_names_its_host(on, gate, seen):
    async with on({"web": gate.entry}) as bench:
        await bench.execute("web", "echo", {"text": "x"})
    attributes = only(seen.spans, "mcp.tool.execute").attributes
    assert (attributes["network.transport"], attributes["server.address"]) == ("tcp", "127.0.0.1")
    assert "mcp.session.id" not in attributes


async def test_a_session_is_named_where_the_protocol_has_one(on, gate, seen):
    async with on({"web": gate.entry}, protocol="legacy") as bench:
        await bench.execute("web", "echo", {"text": "x"})
        session = (await bench.client.status())["web"].session_id
    attributes = only(seen.spans, "mcp.tool.execute").attributes
    assert (attributes["mcp.session.id"], attributes["mcp.protocol.version"]) == (session, "2025-11-25")


async def test_a_failed_calls_span_carries_its_kind_and_none_of_its_content(web, seen):
    with pytest.raises(ToolExecutionError):
        await web.execute("trouble", "refuse", {"why": "a secret reason"})
    with pytest.raises(ToolValidationError):
        await web.execute("trouble", "echo", {"text": "x", "times": "a secret number"})
    refused, invalid = [span for span in seen.spans if span.name == "mcp.tool.execute"]
    assert (refused.attributes["error_kind"], refused.attributes["error.type"]) == ("execution", "tool_error")
    assert (invalid.attributes["error_kind"], invalid.attributes["error.type"]) == ("validation", "validation")
    for span in (refused, invalid):
        assert span.status.status_code.name == "ERROR"
        assert [event.name for event in span.events] == ["exception"]
        assert "secret" not in span.to_json()


async def test_content_is_recorded_when_asked_for(on, gate):
    with recording(spans={"content": True}) as seen:
        async with on({"trouble": gate.entry}) as bench:
            await bench.execute("trouble", "echo", {"text": "hello"})
    attributes = only(seen.spans, "mcp.tool.execute").attributes
    assert "hello" in str(attributes["gen_ai.tool.call.arguments"])
    assert "hello" in str(attributes["gen_ai.tool.call.result"])


def hide(text, where):
    """A redaction hook that keeps arguments without their digits, and no result."""
    return "".join("#" if letter.isdigit() else letter for letter in text) if where == "tool.arguments" else None


async def test_the_executor_asks_the_redaction_hook_for_arguments_results_and_error_texts(on, gate):
    sys.modules["hooks_of_test_spans"] = sys.modules[hide.__module__]
    with recording(spans={"content": True}, instrument={"redact": "hooks_of_test_spans:hide"}) as seen:
        async with on({"trouble": gate.entry}) as bench:
            await bench.execute("trouble", "echo", {"text": "card 4111"})
            with pytest.raises(ToolExecutionError):
                await bench.execute("trouble", "refuse", {"why": "card 4111"})
    said = [span.to_json() for span in seen.spans]
    assert any("card ####" in text for text in said)
    assert not any("card 4111" in text for text in said)
    assert not any("card 4111" in str((call.content, call.error)) for call in seen.tool_calls)


async def test_nothing_is_traced_when_spans_are_off_and_the_sdks_own_span_stands(on, gate):
    with recording(spans={"enabled": False}) as seen:
        async with on({"trouble": gate.entry}) as bench:
            await bench.execute("trouble", "echo", {"text": "hello"})
    assert seen.spans == []
    assert seen.tool_calls[0].outcome == "success"
