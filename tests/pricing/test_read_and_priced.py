"""From the answer on the wire to the cost of the call, through watched clients: each with its arithmetic."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai

import tachograph
from tachograph.testing import Recording, recording

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "content": [{"type": "text", "text": "hi"}],
}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-5",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "output": [],
    "metadata": {},
    "temperature": 1.0,
    "top_p": 1.0,
    "usage": {
        "input_tokens": 1000,
        "output_tokens": 100,
        "total_tokens": 1100,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}
PRICE = 1000 * 1250 + 100 * 10_000
"""Of RESPONSE without its items: gpt-5 at 1.25 and 10."""


@pytest.fixture(autouse=True)
def watched() -> Any:
    tachograph.instrument()
    yield
    tachograph.uninstrument()


def client(answer: Any, base_url: str = "https://api.openai.com/v1", headers: dict[str, str] | None = None) -> Any:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, bytes):
            return httpx2.Response(200, stream=httpx2.ByteStream(answer), headers=headers)
        return httpx2.Response(200, json=answer, headers=headers)

    transport = httpx2.Client(transport=httpx2.MockTransport(handle))
    return openai.OpenAI(api_key="k", base_url=base_url, http_client=transport, max_retries=0)


def respond(seen: Recording, **more: Any) -> Any:
    client({**RESPONSE, **more}).responses.create(model="gpt-5", input="hi")
    (call,) = seen.llm_calls
    assert call.cost is not None
    return call


def test_an_openai_batch_is_priced_as_its_average_request_and_is_an_estimate() -> None:
    # gpt-5.5 in a batch: 2.50 and 15; a thousand requests of a thousand tokens
    batch = {
        "id": "batch_of_a_thousand",
        "object": "batch",
        "endpoint": "/v1/responses",
        "input_file_id": "f",
        "created_at": 1,
        "completion_window": "24h",
        "status": "completed",
        "model": "gpt-5.5",
        "usage": {**RESPONSE["usage"], "input_tokens": 10**6, "output_tokens": 10**5, "total_tokens": 1_100_000},  # type: ignore[dict-item]
        "request_counts": {"total": 1000, "completed": 1000, "failed": 0},
    }
    with recording() as seen:
        client(batch).batches.retrieve("batch_of_a_thousand")
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality) == (10**6 * 2500 + 10**5 * 15_000, "estimated")


def test_image_generation_inside_a_response_is_priced_by_its_own_model() -> None:
    # gpt-image-1: 5 for text, 10 for images that go in, 40 for what comes out
    drawn = {
        "input_tokens": 60,
        "input_tokens_details": {"text_tokens": 50, "image_tokens": 10},
        "output_tokens": 1000,
        "total_tokens": 1060,
        "output_tokens_details": {"image_tokens": 1000, "text_tokens": 0},
    }
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AA=="}
    usage = {"image_gen": drawn, "web_search": {"num_requests": 0}}
    with recording() as seen:
        call = respond(
            seen, output=[item], tools=[{"type": "image_generation", "model": "gpt-image-1"}], tool_usage=usage
        )
    assert call.cost.nano_usd == PRICE + 50 * 5000 + 10 * 10_000 + 1000 * 40_000
    assert (call.cost.quality, call.usage.tool_uses) == ("priced", {"image_generation": 1})


def test_image_generation_by_a_model_that_nobody_names_is_an_estimate() -> None:
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AA=="}
    with recording() as seen:
        call = respond(seen, output=[item])
    assert (call.cost.nano_usd, call.cost.quality) == (PRICE, "estimated")
    assert call.cost.detail == "no price for image_generation"


@pytest.mark.parametrize(
    ("tool", "model", "fee"),
    [("web_search", "gpt-4.1", 10), ("web_search_preview", "gpt-4.1", 25), ("web_search_preview", "gpt-5", 10)],
)
def test_the_older_search_tool_has_a_price_of_its_own(tool: str, model: str, fee: int) -> None:
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "x"},
    }
    with recording() as seen:
        bare, call = (
            (
                client({**RESPONSE, "model": model, **more}).responses.create(model=model, input="hi"),
                seen.llm_calls[-1],
            )[1]
            for more in ({}, {"output": [search], "tools": [{"type": tool}]})
        )
    assert bare.cost is not None
    assert call.cost is not None
    assert bare.cost.nano_usd is not None
    assert (call.cost.nano_usd, call.cost.quality) == (bare.cost.nano_usd + fee * 1_000_000, "priced")


def test_an_item_that_no_reader_knows_is_said() -> None:
    with recording() as seen:
        call = respond(seen, output=[{"type": "hologram_call", "id": "h_1"}])
    assert (call.cost.nano_usd, call.cost.quality) == (PRICE, "estimated")
    assert call.cost.detail == "unknown item or field 'hologram_call'"


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_speech_costs_the_characters_that_were_sent(is_streamed: bool) -> None:
    # tts-1: 15 for a million
    with recording() as seen:
        speak(client(b"sound"), is_streamed, model="tts-1", input="hello " * 100)
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality) == (600 * 15_000, "priced")
    assert seen.value("llm_calls_usage_missing_total") == 0


@pytest.mark.parametrize("how", ["whole", "streamed", "raw"])
def test_speech_as_events_costs_the_tokens_that_its_last_event_reports(how: str) -> None:
    # gpt-4o-mini-tts: 0.6 and 12 for a million
    events = (
        b'data: {"type":"speech.audio.delta","audio":"AAAA"}\n\n'
        b'data: {"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}\n\n'
    )
    with recording() as seen:
        asked = client(events, headers={"content-type": "text/event-stream"})
        if how == "raw":
            raw = asked.audio.speech.with_raw_response
            raw.create(model="gpt-4o-mini-tts", voice="alloy", input="hello", stream_format="sse").parse().read()
        else:
            speak(asked, how == "streamed", model="gpt-4o-mini-tts", input="hello", stream_format="sse")
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality) == (14 * 600 + 101 * 12_000, "priced")


def speak(client: Any, is_streamed: bool, **asked: Any) -> None:
    if not is_streamed:
        client.audio.speech.create(voice="alloy", **asked).read()
        return
    with client.audio.speech.with_streaming_response.create(voice="alloy", **asked) as response:
        assert b"".join(response.iter_bytes())


def test_a_gateways_header_states_the_cost() -> None:
    headers = {"x-litellm-response-cost": "0.00225"}
    with recording() as seen:
        client(RESPONSE, "https://gateway.example.com/v1", headers).responses.create(model="gpt-5", input="hi")
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality, call.cost.list_nano_usd) == (2_250_000, "stated", PRICE)
    assert seen.value("llm_usage_mismatch_total", reason="stated_cost") == 0


@pytest.mark.parametrize(
    ("name", "value", "is_cached"),
    [
        ("cf-aig-cache-status", "HIT", True),
        ("cf-aig-cache-status", "MISS", False),
        ("x-portkey-cache-status", "SEMANTIC HIT", True),
        ("x-portkey-cache-status", "SEMANTIC MISS", False),
        ("Helicone-Cache", "HIT", True),
    ],
)
def test_an_answer_out_of_a_gateways_cache_costs_nothing(name: str, value: str, is_cached: bool) -> None:
    with recording() as seen:
        client(RESPONSE, "https://gateway.example.com/v1", {name: value}).responses.create(model="gpt-5", input="hi")
    (call,) = seen.llm_calls
    assert call.cost is not None
    expected = (0, "stated", PRICE) if is_cached else (PRICE, "priced", None)
    assert (call.cost.nano_usd, call.cost.quality, call.cost.list_nano_usd) == expected
    assert seen.value("llm_usage_mismatch_total", reason="stated_cost") == 0


def test_a_proxys_stream_states_its_cost_in_its_usage() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cost": 0.5}
    events: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    about = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5"}
    body = "".join(f"data: {json.dumps({**about, **event})}\n\n" for event in events) + "data: [DONE]\n\n"
    messages = [{"role": "user", "content": "hi"}]
    costs = []
    with recording() as seen:
        for more in ({"x-litellm-call-id": "1", "x-litellm-response-cost": "0.0"}, {}):
            headers = {"content-type": "text/event-stream", **more}
            asked = client(body.encode(), "https://gateway.example.com/v1", headers).chat.completions
            list(asked.create(model="gpt-5", messages=messages, stream=True, stream_options={"include_usage": True}))
    for call in seen.llm_calls:
        assert call.cost is not None
        costs.append((call.cost.nano_usd, call.cost.quality))
    assert costs == [(500_000_000, "stated"), (PRICE, "priced")]
    assert seen.value("llm_usage_mismatch_total", reason="stated_cost") == 1


@pytest.mark.parametrize(("is_byok", "nano_usd"), [(True, 19_950_000_000), (False, 950_000_000)])
def test_openrouter_with_a_key_of_ones_own_costs_its_fee_and_what_the_vendor_charges(
    is_byok: bool, nano_usd: int
) -> None:
    usage = {
        "prompt_tokens": 194,
        "completion_tokens": 2,
        "total_tokens": 196,
        "cost": 0.95,
        "cost_details": {"upstream_inference_cost": 19},
        "is_byok": is_byok,
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    chat = {"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice], "usage": usage}
    with recording() as seen:
        messages = [{"role": "user", "content": "hi"}]
        client(chat, "https://openrouter.ai/api/v1").chat.completions.create(model="x", messages=messages)
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality) == (nano_usd, "stated")


def test_openrouter_states_its_cost_and_a_disagreement_is_counted() -> None:
    # openai/gpt-5 at OpenRouter: 1.25 and 10, as at OpenAI
    chat = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "openai/gpt-5",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100, "cost": 0.5},
    }
    with recording() as seen:
        messages = [{"role": "user", "content": "hi"}]
        client(chat, "https://openrouter.ai/api/v1").chat.completions.create(model="openai/gpt-5", messages=messages)
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality, call.cost.list_nano_usd) == (500_000_000, "stated", PRICE)
    assert seen.value("llm_usage_mismatch_total", provider="openrouter", reason="stated_cost") == 1
    assert seen.value("llm_provider_cost_usd_total", provider="openrouter") == 0.5


def message(usage: dict[str, Any], *, blocks: list[Any] | None = None, **fields: Any) -> Any:
    """A message with these fields; with blocks, streamed to its end."""
    whole = {**MESSAGE, "usage": usage, **fields}
    events = [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        *({"type": "content_block_start", "index": n, "content_block": block} for n, block in enumerate(blocks or ())),
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    streamed = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    body, kind = (json.dumps(whole), "application/json") if blocks is None else (streamed, "text/event-stream")
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, content=body.encode(), headers={"content-type": kind})
    )
    client = anthropic.Anthropic(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0)
    asked: Any = {"model": "claude-opus-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return client.messages.create(**asked) if blocks is None else list(client.messages.create(**asked, stream=True))


def test_a_watched_client_reads_fast_mode_and_region() -> None:
    # claude-opus-5 fast: 10 and 50, and a tenth more in the US
    with recording() as seen:
        message({"input_tokens": 1000, "output_tokens": 1000, "speed": "fast", "inference_geo": "us"})
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality) == (1000 * 11_000 + 1000 * 55_000, "priced")


def test_an_advisor_is_priced_by_its_own_model() -> None:
    # claude-opus-5 at 5 and 25, its advisor claude-haiku-4-5 at 1 and 5
    advice = {
        "type": "advisor_message",
        "model": "claude-haiku-4-5",
        "input_tokens": 200,
        "output_tokens": 20,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    with recording() as seen:
        message({"input_tokens": 1000, "output_tokens": 100, "iterations": [advice]})
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (1200, 120)
    assert call.cost is not None
    assert call.cost.nano_usd == 1000 * 5000 + 100 * 25_000 + 200 * 1000 + 20 * 5000
    assert call.cost.quality == "priced"


@pytest.mark.parametrize(
    ("block", "doubt"),
    [
        ({"type": "server_tool_use", "name": "image_generation", "id": "s", "input": {}}, "image_generation"),
        ({"type": "server_tool_use", "name": "bash_code_execution", "id": "s", "input": {}}, "bash_code_execution"),
        ({"type": "hologram", "data": "x"}, "hologram"),
        ({"type": "server_tool_use", "name": "web_fetch", "id": "s", "input": {}}, ""),
        ({"type": "thinking", "thinking": "x", "signature": "y"}, ""),
        ({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}, ""),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_item_of_a_message_that_may_be_billed_makes_the_cost_an_estimate(
    block: dict[str, Any], doubt: str, streamed: bool
) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 100}
    with recording() as seen:
        if streamed:
            message(usage, blocks=[block])
        else:
            message(usage, content=[block])
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert call.cost.nano_usd == 1000 * 5000 + 100 * 25_000
    assert (call.cost.quality, doubt in call.cost.detail) == ("estimated" if doubt else "priced", True)


def test_code_is_run_for_nothing_beside_a_web_search() -> None:
    code = {"type": "server_tool_use", "name": "code_execution", "id": "s", "input": {}}
    searched = {"server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0}}
    with recording() as seen:
        message({"input_tokens": 1000, "output_tokens": 100, **searched}, content=[code])
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality) == (1000 * 5000 + 100 * 25_000 + 10_000_000, "priced")


def test_a_response_stream_that_is_left_costs_at_least_its_prompt() -> None:
    begun = {**RESPONSE, "status": "in_progress", "usage": None, "background": False}
    events = [
        {"type": "response.created", "sequence_number": 0, "response": begun},
        {"type": "response.output_text.delta", "sequence_number": 1, "delta": "hi", "item_id": "m", "output_index": 0},
        {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
    ]
    data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    asked = "word " * 800
    with recording() as seen:
        with client(data, headers={"content-type": "text/event-stream"}).responses.create(
            model="gpt-5", input=asked, stream=True
        ) as stream:
            next(iter(stream))
        (call,) = seen.llm_calls
    assert (call.outcome, call.counts_usage) == ("cancelled", True)
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality) == (1000 * 1250, "estimated")
    assert "only its prompt of about 1,000 tokens" in call.cost.detail


def test_an_interaction_stream_that_is_left_costs_at_least_its_prompt() -> None:
    begun = {"id": "int_left", "object": "interaction", "status": "in_progress", "model": "gemini-2.5-flash"}
    events = [
        {"event_type": "interaction.created", "interaction": begun},
        {"event_type": "step.start", "index": 0, "step": {"type": "model_output"}},
        {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": "hi"}},
    ]
    data = "".join(f"event: {event['event_type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()
    answer = httpx2.MockTransport(
        lambda request: httpx2.Response(200, content=data, headers={"content-type": "text/event-stream"})
    )
    gemini = genai.Client(api_key="k", http_options={"httpx_client": httpx2.Client(transport=answer)})
    with recording() as seen:
        stream = gemini.interactions.create(model="gemini-2.5-flash", input="word " * 800, stream=True)
        with stream:
            next(iter(stream))
        (call,) = seen.llm_calls
    assert (call.outcome, call.counts_usage) == ("cancelled", True)
    assert call.cost is not None
    assert (call.cost.nano_usd, call.cost.quality) == (1000 * 300, "estimated")


@pytest.mark.parametrize("content", [5, 1e30, True, "text", None, [3], [None], {"a": 1}])
def test_a_message_whose_content_is_something_else_is_priced_by_its_tokens(content: Any) -> None:
    with recording() as seen:  # strict: a failure of ours would be raised
        message({"input_tokens": 1000, "output_tokens": 100}, content=content)
    (call,) = seen.llm_calls
    assert call.cost is not None
    assert call.cost.nano_usd == 1000 * 5000 + 100 * 25_000


def generated(*chunks: dict[str, Any]) -> Any:
    """The call of a stream of Gemini's that has these chunks."""
    data = "".join(f"data: {json.dumps(each)}\r\n\r\n" for each in chunks).encode()
    answer = httpx2.MockTransport(
        lambda request: httpx2.Response(
            200, stream=httpx2.ByteStream(data), headers={"content-type": "text/event-stream"}
        )
    )
    gemini = genai.Client(api_key="k", http_options={"httpx_client": httpx2.Client(transport=answer)})
    with recording() as seen:
        assert len(list(gemini.models.generate_content_stream(model="gemini-2.5-flash", contents="hi"))) == len(chunks)
        (call,) = seen.llm_calls
    assert call.cost is not None
    return call


