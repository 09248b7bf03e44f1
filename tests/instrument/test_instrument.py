"""What holds for every client: switching on and off, other wrappers, labels, content, the engine, stored answers."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gc
import inspect
import logging
import pickle
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai

import tachograph
from tachograph import instrument, labels, uninstrument
from tachograph.errors import SettingsError
from tachograph.instrument import other_instrumentation, patches, report
from tachograph.records import ENGINE_CALL
from tachograph.tape import TAPE
from tachograph.tape.ring import Ring
from tachograph.testing import Recording, recording
from tachograph.vendors import once
from tachograph_demo.simulators import Answer, BadRequest, ServedUsage, Simulators, ToolCall

ASKED: Any = [{"role": "user", "content": "hello"}]
USAGE = ServedUsage(prompt=120, completion=30)


@pytest.fixture
def client(simulators: Simulators) -> openai.OpenAI:
    return openai.OpenAI(base_url=simulators.openai.url, api_key="any")


def ask(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(model="gpt-5", messages=ASKED)


# Switching on and off


def test_instrumenting_twice_counts_once(client: openai.OpenAI, seen: Recording) -> None:
    instrument()
    ask(client)
    assert len(seen.llm_calls) == 1


def test_uninstrumenting_puts_everything_back(simulators: Simulators) -> None:
    before = (openai._base_client.SyncAPIClient.request, openai.Stream.__stream__, anthropic.Stream.__stream__)
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
    with recording() as seen:
        instrument()
        assert openai._base_client.SyncAPIClient.request is not before[0]
        stream = client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
        uninstrument()
        assert (
            openai._base_client.SyncAPIClient.request,
            openai.Stream.__stream__,
            anthropic.Stream.__stream__,
        ) == before
        ask(client)
        assert not seen.llm_calls
        stream.close()  # begun while watched: its record is finished all the same
        assert [call.outcome for call in seen.llm_calls] == ["cancelled"]


def test_a_wrapper_that_came_after_ours_stays_and_ours_in_it_does_nothing(
    client: openai.OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    owner = openai._base_client.SyncAPIClient
    with recording() as seen:
        instrument()
        ours = owner.request

        def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
            return ours(self, *args, **kwargs)

        owner.request = theirs
        try:
            instrument()  # cannot know that ours is inside: counted once all the same
            ask(client)
            assert len(seen.llm_calls) == 1
            uninstrument()
            ask(client)
            assert len(seen.llm_calls) == 1
        finally:
            owner.request = getattr(ours, patches.MARK)
            patches._patches.clear()
            uninstrument()


def test_a_wrapper_on_a_subclass_that_was_there_before_us_does_not_hide_calls(simulators: Simulators) -> None:
    original = openai.OpenAI.request

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, *args, **kwargs)

    openai.OpenAI.request = theirs  # type: ignore[method-assign]  # as OpenInference and Logfire do
    try:
        with recording() as seen:
            instrument()
            ask(openai.OpenAI(base_url=simulators.openai.url, api_key="any"))
            assert len(seen.llm_calls) == 1
            uninstrument()
            assert vars(openai.OpenAI)["request"] is theirs
    finally:
        del openai.OpenAI.request


def test_a_client_imported_afterwards_is_watched_and_nothing_is_imported_for_it() -> None:
    code = (
        "import sys, threading, tachograph\n"
        "tachograph.instrument()\n"
        "assert not {'openai', 'anthropic', 'google.genai', 'mcp', 'httpx2', 'httpx'} & set(sys.modules)\n"
        "assert 'tachograph-prices' not in {thread.name for thread in threading.enumerate()}\n"
        "import openai\n"
        "assert 'genai_prices' in sys.modules\n"
        "from tachograph.instrument.patches import MARK\n"
        "assert hasattr(openai._base_client.SyncAPIClient.request, MARK)\n"
        "assert type(openai._base_client.__loader__).__name__ == 'SourceFileLoader'\n"
        "assert 'exec_module' not in vars(openai._base_client.__loader__)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr


def test_a_place_that_is_gone_is_said_once_and_the_rest_stays_on(caplog: pytest.LogCaptureFixture) -> None:
    report.forget()
    with caplog.at_level(logging.WARNING, "tachograph"):
        report.missing("openai", "SyncAPIClient.request", "no calls are seen")
        report.missing("openai", "SyncAPIClient.request", "no calls are seen")
    assert len([record for record in caplog.records if "no calls are seen" in record.getMessage()]) == 1
    report.forget()


def test_an_unknown_client_or_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="cohere"):
        instrument("cohere")
    with pytest.raises(SettingsError, match="redact"):
        instrument(redact="no.such.module:function")


# The application's view


def test_answers_signatures_and_pickles_are_the_sdks_own(client: openai.OpenAI, seen: Recording) -> None:
    answer = ask(client)
    assert type(answer) is openai.types.chat.ChatCompletion
    assert pickle.loads(pickle.dumps(answer)) == answer
    assert copy.deepcopy(answer) == answer
    assert "tachograph" not in repr(answer)
    raw = client.chat.completions.with_raw_response.create(model="gpt-5", messages=ASKED)
    assert pickle.loads(pickle.dumps(raw.http_response)).status_code == 200
    stream = client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True)
    assert type(stream) is openai.Stream
    list(stream)
    assert "cast_to" in inspect.signature(openai._base_client.SyncAPIClient.request).parameters
    assert inspect.iscoroutinefunction(openai._base_client.AsyncAPIClient.request)


def test_a_failure_of_ours_never_reaches_the_application(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording(strict=False) as seen:
        instrument()
        try:
            monkeypatch.setattr(sys.modules["tachograph.instrument.hosts"], "place_of", lambda *_: 1 / 0)
            assert ask(client).choices
        finally:
            uninstrument()
    assert seen.value("tachograph_telemetry_errors_total") == 1


def test_an_endpoint_that_is_not_watched_leaves_no_record(client: openai.OpenAI, seen: Recording) -> None:
    with pytest.raises(openai.APIStatusError):
        client.get("/nowhere", cast_to=object)
    assert not seen.llm_calls


# Counted once


def test_calls_of_our_engine_are_counted_by_the_engine_alone(client: openai.OpenAI, seen: Recording) -> None:
    call = seen.recorder.start_llm_call("openai", "gpt-5")
    token = ENGINE_CALL.set(call)
    ask(client)
    ENGINE_CALL.reset(token)
    assert not call.attempts
    call.finish("success")
    assert seen.llm_calls == [call]


def test_background_responses_count_when_they_are_read_and_only_once(seen: Recording) -> None:
    def read(status: str, **more: Any) -> Any:
        from tachograph.vendors.openai.apis import read_response, read_stored_response

        call = seen.recorder.start_llm_call("openai", "gpt-5", "chat" if status == "queued" else "fetch_response")
        body = {"id": "resp_1", "model": "gpt-5", "status": status, "background": True, **more}
        (read_response if status == "queued" else read_stored_response)(call, body)
        call.finish("success")
        return call

    once.COUNTED.forget()
    usage = {"input_tokens": 5, "output_tokens": 7}
    assert not read("queued").counts_usage
    assert read("completed", usage=usage).counts_usage
    assert not read("completed", usage=usage).counts_usage
    assert not read("completed", usage=usage, background=False, id="resp_2").counts_usage
    assert seen.value("llm_provider_tokens_total") == 12


def test_batches_count_once(client: openai.OpenAI, seen: Recording) -> None:
    from tachograph.vendors.openai.apis import read_batch

    once.COUNTED.forget()
    body = {"id": "b1", "status": "completed", "model": "gpt-5", "usage": {"input_tokens": 50, "output_tokens": 70}}
    for _ in range(2):
        call = seen.recorder.start_llm_call("openai", "unknown", "fetch_response")
        read_batch(call, body)
        call.finish("success")
    assert (call.model, call.service_tier) == ("gpt-5", "batch")
    assert seen.value("llm_provider_tokens_total") == 120


def test_the_results_of_an_anthropic_batch_count_once_for_each_model(seen: Recording) -> None:
    from tachograph.vendors.anthropic.apis import BatchResults
    from tachograph.vendors.loose import loads

    once.COUNTED.forget()
    line = '{"custom_id":"a","result":{"type":"succeeded","message":{"model":"%s","usage":%s}}}'
    usage = '{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":4}'
    for _ in range(2):
        call = seen.recorder.start_llm_call("anthropic", "unknown", "fetch_response")
        call.response_id = "batch_1"
        reader = BatchResults()
        for model in ("claude-a", "claude-a", "claude-b"):
            reader.feed(loads(line % (model, usage)), call)
        reader.is_complete = True
        reader.fill(call)
        call.finish("success")
    assert seen.value("llm_provider_tokens_total", type="prompt", model="claude-a") == 30
    assert seen.value("llm_provider_tokens_total", type="prompt", model="claude-b") == 15
    assert seen.value("llm_provider_tokens_total", type="completion") == 12


def generate(client: genai.Client, way: str, **request: Any) -> None:
    """Generate content, or send a chat's message, whole or streamed, by the sync or the async client."""
    is_chat, is_stream, is_async = "chat" in way, "stream" in way, "async" in way
    if is_chat:
        chats = client.aio.chats if is_async else client.chats
        chat: Any = chats.create(model=request["model"], config=request["config"])
        method, arguments = (chat.send_message_stream if is_stream else chat.send_message), {"message": "weather?"}
    else:
        models: Any = client.aio.models if is_async else client.models
        method = models.generate_content_stream if is_stream else models.generate_content
        arguments = {**request, "contents": "weather?"}

    async def run() -> None:
        answer = await method(**arguments)
        if is_stream:
            async for _ in answer:
                pass

    if is_async:
        asyncio.run(run())
    else:
        answer = method(**arguments)
        if is_stream:
            list(answer)


