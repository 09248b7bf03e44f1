"""Gemini's batches, watched: their usage counts once, at the price of a batch."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from google import genai

from tachograph.testing import Recording
from tachograph.vendors import once


@pytest.fixture(autouse=True)
def nothing_counted_yet() -> None:
    once.COUNTED.forget()


def answer(prompt: int, completion: int) -> dict[str, Any]:
    usage = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": completion,
        "totalTokenCount": prompt + completion,
    }
    candidate = {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP", "index": 0}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"}


def job(state: str, *responses: dict[str, Any], kind: str = "inlinedResponses") -> dict[str, Any]:
    metadata = {"model": "models/gemini-2.5-pro", "state": state}
    if responses:
        metadata["output"] = {kind: {"inlinedResponses": list(responses)}}  # type: ignore[assignment]
    return {"name": "batches/1", "metadata": metadata}


def get(answered: dict[str, Any], *, times: int = 1, is_async: bool = False) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answered))
    over = {"httpx_async_client": httpx2.AsyncClient(transport=transport)} if is_async else {}
    client = genai.Client(api_key="k", http_options={"httpx_client": httpx2.Client(transport=transport), **over})
    for _ in range(times):
        if is_async:
            asyncio.run(client.aio.batches.get(name="batches/1"))
        else:
            client.batches.get(name="batches/1")


@pytest.mark.parametrize("is_async", [False, True])
def test_each_answer_of_a_batch_has_the_price_of_its_own_prompt_and_counts_once(
    seen: Recording, is_async: bool
) -> None:
    # gemini-2.5-pro in a batch: half of 1.25 and 10 up to 200k tokens of prompt
    responses = [{"response": answer(150_000, 100)}, {"response": answer(100_000, 100)}]
    failed: dict[str, Any] = {"error": {"code": 13, "message": "no"}}
    get(job("BATCH_STATE_SUCCEEDED", *responses, failed), times=1 if is_async else 3, is_async=is_async)
    first, *again = seen.llm_calls
    assert (first.model, first.api, first.service_tier, first.outcome) == (
        "gemini-2.5-pro",
        "batches",
        "batch",
        "success",
    )
    assert first.usage is not None
    assert (first.usage.input_tokens, first.usage.output_tokens) == (250_000, 200)
    assert first.cost is not None
    assert first.cost.nano_usd == (250_000 * 1250 + 200 * 10_000) // 2
    assert [call.counts_usage for call in again] == [False] * len(again)
    assert seen.value("llm_provider_tokens_total", type="prompt") == 250_000
    assert seen.value("llm_calls_usage_missing_total") == 0


def test_a_batch_under_way_has_no_usage_to_count(seen: Recording) -> None:
    get(job("BATCH_STATE_RUNNING"))
    (call,) = seen.llm_calls
    assert (call.counts_usage, call.usage, call.response_id) == (False, None, "batches/1")
    assert seen.value("llm_calls_usage_missing_total") == 0


def test_a_batch_of_embeddings_has_its_tokens(seen: Recording) -> None:
    found = [{"response": {"tokenCount": "7", "embedding": {"values": [0.5]}}}] * 3
    get(job("BATCH_STATE_SUCCEEDED", *found, kind="inlinedEmbedContentResponses"))
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert call.usage.input_tokens == 21
