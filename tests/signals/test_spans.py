"""Spans: the contract's names and attributes, true parentage, nothing left current, none without a provider."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from support.traffic import llm_call, retried_call, tool_call
from tachograph.records import Cost, Usage, labels
from tachograph.records.content import ContentGate, keep
from tachograph.runtime import join
from tachograph.settings.spans import SpansSettings
from tachograph.signals.registry import Metrics
from tachograph.signals.spans import LightSpan, SpanSignal, leave
from tachograph.testing import Recording, recording


class SeesStarts(SpanProcessor):
    """A span processor that looks at spans when they start, so that stock spans are made for it."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        span.set_attribute("seen.at.start", True)


class World:
    """A recorder over a TracerProvider of its own."""

    def __init__(self, settings: SpansSettings | None = None, *, stock: bool = False, **provider: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**provider)
        if stock:
            self.provider.add_span_processor(SeesStarts())
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.recorder = join(Metrics(()), spans=SpanSignal(settings, self.provider), strict=True)
        self.tracer = self.provider.get_tracer("application")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        self.provider.force_flush()
        return self.exporter.get_finished_spans()


@pytest.fixture(params=["light", "stock"])
def world(request: pytest.FixtureRequest) -> World:
    return World(stock=request.param == "stock")


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return {name: value for name, value in (span.attributes or {}).items() if name != "seen.at.start"}


def test_a_call_that_succeeds_has_the_contract_s_attributes_and_opentelemetry_s(world: World) -> None:
    call = world.recorder.start_llm_call("gemini", "gemini-2.5-pro", "generate_content", message_count=3)
    call.server_address, call.server_port = "generativelanguage.googleapis.com", 443
    call.request = {"max_tokens": 100, "stop_sequences": ["a", "b"], "odd": {"x": 1}}
    call.begin_attempt().end("success", status=200, ended_ns=call.started_ns + 1_000)
    call.usage = Usage(120, 30, {"cache_read": 100, "reasoning": 10, "cache_write_5m": 1})
    call.cost = Cost(1_500_000, "priced")
    call.response_model, call.response_id, call.finish_reason = "gemini-2.5-pro-001", "r-1", "STOP"
    call.finish("success", ended_ns=call.started_ns + 2_000)
    (span,) = world.spans
    assert (span.name, span.kind, span.instrumentation_scope.name) == (
        "llm.complete",
        SpanKind.CLIENT,
        "tachograph.llm",
    )
    assert attributes(span) == {
        "provider": "gemini",
        "model": "gemini-2.5-pro",
        "prompt_length": 3,
        "prompt_tokens": 120,
        "completion_tokens": 30,
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "gemini-2.5-pro",
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.stop_sequences": ("a", "b"),
        "gen_ai.request.odd": "{'x': 1}",
        "gen_ai.response.model": "gemini-2.5-pro-001",
        "gen_ai.response.id": "r-1",
        "gen_ai.response.finish_reasons": ("STOP",),
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.reasoning.output_tokens": 10,
        "tachograph.usage.details.cache_write_5m": 1,
        "server.address": "generativelanguage.googleapis.com",
        "server.port": 443,
        "tachograph.call_id": call.id.hex(),
        "tachograph.attempts": 1,
        "tachograph.cost.usd": 0.0015,
        "tachograph.cost.quality": "priced",
    }
    assert (span.start_time, span.end_time) == (call.started_unix_ns, call.started_unix_ns + 2_000)
    assert span.status.status_code is StatusCode.UNSET
    assert span.context is not None
    assert (call.trace_id, call.span_id) == (span.context.trace_id, span.context.span_id)