WAYS = [
    "whole",
    "stream",
    "async",
    "async stream",
    "chat",
    "chat stream",
    "chat async",
    "chat async stream",
]


@pytest.mark.parametrize("way", WAYS)
def test_automatic_function_calling_is_one_call_with_the_tokens_of_every_hop(
    simulators: Simulators, seen: Recording, way: str
) -> None:
    asked_inside: list[Any] = []
    client = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})

    def weather(city: str) -> str:
        """The weather of a city."""
        asked_inside.append(ask(openai.OpenAI(base_url=simulators.openai.url, api_key="any")))
        other = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})
        other.models.generate_content(model="gemini-2.5-pro", contents=city)
        return "sun"

    simulators.gemini.script(
        Answer(tool_calls=[ToolCall("weather", {"city": "Ulm"})], usage=ServedUsage(prompt=100, completion=10)),
        Answer(text="a tool's own question", usage=ServedUsage(prompt=7, completion=1)),
        Answer(text="sunny", usage=ServedUsage(prompt=20, completion=5)),
    )
    generate(client, way, model="gemini-2.5-flash", config={"tools": [weather]})
    assert len(asked_inside) == 1
    first, second, outer = seen.llm_calls
    assert (first.provider, second.model, outer.model) == ("openai", "gemini-2.5-pro", "gemini-2.5-flash")
    assert second.usage is not None
    assert second.usage.input_tokens == 7
    assert len(outer.attempts) == 2
    assert outer.stream == ("stream" in way)
    assert outer.usage is not None
    assert (outer.usage.input_tokens, outer.usage.output_tokens) == (120, 15)
    assert [usage.input_tokens for usage in outer.usages] == [100, 20]
    assert (outer.outcome, outer.finish_reason) == ("success", "STOP")


