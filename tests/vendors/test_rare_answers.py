"""What vendors answer rarely: a stream that is one error, one that rests on maps; a request with one stop word."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tachograph.records import LLMCall
from tachograph.tape import TAPE
from tachograph.testing import Recording

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
MISTRAL = "https://api.mistral.ai/v1/chat/completions"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"


def asked(seen: Recording, url: str, body: dict[str, Any], *events: Any) -> LLMCall:
    """The record of a request whose answer is a stream of these events."""
    text = "".join(f"data: {event if event == '[DONE]' else json.dumps(event)}\n\n" for event in events)
    answer = httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client:
        client.post(url, json=body)
    TAPE.drain()
    return seen.llm_calls[-1]


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        ({"message": "busy", "type": "server_error", "code": 500}, "server_error"),
        ({"message": "slow down", "type": "rate_limit_exceeded", "code": 429}, "rate_limit"),
        ({"message": "no credit", "code": "insufficient_quota"}, "quota"),
    ],
)
def test_a_stream_that_is_one_error_is_a_failed_call(seen: Recording, error: dict[str, Any], error_type: str) -> None:
    call = asked(seen, MISTRAL, {**ASKED, "stream": True}, {"error": error})
    assert (call.outcome == "success", call.error_type) == (False, error_type)


@pytest.mark.parametrize("pieces", [1, 200])
@pytest.mark.parametrize("last", [[], ["[DONE]"]], ids=["cut", "ended as ever"])
def test_a_stream_that_fails_after_content_is_a_failed_call(seen: Recording, pieces: int, last: list[str]) -> None:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
    error = {"error": {"message": "out of memory", "type": "InternalServerError", "code": 500}}  # as vLLM says it
    call = asked(seen, MISTRAL, {**ASKED, "stream": True}, *[chunk] * pieces, error, *last)
    assert (call.outcome, call.error_type) == ("error", "server_error")
    assert seen.value("llm_provider_errors_total") == 1


def test_an_error_after_content_is_not_taken_for_the_first_chunk(seen: Recording) -> None:
    chunk = {"id": "1", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
    done = {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    assert asked(seen, MISTRAL, {**ASKED, "stream": True}, {"id": "1", "choices": []}, chunk, done).outcome == "success"


@pytest.mark.parametrize(
    ("chunks", "uses"),
    [
        ([{"maps": {"uri": "u", "title": "t"}}, {"web": {"uri": "u"}}], {"google_maps": 1}),
        ([{"web": {"uri": "u"}}], {}),
        ([], {}),
    ],
)
def test_an_answer_of_gemini_that_rests_on_maps_is_billed_once(
    seen: Recording, chunks: list[Any], uses: dict[str, int]
) -> None:
    grounding = {"groundingChunks": chunks}
    candidate = {"content": {"parts": [{"text": "Yes"}]}, "finishReason": "STOP", "groundingMetadata": grounding}
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14}
    call = asked(
        seen, f"{GEMINI}:streamGenerateContent?alt=sse", {"contents": []},
        {"candidates": [candidate], "usageMetadata": usage},
    )  # fmt: skip
    assert call.usage is not None
    assert call.usage.tool_uses == uses


@pytest.mark.parametrize("stop", ["END", ["END"]])
def test_one_stop_word_is_a_list_of_one(seen: Recording, stop: Any) -> None:
    done = {"id": "1", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    call = asked(seen, MISTRAL, {**ASKED, "stream": True, "stop": stop}, done)
    assert call.request == {"stop_sequences": ["END"]}


@pytest.mark.parametrize("name", ["serviceTier", "service_tier"])
@pytest.mark.parametrize(("served", "tier"), [("priority", "priority"), ("", "flex"), (None, "flex")])
@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_gemini_on_the_wire_has_the_tier_served_else_the_one_asked_for(
    seen: Recording, is_streamed: bool, served: str | None, tier: str, name: str
) -> None:
    usage = {"promptTokenCount": 1000, "candidatesTokenCount": 300, "totalTokenCount": 1300}
    said = {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}], "usageMetadata": usage}
    headers = {} if served is None else {"X-Gemini-Service-Tier": served}
    data = f"data: {json.dumps(said)}\n\n" if is_streamed else json.dumps(said)
    headers["content-type"] = "text/event-stream" if is_streamed else "application/json"
    answer = httpx2.Response(200, text=data, headers=headers)
    method = "streamGenerateContent?alt=sse" if is_streamed else "generateContent"
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as client:
        client.post(f"{GEMINI}:{method}", json={"contents": [], name: "flex"})
    TAPE.drain()
    (call,) = seen.llm_calls
    assert (call.outcome, call.service_tier) == ("success", tier)
