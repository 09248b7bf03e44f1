"""Attempts, waits and retries, against the simulators through the real SDKs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.ways import Way
from tachograph.llm.errors import AuthenticationError, ProviderError, QuotaError, RateLimitError
from tachograph.llm.errors import ServerError as Failed
from tachograph.llm.retry import RetryPolicy
from tachograph.recorder import Recorder
from tachograph.records import LLMCall, Usage
from tachograph.testing import Recording
from tachograph_demo.simulators import (
    Answer,
    InvalidKey,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServedUsage,
    ServerError,
    Simulators,
    StreamError,
)

CLOSE = 0.02
"""Seconds between what the simulator saw and what was recorded. A busy machine may stretch a run, not thirty."""


def script(simulators: Simulators, way: Way, *items: Any) -> None:
    getattr(simulators, way.vendor).script(*items)


def test_two_429s_and_then_success_are_three_requests_and_one_call(
    way: Way, simulators: Simulators, seen: Recording
) -> None:
    usage = ServedUsage(prompt=120, completion=30)
    form = "retry_info" if way.vendor == "gemini" else "seconds"
    refusal = RateLimited(retry_after=0.3, retry_after_form=form)
    script(simulators, way, refusal, refusal, Answer(text="at last", usage=usage))

    response = way.ask(way.provider(simulators))

    assert response.text == "at last"
    exchanges = simulators.served.wait(3)
    assert [exchange.status for exchange in exchanges] == [429, 429, 200]
    (call,) = seen.llm_calls
    assert call is response.call
    assert (call.outcome, call.error_type, call.stream) == ("success", None, way.is_stream)
    assert [(a.outcome, a.error_type, a.status) for a in call.attempts] == [
        ("rate_limited", "rate_limit", 429),
        ("rate_limited", "rate_limit", 429),
        ("success", None, 200),
    ]
    assert [a.retry_after_seconds for a in call.attempts] == [0.3, 0.3, None]
    waits = [attempt.waited_ns / 1e9 for attempt in call.attempts[:2]]
    labels = {"provider": way.vendor, "model": way.model}
    requests = "llm_provider_request_seconds_count"
    assert seen.value(requests, outcome="rate_limited", **labels) == 2
    assert seen.value(requests, outcome="success", **labels) == 1
    assert seen.value("llm_provider_errors_total", error_type="rate_limit", **labels) == 2
    assert seen.value("llm_provider_errors_total", **labels) == 2
    assert seen.value("llm_call_seconds_count", outcome="success", **labels) == 1
    assert seen.value("llm_provider_tokens_total", type="prompt", **labels) == 120
    assert seen.value("llm_provider_tokens_total", type="completion", **labels) == 30
    assert seen.value("llm_provider_rate_limit_delays_seconds_count", provider=way.vendor) == 2
    delays = seen.value("llm_provider_rate_limit_delays_seconds_sum", provider=way.vendor)
    assert delays == pytest.approx(sum(waits))


def test_recorded_waits_are_what_the_server_saw(way: Way, simulators: Simulators, seen: Recording) -> None:
    form = "retry_info" if way.vendor == "gemini" else "seconds"
    refusal = RateLimited(retry_after=0.1, retry_after_form=form)
    closest = [float("inf")] * 2
    for _ in range(30):
        simulators.clear()
        script(simulators, way, refusal, refusal, Answer(text="at last"))
        attempts = way.ask(way.provider(simulators)).call.attempts
        for index, exchange in enumerate(simulators.served.wait(3)[1:]):
            wait = attempts[index].waited_ns / 1e9
            assert exchange.gap_seconds is not None
            assert 0.1 <= wait <= exchange.gap_seconds
            closest[index] = min(closest[index], exchange.gap_seconds - wait)
        if max(closest) < CLOSE:
            return
    raise AssertionError(f"never closer than {closest} s")


@pytest.mark.parametrize(("failure", "kind"), [(QuotaExhausted(), QuotaError), (InvalidKey(), AuthenticationError)])
def test_what_waiting_cannot_cure_is_asked_once(
    way: Way, failure: Any, kind: type[ProviderError], simulators: Simulators, seen: Recording
) -> None:
    script(simulators, way, failure)
    with pytest.raises(kind) as caught:
        way.ask(way.provider(simulators))
    assert len(simulators.served.wait(1)) == 1
    error = caught.value
    assert (error.provider, error.model, error.retryable) == (way.vendor, way.model, False)
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type, call.error) == ("error", error.category, error)
    assert error.__cause__ is not None


def test_a_wait_after_another_failure_is_no_rate_limit_wait(simulators: Simulators, seen: Recording) -> None:
    way = Way("openai", False, False)
    script(simulators, way, ServerError(), Answer(text="at last"))
    way.ask(way.provider(simulators, retry=RetryPolicy(first_backoff_seconds=0.01)))
    (call,) = seen.llm_calls
    assert call.attempts[0].waited_ns > 0
    assert call.rate_limit_wait_seconds == 0.0
    assert seen.value("llm_provider_rate_limit_delays_seconds_count", provider="openai") == 0


def test_retries_end(way: Way, simulators: Simulators, seen: Recording) -> None:
    script(simulators, way, *[ServerError()] * 3)
    retry = RetryPolicy(attempts=3, first_backoff_seconds=0.001)
    with pytest.raises(Failed) as caught:
        way.ask(way.provider(simulators, retry=retry))
    assert caught.value.retryable
    assert caught.value.status == 500
    (call,) = seen.llm_calls
    assert [attempt.outcome for attempt in call.attempts] == ["error"] * 3
    assert len(simulators.served.wait(3)) == 3


def test_a_server_that_asks_for_too_long_a_wait_is_not_waited_for(
    way: Way, simulators: Simulators, seen: Recording
) -> None:
    form = "retry_info" if way.vendor == "gemini" else "seconds"
    script(simulators, way, RateLimited(retry_after=61, retry_after_form=form))
    with pytest.raises(RateLimitError) as caught:
        way.ask(way.provider(simulators))
    assert caught.value.retry_after_seconds == 61
    assert caught.value.retryable
    (call,) = seen.llm_calls
    assert call.rate_limit_wait_seconds == 0.0


@pytest.mark.parametrize(("form", "asked"), [("milliseconds", 0.05), ("seconds", 0.05)])
def test_waits_are_read_in_every_form(form: Any, asked: float, simulators: Simulators, seen: Recording) -> None:
    way = Way("openai", False, False)
    script(simulators, way, RateLimited(retry_after=asked, retry_after_form=form))
    way.ask(way.provider(simulators))
    assert seen.llm_calls[0].attempts[0].retry_after_seconds == asked


def test_a_stream_that_has_shown_content_is_not_begun_again(
    stream_way: Way, simulators: Simulators, seen: Recording
) -> None:
    script(simulators, stream_way, Answer(text="one two three four", pieces=4, ending=StreamError(), cut_after=2))
    with pytest.raises(Failed) as caught:
        stream_way.ask(stream_way.provider(simulators))
    assert len(simulators.served.wait(1)) == 1
    assert caught.value.response is not None
    assert caught.value.response.text != ""
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type, len(call.attempts)) == ("error", "server_error", 1)


def test_a_stream_that_fails_before_any_content_is_begun_again(
    stream_way: Way, simulators: Simulators, seen: Recording
) -> None:
    script(
        simulators,
        stream_way,
        Answer(
            text="never seen",
            usage=ServedUsage(prompt=999, completion=9),
            ending=StreamError(kind="overloaded"),
            cut_after=0,
        ),
        Answer(text="here", usage=ServedUsage(prompt=20, completion=2)),
    )
    retry = RetryPolicy(first_backoff_seconds=0.001)
    assert stream_way.ask(stream_way.provider(simulators, retry=retry)).text == "here"
    (call,) = seen.llm_calls
    assert [(a.outcome, a.error_type) for a in call.attempts] == [("error", "server_error"), ("success", None)]
    assert call.usage == Usage(20, 2)
    assert seen.value("llm_provider_tokens_total") == 22


def test_a_wait_that_is_cancelled_is_measured_and_the_call_is_cancelled(
    simulators: Simulators, seen: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = Way("anthropic", True, False)
    begun: list[LLMCall] = []
    start = Recorder.start_llm_call

    def started(*given: Any, **more: Any) -> LLMCall:
        begun.append(start(*given, **more))
        return begun[-1]

    monkeypatch.setattr(Recorder, "start_llm_call", started)
    script(simulators, way, Overloaded(), RateLimited(retry_after=30))

    async def cancelled() -> None:
        async with way.provider(simulators, retry=RetryPolicy(first_backoff_seconds=0.0)) as provider:
            task = asyncio.create_task(provider.acomplete(model=way.model, messages="Hello"))
            async with asyncio.timeout(60):
                while not (begun and len(begun[0].attempts) == 2 and begun[0].attempts[1].ended_ns):
                    await asyncio.sleep(0.005)  # until it waits for the third attempt
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancelled())
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("cancelled", None)
    assert 0.0 < call.attempts[1].waited_ns / 1e9 < 30.0
