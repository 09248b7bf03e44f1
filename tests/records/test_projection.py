"""One projection of a call: the ledger's row, the span, the console's call and a received span say the same."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from tachograph.console.calls import Call, CallDetail, Span, from_projection, from_record, from_row
from tachograph.console.columns import Filter
from tachograph.console.ingest.otlp import traces, wire
from tachograph.console.store import CallStore
from tachograph.recorder import Recorder
from tachograph.records import NOWHERE, Cost, LLMCall, Run, ToolCall, Usage
from tachograph.records.projection import Projection, project
from tachograph.runtime import join
from tachograph.signals.registry import Metrics
from tachograph.signals.span_facts import projected
from tachograph.signals.spans import SpanSignal
from tachograph.tape import TAPE
from tachograph.usage.row import decode, encode
from tachograph.usage.stores.open import open_store
from tachograph.usage.stores.query import Query


class World:
    """A recorder whose spans are kept, and are sent on as an OTLP exporter sends them."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(resource=Resource({"service.name": "app"}))
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.recorder = join(Metrics(()), spans=SpanSignal(provider=provider), strict=True)

    def received(self) -> LLMCall | ToolCall:
        """The record that a receiver makes of the one span."""
        TAPE.drain()
        request = wire.read_traces(encode_spans(self.exporter.get_finished_spans()).SerializeToString())
        scope = request["resourceSpans"][0]["scopeSpans"][0]
        (raw,) = scope["spans"]
        span = traces._span(raw, "")
        assert span is not None
        record = traces.record_of(span, scope["scope"]["name"], raw)
        assert record is not None
        return record

    def called(self) -> Call:
        """The console's call of the one span."""
        return self.sent()[0].call

    def sent(self) -> tuple[CallDetail, Span]:
        """What the console keeps of the one span."""
        TAPE.drain()
        request = wire.read_traces(encode_spans(self.exporter.get_finished_spans()).SerializeToString())
        ((detail, span),), _refused = traces.read(request)
        assert detail is not None
        return detail, span


def stored(row: Projection, folder: Path) -> Projection:
    """What a ledger gives back for a row that went through its journal's format and its store."""
    store = open_store(f"sqlite:///{folder / 'ledger.db'}", rollup_labels=(), timeout_seconds=5, read_only=False)
    try:
        store.write([decode(encode(row))], ingested_us=row.ts_us)
        (found,) = store.rows(Query(raw=True))
    finally:
        store.close()
    return found


RUN_OF_ALL = Run("run-1", "refund-agent", "job-7", "session-1", "user-1", "1.2.3", "run-0")


ABOVE = SpanContext(0x1111, 0x2222, is_remote=True, trace_flags=TraceFlags(1))


def rich_call(recorder: Recorder) -> LLMCall:
    """A call of which every fact is there, made below a span of the application's."""
    with use_span(NonRecordingSpan(ABOVE)):
        return _rich_call(recorder)


def _rich_call(recorder: Recorder) -> LLMCall:
    call = recorder.start_llm_call(
        "openai", "gpt-5", "responses", message_count=2, stream=True, labels={"team": "a"}, key_hint="...wxyz"
    )
    first = call.begin_attempt()
    first.end("rate_limited", "rate_limit", status=429, ended_ns=first.started_ns + 10_000)
    first.waited_ns, first.waited_before_ns = 1_200_000_000, 300_000_000
    second = call.begin_attempt()
    second.end("error", "server_error", status=500)
    second.waited_ns = 2_000_000_000
    call.first_token()
    call.begin_attempt()
    details = {"cache_read": 60, "cache_write": 9, "cache_write_1h": 9, "reasoning": 5, "video_input": 1}
    call.usage = Usage(100, 20, details, {"web_search": 2}, 1.5)
    call.cost = Cost(1_250_001, "stated", "file:prices.toml", "no price for x", 1_250_002)
    call.response_model, call.api, call.service_tier = "gpt-5-2025", "responses", "flex"
    call.finish_reason, call.response_id, call.request_id = "stop", "r-1", "req-1"
    call.parent_id = bytes(range(16))
    call.run = RUN_OF_ALL
    call.speed, call.region, call.traffic_type, call.usage_mismatch = "fast", "eu", "ON_DEMAND_FLEX", "parts exceed sum"
    call.stated_cost_nano_usd = 1_250_009
    call.finish("error", "content_filter", error=ValueError("refused"))
    TAPE.drain()
    return call


