"""An application's tests may mock a stream with a response that has its whole content: it is watched as any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from benchmarks.overhead.subjects import SSE, _anthropic_stream, _openai_stream

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


@pytest.mark.xfail(strict=True, reason="a response that is closed before anybody reads it is taken for a whole answer")
@pytest.mark.parametrize("ask", [ask_openai, ask_anthropic])
def test_a_stream_that_was_mocked_with_content_says_its_usage(ask: Callable[[], int]) -> None:
    call = watched(ask)
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (120, CHUNKS)
