"""Every way a call can end, each finished exactly once and with the right outcome."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from support.exhaustive import part
from support.ways import STREAMS, WAYS, Way
from tachograph.llm.errors import ProviderConnectionError, ProviderTimeoutError, RateLimitError
from tachograph.llm.retry import NO_RETRIES
from tachograph.llm.types import Completed, TextDelta
from tachograph.testing import Recording, recording
from tachograph_demo.simulators import Answer, Gate, Hang, RateLimited, ServedUsage, Simulators

LONG = Answer(text="one two three four five six", pieces=6, usage=ServedUsage(prompt=50, completion=12))
ASYNC = [way for way in WAYS if way.is_async]
SYNC_STREAMS = [way for way in STREAMS if not way.is_async]
ASYNC_STREAMS = [way for way in STREAMS if way.is_async]
ALTERNATE = [way for i, way in enumerate(STREAMS) if i % 4 in (0, 3)]
"""Each API's stream once, by turns sync and async."""


def only_call(seen: Recording, simulators: Simulators, way: Way, outcome: str) -> None:
    """One call, one request, both with this outcome, on the record and on the metrics."""
    (call,) = seen.llm_calls
    (attempt,) = call.attempts
    assert (call.outcome, attempt.outcome) == (outcome, outcome)
    assert not call.finish("error", "unknown")
    labels = {"provider": way.vendor, "model": way.model}
    assert seen.value("llm_call_seconds_count", outcome=outcome, **labels) == 1
    assert seen.value("llm_call_seconds_count", **labels) == 1
    assert seen.value("llm_provider_request_seconds_count", **labels) == 1
    errors = 0 if outcome in ("cancelled", "success") else 1
    assert seen.value("llm_provider_errors_total", **labels) == errors
    sent = len(simulators.served)
    assert sent == 1 or (sent == 0 and outcome == "timeout")  # a busy machine may not have sent it in time
    simulators.served.wait(sent, 60.0)  # and the connection is free again


@pytest.mark.parametrize("way", SYNC_STREAMS, ids=str)
@pytest.mark.parametrize("how", ["close", "with", "drop", "raise"])
def test_a_stream_left_early_is_cancelled(way: Way, how: str, simulators: Simulators, seen: Recording) -> None:
    gate = Gate()
    getattr(simulators, way.vendor).script(Answer(text=LONG.text, pieces=6, gate=gate, gate_after=2))
    with way.provider(simulators) as provider:
        stream = provider.stream(model=way.model, messages="Hello")
        assert isinstance(next(stream), TextDelta)
        if how == "close":
            stream.close()
            stream.close()
        elif how == "with":
            with stream:
                pass
        elif how == "raise":
            with pytest.raises(ZeroDivisionError), stream:
                raise ZeroDivisionError
        else:
            del stream
            gc.collect()
        (call,) = seen.llm_calls
        assert call.error_type is None
        assert call.duration_seconds < 60.0
        gate.open()
        only_call(seen, simulators, way, "cancelled")


@pytest.mark.parametrize("way", ASYNC_STREAMS, ids=str)
@pytest.mark.parametrize("how", ["close", "with", "drop", "cancel"])
def test_an_awaited_stream_left_early_is_cancelled(way: Way, how: str, simulators: Simulators, seen: Recording) -> None:
    gate = Gate()
    getattr(simulators, way.vendor).script(Answer(text=LONG.text, pieces=6, gate=gate, gate_after=2))

    async def leave() -> None:
        async with way.provider(simulators) as provider:
            stream = provider.astream(model=way.model, messages="Hello")
            assert isinstance(await anext(stream), TextDelta)
            if how == "close":
                await stream.aclose()
                await stream.aclose()
            elif how == "with":
                async with stream:
                    pass
            elif how == "cancel":

                async def read_on() -> None:
                    async for _ in stream:
                        continue

                reader = asyncio.create_task(read_on())
                await asyncio.to_thread(gate.wait_reached)
                reader.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reader
            else:
                del stream
                gc.collect()
            gate.open()

    asyncio.run(leave())
    only_call(seen, simulators, way, "cancelled")


@pytest.mark.parametrize("way", STREAMS, ids=str)
def test_a_stream_that_is_never_read_asks_nothing(way: Way, simulators: Simulators, seen: Recording) -> None:
    async def ignore() -> None:
        async with way.provider(simulators) as provider, provider.astream(model=way.model, messages="Hello"):
            pass

    if way.is_async:
        asyncio.run(ignore())
    else:
        with way.provider(simulators) as provider, provider.stream(model=way.model, messages="Hello"):
            pass
    assert seen.llm_calls == []
    assert len(simulators.served) == 0


