"""OpenAI's videos, fine-tuning jobs, conversations and vector stores: calls, errors, and usage where it is reported."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from tachograph.testing import Recording
from tachograph.vendors import once

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API")

VIDEO = {"id": "video_1", "object": "video", "model": "sora-2", "seconds": "8", "created_at": 1, "progress": 0}
JOB = {
    "id": "ftjob-1",
    "object": "fine_tuning.job",
    "model": "gpt-4.1-mini",
    "created_at": 1,
    "training_file": "file-1",
}


@pytest.fixture(autouse=True)
def nothing_counted_yet() -> None:
    once.COUNTED.forget()


def client(*answers: dict[str, Any], status: int = 200) -> openai.OpenAI:
    left = list(answers)
    over = httpx2.MockTransport(lambda _: httpx2.Response(status, json=left.pop(0)))
    return openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=over))


def test_the_seconds_of_a_video_count_once_when_it_is_whole(seen: Recording) -> None:
    done = {**VIDEO, "status": "completed"}
    asked: Any = client({**VIDEO, "status": "queued"}, {**VIDEO, "status": "in_progress"}, done, done)
    asked.videos.create(model="sora-2", prompt="A dog", seconds="8")
    for _ in range(3):
        asked.videos.retrieve("video_1")
    found = [(call.api, call.operation, call.model, call.outcome, call.usage) for call in seen.llm_calls]
    assert [each[:4] for each in found] == [
        ("videos", "video_generation", "sora-2", "success"),
        *[("videos", "fetch_response", "sora-2", "success")] * 3,
    ]
    assert [usage and usage.tool_uses for *_, usage in found] == [None, None, {"video_second/720x1280": 8}, None]
    cost = seen.llm_calls[2].cost
    assert cost is not None
    assert (cost.quality, cost.nano_usd) == ("priced", 800_000_000)
    assert not seen.value("llm_calls_usage_missing_total", provider="openai", model="sora-2")


def test_an_extension_of_a_video_costs_its_own_seconds(seen: Recording) -> None:
    whole = {**VIDEO, "model": "sora-2-pro", "size": "1792x1024", "seconds": "20"}
    asked: Any = client({**whole, "status": "queued"}, {**whole, "status": "completed"})
    asked.videos.extend(video=b"a file", prompt="On", seconds="8")
    asked.videos.retrieve("video_1")
    made, read = seen.llm_calls
    assert made.usage is None
    assert read.usage is not None
    assert read.usage.tool_uses == {"video_second/1792x1024": 8}
    assert read.cost is not None
    assert (read.cost.quality, read.cost.nano_usd) == ("priced", 4_000_000_000)


def test_a_video_that_failed_costs_nothing(seen: Recording) -> None:
    asked: Any = client({**VIDEO, "status": "failed"})
    asked.videos.retrieve("video_1")
    (call,) = seen.llm_calls
    assert (call.usage, call.cost, call.counts_usage) == (None, None, False)


def test_the_tokens_of_a_fine_tuning_job_count_once_when_it_ends(seen: Recording) -> None:
    done = {**JOB, "status": "succeeded", "trained_tokens": 5000}
    asked: Any = client({**JOB, "status": "queued", "trained_tokens": None}, done, done)
    asked.fine_tuning.jobs.create(model="gpt-4.1-mini", training_file="file-1")
    for _ in range(2):
        asked.fine_tuning.jobs.retrieve("ftjob-1")
    calls = seen.llm_calls
    assert [call.operation for call in calls] == ["create_fine_tuning_job", "fetch_response", "fetch_response"]
    assert [call.usage and call.usage.tool_uses for call in calls] == [None, {"trained_token": 5000}, None]
    cost = calls[1].cost
    assert cost is not None
    assert cost.quality == "unpriced"
    assert "no price for trained_token" in cost.detail


def test_conversations_and_vector_stores_are_calls_without_usage(seen: Recording) -> None:
    found = {"object": "list", "data": [], "has_more": False, "search_query": ["x"]}
    asked: Any = client({"id": "conv_1"}, {"object": "list", "data": []}, {"id": "vs_1"}, found)
    asked.conversations.create()
    asked.conversations.items.create("conv_1", items=[])
    asked.vector_stores.create(name="n")
    asked.vector_stores.search("vs_1", query="x")
    assert [(call.api, call.operation, call.outcome) for call in seen.llm_calls] == [
        ("conversations", "create_conversation", "success"),
        ("conversations", "add_conversation_items", "success"),
        ("vector_stores", "create_vector_store", "success"),
        ("vector_stores", "search_vector_store", "success"),
    ]
    assert all(call.cost is None and not call.counts_usage for call in seen.llm_calls)


def test_an_error_of_each_counts(seen: Recording) -> None:
    said = {"error": {"message": "no", "code": "model_not_found"}}
    asked: Any = client(*[said] * 4, status=404)
    for ask in (
        lambda: asked.videos.create(prompt="A dog"),
        lambda: asked.fine_tuning.jobs.create(model="m", training_file="f"),
        lambda: asked.conversations.create(),
        lambda: asked.vector_stores.search("vs_1", query="x"),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert [(call.outcome, call.error_type) for call in seen.llm_calls] == [("error", "invalid_request")] * 4
