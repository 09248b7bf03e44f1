"""An answer is the application's: what reads it keeps nothing of it longer than the next delivery."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import types

from tachograph.tape import TAPE
from tachograph.testing import Recording

ASKED: Any = [{"role": "user", "content": "hello"}]
CHAT = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-5"}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
CHUNK = {"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": "hi"}}
MESSAGE = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": []}
BILLED = {"input_tokens": 1, "output_tokens": 1}
GENERATED = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}]}
WHOLE: dict[str, Any] = {
    "openai": {**CHAT, "choices": [CHOICE], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
    "anthropic": {**MESSAGE, "stop_reason": "end_turn", "usage": BILLED},
    "gemini": GENERATED,
}
STREAMED: dict[str, list[dict[str, Any]]] = {
    "openai": [{**CHAT, "object": "chat.completion.chunk", "choices": [CHUNK]}] * 5,
    "anthropic": [
        {"type": "message_start", "message": {**MESSAGE, "stop_reason": None, "usage": BILLED}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ],
    "gemini": [GENERATED] * 5,
}


def answer(vendor: str, streams: bool) -> Callable[[httpx2.Request], httpx2.Response]:
    def respond(request: httpx2.Request) -> httpx2.Response:
        if not streams:
            return httpx2.Response(200, json=WHOLE[vendor])
        text = "".join(
            (f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n"
            for event in STREAMED[vendor]
        )
        return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})

    return respond


def parts(vendor: str, http: dict[str, Any], is_async: bool, streams: bool) -> Callable[[], Any]:
    """A call of one vendor's client: gives the answer, or the stream of its chunks."""
    if vendor == "gemini":
        options = types.HttpOptions(**{"httpx_async_client" if is_async else "httpx_client": http["http_client"]})
        made = genai.Client(api_key="any", http_options=options)
        models: Any = made.aio.models if is_async else made.models
        method = models.generate_content_stream if streams else models.generate_content
        return lambda: method(model="gemini-2.5-pro", contents="hello")
    if vendor == "openai":
        client: Any = (openai.AsyncOpenAI if is_async else openai.OpenAI)(api_key="any", **http)
        return lambda: client.chat.completions.create(model="gpt-5", messages=ASKED, stream=streams)
    client = (anthropic.AsyncAnthropic if is_async else anthropic.Anthropic)(api_key="any", **http)
    return lambda: client.messages.create(model="claude-opus-5", max_tokens=9, messages=ASKED, stream=streams)


async def pieces(answered: Any, is_async: bool, streams: bool) -> list[Any]:
    """What the application gets: the answer, or the chunks."""
    answered = await answered if is_async else answered
    if not streams:
        return [answered]
    return [each async for each in answered] if is_async else list(answered)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("vendor", ["openai", "anthropic", "gemini"])
def test_an_answer_is_not_kept_longer_than_the_next_delivery(
    seen: Recording, vendor: str, is_async: bool, streams: bool
) -> None:
    async def call() -> list[weakref.ref[Any]]:
        transport = httpx2.MockTransport(answer(vendor, streams))
        http = (httpx2.AsyncClient if is_async else httpx2.Client)(transport=transport)
        ask = parts(vendor, {"http_client": http}, is_async, streams)
        return [weakref.ref(each) for each in await pieces(ask(), is_async, streams)]

    found = asyncio.run(call())
    assert found
    TAPE.drain()
    gc.collect()
    assert [one() for one in found if one() is not None] == []
    assert [each.outcome for each in seen.llm_calls] == ["success"]
