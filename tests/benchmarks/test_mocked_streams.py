"""An application's tests may mock a stream with a response that has its whole content: it is watched as any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from benchmarks.overhead.subjects import SSE, _anthropic_stream, _openai_stream, _transport

from tachograph import instrument, uninstrument
from tachograph.records import LLMCall
from tachograph.testing import recording

ASKED: Any = [{"role": "user", "content": "What is the weather?"}]
CHUNKS = 5


def over(body: bytes) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": SSE})

    return httpx2.Client(transport=httpx2.MockTransport(answer))


def ask_openai() -> int:
    client = openai.OpenAI(api_key="k", base_url="http://mocked/v1", http_client=over(_openai_stream(CHUNKS)))
    return len(
        list(
            client.chat.completions.create(
                model="gpt-5-mini", messages=ASKED, stream=True, stream_options={"include_usage": True}
            )
        )
    )


def ask_anthropic() -> int:
    http_client = over(_anthropic_stream(CHUNKS))
    client = anthropic.Anthropic(api_key="k", base_url="http://mocked", http_client=http_client)
    return len(list(client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=ASKED, stream=True)))


def watched(ask: Callable[[], int]) -> LLMCall:
    with recording() as seen:
        instrument()
        try:
            read = ask()
        finally:
            uninstrument()
    assert read > CHUNKS
    (call,) = seen.llm_calls
    return call


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
def test_a_stream_that_was_mocked_with_content_is_one_call(ask: Callable[[], int]) -> None:
    call = watched(ask)
    assert (call.outcome, call.stream, len(call.attempts)) == ("success", True, 1)


@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
def test_a_stream_that_was_mocked_with_content_says_its_usage(ask: Callable[[], int]) -> None:
    call = watched(ask)
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (120, CHUNKS)


def test_usage_told_with_every_chunk_does_not_make_a_stream_whole_that_is_closed_early() -> None:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1790000000, "model": "m"}
    lines = [
        {
            **chunk,
            "choices": [{"index": 0, "delta": {"content": f"word{n} "}, "finish_reason": None}],
            "usage": {"prompt_tokens": 120, "completion_tokens": n, "total_tokens": 120 + n},
        }
        for n in range(1, 9)
    ]
    body = "".join(f"data: {json.dumps(line)}\n\n" for line in lines).encode()

    def ask() -> int:
        client = openai.OpenAI(
            api_key="k", base_url="http://mocked/v1", http_client=httpx2.Client(transport=_transport(body, SSE))
        )
        with client.chat.completions.create(model="m", messages=ASKED, stream=True) as stream:
            return sum(1 for _ in zip(range(CHUNKS + 1), stream, strict=False))

    call = watched(ask)
    assert call.outcome == "cancelled"
    assert call.usage is not None
    assert call.usage.output_tokens == CHUNKS + 1
