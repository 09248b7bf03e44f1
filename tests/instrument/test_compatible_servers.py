"""Servers of other makers with OpenAI's protocol, more or less."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from tachograph.testing import Recording
from tachograph_demo.simulators import Answer, ServedUsage, Simulators


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [({"prompt_tokens": 5, "total_tokens": 5}, 5), ({"total_tokens": 5}, 5), ({}, None)],
    ids=["OpenAI", "the total alone", "nothing"],
)
def test_embeddings_have_the_prompt_that_the_server_tells(
    seen: Recording, usage: dict[str, int], tokens: int | None
) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        found = {"object": "embedding", "index": 0, "embedding": [0.5]}
        return httpx2.Response(200, json={"object": "list", "data": [found], "model": "voyage-4", "usage": usage})

    over = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = openai.OpenAI(api_key="any", base_url="https://api.voyageai.com/v1", http_client=over)
    client.embeddings.create(model="voyage-4", input="words")
    (call,) = seen.llm_calls
    assert (None if call.usage is None else call.usage.input_tokens) == tokens


class Elsewhere(httpx2.HTTPTransport):
    """Sends each request to one server, whatever its URL says, as proxies and gateways of applications do."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.place = httpx2.URL(url)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.url = request.url.copy_with(scheme="http", host=self.place.host, port=self.place.port)
        return super().handle_request(request)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_read_where_the_applications_transport_sends_the_request_elsewhere(
    simulators: Simulators, seen: Recording, stream: bool
) -> None:
    simulators.openai.script(Answer(text="a b c", pieces=3, usage=ServedUsage(prompt=120, completion=30)))
    over = httpx2.Client(transport=Elsewhere(simulators.openai.url))
    client = openai.OpenAI(api_key="any", base_url="https://llm.example.com/v1", http_client=over)
    options: Any = {"stream_options": {"include_usage": True}} if stream else {}
    messages: Any = [{"role": "user", "content": "hello"}]
    answer: Any = client.chat.completions.create(model="gpt-5", messages=messages, stream=stream, **options)
    if stream:
        list(answer)
    (call,) = seen.llm_calls
    assert (call.outcome, call.server_address) == ("success", "llm.example.com")
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (120, 30)