@pytest.mark.parametrize("way", SYNC_STREAMS, ids=str)
def test_a_stream_closed_after_its_last_event_was_a_success(way: Way, simulators: Simulators, seen: Recording) -> None:
    getattr(simulators, way.vendor).script(LONG)
    with way.provider(simulators) as provider:
        stream = provider.stream(model=way.model, messages="Hello")
        for event in stream:
            if isinstance(event, Completed):
                break
        stream.close()
    only_call(seen, simulators, way, "success")
    assert seen.value("llm_provider_tokens_total", type="prompt") == 50
    assert seen.value("llm_provider_tokens_total", type="completion") == 12


def test_a_stream_closed_within_the_vendors_last_chunk_was_a_success(simulators: Simulators, seen: Recording) -> None:
    way = Way("gemini", False, True)
    simulators.gemini.script(Answer(text="all", pieces=1))  # its words, their end and the usage in one chunk
    with way.provider(simulators) as provider:
        stream = provider.stream(model=way.model, messages="Hello")
        assert isinstance(next(stream), TextDelta)
        stream.close()
    assert [(call.outcome, call.attempts[0].outcome) for call in seen.llm_calls] == [("success", "success")]


@pytest.mark.parametrize("way", ASYNC, ids=str)
def test_a_cancelled_task_is_a_cancelled_call(way: Way, simulators: Simulators, seen: Recording) -> None:
    gate = Gate()
    getattr(simulators, way.vendor).script(Answer(gate=gate))

    async def cancel() -> None:
        async with way.provider(simulators) as provider:

            async def ask() -> None:
                if way.is_stream:
                    await provider.astream(model=way.model, messages="Hello").text()
                else:
                    await provider.acomplete(model=way.model, messages="Hello")

            task = asyncio.create_task(ask())
            await asyncio.to_thread(gate.wait_reached)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.open()

    asyncio.run(cancel())
    only_call(seen, simulators, way, "cancelled")


def test_an_interrupt_is_a_cancelled_call_and_goes_on(simulators: Simulators, seen: Recording) -> None:
    way = Way("anthropic", False, False)
    simulators.anthropic.script(RateLimited(retry_after=30))

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    with way.provider(simulators) as provider:
        provider._blocking._sleep = interrupted
        with pytest.raises(KeyboardInterrupt):
            provider.complete(model=way.model, messages="Hello")
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type, call.attempts[0].outcome) == ("cancelled", None, "rate_limited")


def test_the_deadline_ends_a_call_that_hangs(way: Way, simulators: Simulators, seen: Recording) -> None:
    getattr(simulators, way.vendor).script(Hang())
    started = time.perf_counter()
    with pytest.raises(ProviderTimeoutError, match=r"deadline of 0\.3 s"):
        way.ask(way.provider(simulators), deadline=0.3)
    assert 0.29 < time.perf_counter() - started < 60.0  # without the deadline it would hang for 600 s
    only_call(seen, simulators, way, "timeout")


@pytest.mark.parametrize("way", part(STREAMS, *ALTERNATE), ids=str)
def test_the_deadline_ends_a_stream_that_goes_on_too_long(way: Way, simulators: Simulators) -> None:
    slow = Answer(text="word " * 2500, pieces=2500, piece_seconds=0.02)
    for deadline in (0.4, 4.0, 40.0):  # a busy machine may not get at the first word in so little time
        simulators.clear()
        getattr(simulators, way.vendor).script(slow)
        with recording() as seen, pytest.raises(ProviderTimeoutError) as caught:
            way.ask(way.provider(simulators), deadline=deadline)
        if caught.value.response is not None and caught.value.response.text:
            break
    assert caught.value.response is not None
    assert caught.value.response.text.startswith("word")
    only_call(seen, simulators, way, "timeout")


def test_a_wait_beyond_the_deadline_is_not_begun(way: Way, simulators: Simulators, seen: Recording) -> None:
    form = "retry_info" if way.vendor == "gemini" else "seconds"
    getattr(simulators, way.vendor).script(RateLimited(retry_after=45, retry_after_form=form))
    with pytest.raises(RateLimitError):
        way.ask(way.provider(simulators), deadline=30.0)
    only_call(seen, simulators, way, "rate_limited")