@pytest.mark.parametrize("way", ["whole", "async", "chat"])
def test_the_ring_has_the_tokens_of_every_hop_of_automatic_function_calling(
    simulators: Simulators, seen: Recording, way: str, tmp_path: Path
) -> None:
    seen.recorder.ring = Ring(tmp_path)
    simulators.gemini.script(
        Answer(tool_calls=[ToolCall("weather", {"city": "Ulm"})], usage=ServedUsage(prompt=100, completion=10)),
        Answer(text="sunny", usage=ServedUsage(prompt=20, completion=5)),
    )

    def weather(city: str) -> str:
        """The weather of a city."""
        return city

    client = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})
    generate(client, way, model="gemini-2.5-flash", config={"tools": [weather]})
    assert seen.llm_calls[-1].tokens == (120, 15)


@pytest.mark.parametrize("way", [way for way in WAYS if "chat" in way])
def test_a_chats_message_that_fails_at_its_second_request_is_one_failed_call(
    simulators: Simulators, seen: Recording, way: str
) -> None:
    def weather(city: str) -> str:
        """The weather of a city."""
        return "sun"

    usage = ServedUsage(prompt=100, completion=10)
    simulators.gemini.script(Answer(tool_calls=[ToolCall("weather", {"city": "Ulm"})], usage=usage))
    simulators.gemini.script(BadRequest())
    client = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})
    with pytest.raises(genai.errors.ClientError):
        generate(client, way, model="gemini-2.5-flash", config={"tools": [weather]})
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("error", "invalid_request")
    assert [attempt.outcome for attempt in call.attempts] == ["success", "error"]
    assert call.usage is not None
    assert call.usage.input_tokens == 100


