"""OpenAI's evals, watched: the usage of a run counts once, for each model that took part."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from tachograph.testing import Recording
from tachograph.vendors import once


@pytest.fixture(autouse=True)
def nothing_counted_yet() -> None:
    once.COUNTED.forget()


def used(model: str, prompt: int, completion: int, cached: int, times: int) -> dict[str, Any]:
    return {
        "model_name": model,
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cached_tokens": cached,
        "total_tokens": prompt + completion,
        "invocation_count": times,
    }


def client(status: str, *usage: dict[str, Any]) -> openai.OpenAI:
    run = {
        "id": "evalrun_1",
        "object": "eval.run",
        "eval_id": "eval_1",
        "model": "gpt-5-mini",
        "name": "n",
        "status": status,
        "created_at": 1,
        "per_model_usage": list(usage),
    }
    over = httpx2.MockTransport(lambda _: httpx2.Response(200, json=run))
    return openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=over))


def test_each_model_of_a_run_has_its_usage_once(seen: Recording) -> None:
    asked = client("completed", used("gpt-5-mini", 9000, 100, 400, 3), used("gpt-5", 2000, 50, 0, 3))
    for _ in range(2):
        asked.evals.runs.retrieve("evalrun_1", eval_id="eval_1")
    counted = {call.model: call for call in seen.llm_calls if call.counts_usage}
    assert len(seen.llm_calls) == 3
    assert set(counted) == {"gpt-5-mini", "gpt-5"}
    tested, grader = counted["gpt-5-mini"], counted["gpt-5"]
    assert tested.usage is not None
    assert (tested.usage.input_tokens, tested.usage.output_tokens) == (9000, 100)
    assert tested.usage.details == {"cache_read": 400}
    assert (tested.api, tested.request_count, grader.request_count) == ("evals", 3, 3)
    assert grader.parent_id == tested.id
    assert grader.cost is not None
    # gpt-5: 1.25 and 10
    assert (grader.cost.nano_usd, grader.cost.quality) == (2000 * 1250 + 50 * 10_000, "priced")
    assert seen.value("llm_provider_tokens_total", type="prompt") == 11_000
    assert seen.value("llm_calls_usage_missing_total") == 0


def test_a_run_under_way_has_no_usage_to_count(seen: Recording) -> None:
    client("in_progress").evals.runs.create("eval_1", data_source=_SOURCE)
    client("in_progress", used("gpt-5", 10, 1, 0, 1)).evals.runs.retrieve("evalrun_1", eval_id="eval_1")
    assert [(call.operation, call.counts_usage) for call in seen.llm_calls] == [
        ("create_eval_run", False),
        ("fetch_response", False),
    ]


_SOURCE: Any = {"type": "jsonl", "source": {"type": "file_id", "id": "file_1"}}