@pytest.mark.parametrize("way", STREAMS, ids=str)
def test_a_stream_cut_short_fails_and_keeps_what_came(way: Way, simulators: Simulators, seen: Recording) -> None:
    answer = Answer(text=LONG.text, pieces=6, usage=LONG.usage, ending="eof", cut_after=3)
    getattr(simulators, way.vendor).script(answer)
    with pytest.raises(ProviderConnectionError) as caught:
        way.ask(way.provider(simulators))
    assert caught.value.code == "stream_cut_short"
    assert caught.value.response is not None
    assert caught.value.response.text != ""
    only_call(seen, simulators, way, "error")
    (call,) = seen.llm_calls
    if way.vendor == "anthropic":  # which reports the prompt's tokens at the start
        assert call.usage is not None
        assert call.usage.input_tokens == 50


def test_first_token_means_first_content(simulators: Simulators, seen: Recording) -> None:
    for way in SYNC_STREAMS:
        getattr(simulators, way.vendor).script(Answer(text="a b", pieces=2, first_token_seconds=0.2))
        way.ask(way.provider(simulators))
        call = seen.llm_calls[-1]
        assert call.first_token_seconds is not None
        assert 0.2 <= call.first_token_seconds <= call.duration_seconds
        assert seen.value("llm_call_time_to_first_token_seconds_count", provider=way.vendor) >= 1


def test_many_threads_and_tasks_share_one_provider(simulators: Simulators, seen: Recording) -> None:
    usage = ServedUsage(prompt=7, completion=3)
    simulators.openai.always(Answer(text="hi", usage=usage))
    way = Way("openai", False, False)
    provider = way.provider(simulators, http_client=None, async_http_client=None)

    all_done = threading.Barrier(6)

    def in_thread() -> None:
        for _ in range(10):
            provider.complete(model=way.model, messages="Hello")
        all_done.wait(60)

    async def in_tasks() -> None:
        await asyncio.gather(*(provider.acomplete(model=way.model, messages="Hello") for _ in range(20)))
        await asyncio.to_thread(all_done.wait, 60)  # closing is for all loops and threads
        await provider.aclose()

    threads = [threading.Thread(target=in_thread) for _ in range(4)]
    threads += [threading.Thread(target=asyncio.run, args=(in_tasks(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    provider.close()
    assert len(seen.llm_calls) == 80
    assert seen.value("llm_provider_tokens_total", type="prompt") == 80 * 7
    assert seen.value("llm_provider_tokens_total", type="completion") == 80 * 3
    assert {call.outcome for call in seen.llm_calls} == {"success"}


def test_retries_switched_off_mean_one_request(simulators: Simulators, seen: Recording) -> None:
    for way in (way for way in WAYS if not way.is_async and not way.is_stream):
        getattr(simulators, way.vendor).script(RateLimited(retry_after=0.01))
        with pytest.raises(RateLimitError):
            way.ask(way.provider(simulators, retry=NO_RETRIES))
        assert len(seen.llm_calls[-1].attempts) == 1


@pytest.mark.parametrize("way", part(STREAMS, *ALTERNATE), ids=str)
def test_the_deadline_ends_a_stream_that_falls_silent(way: Way, simulators: Simulators, seen: Recording) -> None:
    silent = Answer(text=LONG.text, pieces=6, ending="hang", cut_after=2)
    getattr(simulators, way.vendor).script(silent)
    started = time.perf_counter()
    with pytest.raises(ProviderTimeoutError) as caught:
        way.ask(way.provider(simulators), deadline=0.4)
    assert 0.39 < time.perf_counter() - started < 60.0
    assert (caught.value.code, caught.value.retryable) == ("deadline", False)
    only_call(seen, simulators, way, "timeout")


@pytest.mark.parametrize("way", part(SYNC_STREAMS, SYNC_STREAMS[0]), ids=str)
def test_a_blocking_stream_that_waits_when_the_deadline_comes_ends_there(way: Way, simulators: Simulators) -> None:
    """Its read alone would wait on for as long as was left when the request was sent: until 5.6 s."""
    silent = Answer(text=LONG.text, pieces=6, ending="hang", cut_after=2)
    given = {} if way.vendor != "gemini" else {"http_client": None, "async_http_client": None}
    for _ in range(5):  # a busy machine may stretch one
        simulators.clear()
        getattr(simulators, way.vendor).script(silent)
        with recording() as seen, way.provider(simulators, **given) as provider:
            stream = provider.stream(model=way.model, messages="Hello", deadline=3.0)
            assert isinstance(next(stream), TextDelta)
            threading.Event().wait(2.6)  # the consumer's own work
            with pytest.raises(ProviderTimeoutError) as caught:
                list(stream)
        assert caught.value.code == "deadline"
        only_call(seen, simulators, way, "timeout")
        if seen.llm_calls[0].duration_seconds < 4.5:
            return
    raise AssertionError("it read on")