def test_a_message_that_the_chat_refuses_is_no_call(simulators: Simulators, seen: Recording) -> None:
    chat = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url}).chats.create(model="any")
    unfit: Any = 3.5
    with pytest.raises(ValueError, match="Message must be a valid part type"):
        chat.send_message(unfit)
    with pytest.raises(ValueError, match="Message must be a valid part type"):
        list(chat.send_message_stream(unfit))
    assert not seen.llm_calls
    assert seen.value("tachograph_telemetry_errors_total") == 0


def test_a_gemini_stream_that_nobody_reads_is_no_call(simulators: Simulators, seen: Recording) -> None:
    client = genai.Client(api_key="any", http_options={"base_url": simulators.gemini.url})
    client.models.generate_content_stream(model="gemini-2.5-flash", contents="hello")
    assert TAPE.drain()
    assert not seen.llm_calls
    assert not list(simulators.served)


# Labels and content


def test_labels_follow_tasks_and_threads(simulators: Simulators, client: openai.OpenAI, seen: Recording) -> None:
    async def asynchronously() -> None:
        aclient = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
        with labels(feature="chat"):
            task = asyncio.create_task(aclient.chat.completions.create(model="gpt-5", messages=ASKED))
        await task
        await asyncio.to_thread(ask, client)

    with labels(team="search"):
        asyncio.run(asynchronously())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, ask, client).result()
    ask(client)
    assert [call.labels for call in seen.llm_calls] == [
        {"team": "search", "feature": "chat"},
        {"team": "search"},
        {"team": "search"},
        None,
    ]


def test_labels_follow_plain_threads_and_pools_and_stay_in_no_worker(client: openai.OpenAI, seen: Recording) -> None:
    with ThreadPoolExecutor(1) as pool:
        with labels(team="search"):
            thread = threading.Thread(target=ask, args=(client,))
            thread.start()
            thread.join()
            pool.submit(ask, client).result()
        pool.submit(ask, client).result()
    assert [call.labels for call in seen.llm_calls] == [{"team": "search"}, {"team": "search"}, None]


def hide(text: str, where: str) -> str | None:
    return None if where == "output" else text.replace("secret", "[redacted]")


def test_content_is_kept_only_when_asked_for_and_after_redaction(simulators: Simulators) -> None:
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
    simulators.openai.always(Answer(text="a secret answer"))
    asked: Any = [{"role": "user", "content": "my secret " + "x" * 100}]
    found = []
    for settings, redact in (({}, None), ({"content": True, "content_limit": 64}, "test_instrument_hooks:hide")):
        with recording(spans=settings) as seen:
            sys.modules["test_instrument_hooks"] = sys.modules[__name__]
            instrument(redact=redact)
            client.chat.completions.create(model="gpt-5", messages=asked)
            uninstrument()
            found.append(seen.llm_calls[0].content)
    assert found[0] is None
    assert set(found[1]) == {"input"}
    assert "[redacted]" in found[1]["input"]
    assert "more characters]" in found[1]["input"]


# Threads, and others


def test_many_threads_and_tasks_at_once_leave_one_record_each(simulators: Simulators, seen: Recording) -> None:
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
    threads = [threading.Thread(target=ask, args=(client,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def gather() -> None:
        aclient = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="any")
        await asyncio.gather(*(aclient.chat.completions.create(model="gpt-5", messages=ASKED) for _ in range(8)))

    asyncio.run(gather())
    assert [(call.outcome, len(call.attempts)) for call in seen.llm_calls] == [("success", 1)] * 16


def test_vendors_own_spans_are_named_among_the_others(seen: Recording) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="spans need opentelemetry-sdk")
    names = [other.name for other in other_instrumentation.active()]
    assert "anthropic: its own spans" in names
    assert tachograph.__version__


def test_no_recorder_is_kept_when_nothing_is_watched_any_more(simulators: Simulators) -> None:
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
    with recording() as seen:
        instrument("openai")
        try:
            client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "?"}])
        finally:
            uninstrument()
        assert len(seen.llm_calls) == 1
        kept = weakref.ref(seen.recorder)
    del seen
    gc.collect()
    assert kept() is None
