"""`tachograph.testing.recording`: what users test their own instrumentation with."""

from __future__ import annotations

import gc
import threading

import pytest

import tachograph
from tachograph.records import Usage
from tachograph.testing import Recording, recording


def call_once(outcome: str = "success") -> None:
    call = tachograph.get_recorder().start_llm_call("openai", "gpt-5", message_count=2)
    call.begin_attempt()
    call.usage = Usage(input_tokens=120, output_tokens=30)
    if outcome == "success":
        call.finish("success")
    else:
        call.finish("error", "server_error", error=ValueError("no"))


def test_a_recording_holds_calls_and_metrics(seen: Recording) -> None:
    call_once()
    call_once("error")
    assert [call.outcome for call in seen.llm_calls] == ["success", "error"]
    assert seen.value("llm_provider_tokens_total", type="prompt") == 240
    assert seen.value("llm_provider_errors_total", error_type="server_error") == 1
    assert seen.value("llm_provider_request_seconds_count", outcome="success") == 1
    assert seen.histogram("llm_call_seconds", provider="openai").count == 2
    assert seen.histogram("llm_call_seconds", provider="openai").buckets[0.1] == 2
    assert seen.value("llm_provider_tokens_total", provider="gemini") == 0


def test_an_unknown_family_or_label_is_refused(seen: Recording) -> None:
    with pytest.raises(KeyError, match="no family is named"):
        seen.value("llm_provider_token_total")
    with pytest.raises(KeyError, match="has the labels"):
        seen.value("llm_provider_tokens_total", vendor="openai")


def test_the_recorder_before_comes_back() -> None:
    with recording() as outer:
        with recording() as inner:
            call_once()
        call_once()
    assert (len(outer.llm_calls), len(inner.llm_calls)) == (1, 1)


def test_waiting_for_a_record_from_another_thread(seen: Recording) -> None:
    thread = threading.Thread(target=call_once)
    thread.start()
    seen.wait_for(lambda now: len(now.llm_calls) == 1, seconds=60)
    thread.join()
    with pytest.raises(AssertionError, match="not within"):
        seen.wait_for(lambda now: len(now.llm_calls) == 2, seconds=0.01)


def test_strictness_raises_our_own_failures_and_leniency_counts_them() -> None:
    def broken(record: object) -> None:
        raise RuntimeError("listener")

    with recording() as seen:
        seen.recorder.add_listener(broken)
        call_once()
        with pytest.raises(RuntimeError, match="listener"):
            seen.recorder.settle()
    with recording(strict=False) as seen:
        seen.recorder.add_listener(broken)
        call_once()
        assert seen.value("tachograph_telemetry_errors_total", component="listener") == 1


def test_calls_under_way_are_counted_with_the_age_of_the_oldest(seen: Recording) -> None:
    first = seen.recorder.start_llm_call("openai", "gpt-5")
    dropped = seen.recorder.start_llm_call("openai", "gpt-5")
    assert seen.value("llm_calls_in_flight", provider="openai", model="gpt-5") == 2
    assert seen.value("llm_call_oldest_seconds", provider="openai") > 0
    first.finish("success")
    del dropped
    gc.collect()
    assert seen.value("llm_calls_in_flight", provider="openai", model="gpt-5") == 0
    assert seen.value("llm_call_oldest_seconds", provider="openai") == 0
