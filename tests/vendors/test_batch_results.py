"""The results of an Anthropic batch, read over plain HTTP: each batch counts once."""

from __future__ import annotations

import json

import httpx2
import pytest

from tachograph.records import Usage
from tachograph.tape import TAPE
from tachograph.testing import Recording
from tachograph.vendors.once import COUNTED


def line(tokens: int) -> str:
    message = {
        "id": "m",
        "model": "claude-opus-5",
        "content": [],
        "usage": {"input_tokens": tokens, "output_tokens": 1},
    }
    return json.dumps({"custom_id": "a", "result": {"type": "succeeded", "message": message}}) + "\n"


@pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
def test_the_results_of_each_batch_count_once(seen: Recording, is_streamed: bool) -> None:
    COUNTED.forget()
    answer = httpx2.MockTransport(
        lambda _: httpx2.Response(200, text=line(5) + line(6), headers={"content-type": "application/x-jsonl"})
    )
    with httpx2.Client(transport=answer) as client:
        for batch in ("b1", "b2", "b1"):
            url = f"https://api.anthropic.com/v1/messages/batches/{batch}/results"
            if not is_streamed:
                client.get(url)
                continue
            with client.stream("GET", url) as response:
                assert len(list(response.iter_lines())) == 2
    TAPE.drain()
    total = Usage(11, 2)
    assert [(call.outcome, call.response_id, call.usage, call.counts_usage) for call in seen.llm_calls] == [
        ("success", "b1", total, True), ("success", "b2", total, True), ("success", "b1", None, False),
    ]  # fmt: skip
