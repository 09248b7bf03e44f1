"""Runs of OpenAI's assistants, read and streamed, and chunks of a chat that hold less than most."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest

from tachograph import instrument
from tachograph.testing import Recording
from tachograph.vendors import once

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API")

USAGE = {"prompt_tokens": 90, "completion_tokens": 12, "total_tokens": 102}
RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "model": "gpt-4.1", "created_at": 1}
DONE = {**RUN, "status": "completed", "usage": USAGE}
ASKED: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def nothing_counted_yet() -> None:
    once.COUNTED.forget()


def client(*answers: Any) -> Any:
    """Answers with these, one after the other: JSON, or the events of a stream as text."""
    left = list(answers)

    def respond(_: httpx2.Request) -> httpx2.Response:
        answer = left.pop(0)
        if isinstance(answer, str):
            return httpx2.Response(200, text=answer, headers={"content-type": "text/event-stream"})
        return httpx2.Response(200, json=answer)

    return openai.OpenAI(api_key="k", max_retries=0, http_client=httpx2.Client(transport=httpx2.MockTransport(respond)))


def tokens(seen: Recording) -> list[tuple[int | None, int | None] | None]:
    return [call.usage and (call.usage.input_tokens, call.usage.output_tokens) for call in seen.llm_calls]


def events(*named: tuple[str, Any]) -> str:
    return (
        "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in named)
        + "event: done\ndata: [DONE]\n\n"
    )


def test_the_usage_of_a_run_counts_the_first_time_that_it_is_read_whole(seen: Recording) -> None:
    asked = client({**RUN, "status": "in_progress", "usage": None}, DONE, DONE)
    for _ in range(3):
        asked.beta.threads.runs.retrieve("run_1", thread_id="thread_1")
    assert [call.api for call in seen.llm_calls] == ["assistants"] * 3
    assert tokens(seen) == [None, (90, 12), None]


def test_a_streamed_run_is_read_by_its_last_event(seen: Recording) -> None:
    stream = events(
        ("thread.run.created", {**RUN, "status": "queued"}),
        ("thread.message.delta", {"id": "m", "object": "thread.message.delta", "delta": {"content": []}}),
        ("thread.run.completed", DONE),
    )
    for _ in client(stream).beta.threads.runs.create("thread_1", assistant_id="asst_1", stream=True):
        pass
    (call,) = seen.llm_calls
    assert (call.outcome, call.model, tokens(seen)) == ("success", "gpt-4.1", [(90, 12)])
    assert call.first_token_ns


def test_a_streamed_run_that_fails_is_an_error_by_its_last_error(seen: Recording) -> None:
    failed = {**RUN, "status": "failed", "last_error": {"code": "rate_limit_exceeded", "message": "slow down"}}
    for _ in client(events(("thread.run.failed", failed))).beta.threads.runs.create(
        "thread_1", assistant_id="asst_1", stream=True
    ):
        pass
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("rate_limited", "rate_limit")


def test_a_chunk_without_a_delta_starts_no_answer(seen: Recording) -> None:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5"}
    lines = [
        {**chunk, "choices": []},
        {**chunk, "choices": [{"index": 0, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**chunk, "choices": [], "usage": USAGE},
    ]
    stream = "".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n"
    instrument(include_usage="never")
    for _ in client(stream).chat.completions.create(model="gpt-5", messages=ASKED, stream=True):
        pass
    (call,) = seen.llm_calls
    assert (call.outcome, call.finish_reason, call.first_token_ns) == ("success", "stop", 0)
    assert tokens(seen) == [(90, 12)]
