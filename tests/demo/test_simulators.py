"""The simulators spoken to by the vendors' real SDKs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from dataclasses import replace
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types as genai_types

from support.asking import (
    ASK,
    CLAUDE,
    FULL,
    MESSAGES,
    Asked,
    anthropic_client,
    ask_openai,
    each_api,
    gemini_client,
    openai_client,
)
from tachograph_demo.simulators import (
    Answer,
    RateLimited,
    RateLimits,
    ServedUsage,
    ServerError,
    Simulators,
    ToolCall,
)


@each_api
def test_scripted_usage_and_text_reach_the_client_and_the_ledger(simulators: Simulators, api: str) -> None:
    vendor, ask = ASK[api]
    simulators_vendor = getattr(simulators, vendor)
    simulators_vendor.script(Answer(text="It arrives tomorrow.", usage=FULL))
    assert ask(simulators) == Asked(3000, 500, "It arrives tomorrow.")
    (exchange,) = simulators.served
    assert (exchange.usage, exchange.status, exchange.is_complete) == (FULL, 200, True)
    assert exchange.ended is not None
    assert exchange.ended >= exchange.started


@each_api
def test_unscripted_answers_repeat_with_the_seed_and_are_counted(api: str) -> None:
    def run(seed: int) -> tuple[Asked, Asked]:
        with Simulators(seed=seed) as sims:
            both = (ask(sims), ask(sims))
            (total,) = sims.served.totals().values()
            assert total.usage.prompt == sum(a.prompt or 0 for a in both)
            assert total.usage.completion == sum(a.completion or 0 for a in both)
            return both

    _, ask = ASK[api]
    first = run(1)
    assert first == run(1)
    assert first != run(2)
    assert first[0].prompt == 5  # "Where is my parcel?" has 19 characters
    assert first[0].completion is not None
    assert first[0].completion >= len(first[0].text) // 4


def test_openai_stream_tells_usage_only_when_asked(simulators: Simulators) -> None:
    chunks = list(openai_client(simulators).chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True))
    assert all(c.usage is None for c in chunks)
    (exchange,) = simulators.served
    assert exchange.usage is None
    assert exchange.full_usage is not None


TOOLS: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 3}},
    "required": ["city", "days"],
}


def test_tool_calls_and_reasoning_in_every_format_streamed_and_not(simulators: Simulators) -> None:
    answer = Answer(
        text="",
        reasoning="Think first.",
        tool_calls=[ToolCall("weather", {"city": "Ulm", "days": 2}, id="call_1")],
    )
    for vendor in simulators.vendors:
        vendor.always(answer)
    client = openai_client(simulators)
    message = client.chat.completions.create(model="gpt-5", messages=MESSAGES).choices[0].message
    assert message.tool_calls
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Ulm", "days": 2}  # type: ignore[union-attr]
    with client.chat.completions.stream(model="gpt-5", messages=MESSAGES) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls
    assert json.loads(calls[0].function.arguments) == {"city": "Ulm", "days": 2}
    kinds = [item.type for item in client.responses.create(model="gpt-5", input="x").output]
    assert kinds == ["reasoning", "function_call"]
    claude = anthropic_client(simulators)
    whole = claude.messages.create(model=CLAUDE, max_tokens=99, messages=MESSAGES)
    with claude.messages.stream(model=CLAUDE, max_tokens=99, messages=MESSAGES) as claude_stream:
        streamed = claude_stream.get_final_message()
    for m in (whole, streamed):
        assert [b.type for b in m.content] == ["thinking", "tool_use"]
        assert (m.content[1].input, m.stop_reason) == ({"city": "Ulm", "days": 2}, "tool_use")  # type: ignore[union-attr]
    gemini = gemini_client(simulators)
    r = gemini.models.generate_content(model="gemini-2.5-pro", contents="x")
    assert r.function_calls
    assert (r.function_calls[0].name, r.function_calls[0].args) == ("weather", {"city": "Ulm", "days": 2})


def test_demanded_tools_and_schemas_are_answered_to_fit(simulators: Simulators) -> None:
    function = {"type": "function", "function": {"name": "weather", "parameters": TOOLS}}
    message = (
        openai_client(simulators)
        .chat.completions.create(
            model="gpt-5",
            messages=MESSAGES,
            tools=[function],
            tool_choice="required",  # type: ignore[call-overload]
        )
        .choices[0]
        .message
    )
    assert set(json.loads(message.tool_calls[0].function.arguments)) == {"city", "days"}
    m = anthropic_client(simulators).messages.create(
        model=CLAUDE,
        max_tokens=99,
        messages=MESSAGES,
        tools=[{"name": "weather", "input_schema": TOOLS}],
        tool_choice={"type": "tool", "name": "weather"},
    )
    assert m.content[0].type == "tool_use"
    gemini = gemini_client(simulators)
    r = gemini.models.generate_content(
        model="gemini-2.5-pro",
        contents="x",
        config=genai_types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=TOOLS),
    )
    assert 1 <= json.loads(r.text or "")["days"] <= 3


def test_stops_without_an_exception(simulators: Simulators) -> None:
    simulators.openai.script(Answer(finish="length"), Answer(finish="content_filter", text=""))
    simulators.anthropic.script(Answer(finish="refusal"), Answer(finish="context_window"))
    simulators.gemini.script(
        Answer(finish="blocked_prompt", safety_reason="PROHIBITED_CONTENT"),
        Answer(finish="content_filter", text=""),
    )
    client = openai_client(simulators)
    reasons = [
        client.chat.completions.create(model="gpt-5", messages=MESSAGES).choices[0].finish_reason for _ in range(2)
    ]
    assert reasons == ["length", "content_filter"]
    claude = anthropic_client(simulators)
    stops = [claude.messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES).stop_reason for _ in range(2)]
    assert stops == ["refusal", "model_context_window_exceeded"]
    gemini = gemini_client(simulators)
    blocked = gemini.models.generate_content(model="gemini-2.5-pro", contents="x")
    assert blocked.candidates is None
    assert blocked.prompt_feedback
    assert str(blocked.prompt_feedback.block_reason).endswith("PROHIBITED_CONTENT")
    unsafe = gemini.models.generate_content(model="gemini-2.5-pro", contents="x")
    assert unsafe.candidates
    assert str(unsafe.candidates[0].finish_reason).endswith("SAFETY")


def test_rate_limit_headers_are_sent_as_scripted(simulators: Simulators) -> None:
    limits = RateLimits(requests_limit="100", requests_remaining="-5", requests_reset="6m0s", tokens_remaining="nan")
    for vendor in simulators.vendors:
        vendor.script(Answer(rate_limits=limits), RateLimited(rate_limits=limits))
    headers = (
        openai_client(simulators).chat.completions.with_raw_response.create(model="gpt-5", messages=MESSAGES).headers
    )
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == (
        "-5",
        "6m0s",
    )
    assert headers["x-ratelimit-remaining-tokens"] == "nan"
    assert "x-ratelimit-limit-tokens" not in headers
    with pytest.raises(openai.RateLimitError) as limited:
        ask_openai(simulators)
    assert limited.value.response.headers["x-ratelimit-limit-requests"] == "100"
    headers = (
        anthropic_client(simulators)
        .messages.with_raw_response.create(model=CLAUDE, max_tokens=9, messages=MESSAGES)
        .headers
    )
    assert headers["anthropic-ratelimit-requests-limit"] == "100"


def test_long_prompts_are_cached_the_second_time(simulators: Simulators) -> None:
    manual = "The manual says a lot. " * 400
    client = openai_client(simulators)
    messages: Any = [{"role": "system", "content": manual}, *MESSAGES]
    usages = [client.chat.completions.create(model="gpt-5", messages=messages).usage for _ in range(2)]
    cached = [u.prompt_tokens_details.cached_tokens for u in usages if u and u.prompt_tokens_details]
    assert cached[0] == 0
    assert cached[1] is not None
    assert 1024 <= cached[1] <= 2300
    claude = anthropic_client(simulators)
    system: Any = [{"type": "text", "text": manual, "cache_control": {"type": "ephemeral"}}]
    first, second = (
        claude.messages.create(model=CLAUDE, max_tokens=9, system=system, messages=MESSAGES).usage for _ in range(2)
    )
    assert first.cache_creation_input_tokens == second.cache_read_input_tokens == 2300
    assert first.cache_creation
    assert first.cache_creation.ephemeral_5m_input_tokens == 2300
    assert first.input_tokens == second.input_tokens == 5


def test_other_openai_endpoints(simulators: Simulators) -> None:
    client = openai_client(simulators)
    embedded = client.embeddings.create(model="text-embedding-3-small", input=["four", "five"])
    assert (len(embedded.data), len(embedded.data[0].embedding), embedded.usage.prompt_tokens) == (2, 8, 2)
    image = client.images.generate(model="gpt-image-1", prompt="a parcel", size="1024x1024")
    assert image.usage
    assert image.usage.output_tokens == 272
    spoken = client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="hello")
    assert spoken.content.startswith(b"ID3")
    heard: Any = client.audio.transcriptions.create(model="gpt-4o-transcribe", file=("a.mp3", b"\r\nID3"))
    assert heard.usage.input_token_details.audio_tokens == 110
    whisper: Any = client.audio.transcriptions.create(model="whisper-1", file=("a.mp3", b"ID3"))
    assert whisper.usage.seconds == 11.0
    assert not client.moderations.create(input="hi").results[0].flagged
    batch = client.batches.retrieve("batch_1")
    assert batch.usage
    assert batch.usage.input_tokens > 0
    assert client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Say hi").usage
    assert "gpt-5" in [m.id for m in client.models.list()]
    compacted = client.responses.compact(model="gpt-5", input="long story")
    assert compacted.usage.input_tokens == 3
    decided = client.decisions.create(
        model="gpt-6-luna", input="four", questions=[{"type": "predicate", "name": "late", "instructions": "is late"}]
    )
    assert decided.usage.input_tokens == 4
    models = {e.operation: e.model for e in simulators.served}
    assert models["transcriptions"] == "whisper-1"


def test_background_responses_tell_usage_when_retrieved(simulators: Simulators) -> None:
    client = openai_client(simulators)
    queued = client.responses.create(model="gpt-5", input="x", background=True)
    assert (queued.status, queued.usage) == ("queued", None)
    done = client.responses.retrieve(queued.id)
    assert (done.status, done.id) == ("completed", queued.id)
    assert done.usage
    created, retrieved = simulators.served
    assert created.usage is None
    assert retrieved.usage is not None
    assert retrieved.usage.prompt == done.usage.input_tokens
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_unknown")


def test_azure_paths_name_the_deployment(simulators: Simulators) -> None:
    client = openai.AzureOpenAI(
        azure_endpoint=simulators.openai.azure_url, api_key="key", api_version="2024-10-21", max_retries=0
    )
    simulators.openai.script(Answer(model="gpt-4o-2024-08-06"))
    completion = client.chat.completions.create(model="my-deployment", messages=MESSAGES)
    assert completion.model == "gpt-4o-2024-08-06"
    (exchange,) = simulators.served
    assert (exchange.model, exchange.served_model) == ("my-deployment", "gpt-4o-2024-08-06")
    assert exchange.path == "/openai/deployments/my-deployment/chat/completions"


def test_other_anthropic_endpoints(simulators: Simulators) -> None:
    client = anthropic_client(simulators)
    assert client.messages.count_tokens(model=CLAUDE, messages=MESSAGES).input_tokens == 5
    results = list(client.messages.batches.results("batch_1"))
    assert [r.result.type for r in results] == ["succeeded", "succeeded", "errored"]
    beta = client.beta.messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES)
    assert beta.usage.input_tokens == 5
    assert CLAUDE in [m.id for m in client.models.list()]


def test_other_gemini_endpoints_and_vertex_paths(simulators: Simulators) -> None:
    client = gemini_client(simulators)
    assert client.models.count_tokens(model="gemini-2.5-pro", contents="four").total_tokens == 1
    embedded = client.models.embed_content(model="gemini-embedding-001", contents=["four", "five"])
    assert embedded.embeddings
    assert len(embedded.embeddings) == 2
    assert embedded.usage_metadata
    assert embedded.usage_metadata.prompt_token_count == 2
    vertex = genai.Client(
        vertexai=True,
        api_key="key",
        http_options={"base_url": simulators.gemini.url},
    )
    images = vertex.models.generate_images(model="imagen-4.0-generate-001", prompt="a parcel")
    assert images.generated_images
    r = vertex.models.generate_content(model="gemini-2.5-pro", contents="four")
    assert r.usage_metadata
    assert r.usage_metadata.traffic_type is not None
    assert "/publishers/google/" in simulators.served[len(simulators.served) - 1].path


async def test_async_clients_on_every_transport(simulators: Simulators) -> None:
    for vendor in simulators.vendors:
        vendor.always(Answer(text="Tomorrow.", usage=FULL))
    chat = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="k", max_retries=0)
    claude = anthropic.AsyncAnthropic(base_url=simulators.anthropic.url, api_key="k", max_retries=0)
    google = genai.Client(api_key="k", http_options={"base_url": simulators.gemini.url})
    completion, message, content = await asyncio.gather(
        chat.chat.completions.create(model="gpt-5", messages=MESSAGES),
        claude.messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES),
        google.aio.models.generate_content(model="gemini-2.5-pro", contents="x"),
    )
    assert completion.usage
    assert completion.usage.total_tokens == 3500
    assert message.usage.output_tokens == 500
    assert content.usage_metadata
    assert content.usage_metadata.total_token_count == 3500
    last = None
    async for chunk in await google.aio.models.generate_content_stream(model="gemini-2.5-pro", contents="x"):
        last = chunk
    assert last
    assert last.usage_metadata
    assert last.usage_metadata.total_token_count == 3500
    await google.aio.aclose()
    await chat.close()
    await claude.close()


def test_scripts_can_wait_for_the_request_they_fit(simulators: Simulators) -> None:
    simulators.openai.script(ServerError(), when=lambda request: request.model == "gpt-5-mini")
    assert ask_openai(simulators).text
    assert simulators.openai.pending == 1
    with pytest.raises(openai.InternalServerError):
        openai_client(simulators).chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    remove = simulators.openai.always(ServerError())
    with pytest.raises(openai.InternalServerError):
        ask_openai(simulators)
    remove()
    assert ask_openai(simulators).text


def test_the_simulators_run_as_a_process_of_their_own() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tachograph_demo.simulators", "--seed", "3"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        urls = json.loads(process.stdout.readline())
        client = openai.OpenAI(base_url=urls["openai"], api_key="k", max_retries=0)
        assert client.chat.completions.create(model="gpt-5", messages=MESSAGES).usage
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_totals_outlive_the_exchanges_that_are_forgotten() -> None:
    with Simulators(seed=1, keep=5) as sims:
        client = openai_client(sims)
        sims.openai.always(Answer(usage=FULL))
        for _ in range(23):
            client.chat.completions.create(model="gpt-5", messages=MESSAGES)
        totals = sims.served.totals()["openai", "gpt-5"]
        assert len(sims.served) <= 10
        assert (totals.requests, totals.by_status) == (23, {200: 23})
        assert (totals.usage.prompt, totals.usage.completion) == (23 * 3000, 23 * 500)
        assert totals.nano_usd % 23 == 0
        assert totals.nano_usd > 0


async def test_realtime_sessions_tell_usage_when_a_response_is_done(simulators: Simulators) -> None:
    simulators.openai.script(Answer(text="Hello there.", usage=FULL), ServerError(), Answer(ending="eof"))
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="k", max_retries=0)
    async with client.realtime.connect(model="gpt-realtime") as session:
        assert (await session.recv()).type == "session.created"
        await session.response.create()
        events = []
        async for event in session:
            events.append(event)
            if event.type == "response.done":
                break
        usage: Any = events[-1].response.usage  # type: ignore[union-attr]
        assert (usage.input_tokens, usage.output_tokens) == (3000, 500)
        assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "Hello there."
        await session.response.create()
        assert (await session.recv()).type == "error"
        await session.response.create()
        kinds = [event.type async for event in session]
        assert "response.done" not in kinds
    done, failed, cut = simulators.served.wait(3)
    assert (done.operation, done.model, done.usage, done.is_success) == ("realtime", "gpt-realtime", FULL, True)
    assert (failed.status, failed.is_success) == (500, False)
    assert cut.usage is None
    await client.close()


async def test_responses_and_live_sessions_answer_each_turn(
    simulators: Simulators, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulators.openai.always(Answer(text="Hello there.", usage=FULL))
    simulators.gemini.always(Answer(text="Hello there.", usage=FULL))
    client = openai.AsyncOpenAI(base_url=simulators.openai.url, api_key="k", max_retries=0)
    async with client.responses.connect() as responses:
        await responses.response.create(model="gpt-5", input="x")
        async for event in responses:
            if event.type == "response.completed":
                assert event.response.usage
                assert event.response.usage.total_tokens == 3500
                break
    gemini = gemini_client(simulators)
    # The SDK insists on wss for Live; the simulators have no TLS.
    monkeypatch.setattr(gemini._api_client, "_websocket_base_url", lambda *_: simulators.gemini.live_url)
    monkeypatch.setattr(gemini._api_client, "_websocket_ssl_ctx", {})
    async with gemini.aio.live.connect(model="gemini-live-2.5-flash", config={"response_modalities": ["TEXT"]}) as live:
        for _ in range(2):
            await live.send_client_content(turns={"role": "user", "parts": [{"text": "x"}]}, turn_complete=True)
            messages = [message async for message in live.receive()]
            assert "".join(m.text or "" for m in messages) == "Hello there."
            assert messages[-1].usage_metadata
            assert messages[-1].usage_metadata.total_token_count == 3500
    totals = simulators.served.totals()
    assert totals["openai", "gpt-5"].usage.prompt == 3000
    assert totals["gemini", "gemini-live-2.5-flash"].usage.prompt == 6000
    await client.close()


def test_every_part_of_usage_stands_where_its_vendor_puts_it(simulators: Simulators) -> None:
    usage = ServedUsage(
        prompt=1000,
        completion=400,
        cache_read=128,
        cache_write_30m=60,
        cache_write_12h=40,
        reasoning=100,
        audio_input=50,
        audio_output=30,
        image_input=20,
        tool_prompt=70,
        accepted_prediction=11,
        rejected_prediction=12,
        web_searches=2,
        service_tier="flex",
        extra={"of_tomorrow": 1},
    )
    for vendor in simulators.vendors:
        vendor.always(Answer(text="x", usage=usage))
    client = openai_client(simulators)
    completion = client.chat.completions.create(model="gpt-5", messages=MESSAGES)
    chat = completion.usage
    assert chat
    assert chat.prompt_tokens_details
    assert chat.completion_tokens_details
    prompt, answer = chat.prompt_tokens_details, chat.completion_tokens_details
    assert (prompt.cached_tokens, prompt.cache_write_tokens, prompt.audio_tokens, prompt.image_tokens) == (
        128,
        100,
        50,
        20,
    )
    assert (answer.reasoning_tokens, answer.audio_tokens) == (100, 30)
    assert (answer.accepted_prediction_tokens, answer.rejected_prediction_tokens) == (11, 12)
    assert completion.service_tier == "flex"
    assert chat.of_tomorrow == 1  # type: ignore[attr-defined]
    response: Any = client.responses.create(model="gpt-5", input="x")
    lifetimes = response.usage.input_tokens_details.cache_write_tokens_details
    assert (lifetimes.ttl_30m_tokens, lifetimes.ttl_12h_tokens) == (60, 40)
    assert response.tool_usage.web_search.num_requests == 2
    message = anthropic_client(simulators).messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES)
    assert message.usage.input_tokens == 1000 - 128 - 100
    assert message.usage.server_tool_use
    assert message.usage.server_tool_use.web_search_requests == 2
    gemini = gemini_client(simulators)
    simulators.gemini.clear()
    simulators.gemini.always(Answer(text="x", usage=replace(usage, extra={})))
    told = gemini.models.generate_content(model="gemini-2.5-pro", contents="x").usage_metadata
    assert told
    assert (told.prompt_token_count, told.tool_use_prompt_token_count) == (930, 70)
    assert (told.candidates_token_count, told.thoughts_token_count, told.total_token_count) == (300, 100, 1400)
    assert told.prompt_tokens_details
    modalities = {str(d.modality): d.token_count for d in told.prompt_tokens_details}
    assert modalities == {"MediaModality.TEXT": 860, "MediaModality.AUDIO": 50, "MediaModality.IMAGE": 20}


def test_vertex_paths_name_project_and_location(simulators: Simulators) -> None:
    path = "/v1beta1/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent"
    request = urllib.request.Request(
        simulators.gemini.url + path,
        data=json.dumps({"contents": [{"role": "user", "parts": [{"text": "four"}]}]}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        body = json.load(answer)
    assert body["usageMetadata"]["promptTokenCount"] == 1
    assert body["usageMetadata"]["trafficType"] == "ON_DEMAND"
    assert simulators.served[0].model == "gemini-2.5-flash"
