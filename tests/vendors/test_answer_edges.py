"""Edges of what vendors say: totals of one side alone, and names that are no text."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph.records import NOWHERE, LLMCall
from tachograph.vendors.gemini.usage import read_usage
from tachograph.vendors.openai.chat import identify


@pytest.mark.parametrize(
    ("prompt", "answer", "total", "mismatch"),
    [
        (10, 5, 15, ""),
        (10, None, 10, ""),
        (None, 5, 5, ""),
        (10, 5, None, ""),
        (10, 5, 16, "total"),
        (10, None, 11, "total"),
        (None, 5, 6, "total"),
    ],
)
def test_the_total_of_gemini_is_prompt_and_answer(
    prompt: int | None, answer: int | None, total: int | None, mismatch: str
) -> None:
    said = {"promptTokenCount": prompt, "candidatesTokenCount": answer, "totalTokenCount": total}
    reading = read_usage({name: value for name, value in said.items() if value is not None})
    assert (reading.mismatch or "") == mismatch
    assert reading.usage is not None
    assert (reading.usage.input_tokens or 0, reading.usage.output_tokens or 0) == (prompt or 0, answer or 0)


@pytest.mark.parametrize(
    ("answer", "model", "name", "tier"),
    [
        ({"model": "m-1", "id": "r-1", "service_tier": "flex"}, "m-1", "r-1", "flex"),
        ({"model": "", "id": "", "service_tier": ""}, None, None, None),
        ({"model": 7, "id": 7, "service_tier": 7}, None, None, None),
        ({}, None, None, None),
    ],
)
def test_an_answer_names_its_model_itself_and_its_tier(
    answer: dict[str, Any], model: str | None, name: str | None, tier: str | None
) -> None:
    made = LLMCall(NOWHERE, "openai", "asked-for")
    identify(made, answer.get)
    assert (made.response_model, made.response_id, made.service_tier) == (model, name, tier)
    identify(made, {"model": "later", "id": None, "service_tier": "priority"}.get)
    assert (made.response_model, made.response_id, made.service_tier) == ("later", name, "priority")