def plain_call(recorder: Recorder) -> LLMCall:
    """A call of which little is known: what is unknown must stay so."""
    call = recorder.start_llm_call("anthropic", "claude-opus-5")
    call.begin_attempt().end("success", status=200)
    call.finish("success")
    return call


def call_read_again(recorder: Recorder) -> LLMCall:
    """A stored response that was read again: its tokens count elsewhere. Before, it backed off for 2 s."""
    call = recorder.start_llm_call("openai", "gpt-5", "fetch_response")
    call.begin_attempt().end("error", "server_error", status=500)
    call.attempts[0].waited_ns = 2_000_000_000
    call.begin_attempt().end("success", status=200)
    call.counts_usage = False
    call.usage = Usage(100, 20, {"cache_read": 60, "reasoning": 5})
    call.cost = Cost(5, "priced")
    call.finish("success")
    return call


def audio_call(recorder: Recorder) -> LLMCall:
    """A call that is billed by the second and not by tokens."""
    call = recorder.start_llm_call("openai", "whisper-1", "transcription")
    call.usage = Usage(audio_seconds=3.25)
    call.cost = Cost(None, "unpriced")
    call.begin_attempt()
    call.finish("success")
    return call


def tool_call(recorder: Recorder) -> ToolCall:
    """A tool's execution that failed."""
    call = recorder.start_tool_call("time", "get_time", argument_count=2, labels={"team": "a"})
    call.call_id, call.parent_id, call.run = "toolu_1", bytes(range(16)), RUN_OF_ALL
    call.finish("error", "execution", error=ValueError("no such zone"))
    return call


MADE: list[Callable[[Recorder], Any]] = [rich_call, plain_call, call_read_again, audio_call, tool_call]


@pytest.mark.parametrize("make", MADE)
def test_a_call_is_the_same_in_process_in_the_ledger_and_over_otlp(make: Callable[..., Any], tmp_path: Path) -> None:
    world = World()
    record = make(world.recorder)
    here = project(record)
    assert stored(here, tmp_path) == here
    assert project(world.received()) == here
    shown = from_record(record, "app")[0].call
    assert from_row(here, "app")[0].call == shown
    assert world.called() == shown


ROADS = ("this process", "OTLP", "the ledger", "another process's journal")