@pytest.mark.parametrize(
    ("around", "duplicate", "carries"),
    [
        ({"gen_ai.operation.name": "chat"}, False, False),
        ({"gen_ai.operation.name": "generate_content"}, False, False),
        ({"openinference.span.kind": "LLM"}, False, False),
        ({"gen_ai.operation.name": "chat"}, True, True),
        ({"gen_ai.operation.name": "invoke_agent"}, False, True),
        ({"gen_ai.operation.name": "execute_tool"}, False, True),
        ({"http.request.method": "POST"}, False, True),
    ],
)
@pytest.mark.parametrize("stock", [False, True])
def test_usage_stands_once_where_a_framework_has_a_span_of_the_same_call(
    around: dict[str, str], duplicate: bool, carries: bool, stock: bool
) -> None:
    world = World(SpansSettings(duplicate_usage=duplicate), stock=stock)
    with world.tracer.start_as_current_span("framework's", attributes=around):
        call = world.recorder.start_llm_call("openai", "gpt-5")
        call.usage = Usage(120, 30, {"cache_read": 100})
        call.finish("success")
    ours = next(attributes(span) for span in world.spans if span.name == "llm.complete")
    assert any(name.startswith("gen_ai.usage.") for name in ours) is carries
    assert (ours["prompt_tokens"], ours["completion_tokens"]) == (120, 30)  # the contract's, which are never summed


def test_a_call_that_fails_has_its_error_type_status_and_exception(world: World) -> None:
    call = world.recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt()
    try:
        raise ValueError("key refused")
    except ValueError as error:
        call.finish("error", "auth", error=error)
    (span,) = world.spans
    found = attributes(span)
    assert found["error_type"] == found["error.type"] == "auth"
    assert "prompt_tokens" not in found
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError: key refused")
    event = span.events[-1]
    assert event.name == "exception"
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "ValueError"
    assert event.attributes["exception.message"] == "key refused"
    assert 'raise ValueError("key refused")' in str(event.attributes["exception.stacktrace"])


def test_an_error_with_half_of_a_surrogate_pair_can_be_exported(world: World) -> None:
    call = world.recorder.start_llm_call("openai", "gpt-5")
    try:
        raise ValueError("said \udc00")
    except ValueError as error:
        call.finish("error", "invalid_request", error=error)
    (span,) = world.spans
    assert span.status.description == "ValueError: said ?"
    assert encode_spans([span]).SerializeToString().count(b"said ?") >= 2


def test_attempts_and_waits_are_events_and_the_limiter_s_wait_is_told_apart(world: World) -> None:
    call = world.recorder.start_llm_call("openai", "gpt-5")
    at = call.started_ns
    for number, (outcome, error, status) in enumerate(
        [("rate_limited", "rate_limit", 429), ("error", "server_error", 500), ("success", None, 200)]
    ):
        attempt = call.begin_attempt()
        attempt.started_ns = at
        attempt.end(outcome, error, status=status, ended_ns=at + 100)
        attempt.waited_ns = 1_000_000_000 if number < 2 else 0
        at += 1_000_000_100
    call.attempts[0].waited_before_ns = 500_000_000
    call.attempts[0].retry_after_seconds = 1.0
    call.finish("success", ended_ns=at)
    (span,) = world.spans
    start = call.started_unix_ns
    assert [(event.name, event.timestamp - start, dict(event.attributes or {})) for event in span.events] == [
        ("llm.limiter_wait", 0, {"seconds": 0.5, "limiter": "client"}),
        (
            "llm.attempt",
            100,
            {
                "number": 1,
                "outcome": "rate_limited",
                "seconds": 1e-07,
                "http.response.status_code": 429,
                "error_type": "rate_limit",
                "retry_after_seconds": 1.0,
            },
        ),
        ("llm.rate_limit_wait", 1_000_000_100, {"seconds": 1.0, "after_attempt": 1}),
        (
            "llm.attempt",
            1_000_000_200,
            {
                "number": 2,
                "outcome": "error",
                "seconds": 1e-07,
                "http.response.status_code": 500,
                "error_type": "server_error",
            },
        ),
        ("llm.retry_wait", 2_000_000_200, {"seconds": 1.0, "after_attempt": 2}),
        (
            "llm.attempt",
            2_000_000_300,
            {"number": 3, "outcome": "success", "seconds": 1e-07, "http.response.status_code": 200},
        ),
    ]


