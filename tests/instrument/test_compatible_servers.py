"""Servers of other makers that speak OpenAI's language, more or less."""

from __future__ import annotations

import httpx2
import openai
import pytest

from tachograph.testing import Recording


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
