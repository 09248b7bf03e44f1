"""What one call costs in bytecode instructions: deterministic, so a gate; microseconds are for the benchmarks.

Counted are all instructions of ours, from `start_llm_call` to the end of `finish`, and with a span those of the
OpenTelemetry packages too, without an exporter. Python 3.11's and later versions' counts differ a little; the gates
leave room for that and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from support.bytecodes import count
from tachograph.recorder import Recorder
from tachograph.records import Cost, Usage
from tachograph.runtime import join
from tachograph.signals.registry import Metrics
from tachograph.signals.spans import SpanSignal

COST = Cost(1_250_000, "priced")


def recorder(spans: SpanSignal | None = None, **options: Any) -> Recorder:
    return join(Metrics(()), pricer=lambda call: COST, spans=spans, **options)


def llm_call(recorder: Recorder) -> Callable[[], None]:
    def run() -> None:
        call = recorder.start_llm_call("openai", "gpt-5", "chat", message_count=2)
        attempt = call.begin_attempt()
        attempt.end("success", None, status=200)
        call.usage = Usage(100, 20)
        call.finish("success")

    return run


def tool_call(recorder: Recorder) -> Callable[[], None]:
    def run() -> None:
        recorder.start_tool_call("time", "get_time", argument_count=1).finish("success")

    return run


def instructions(run: Callable[[], None]) -> int:
    for _ in range(3):
        run()
    counts = {count(run, "tachograph") + count(run, "opentelemetry") for _ in range(3)}
    assert max(counts) - min(counts) <= 20, counts  # ids and buckets may differ by a branch
    return max(counts)


def test_a_call_with_metrics_and_price() -> None:
    assert instructions(llm_call(recorder())) <= 600


def test_a_call_while_no_tracer_provider_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", None)
    assert instructions(llm_call(recorder(SpanSignal()))) <= 640


def test_a_call_that_nobody_listens_to() -> None:
    silent = join(Metrics(()), keeps_metrics=False)
    assert instructions(llm_call(silent)) <= 300


def test_a_call_with_a_sampled_span() -> None:
    run = llm_call(recorder(SpanSignal(provider=TracerProvider())))
    assert instructions(run) <= 1_950  # with the projection, which the ledger's row then is
    assert count(run, "tachograph") <= 1_600


def test_a_call_whose_span_is_not_sampled() -> None:
    assert instructions(llm_call(recorder(SpanSignal(provider=TracerProvider(sampler=ALWAYS_OFF))))) <= 1_050


def test_a_tool_call_with_metrics_and_with_a_span() -> None:
    assert instructions(tool_call(recorder())) <= 300
    assert instructions(tool_call(recorder(SpanSignal(provider=TracerProvider())))) <= 1_250


def test_two_429s_and_a_stream_cost_little_more() -> None:
    kept = recorder()

    def run() -> None:
        call = kept.start_llm_call("openai", "gpt-5", "chat", message_count=2, stream=True)
        for outcome, error in (("rate_limited", "rate_limit"), ("rate_limited", "rate_limit"), ("success", None)):
            call.begin_attempt().end(outcome, error)  # type: ignore[arg-type]
        call.first_token()
        call.usage = Usage(100, 20, {"cache_read": 50})
        call.finish("success")

    assert instructions(run) <= 1_200