def test_a_tool_call_has_the_contract_s_attributes(world: World) -> None:
    call = world.recorder.start_tool_call("time", "get_time", argument_count=2)
    call.attributes = {"network.transport": "pipe", "error.type": "tool_error"}
    call.finish("error", "execution", error="secret text of a tool")
    (span,) = world.spans
    assert (span.name, span.kind, span.instrumentation_scope.name) == (
        "mcp.tool.execute",
        SpanKind.CLIENT,
        "tachograph.mcp",
    )
    assert attributes(span) == {
        "server_id": "time",
        "tool_name": "get_time",
        "arg_count": 2,
        "error_kind": "execution",
        "error.type": "tool_error",
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "get_time",
        "network.transport": "pipe",
        "tachograph.call_id": call.id.hex(),
        "tachograph.outcome": "error",
    }
    assert span.status.status_code is StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]
    assert "secret" not in span.to_json()


def test_children_nest_and_nothing_is_left_current(world: World) -> None:
    with world.tracer.start_as_current_span("agent") as agent:
        call = world.recorder.start_llm_call("openai", "gpt-5")
        with world.tracer.start_as_current_span("HTTP POST"):
            pass
        call.finish("success")
        assert trace.get_current_span() is agent
        tool = world.recorder.start_tool_call("time", "get_time")
        inner = world.recorder.start_llm_call("openai", "gpt-5-mini")
        inner.finish("success")
        tool.finish("success")
        assert trace.get_current_span() is agent
    by_name = {(span.name, (span.attributes or {}).get("model")): span for span in world.spans}
    top = by_name["agent", None].context.span_id
    outer = by_name["llm.complete", "gpt-5"]
    tool_span = by_name["mcp.tool.execute", None]
    assert outer.parent is not None
    assert outer.parent.span_id == top
    assert by_name["HTTP POST", None].parent.span_id == outer.context.span_id
    assert tool_span.parent.span_id == top
    assert by_name["llm.complete", "gpt-5-mini"].parent.span_id == tool_span.context.span_id
    assert len({span.context.trace_id for span in world.spans}) == 1


def test_a_stream_s_span_is_current_only_while_its_request_is_sent(world: World) -> None:
    before = context_api.get_current()
    call = world.recorder.start_llm_call("openai", "gpt-5", stream=True)
    assert context_api.get_current() is before
    with world.recorder.current(call):
        assert trace.get_current_span().get_span_context().span_id == call.span_id
        with world.tracer.start_as_current_span("HTTP POST"):
            pass
    assert context_api.get_current() is before
    call.first_token()

    def read_in_another_thread() -> None:
        call.finish("success")

    thread = threading.Thread(target=read_in_another_thread)
    thread.start()
    thread.join()
    http, stream = world.spans
    assert http.parent.span_id == stream.context.span_id
    found = attributes(stream)
    assert found["gen_ai.request.stream"] is True
    assert 0 < found["gen_ai.response.time_to_first_chunk"] < 5


def test_a_call_may_go_on_elsewhere(world: World) -> None:
    before = context_api.get_current()
    call = world.recorder.start_llm_call("openai", "gpt-5")
    leave(call)
    leave(call)
    assert context_api.get_current() is before
    call.finish("success")
    assert context_api.get_current() is before


def test_a_span_left_current_by_a_call_finished_elsewhere_is_nobody_s_parent() -> None:
    world = World()
    before = context_api.get_current()
    with world.tracer.start_as_current_span("agent") as agent:
        inside = context_api.get_current()
        call = world.recorder.start_llm_call("openai", "gpt-5")
        thread = threading.Thread(target=call.finish, args=("cancelled",))
        thread.start()
        thread.join()
        assert context_api.get_current() is not inside  # no other thread can put that right
        for _ in range(2):
            llm_call(world.recorder)
    context_api.attach(before)
    assert [span.parent for span in world.spans if span.name != "agent"] == [agent.get_span_context()] * 3


