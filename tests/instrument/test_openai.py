"""The openai client, watched, against the simulators."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Callable
from typing import Any

import openai
import pydantic
import pytest

from tachograph import instrument
from tachograph.tape import TAPE
from tachograph.testing import Recording
from tachograph_demo.simulators import (
    Answer,
    Disconnect,
    Hang,
    QuotaExhausted,
    RateLimited,
    Raw,
    ServedUsage,
    Simulators,
    StreamError,
    Unauthorized,
)

ASKED: Any = [{"role": "user", "content": "hello"}]
USAGE = ServedUsage(prompt=120, completion=30)


class Weather(pydantic.BaseModel):
    degrees: int


@pytest.fixture
def client(simulators: Simulators) -> openai.OpenAI:
    return openai.OpenAI(base_url=simulators.openai.url, api_key="any")


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop go on until the condition holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def test_hidden_retries_are_attempts_and_waits(client: openai.OpenAI, simulators: Simulators, seen: Recording) -> None:
    simulators.openai.script(RateLimited(retry_after=0.2), RateLimited(retry_after=0.1), Answer(usage=USAGE))
    client.chat.completions.create(model="gpt-5", messages=ASKED)
    (call,) = seen.llm_calls
    assert (call.provider, call.model, call.operation, call.api) == ("openai", "gpt-5", "chat", "chat_completions")
    assert [attempt.outcome for attempt in call.attempts] == ["rate_limited", "rate_limited", "success"]
    assert [attempt.retry_after_seconds for attempt in call.attempts] == [0.2, 0.1, None]
    assert 0.3 <= call.rate_limit_wait_seconds < 60
    assert seen.value("llm_provider_tokens_total", type="prompt") == 120
    assert seen.value("llm_provider_errors_total", error_type="rate_limit") == 2
    assert seen.value("llm_provider_rate_limit_delays_seconds_count") == 2


@pytest.mark.parametrize(
    ("told", "seconds", "nano_usd"),
    [
        ({"duration": 90.5}, 90.5, 9_050_000),
        ({"duration": 9.2, "usage": {"type": "duration", "seconds": 10}}, 10.0, 1_000_000),
        ({"duration": 1e30}, None, None),
        ({}, None, None),
    ],
)
def test_a_verbose_transcription_without_usage_is_billed_by_the_length_of_its_audio(
    client: openai.OpenAI,
    simulators: Simulators,
    seen: Recording,
    told: dict[str, Any],
    seconds: float | None,
    nano_usd: int | None,
) -> None:
    body = json.dumps({"task": "transcribe", "language": "en", "text": "hi", **told}).encode()
    simulators.openai.script(Raw(body=body, content_type="application/json"))
    client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF"), response_format="verbose_json")
    (call,) = seen.llm_calls
    assert (call.usage.audio_seconds if call.usage else None) == seconds
    assert (call.cost.nano_usd if call.cost else None) == nano_usd


@pytest.mark.parametrize("streamed", [False, True])
def test_a_spent_quota_is_told_from_a_rate_limit(
    client: openai.OpenAI, simulators: Simulators, seen: Recording, streamed: bool
) -> None:
    simulators.openai.script(QuotaExhausted(retry_after=0), QuotaExhausted(retry_after=0), QuotaExhausted())
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="gpt-5", messages=ASKED, stream=streamed)
    (call,) = seen.llm_calls
    assert [attempt.error_type for attempt in call.attempts] == ["quota"] * 3
    assert (call.outcome, call.error_type) == ("error", "quota")


def test_a_chat_stream_is_asked_for_usage_and_the_application_does_not_see_it(
    client: openai.OpenAI, simulators: Simulators, seen: Recording
) -> None:
    simulators.openai.script(Answer(text="a b c d e f", usage=USAGE, pieces=6))
    chunks = list(client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    (call,) = seen.llm_calls
    assert (call.outcome, call.stream, call.finish_reason) == ("success", True, "stop")
    assert (call.usage_mismatch, call.cost and call.cost.quality) == (None, "priced")
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (120, 30)
    assert call.first_token_ns


def test_a_host_that_nobody_documented_is_not_asked_for_usage(
    client: openai.OpenAI, simulators: Simulators, seen: Recording
) -> None:
    instrument(include_usage_hosts=[])
    list(client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True))
    assert "stream_options" not in simulators.served[-1].body
    assert seen.value("llm_calls_usage_missing_total") == 1


def test_an_application_that_asked_for_usage_sees_it(
    client: openai.OpenAI, simulators: Simulators, seen: Recording
) -> None:
    simulators.openai.script(Answer(usage=USAGE))
    *_, last = client.chat.completions.create(
        model="gpt-5", messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    assert last.usage is not None
    assert not last.choices
    assert seen.value("llm_provider_tokens_total") == 150


def test_a_stream_whose_usage_nobody_asked_for_counts_as_missing(client: openai.OpenAI, seen: Recording) -> None:
    instrument(include_usage="never")
    list(client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True))
    assert seen.value("llm_calls_usage_missing_total") == 1
    assert seen.value("llm_provider_tokens_total") == 0


def test_abandoned_stream_is_recorded_once(client: openai.OpenAI, seen: Recording) -> None:
    stream = client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
    next(iter(stream))
    del stream
    gc.collect()
    assert TAPE.drain()
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("cancelled", None)


def test_a_stream_that_nobody_iterated_is_recorded_once(client: openai.OpenAI, seen: Recording) -> None:
    client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
    gc.collect()
    assert TAPE.drain()
    assert [call.outcome for call in seen.llm_calls] == ["cancelled"]


def test_a_stream_closed_early_ends_at_its_last_chunk(
    client: openai.OpenAI, simulators: Simulators, seen: Recording
) -> None:
    simulators.openai.script(Answer(text="a b c d e f"))
    with client.responses.create(model="gpt-5", input="hello", stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break
    (call,) = seen.llm_calls
    assert (call.outcome, call.usage) == ("cancelled", None)
    assert call.first_token_ns - call.ended_ns < 1_000_000


def test_a_stream_that_the_server_cuts_is_a_connection_error(
    client: openai.OpenAI, simulators: Simulators, seen: Recording
) -> None:
    simulators.openai.script(Answer(ending="eof"), Answer(ending="drop"))
    list(client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True))
    with pytest.raises(Exception, match=r"onnection|incomplete"):  # openai 2 lets httpx's own error through
        list(client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True))
    assert [(call.outcome, call.error_type) for call in seen.llm_calls] == [("error", "connection")] * 2


@pytest.mark.parametrize("shape", ["error", "flat", "response.failed"])
def test_an_error_inside_a_stream_is_an_error_whether_it_raises_or_not(
    client: openai.OpenAI, simulators: Simulators, seen: Recording, shape: Any
) -> None:
    simulators.openai.script(Answer(ending=StreamError(shape=shape)))
    try:
        list(client.responses.create(model="gpt-5", input="hello", stream=True))
    except openai.APIError:
        assert shape == "error"
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("error", "server_error")


def test_raw_and_streaming_responses_are_read_as_the_application_reads_them(
    client: openai.OpenAI, simulators: Simulators, seen: Recording
) -> None:
    simulators.openai.always(Answer(usage=USAGE))
    chat = client.chat.completions
    options: Any = {"stream_options": {"include_usage": True}}
    assert chat.with_raw_response.create(model="gpt-5", messages=ASKED).parse().usage
    with chat.with_streaming_response.create(model="gpt-5", messages=ASKED) as response:
        assert b"usage" in response.read()
    with chat.with_streaming_response.create(model="gpt-5", messages=ASKED, stream=True, **options) as response:
        assert any("prompt_tokens" in line for line in response.iter_lines())
    raw = chat.with_raw_response.create(model="gpt-5", messages=ASKED, stream=True, **options)
    assert len(list(raw.parse())) > 2
    assert TAPE.drain()  # a body that is closed while the application reads it itself is noted by a thread of ours
    assert [call.usage and call.usage.input_tokens for call in seen.llm_calls] == [120] * 4
    assert [call.outcome for call in seen.llm_calls] == ["success"] * 4


def test_the_applications_exception_is_the_sdks_own(
    client: openai.OpenAI, simulators: Simulators, seen: Recording
) -> None:
    simulators.openai.script(Unauthorized())
    with pytest.raises(openai.AuthenticationError) as caught:
        client.responses.create(model="gpt-5", input="hello")
    assert caught.value.__cause__ is None
    (call,) = seen.llm_calls
    assert call.error is caught.value
    assert (call.outcome, call.error_type) == ("error", "auth")


def test_a_refused_connection_is_seen_with_every_attempt(simulators: Simulators, seen: Recording) -> None:
    client = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="any", max_retries=1)
    with pytest.raises(openai.APIConnectionError):
        client.embeddings.create(model="text-embedding-3-small", input="hello")
    (call,) = seen.llm_calls
    assert [(attempt.outcome, attempt.error_type) for attempt in call.attempts] == [("error", "connection")] * 2


def test_embeddings_moderations_and_speech_are_calls(client: openai.OpenAI, seen: Recording) -> None:
    client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    client.moderations.create(input="hello")
    client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="hello").read()
    operations = [(call.operation, call.outcome) for call in seen.llm_calls]
    assert operations == [("embeddings", "success"), ("moderation", "success"), ("speech", "success")]


def test_an_azure_client_is_labelled_by_its_class(simulators: Simulators, seen: Recording) -> None:
    azure = openai.AzureOpenAI(azure_endpoint=simulators.openai.azure_url, api_key="any", api_version="2024-10-21")
    azure.chat.completions.create(model="my-deployment", messages=ASKED)
    (call,) = seen.llm_calls
    assert (call.provider, call.model) == ("azure", "my-deployment")


@pytest.mark.parametrize(
    ("said", "finish", "error"),
    [("{}", "stop", pydantic.ValidationError), ("{", "length", openai.LengthFinishReasonError)],
)
def test_an_answer_that_the_client_cannot_parse_was_made_and_is_billed(
    client: openai.OpenAI, simulators: Simulators, seen: Recording, said: str, finish: Any, error: type[Exception]
) -> None:
    simulators.openai.script(Answer(text=said, usage=USAGE, finish=finish))
    with pytest.raises(error):
        client.chat.completions.parse(model="gpt-5", messages=ASKED, response_format=Weather)
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert (call.outcome, call.usage.input_tokens, call.usage.output_tokens) == ("error", 120, 30)
    assert [attempt.outcome for attempt in call.attempts] == ["success"]
    assert seen.value("llm_provider_cost_usd_total") > 0


async def test_a_cancelled_call_is_no_error(simulators: Simulators, seen: Recording) -> None:
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    simulators.openai.script(Hang())
    task = asyncio.create_task(client.responses.create(model="gpt-5", input="hello"))
    await until(lambda: len(simulators.served) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("cancelled", None)
    assert [attempt.outcome for attempt in call.attempts] == ["cancelled"]
    assert seen.value("llm_provider_errors_total") == 0


async def test_a_call_cancelled_while_waiting_to_retry_keeps_the_wait(
    simulators: Simulators, seen: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "openai")
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    simulators.openai.script(RateLimited(retry_after=30))
    task = asyncio.create_task(client.responses.create(model="gpt-5", input="hello"))
    await until(lambda: "Retrying request" in caplog.text)
    await asyncio.wait([task], timeout=0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = seen.llm_calls
    assert call.outcome == "cancelled"
    assert 0.1 < call.rate_limit_wait_seconds < 30


async def test_async_streams_are_recorded_once_however_they_end(simulators: Simulators, seen: Recording) -> None:
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
    stream = await client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
    assert [chunk async for chunk in stream]
    async with client.chat.completions.stream(model="gpt-5", messages=ASKED) as helper:
        async for _ in helper:
            pass
    stream = await client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
    async for _ in stream:
        break
    await stream.close()
    assert [call.outcome for call in seen.llm_calls] == ["success", "success", "cancelled"]
    assert all(call.usage for call in seen.llm_calls[:2])


def test_a_call_that_is_timed_out_by_the_sdk_is_a_timeout(simulators: Simulators, seen: Recording) -> None:
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any", max_retries=0, timeout=0.1)
    simulators.openai.script(Hang())
    with pytest.raises(openai.APITimeoutError):
        client.responses.create(model="gpt-5", input="hello")
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type, call.attempts[0].outcome) == ("timeout", "timeout", "timeout")


def test_a_dropped_connection_is_tried_again_by_the_sdk(
    client: openai.OpenAI, simulators: Simulators, seen: Recording
) -> None:
    simulators.openai.script(Disconnect(), Answer(usage=USAGE))
    client.chat.completions.create(model="gpt-5", messages=ASKED)
    (call,) = seen.llm_calls
    assert [attempt.error_type for attempt in call.attempts] == ["connection", None]
    assert call.rate_limit_wait_seconds == 0