SAID = {"content": {"role": "model", "parts": [{"text": "hi"}]}, "index": 0}
COUNTED = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100}


def test_a_later_report_of_zeros_takes_nothing_back() -> None:
    zeros = {"candidates": [], "usageMetadata": dict.fromkeys(COUNTED, 0)}
    call = generated({"candidates": [{**SAID, "finishReason": "STOP"}], "usageMetadata": COUNTED}, zeros)
    assert (call.cost.nano_usd, call.cost.quality) == (1000 * 300 + 100 * 2500, "priced")


def test_what_a_stream_reported_before_it_was_cut_is_an_estimate() -> None:
    call = generated({"candidates": [SAID], "usageMetadata": {"promptTokenCount": 1000, "totalTokenCount": 1000}})
    assert (call.outcome, call.error_type) == ("error", "connection")
    assert (call.cost.nano_usd, call.cost.quality) == (1000 * 300, "estimated")
    assert "the stream was cut" in call.cost.detail


def test_a_client_of_vertex_has_no_key_and_is_watched() -> None:
    answer = httpx2.MockTransport(
        lambda request: httpx2.Response(200, json={**MESSAGE, "usage": {"input_tokens": 1000, "output_tokens": 100}})
    )
    http = httpx2.Client(transport=answer)
    vertex = anthropic.AnthropicVertex(project_id="p", region="global", access_token="t", http_client=http)
    with recording() as seen:  # strict: a failure of ours would be raised
        vertex.messages.create(model="claude-opus-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    assert [(call.provider, call.outcome, call.api_key_hint) for call in seen.llm_calls] == [("vertex", "success", "")]