@pytest.mark.parametrize("make", MADE)
def test_two_accounts_of_a_call_are_one_whichever_two_come_and_in_whichever_order(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    world = World()
    record = make(world.recorder)
    row = project(record)
    accounts = dict(zip(ROADS, (from_record(record, "app"), world.sent(), from_row(stored(row, tmp_path)),
                                from_row(decode(encode(row)))), strict=True))  # fmt: skip
    whole, span = accounts["this process"]
    for first, second in combinations(ROADS, 2):
        pair = accounts[first], accounts[second]
        seen = []
        for (known, known_span), (more, more_span) in (pair, pair[::-1]):
            store = CallStore(None, max_calls=10)
            store.add_all([(known, known_span)], wait=True)
            store.add_all([(more, more_span)], wait=True)
            kept = store.get(bytes.fromhex(whole.call.id))
            assert kept is not None
            facts, requests = store.facts(Filter())
            (one,) = store.trace(bytes.fromhex(span.trace_id))[0]
            assert one.start_unix == pytest.approx(span.start_unix, abs=2e-6)  # a row has whole microseconds
            names = sorted(event.name for event in one.events)
            rest = msgspec.structs.replace(one, start_unix=0.0, duration_seconds=0.0, events=[])
            seen.append((kept, rest, names, len(facts), sorted(requests.texts("outcome"))))
            store.close()
        assert seen[0] == seen[1], (first, second)
        assert seen[0][3] == 1
        call = seen[0][0].call
        assert msgspec.structs.replace(call, service=whole.call.service) == whole.call, (first, second)
        has_more = {first, second} & {"this process", "OTLP"}
        assert seen[0][0].attempts == (whole.attempts if has_more else [])
        assert seen[0][0].error == (whole.error if has_more else None)


def test_waits_of_a_call_are_one_number_everywhere(tmp_path: Path) -> None:
    """Slept for a 500, which is no rate limit: 2.0 s in the console and 0.0 in the ledger, once."""
    world = World()
    record = call_read_again(world.recorder)
    shown = [from_record(record)[0].call, world.called(), from_row(stored(project(record), tmp_path))[0].call]
    assert [(call.wait_seconds, call.retry_wait_seconds) for call in shown] == [(0.0, 2.0)] * 3
    detail = from_record(record)[0]
    assert [attempt.slept_seconds for attempt in detail.attempts] == [2.0, 0.0]
    assert (detail.call.input_tokens, detail.call.cached_tokens) == (None, None)


def varied(row: Projection, name: str) -> Projection:
    """The same with another value of one field."""
    value = getattr(row, name)
    if isinstance(value, bool):
        other: Any = not value
    elif isinstance(value, bytes):
        other = bytes(byte ^ 1 for byte in value)
    elif isinstance(value, str):
        other = {"llm": "mcp", "responses": "chat"}.get(value, value + "x") if name == "kind" else value + "x"
    elif isinstance(value, dict):
        other = {"one_more": "1" if name == "labels" else 1, **value}
    else:
        assert isinstance(value, int | float), f"the rich call gives the field {name} no value: give it one"
        other = value + 1
    return msgspec.structs.replace(row, **{name: other})


FIELDS = Projection.__struct_fields__
SPAN_ITSELF = ("kind", "ts_us", "latency_us", "trace_id", "span_id", "parent_span_id")
"""What a span says by its own name, times and ids: `test_a_call_is_the_same_...` reads these back."""


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_reaches_the_ledger_the_span_and_the_console(name: str, tmp_path: Path) -> None:
    row = project(rich_call(World().recorder))
    other = varied(row, name)
    if name != "kind":  # stores may know the two kinds only
        assert getattr(stored(other, tmp_path), name) == getattr(other, name) != getattr(row, name)
    assert from_projection(other) != from_projection(row), "the console's call does not show it"
    if name not in SPAN_ITSELF:
        assert projected(other) != projected(row), "no attribute of a span says it"


def test_the_rich_call_has_every_fact() -> None:
    row = project(rich_call(World().recorder))
    plain = Projection(b"", 0, "", "", "", "", "")
    assert [name for name in FIELDS if getattr(row, name) == getattr(plain, name)] == ["counted"]


def test_a_record_is_projected_once() -> None:
    record = plain_call(World().recorder)
    assert project(record) is project(record)


def test_a_foreign_span_leaves_unknown_what_it_does_not_say() -> None:
    span = {
        "traceId": "1" * 32, "spanId": "2" * 16, "name": "chat gpt-5", "kind": 3,
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000002000000000",
        "attributes": [
            {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
            {"key": "gen_ai.provider.name", "value": {"stringValue": "openai"}},
            {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-5"}},
        ],
    }  # fmt: skip
    ((detail, _),), refused = traces.read({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    assert refused == 0
    assert detail is not None
    call = detail.call
    assert (call.input_tokens, call.output_tokens, call.cost_usd, call.cost_quality) == (None, None, None, None)
    assert (call.outcome, call.duration_seconds, call.attempts) == ("success", 2.0, 1)


def test_a_record_that_goes_nowhere_is_ended_and_handed_to_nobody() -> None:
    call = LLMCall(NOWHERE, "openai", "gpt-5")
    call.end("success", ended_ns=5)
    assert (call.outcome, call.ended_ns, call.finish("error")) == ("success", 5, False)
    tool = ToolCall(NOWHERE, "time", "get_time")
    tool.end("success")
    assert (tool.outcome, tool.finish("error")) == ("success", False)
