"""Vendors' usage reports come out under one rule, whatever form they have."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.records import Usage
from tachograph.vendors.anthropic.usage import anthropic_merge_usage, anthropic_usage
from tachograph.vendors.gemini.usage import (
    gemini_embedding_usage,
    gemini_searches,
    gemini_usage,
    interactions_usage,
    read_interaction_usage,
    read_usage,
)
from tachograph.vendors.openai.usage import openai_response_usage, openai_usage
from tachograph.vendors.openai.usage import read_usage as read_openai_usage


def as_object(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return [as_object(inner) for inner in value]
    return value


OPENAI_CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 7, "audio_tokens": 5, "text_tokens": 95},
    "completion_tokens_details": {
        "reasoning_tokens": 30,
        "audio_tokens": 2,
        "accepted_prediction_tokens": 3,
        "rejected_prediction_tokens": 4,
    },
}
CASES: list[tuple[str, Any, dict[str, Any], Usage]] = [
    (
        "chat",
        openai_usage,
        OPENAI_CHAT,
        Usage(
            100,
            50,
            {
                "cache_read": 60,
                "cache_write": 7,
                "audio_input": 5,
                "reasoning": 30,
                "audio_output": 2,
                "accepted_prediction": 3,
                "rejected_prediction": 4,
            },
        ),
    ),
    (
        "responses",
        openai_usage,
        {
            "input_tokens": 10,
            "output_tokens": 20,
            "input_tokens_details": {
                "cached_tokens": 4,
                "cache_write_tokens": 5,
                "cache_write_tokens_details": {"ttl_30m_tokens": 2, "ttl_12h_tokens": 3},
            },
            "output_tokens_details": {"reasoning_tokens": 6},
        },
        Usage(10, 20, {"cache_read": 4, "cache_write": 5, "reasoning": 6, "cache_write_30m": 2, "cache_write_12h": 3}),
    ),
    ("embeddings", openai_usage, {"prompt_tokens": 8, "total_tokens": 8}, Usage(8, None)),
    (
        "images",
        openai_usage,
        {
            "input_tokens": 30,
            "input_tokens_details": {"image_tokens": 20, "text_tokens": 10},
            "output_tokens": 40,
            "output_tokens_details": {"image_tokens": 40, "text_tokens": 0},
        },
        Usage(30, 40, {"image_input": 20, "image_output": 40}),
    ),
    (
        "transcription by tokens",
        openai_usage,
        {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "input_token_details": {"audio_tokens": 14}},
        Usage(14, 45, {"audio_input": 14}),
    ),
    ("transcription by time", openai_usage, {"type": "duration", "seconds": 9.5}, Usage(audio_seconds=9.5)),
    (
        "realtime",
        openai_usage,
        {
            "input_tokens": 100,
            "output_tokens": 20,
            "input_token_details": {
                "audio_tokens": 70,
                "cached_tokens": 50,
                "cached_tokens_details": {"audio_tokens": 40, "text_tokens": 10},
            },
            "output_token_details": {"audio_tokens": 15, "text_tokens": 5},
        },
        Usage(100, 20, {"cache_read": 50, "audio_input": 70, "audio_output": 15, "audio_cache_read": 40}),
    ),
    (
        "anthropic",
        anthropic_usage,
        {
            "input_tokens": 10,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 7,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            "output_tokens": 50,
            "output_tokens_details": {"thinking_tokens": 20},
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
        },
        Usage(
            117,
            50,
            {"cache_read": 100, "cache_write": 7, "cache_write_5m": 3, "cache_write_1h": 4, "reasoning": 20},
            {"web_search": 2},
        ),
    ),
    (
        "anthropic compaction and advisor",
        anthropic_usage,
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "iterations": [
                {"type": "message", "input_tokens": 10, "output_tokens": 5},
                {"type": "compaction", "input_tokens": 100, "output_tokens": 30, "cache_read_input_tokens": 50},
                {"type": "advisor_message", "input_tokens": 20, "output_tokens": 2},
            ],
        },
        Usage(180, 37, {"cache_read": 50}, {"advisor": 1}),
    ),
    (
        "gemini",
        gemini_usage,
        {
            "prompt_token_count": 100,
            "cached_content_token_count": 60,
            "candidates_token_count": 40,
            "thoughts_token_count": 25,
            "tool_use_prompt_token_count": 8,
            "total_token_count": 173,
            "prompt_tokens_details": [
                {"modality": "TEXT", "token_count": 70},
                {"modality": "AUDIO", "token_count": 30},
            ],
            "cache_tokens_details": [{"modality": "AUDIO", "token_count": 12}],
            "candidates_tokens_details": [{"modality": "IMAGE", "token_count": 40}],
        },
        Usage(
            108,
            65,
            {
                "reasoning": 25,
                "tool_use_prompt": 8,
                "cache_read": 60,
                "audio_input": 30,
                "image_output": 40,
                "audio_cache_read": 12,
            },
        ),
    ),
    (
        "interactions",
        interactions_usage,
        {
            "total_input_tokens": 100,
            "total_output_tokens": 40,
            "total_thought_tokens": 25,
            "total_cached_tokens": 60,
            "total_tool_use_tokens": 8,
            "grounding_tool_count": [{"type": "google_search", "count": 2}],
            "output_tokens_by_modality": [{"modality": "audio", "tokens": 10}],
        },
        Usage(
            108,
            65,
            {"reasoning": 25, "tool_use_prompt": 8, "cache_read": 60, "audio_output": 10},
            {"web_search": 2},
        ),
    ),
]


@pytest.mark.parametrize(("name", "read", "report", "expected"), CASES, ids=[case[0] for case in CASES])
def test_a_report_reads_the_same_as_dictionary_and_as_object(
    name: str, read: Any, report: dict[str, Any], expected: Usage
) -> None:
    assert read(report) == expected
    assert read(as_object(report)) == expected


def test_the_wire_form_of_gemini_reads_like_the_sdk_form() -> None:
    wire = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "cachedContentTokenCount": 4}
    assert gemini_usage(wire) == Usage(5, 5, {"reasoning": 3, "cache_read": 4})


def test_a_delta_is_laid_over_the_start_of_a_stream() -> None:
    start = {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_creation_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 7},
        "service_tier": "priority",
    }
    merged = anthropic_merge_usage(start, {"output_tokens": 50, "input_tokens": None})
    assert anthropic_usage(merged) == Usage(17, 50, {"cache_write": 7, "cache_write_5m": 7})
    assert merged["service_tier"] == "priority"
    again = anthropic_merge_usage(merged, SimpleNamespace(output_tokens=60, input_tokens=12))
    assert anthropic_usage(again) == Usage(19, 60, {"cache_write": 7, "cache_write_5m": 7})


def test_billed_searches_of_a_response_are_tool_uses() -> None:
    response = {
        "usage": {"input_tokens": 1, "output_tokens": 2},
        "tool_usage": {"web_search": {"num_requests": 3}},
    }
    assert openai_response_usage(response) == Usage(1, 2, {}, {"web_search": 3})


def test_vertex_embeddings_are_summed_from_their_statistics() -> None:
    response = {"embeddings": [{"statistics": {"token_count": 3.0}}, {"statistics": {"token_count": 4}}, {}]}
    assert gemini_embedding_usage(response) == Usage(7)


def test_searches_of_a_grounded_answer_are_counted_as_they_are_billed() -> None:
    assert gemini_searches(["a", "b", "", "a"], "gemini-3-pro") == 2
    assert gemini_searches(["a", "b"], "models/gemini-2.5-pro") == 1
    assert gemini_searches([], "gemini-3-pro") == 0


READERS = [
    openai_usage,
    openai_response_usage,
    anthropic_usage,
    gemini_usage,
    interactions_usage,
    gemini_embedding_usage,
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("nothing", [None, {}, "", "text", 7, [], object(), {"usage": None}, {"prompt_tokens": None}])
def test_nothing_reported_is_none(read: Any, nothing: Any) -> None:
    assert read(nothing) is None


NAMES = sorted(
    {
        *OPENAI_CHAT,
        *(key for _, _, report, _ in CASES for key in report),
        *(key for _, _, report, _ in CASES for part in report.values() if isinstance(part, dict) for key in part),
        "usage",
        "usage_metadata",
        "tool_usage",
        "embeddings",
    }
)
odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=8),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(NAMES), odd, max_size=12))
def test_no_report_however_odd_raises_or_counts_below_zero(report: dict[str, Any]) -> None:
    for read in READERS:
        for form in (report, as_object(report)):
            found = read(form)
            if found is None:
                continue
            counts = [found.input_tokens or 0, found.output_tokens or 0, *found.details.values()]
            assert all(type(tokens) is int and tokens >= 0 for tokens in counts)
            assert found.audio_seconds is None or math.isfinite(found.audio_seconds)


INTERACTION = {"total_input_tokens": 20, "total_output_tokens": 6, "total_thought_tokens": 4, "total_tokens": 30}


def test_an_interactions_report_is_checked_as_any_other_is() -> None:
    whole = read_interaction_usage(INTERACTION)
    assert (whole.mismatch, whole.unknown) == (None, ())
    assert read_interaction_usage({**INTERACTION, "total_tokens": 99}).mismatch == "total"
    assert read_interaction_usage({**INTERACTION, "total_input_tokens": -5}).mismatch == "absurd"
    assert read_interaction_usage({**INTERACTION, "total_hologram_tokens": 5}).unknown == ("total_hologram_tokens",)


def test_searches_of_an_interaction_are_billed_by_the_prompt_up_to_gemini_2() -> None:
    report = {**INTERACTION, "grounding_tool_count": [{"type": "google_search", "count": 3}]}
    for model, billed in (("gemini-2.5-flash", 1), ("models/gemini-2.5-pro", 1), ("gemini-3.5-flash", 3)):
        usage = read_interaction_usage(report, model).usage
        assert usage is not None
        assert usage.tool_uses == {"web_search": billed}


@pytest.mark.parametrize("form", [lambda value: value, as_object], ids=["JSON", "objects"])
def test_tokens_of_a_modality_that_nobody_knows_are_told(form: Any) -> None:
    parts = [{"modality": "HOLOGRAM", "tokenCount": 5}, {"modality": "TEXT", "tokenCount": 15}]
    counts = {"promptTokenCount": 20, "candidatesTokenCount": 10, "totalTokenCount": 30}
    assert read_usage(form({**counts, "promptTokensDetails": parts})).unknown == ("modality hologram",)
    told = [{"modality": "hologram", "tokens": 5}]
    assert read_interaction_usage(form({**INTERACTION, "output_tokens_by_modality": told})).unknown == (
        "modality hologram",
    )


@pytest.mark.parametrize("seconds", [-5, 1e30, math.nan, math.inf, True, "12", [3]])
def test_seconds_of_audio_that_cannot_be_are_not_billed(seconds: Any) -> None:
    reading = read_openai_usage({"type": "duration", "seconds": seconds})
    assert (reading.usage, reading.mismatch) == (None, "absurd")