async def test_tasks_do_not_see_each_other_s_spans(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gate = asyncio.Event()

    async def one(model: str) -> None:
        with world.tracer.start_as_current_span(f"task {model}"):
            call = world.recorder.start_llm_call("openai", model)
            await gate.wait()
            with world.tracer.start_as_current_span(f"HTTP {model}"):
                await asyncio.sleep(0)
            call.finish("success")

    tasks = [asyncio.create_task(one(f"m{number}")) for number in range(5)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    spans = {span.name if "HTTP" in span.name else attributes(span).get("model"): span for span in world.spans}
    for number in range(5):
        child, parent = spans[f"HTTP m{number}"], spans[f"m{number}"]
        assert child.parent.span_id == parent.context.span_id
    assert not caplog.records


async def test_a_call_finished_in_another_task_disturbs_neither(world: World, caplog: pytest.LogCaptureFixture) -> None:
    call = world.recorder.start_llm_call("openai", "gpt-5")
    leave(call)

    async def finish() -> None:
        here = context_api.get_current()
        call.finish("cancelled")
        assert context_api.get_current() is here

    await asyncio.create_task(finish())
    (span,) = world.spans
    assert span.status.status_code is StatusCode.UNSET
    assert not caplog.records


def test_opentelemetry_s_span_names_on_request() -> None:
    world = World(SpansSettings(names="otel"))
    llm_call(world.recorder)
    tool_call(world.recorder)
    assert [span.name for span in world.spans] == ["chat gpt-5", "tools/call get_time"]


def test_content_stays_out_unless_asked_for_and_is_cut() -> None:
    for content in (False, True):
        world = World()
        world.recorder.content = ContentGate(content, 5)
        call = world.recorder.start_llm_call("openai", "gpt-5")
        keep(call, "input", lambda: "a long secret")
        keep(call, "output", lambda: "yes")
        call.finish("success")
        tool = world.recorder.start_tool_call("time", "get_time")
        keep(tool, "tool.arguments", dict)
        keep(tool, "tool.result", lambda: "noon")
        tool.finish("error", "execution", error="a secret")
        found = {k: v for span in world.spans for k, v in attributes(span).items() if k.count(".") >= 2}
        assert ("a sec..." in world.spans[1].to_json()) is content
        kept = {k: found.get(k) for k in ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.call.result")}
        assert list(kept.values()) == (
            ["a lon... [8 more characters]", "yes", "noon"] if content else [None, None, None]
        )


def test_labels_of_the_user_are_attributes(world: World) -> None:
    with labels(team="search"):
        llm_call(world.recorder, feature="summary")
    found = attributes(world.spans[0])
    assert (found["tachograph.label.team"], found["tachograph.label.feature"]) == ("search", "summary")


def test_an_unsampled_call_makes_no_span_but_its_children_stay_unsampled() -> None:
    world = World(sampler=ParentBased(ALWAYS_OFF))
    call = world.recorder.start_llm_call("openai", "gpt-5")
    with world.tracer.start_as_current_span("HTTP POST") as child:
        assert not child.is_recording()
        assert child.get_span_context().trace_id == trace.get_current_span().get_span_context().trace_id
    call.finish("success")
    assert world.spans == ()
    assert (call.trace_id, call.span_id) == (0, 0)
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_sampler_s_ratio_holds() -> None:
    world = World(sampler=TraceIdRatioBased(0.5))
    for _ in range(400):
        llm_call(world.recorder)
    assert 120 < len(world.spans) < 280


def test_what_the_application_says_on_the_current_span_is_kept(world: World) -> None:
    call = world.recorder.start_llm_call("openai", "gpt-5")
    span = trace.get_current_span()
    assert span.is_recording()
    span.set_attribute("user.id", "u1")
    span.set_attributes({"model": "not ours to change", "x": 1})
    span.add_event("cache miss", {"key": "k"})
    span.record_exception(KeyError("k"))
    call.finish("success")
    span.set_attribute("too", "late")
    (found,) = world.spans
    assert attributes(found)["user.id"] == "u1"
    assert attributes(found)["model"] == "gpt-5"
    assert "too" not in attributes(found) or not isinstance(span, LightSpan)  # a stock span ends with its delivery
    assert {event.name for event in found.events} == {"cache miss", "exception"}


def test_the_sdk_s_own_provider_gets_light_spans_and_starts_are_shown_who_wants_them() -> None:
    light, stock = World(), World(stock=True)
    for world, kind in ((light, LightSpan), (stock, trace.Span)):
        call = world.recorder.start_llm_call("openai", "gpt-5")
        assert isinstance(trace.get_current_span(), kind)
        assert isinstance(trace.get_current_span(), LightSpan) == (world is light)
        call.finish("success")
    assert (stock.spans[0].attributes or {})["seen.at.start"] is True
    light.provider.add_span_processor(SeesStarts())  # from now on
    llm_call(light.recorder)
    assert (light.spans[1].attributes or {})["seen.at.start"] is True


def test_both_ways_say_the_same() -> None:
    said = []
    for stock in (False, True):
        world = World(stock=stock)
        call = retried_call(world.recorder)
        (span,) = world.spans
        facts = {name: value for name, value in attributes(span).items() if name != "tachograph.call_id"}
        events = [(e.name, e.timestamp - call.started_unix_ns, dict(e.attributes or {})) for e in span.events]
        said.append((span.name, span.kind, facts, events, span.status.status_code, span.links, span.parent))
    assert said[0] == said[1]


def test_without_a_provider_nothing_is_made() -> None:
    recorder = join(Metrics(()), spans=SpanSignal(provider=trace.NoOpTracerProvider()), strict=True)
    before = context_api.get_current()
    call = recorder.start_llm_call("openai", "gpt-5")
    assert context_api.get_current() is before
    assert call.span is None
    call.finish("success")
    assert call.trace_id == 0


def test_suppressed_instrumentation_makes_no_span(world: World) -> None:
    token = context_api.attach(context_api.set_value(context_api._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        llm_call(world.recorder)
        tool_call(world.recorder)
    finally:
        context_api.detach(token)
    assert world.spans == ()


def test_inside_a_server_the_native_span_stands_for_the_execution(world: World) -> None:
    mcp = world.provider.get_tracer("mcp-python-sdk")
    with mcp.start_as_current_span("tools/call get_time") as native:
        call = world.recorder.start_tool_call("time", "get_time", server_side=True)
        call.finish("success")
    assert call.span_id == native.get_span_context().span_id
    with world.tracer.start_as_current_span("POST /mcp"):  # no span of the execution: ours is made below it
        alone = world.recorder.start_tool_call("time", "get_time", server_side=True)
        alone.finish("success")
    assert {(span.name, span.kind) for span in world.spans} == {
        ("tools/call get_time", SpanKind.INTERNAL),
        ("mcp.tool.execute", SpanKind.SERVER),
        ("POST /mcp", SpanKind.INTERNAL),
    }


def test_recordings_catch_spans_of_every_scope(seen: Recording) -> None:
    with trace.get_tracer("application").start_as_current_span("agent"):
        llm_call(seen.recorder)
    spans = {span.name: span for span in seen.spans}
    assert set(spans) == {"llm.complete", "agent"}
    assert spans["llm.complete"].parent == spans["agent"].context
    with recording(spans={"enabled": False}) as quiet:
        llm_call(quiet.recorder)
    assert quiet.spans == []
