"""What is billed in Gemini's answers, by our engine, a watched client and a watched stream."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import anthropic
import httpx2
import pytest
from google import genai

from tachograph import ProviderFactory, instrument, uninstrument
from tachograph.llm.errors import ProviderError
from tachograph.records import LLMCall
from tachograph.testing import recording

USAGE = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100}
SEARCHED = {"groundingMetadata": {"webSearchQueries": ["a", "b", "a"]}}


def body(usage: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": "hi"}]}
    candidates = [{"content": content, "finishReason": "STOP", "index": 0, **candidate}]
    return {"candidates": candidates, "usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}


def asked(answer: dict[str, Any], how: str, model: str, headers: Any = None, config: Any = None) -> LLMCall:
    """The record of one call: by a watched client, streamed by one, or by our engine."""
    data = json.dumps(answer)
    streamed = how == "streamed"
    text, kind = (f"data: {data}\r\n\r\n", "text/event-stream") if streamed else (data, "application/json")
    served = {"content-type": kind, **(headers or {})}
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, text=text, headers=served)))
    with recording() as seen:
        if how == "engine":
            with suppress(ProviderError):
                ProviderFactory.create("gemini", api_key="any", http_client=http).complete(model=model, messages="hi")
        else:
            instrument("google_genai")
            try:
                client = genai.Client(api_key="any", http_options={"httpx_client": http})
                if streamed:
                    for _ in client.models.generate_content_stream(model=model, contents="hi", config=config):
                        pass
                else:
                    client.models.generate_content(model=model, contents="hi", config=config)
            finally:
                uninstrument()
    (call,) = seen.llm_calls
    return call


WAYS = pytest.mark.parametrize("how", ["watched", "streamed", "engine"])


@WAYS
@pytest.mark.parametrize(("model", "searches"), [("gemini-3.5-flash", 2), ("gemini-2.5-flash", 1)])
def test_searches_are_counted_as_they_are_billed(how: str, model: str, searches: int) -> None:
    answer = {**body(USAGE, **SEARCHED), "modelVersion": model}
    call = asked(answer, how, model)
    assert call.usage is not None
    assert call.usage.tool_uses == {"web_search": searches}


@WAYS
def test_the_traffic_type_is_recorded(how: str) -> None:
    call = asked(body({**USAGE, "trafficType": "ON_DEMAND_FLEX"}), how, "gemini-3.5-flash")
    assert call.traffic_type == "ON_DEMAND_FLEX"


def test_the_service_tier_is_the_one_served_else_the_one_asked_for() -> None:
    asked_for = {"service_tier": "flex"}
    assert asked(body(USAGE), "watched", "gemini-3.5-flash", config=asked_for).service_tier == "flex"
    served = {"x-gemini-service-tier": "standard"}
    assert asked(body(USAGE), "watched", "gemini-3.5-flash", served, asked_for).service_tier == "standard"


@WAYS
def test_the_tokens_of_a_blocked_prompt_are_counted(how: str) -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}}
    call = asked(blocked, how, "gemini-3.5-flash")
    assert call.usage is not None
    assert (call.error_type, call.finish_reason, call.usage.input_tokens) == ("content_filter", "SAFETY", 7)


def test_a_total_that_the_parts_do_not_make_is_told() -> None:
    assert asked(body({**USAGE, "totalTokenCount": 5000}), "watched", "gemini-3.5-flash").usage_mismatch == "total"


def test_what_an_sdk_puts_where_nothing_was_said_reaches_no_record() -> None:
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": []}
    answer = {**message, "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer)))
    with recording() as seen:
        instrument("anthropic")
        try:
            client = anthropic.Anthropic(api_key="any", http_client=http)
            client.messages.create(
                model="claude-opus-5",
                max_tokens=9,
                messages=[{"role": "user", "content": "hi"}],
                extra_body={"top_k": anthropic.NOT_GIVEN},
            )
        finally:
            uninstrument()
    (call,) = seen.llm_calls
    assert call.settings() == {"max_tokens": 9}
    (span,) = [span for span in seen.spans if span.name == "llm.complete"]
    requested = [name for name in span.attributes or () if name.startswith("gen_ai.request.")]
    assert sorted(requested) == ["gen_ai.request.max_tokens", "gen_ai.request.model"]
