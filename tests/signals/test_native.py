"""Client libraries that make spans of their own: one span per call of ours, and theirs untouched elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from tachograph.signals import native
from tachograph.testing import Recording, recording

anthropic = pytest.importorskip("anthropic", reason="needs the anthropic SDK")
httpx2 = pytest.importorskip("httpx2", reason="older SDKs use httpx")

ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@pytest.fixture
def silenced() -> Iterator[None]:
    from anthropic import _base_client

    assert native.silence_tracer(_base_client.BaseClient)
    assert native.silence_tracer(_base_client.BaseClient)
    yield
    native.restore(_base_client.BaseClient, "_tracer")


def ask(headers: list[dict[str, str]]) -> None:
    def answer(request: Any) -> Any:
        headers.append(dict(request.headers))
        return httpx2.Response(200, content=json.dumps(ANSWER), headers={"content-type": "application/json"})

    client = anthropic.Anthropic(
        api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(answer)), base_url="http://127.0.0.1"
    )
    client.messages.create(model="claude-opus-5", max_tokens=5, messages=[{"role": "user", "content": "hi"}])


def test_anthropic_s_span_is_left_out_while_ours_stands_for_it(seen: Recording, silenced: None) -> None:
    headers: list[dict[str, str]] = []
    with trace.get_tracer("application").start_as_current_span("agent"):
        call = seen.recorder.start_llm_call("anthropic", "claude-opus-5")
        ask(headers)
        call.finish("success")
    spans = {span.name: span for span in seen.spans}
    assert set(spans) == {"llm.complete", "agent"}
    assert spans["llm.complete"].parent == spans["agent"].context
    assert len(headers) == 1


def test_anthropic_s_span_stays_where_no_call_of_ours_is(seen: Recording, silenced: None) -> None:
    ask([])
    assert [span.name for span in seen.spans] == ["anthropic.messages.create"]


def test_mcp_s_span_function_is_left_out_while_ours_stands_for_it(seen: Recording) -> None:
    dispatcher = pytest.importorskip("mcp.shared.jsonrpc_dispatcher", reason="mcp 1 opens no spans")
    from opentelemetry.trace import SpanKind

    def send() -> None:
        with dispatcher.otel_span("MCP send tools/call x", kind=SpanKind.CLIENT) as span:
            span.set_attribute("jsonrpc.request.id", "1")

    native.restore(dispatcher, "otel_span")  # another test of this process may have silenced it
    original = dispatcher.otel_span
    assert native.silence_span_function(dispatcher, "otel_span")
    try:
        call = seen.recorder.start_tool_call("time", "x")
        send()
        call.finish("success")
        send()
    finally:
        native.restore(dispatcher, "otel_span")
    assert {span.name for span in seen.spans} == {"mcp.tool.execute", "MCP send tools/call x"}
    assert dispatcher.otel_span is original


def test_without_a_provider_mcp_opens_no_span_that_would_go_nowhere_but_hands_a_caller_s_trace_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = pytest.importorskip("mcp.server._otel", reason="mcp 1 opens no spans")
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    native.restore(server, "otel_span")
    original = server.otel_span
    assert native.silence_span_function(server, "otel_span", beside_ours=True)
    caller = TraceContextTextMapPropagator().extract({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    try:
        with server.otel_span("tools/call x", kind=SpanKind.SERVER, context=None) as span:
            span.set_attribute("error.type", "tool_error")
            assert not trace.get_current_span().get_span_context().is_valid
        assert not span.is_recording()
        with server.otel_span("tools/call x", kind=SpanKind.SERVER, context=caller):
            assert f"{trace.get_current_span().get_span_context().trace_id:x}" == "a" * 32
    finally:
        native.restore(server, "otel_span")
    assert server.otel_span is original


def test_mcp_s_span_is_left_out_where_ours_is_not_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher = pytest.importorskip("mcp.shared.jsonrpc_dispatcher", reason="mcp 1 opens no spans")
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="spans need opentelemetry-sdk")
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
    from opentelemetry.trace import SpanKind

    monkeypatch.setattr(trace, "_TRACER_PROVIDER", sdk.TracerProvider(sampler=ALWAYS_OFF))
    native.restore(dispatcher, "otel_span")
    assert native.silence_span_function(dispatcher, "otel_span")
    try:
        with recording() as seen:
            call = seen.recorder.start_tool_call("time", "x")
            ours = trace.get_current_span()
            with dispatcher.otel_span("MCP send tools/call x", kind=SpanKind.CLIENT):
                assert trace.get_current_span() is ours
            call.finish("success")
    finally:
        native.restore(dispatcher, "otel_span")
    assert not trace.get_current_span().get_span_context().is_valid
