"""Cells and label sets: bounded, tolerant of odd words, and quiet when switched off."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from support.traffic import llm_call, tool_call
from tachograph import runtime
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.records import LLMCall, Usage
from tachograph.runtime import join
from tachograph.settings import load
from tachograph.signals import exposition
from tachograph.signals.family import Family
from tachograph.signals.labels import clean
from tachograph.signals.registry import Metrics
from tachograph.signals.spans import leave
from tachograph.testing import Recording, recording

PAIRS = Family("pairs_total", "counter", ("a", "b"), "Pairs.", bounded=("a", "b"))


def test_words_that_are_not_among_the_known_ones_count_as_the_general_ones(seen: Recording) -> None:
    call = seen.recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt().end("exploded", "weird")  # type: ignore[arg-type]
    call.finish("exploded", "weird")  # type: ignore[arg-type]
    tool = seen.recorder.start_tool_call("time", "get_time")
    tool.finish("exploded", "weird")  # type: ignore[arg-type]
    assert seen.value("llm_provider_request_seconds_count", outcome="error") == 1
    assert seen.value("llm_provider_errors_total", error_type="unknown") == 1
    assert seen.value("mcp_tool_execute_seconds_count", outcome="error") == 1
    assert seen.value("mcp_tool_errors_total", error_kind="execution") == 1


def test_a_call_without_usage_and_a_call_without_a_price_are_counted_apart(seen: Recording) -> None:
    silent = seen.recorder.start_llm_call("openai", "gpt-5")
    silent.finish("success")
    failed = seen.recorder.start_llm_call("openai", "gpt-5")
    failed.finish("error", "auth")
    llm_call(seen.recorder, model="nobody-knows-it", nano_usd=None)
    again = seen.recorder.start_llm_call("openai", "gpt-5", "fetch_response")
    again.counts_usage = False
    again.usage = Usage(100, 100)
    again.finish("success")
    assert seen.value("llm_calls_usage_missing_total") == 1
    assert seen.value("llm_calls_unpriced_total", model="nobody-knows-it") == 1
    assert seen.value("llm_provider_tokens_total", model="gpt-5") == 0
    assert seen.value("llm_call_seconds_count") == 4


def test_pairs_of_outside_values_are_bounded_too() -> None:
    metrics = Metrics((PAIRS,), limit=10)
    for a in range(10):
        for b in range(10):
            metrics.cell(PAIRS, f"a{a}", f"b{b}").add()
    samples = {sample.labels: sample.value for family, found in metrics.collect() for sample in found}
    assert len(samples) <= 10 * 5 + 10
    assert sum(samples.values()) == 100
    assert any(labels[1] == "other" for labels in samples)


def test_connections_never_go_below_zero(seen: Recording) -> None:
    mcp = seen.recorder.metrics.part(MCPMetrics)
    mcp.connection_opened("time")
    for _ in range(3):
        mcp.connection_closed("time")
    assert seen.value("mcp_server_connections_active", server_id="time") == 0
    mcp.connection_opened("time")
    assert seen.value("mcp_server_connections_active", server_id="time") == 1


def test_a_gauge_that_cannot_be_read_does_not_cost_the_scrape(caplog: pytest.LogCaptureFixture) -> None:
    recorder = join(Metrics(()))

    def broken() -> None:
        raise RuntimeError("no such file")

    recorder.metrics.before_collect(broken)
    for _ in range(2):
        text = exposition.write(recorder.metrics.collect())
    assert 'tachograph_telemetry_errors_total{component="exposition"} 2\n' in text
    assert caplog.text.count("a gauge could not be read") == 1


def test_switched_off_nothing_is_recorded_and_calls_go_on() -> None:
    recorder = runtime.build(load({"enabled": False}, environ={}, read_file=False))
    heard: list[Any] = []
    recorder.add_listener(heard.append)
    call = llm_call(recorder)
    tool_call(recorder)
    assert call.is_finished
    assert (recorder.spans, recorder.ledger, recorder.pricer, recorder.otlp) == (None, None, None, None)
    assert "gpt-5" not in exposition.write(recorder.metrics.collect())
    assert len(heard) == 2


def test_a_call_collected_unfinished_may_finish_while_the_lock_is_held(seen: Recording) -> None:
    """The collector runs anywhere: also in the midst of a scrape, in the same thread."""

    class Watcher:
        def __init__(self, call: LLMCall) -> None:
            self.call = call
            self.me = self  # a cycle: only the collector finds it

        def __del__(self) -> None:
            self.call.finish("cancelled")

    call = seen.recorder.start_llm_call("openai", "gpt-5")
    leave(call)
    Watcher(call)
    done = threading.Event()

    def collect_under_the_lock() -> None:
        with seen.recorder.metrics.lock:
            gc.collect()
        done.set()

    threading.Thread(target=collect_under_the_lock, daemon=True).start()
    assert done.wait(60), "deadlock"
    assert seen.value("llm_call_seconds_count", outcome="cancelled") == 1


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        (None, "unknown"),
        ("", "unknown"),
        ("gpt-5", "gpt-5"),
        ("x" * 300, "x" * 200),
        ("a\x00b\x1bc\u2028d", "a\ufffdb\ufffdc\ufffdd"),
        ("line\nbreak", "line\nbreak"),
        ("\ud800", "?"),
        (7, "7"),
        ("模型", "模型"),
    ],
)
def test_label_values_are_cleaned(value: Any, cleaned: str) -> None:
    assert clean(value) == cleaned


def test_a_failure_of_ours_is_counted_logged_once_and_dropped(caplog: pytest.LogCaptureFixture) -> None:
    def broken(call: LLMCall) -> None:
        raise ValueError("no price")

    with recording(strict=False) as seen:
        seen.recorder.pricer = broken  # type: ignore[assignment]
        for _ in range(3):
            call = seen.recorder.start_llm_call("openai", "gpt-5")
            call.usage = Usage(1, 1)
            call.finish("success")
        assert seen.value("tachograph_telemetry_errors_total", component="pricing") == 3
        assert seen.value("llm_call_seconds_count") == 3
        assert len(seen.llm_calls) == 3
    assert caplog.text.count("pricing failed and was skipped") == 1


def test_the_wrong_number_of_labels_is_refused() -> None:
    metrics = Metrics((PAIRS,))
    with pytest.raises(ValueError, match="pairs_total takes the labels"):
        metrics.cell(PAIRS, "a", "b", "c")
