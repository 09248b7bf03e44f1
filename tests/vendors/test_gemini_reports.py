"""Gemini's usage reports, requests and failures, in the names of Python and in those of the wire."""

from __future__ import annotations

import enum
import math
from typing import Any

import pytest

from support.answers import attributes, loose
from tachograph.records import Usage
from tachograph.vendors.api import RequestFacts
from tachograph.vendors.failures import Failure
from tachograph.vendors.gemini.apis import GENERATE, INTERACT
from tachograph.vendors.gemini.errors import (
    BLOCKED,
    gemini_failure,
    gemini_finish_failure,
    gemini_response_failure,
    interaction_failure,
)
from tachograph.vendors.gemini.requests import short_model
from tachograph.vendors.gemini.usage import (
    gemini_embedding_usage,
    gemini_searches,
    gemini_usage,
    interactions_usage,
    read_interaction_usage,
    read_usage,
)
from tachograph.vendors.usage import Reading


def same(value: Any) -> Any:
    return value


def wire(value: Any) -> Any:
    """The same in the names of the wire."""
    if isinstance(value, dict):
        return {
            name.split("_")[0] + "".join(word.title() for word in name.split("_")[1:]): wire(inner)
            for name, inner in value.items()
        }
    return [wire(each) for each in value] if isinstance(value, list) else value


FORMS = pytest.mark.parametrize(
    "form",
    [same, loose, attributes, wire, lambda each: loose(wire(each)), lambda each: attributes(wire(each))],
    ids=["dict", "loose", "attributes", "sent", "sent and loose", "sent, as attributes"],
)
SENT = pytest.mark.parametrize("form", [wire, lambda each: loose(wire(each))], ids=["dict", "loose"])
OWN_NAMES = pytest.mark.parametrize("form", [same, loose, attributes], ids=["dict", "loose", "attributes"])
NAMED = pytest.mark.parametrize("form", [same, loose], ids=["dict", "loose"])


def by(*tokens: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"modality": modality, "token_count": number} for modality, number in tokens]


WHOLE = {"prompt_token_count": 100, "candidates_token_count": 40}


@FORMS
@pytest.mark.parametrize(
    ("report", "reading"),
    [
        (WHOLE, Reading(Usage(100, 40))),
        ({**WHOLE, "total_token_count": 140}, Reading(Usage(100, 40))),
        ({**WHOLE, "total_token_count": 141}, Reading(Usage(100, 40), "total")),
        (
            {**WHOLE, "tool_use_prompt_token_count": 8, "thoughts_token_count": 25, "total_token_count": 173},
            Reading(Usage(108, 65, {"reasoning": 25, "tool_use_prompt": 8})),
        ),
        ({"tool_use_prompt_token_count": 8}, Reading(Usage(8, None, {"tool_use_prompt": 8}))),
        ({"thoughts_token_count": 25}, Reading(Usage(None, 25, {"reasoning": 25}))),
        ({"candidates_token_count": 5, "total_token_count": 5}, Reading(Usage(None, 5))),
        ({"prompt_token_count": 5, "total_token_count": 5}, Reading(Usage(5, None))),
        ({"prompt_token_count": 5, "total_token_count": 6}, Reading(Usage(5, None), "total")),
        ({"prompt_token_count": 5, "response_token_count": 3}, Reading(Usage(5, 3))),
        ({"prompt_token_count": 5, "response_token_count": 3, "candidates_token_count": 4}, Reading(Usage(5, 4))),
        ({**WHOLE, "cached_content_token_count": 60}, Reading(Usage(100, 40, {"cache_read": 60}))),
        ({**WHOLE, "cached_content_token_count": 0}, Reading(Usage(100, 40))),
        ({**WHOLE, "cached_content_token_count": 101}, Reading(Usage(100, 40, {"cache_read": 101}), "parts")),
        (
            {**WHOLE, "traffic_type": "PROVISIONED_THROUGHPUT", "service_tier": "flex"},
            Reading(Usage(100, 40), traffic_type="PROVISIONED_THROUGHPUT", service_tier="flex"),
        ),
        ({"traffic_type": "ON_DEMAND"}, Reading(traffic_type="ON_DEMAND")),
        ({**WHOLE, "traffic_type": 7, "service_tier": ""}, Reading(Usage(100, 40))),
        ({"prompt_token_count": 0, "candidates_token_count": 0}, Reading(None, "zeros")),
        ({"prompt_token_count": 9, "candidates_token_count": -1}, Reading(Usage(9, None), "absurd")),
        ({"prompt_token_count": "9"}, Reading(None, "absurd")),
        (
            {
                **WHOLE,
                "prompt_tokens_details": by(("TEXT", 60), ("AUDIO", 10), ("image", 9), ("VIDEO", 8), ("DOCUMENT", 7)),
                "candidates_tokens_details": by(("TEXT", 1), ("AUDIO", 2), ("IMAGE", 3), ("VIDEO", 4), ("DOCUMENT", 5)),
                "cache_tokens_details": by(("TEXT", 1), ("AUDIO", 2), ("IMAGE", 3), ("VIDEO", 4)),
            },
            Reading(
                Usage(
                    100,
                    40,
                    {
                        "audio_input": 10,
                        "image_input": 9,
                        "video_input": 8,
                        "document_input": 7,
                        "audio_output": 2,
                        "image_output": 3,
                        "video_output": 4,
                        "audio_cache_read": 2,
                        "image_cache_read": 3,
                    },
                )
            ),
        ),
        (
            {**WHOLE, "response_tokens_details": by(("AUDIO", 7))},
            Reading(Usage(100, 40, {"audio_output": 7})),
        ),
        (
            {
                **WHOLE,
                "response_tokens_details": by(("AUDIO", 7)),
                "candidates_tokens_details": by(("IMAGE", 6)),
            },
            Reading(Usage(100, 40, {"image_output": 6})),
        ),
        (
            {**WHOLE, "prompt_tokens_details": by(("AUDIO", 7), ("audio", 4), ("IMAGE", 0))},
            Reading(Usage(100, 40, {"audio_input": 11})),
        ),
        (
            {**WHOLE, "prompt_tokens_details": by(("HOLOGRAM", 7), ("MODALITY_UNSPECIFIED", 4), ("SMELL", 0))},
            Reading(Usage(100, 40), unknown=("modality hologram",)),
        ),
        (
            {
                **WHOLE,
                "prompt_tokens_details": by(("HOLOGRAM", 7)),
                "cache_tokens_details": by(("hologram", 4), ("TASTE", 1)),
            },
            Reading(Usage(100, 40), unknown=("modality hologram", "modality taste")),
        ),
        ({**WHOLE, "prompt_tokens_details": 7, "cache_tokens_details": [{}, 3]}, Reading(Usage(100, 40))),
        (
            {
                **WHOLE,
                "prompt_tokens_details": [{"modality": "AUDIO"}, {"modality": "HOLOGRAM"}, {"token_count": 3}],
                "cache_tokens_details": [{"modality": "AUDIO", "token_count": -1}],
            },
            Reading(Usage(100, 40)),
        ),
        ({}, Reading()),
    ],
)
def test_a_usage_report_is_read_whole(form: Any, report: dict[str, Any], reading: Reading) -> None:
    assert read_usage(form(report)) == reading
    assert gemini_usage(form(report)) == reading.usage


def test_no_report_is_no_usage() -> None:
    assert read_usage(None) == read_interaction_usage(None) == Reading()


@pytest.mark.parametrize("name", ["token_count", "tokenCount", "tokens"])
def test_tokens_of_a_modality_have_three_names(name: str) -> None:
    details = [{"modality": "AUDIO", name: 7}, {"modality": "HOLOGRAM", name: 5}]
    reading = read_usage({**WHOLE, "prompt_tokens_details": details})
    assert reading == Reading(Usage(100, 40, {"audio_input": 7}), unknown=("modality hologram",))


def test_a_name_in_python_counts_before_the_one_on_the_wire() -> None:
    both = {"promptTokenCount": 5, "prompt_token_count": 7, "candidatesTokenCount": 3, "candidates_token_count": None}
    assert read_usage(both) == Reading(Usage(7, 3))


@NAMED
def test_counts_that_nobody_knows_are_told(form: Any) -> None:
    report = {**WHOLE, "hologram_token_count": 4, "tool_use_prompt_tokens_details": [1], "note": "x", "nothing": 0}
    details = by(("SMELL", 3))
    reading = read_usage(form({**report, "prompt_tokens_details": details}))
    assert reading.unknown == ("modality smell", "hologram_token_count")
    assert read_usage(form(wire(report))).unknown == ("hologramTokenCount",)


INTERACTION = {"total_input_tokens": 20, "total_output_tokens": 6}


def grounded(*tools: tuple[Any, Any]) -> dict[str, Any]:
    return {**INTERACTION, "grounding_tool_count": [{"type": kind, "count": uses} for kind, uses in tools]}


@OWN_NAMES
@pytest.mark.parametrize(
    ("report", "model", "reading"),
    [
        (INTERACTION, "", Reading(Usage(20, 6))),
        ({**INTERACTION, "total_tokens": 26}, "", Reading(Usage(20, 6))),
        ({**INTERACTION, "total_tokens": 27}, "", Reading(Usage(20, 6), "total")),
        ({"total_input_tokens": 20, "total_tokens": 20}, "", Reading(Usage(20, None))),
        ({"total_output_tokens": 6, "total_tokens": 6}, "", Reading(Usage(None, 6))),
        (
            {**INTERACTION, "total_tool_use_tokens": 3, "total_thought_tokens": 4, "total_tokens": 33},
            "",
            Reading(Usage(23, 10, {"reasoning": 4, "tool_use_prompt": 3})),
        ),
        ({**INTERACTION, "total_cached_tokens": 5}, "", Reading(Usage(20, 6, {"cache_read": 5}))),
        ({**INTERACTION, "total_cached_tokens": 0}, "", Reading(Usage(20, 6))),
        ({**INTERACTION, "total_cached_tokens": 21}, "", Reading(Usage(20, 6, {"cache_read": 21}), "parts")),
        (
            grounded(("google_search", 2), ("google_maps", 3), ("retrieval", 4), ("laser", 5), ("phaser", 6)),
            "gemini-3",
            Reading(Usage(20, 6, {}, {"web_search": 2, "google_maps": 3, "retrieval": 4, "other": 11})),
        ),
        (grounded(("google_search", 2), ("google_search", 3)), "", Reading(Usage(20, 6, {}, {"web_search": 5}))),
        (grounded(("google_search", 2)), "models/gemini-2.5-pro", Reading(Usage(20, 6, {}, {"web_search": 1}))),
        (grounded(("google_maps", 2)), "gemini-1.5-pro", Reading(Usage(20, 6, {}, {"google_maps": 2}))),
        (grounded((None, 2), ("google_maps", 0), ("google_search", None)), "", Reading(Usage(20, 6))),
        (
            {
                **INTERACTION,
                "input_tokens_by_modality": [{"modality": "audio", "tokens": 2}, {"modality": "TEXT", "tokens": 9}],
                "output_tokens_by_modality": [{"modality": "image", "tokens": 3}],
                "cached_tokens_by_modality": [{"modality": "audio", "tokens": 1}],
            },
            "",
            Reading(Usage(20, 6, {"audio_input": 2, "image_output": 3, "audio_cache_read": 1})),
        ),
        (
            {**INTERACTION, "cached_tokens_by_modality": [{"modality": "smell", "tokens": 1}]},
            "",
            Reading(Usage(20, 6), unknown=("modality smell",)),
        ),
        ({"total_input_tokens": 0}, "", Reading(None, "zeros")),
        ({"total_input_tokens": 20, "total_output_tokens": -1}, "", Reading(Usage(20, None), "absurd")),
        ({"total_input_tokens": "x"}, "", Reading(None, "absurd")),
        ({"total_cached_tokens": 5, "total_tokens": 5}, "", Reading()),
        ({}, "", Reading()),
    ],
)
def test_the_usage_of_an_interaction_is_read_whole(
    form: Any, report: dict[str, Any], model: str, reading: Reading
) -> None:
    assert read_interaction_usage(form(report), model) == reading


def test_an_interaction_of_an_unknown_model_bills_each_search() -> None:
    assert interactions_usage(grounded(("google_search", 2))) == Usage(20, 6, {}, {"web_search": 2})


@NAMED
def test_counts_of_an_interaction_that_nobody_knows_are_told(form: Any) -> None:
    known = {"initial_input_tokens": 1, "tool_use_tokens_by_modality": [], "grounding_tool_count": []}
    details = [{"modality": "smell", "tokens": 1}]
    report = {**INTERACTION, **known, "total_hologram_tokens": 4, "input_tokens_by_modality": details}
    assert read_interaction_usage(form(report)).unknown == ("total_hologram_tokens", "modality smell")


@pytest.mark.parametrize(
    ("queries", "model", "billed"),
    [
        (["a", "b", "", "a"], "gemini-3-pro", 2),
        (["a", "b"], "models/gemini-2.5-pro", 1),
        (["a", "b"], "publishers/google/models/gemini-1.5-pro", 1),
        (["a", "b"], "my-gemini-2", 2),
        (["a", "b"], "gemini-2/other", 2),
        ([""], "gemini-2.5-pro", 0),
        ([], "gemini-3", 0),
    ],
)
def test_searches_are_billed_by_the_prompt_up_to_gemini_2(queries: list[str], model: str, billed: int) -> None:
    assert gemini_searches(queries, model) == billed


@OWN_NAMES
@pytest.mark.parametrize(
    ("response", "usage"),
    [
        ({"usage_metadata": {"prompt_token_count": 9}, "embeddings": [{"statistics": {"token_count": 4}}]}, Usage(9)),
        ({"embeddings": [{"statistics": {"token_count": 4}}, {"statistics": {"token_count": 3.0}}, {}]}, Usage(7)),
        ({"embeddings": [{"statistics": {"token_count": 0}}]}, Usage(0)),
        ({"embeddings": [{"statistics": {"token_count": -1}}, {"statistics": {"token_count": 2}}]}, Usage(2)),
        ({"embeddings": [{"statistics": {"token_count": "4"}}, {"statistics": None}]}, None),
        ({"embeddings": []}, None),
        ({}, None),
    ],
)
def test_embeddings_state_their_tokens_together_or_each(form: Any, response: Any, usage: Usage | None) -> None:
    assert gemini_embedding_usage(form(response)) == usage


def test_an_endless_number_of_tokens_is_none() -> None:
    assert gemini_embedding_usage({"embeddings": [{"statistics": {"token_count": math.inf}}]}) is None


# Requests


class Level(enum.StrEnum):
    HIGH = "HIGH"


CONFIG = {
    "max_output_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 4,
    "seed": 1,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "candidate_count": 2,
    "service_tier": "flex",
    "stop_sequences": ["a"],
    "system_instruction": "s",
}
SETTINGS = {
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 4,
    "seed": 1,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.2,
    "choice.count": 2,
    "service_tier": "flex",
    "stop_sequences": ["a"],
}


@OWN_NAMES
@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (CONFIG, SETTINGS),
        ({"thinking_config": {"thinking_level": "LOW"}}, {"reasoning.level": "low"}),
        ({"thinking_config": {"thinking_budget": 7}}, None),
        ({**CONFIG, "thinking_config": {"thinking_level": "HIGH"}}, {**SETTINGS, "reasoning.level": "high"}),
        ({}, None),
        (None, None),
    ],
)
def test_a_call_says_its_settings(form: Any, config: Any, settings: dict[str, Any] | None) -> None:
    keywords = {"model": "m", "contents": "c", "config": None if config is None else form(config)}
    assert GENERATE.facts(keywords) == RequestFacts("m", 1, False, settings)


def test_a_level_of_thinking_may_be_an_enumeration() -> None:
    config = {"thinking_config": {"thinking_level": Level.HIGH}}
    assert GENERATE.facts({"config": config}).settings == {"reasoning.level": "high"}


@pytest.mark.parametrize(
    ("keywords", "model", "number"),
    [
        ({"model": "gemini-3", "contents": "hi"}, "gemini-3", 1),
        ({"model": "models/gemini-3", "contents": ["a", "b"]}, "gemini-3", 2),
        ({"model": "publishers/google/models/gemini-3", "prompt": "p"}, "gemini-3", 1),
        ({"model": "", "source": {"prompt": "p"}}, "unknown", 1),
        ({"model": "models/", "contents": []}, "unknown", 0),
        ({"model": None}, "unknown", 0),
        ({}, "unknown", 0),
    ],
)
def test_a_call_says_its_model_and_how_much_it_asks(keywords: dict[str, Any], model: str, number: int) -> None:
    assert GENERATE.facts(keywords) == RequestFacts(model, number, False, None)
    assert short_model(keywords.get("model")) == model


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ({"model": "models/gemini-3", "input": "hi"}, RequestFacts("gemini-3", 1, False, None)),
        ({"agent": "deep-research", "input": ["a", "b"], "stream": True}, RequestFacts("deep-research", 2, True, None)),
        ({"model": "m", "agent": "a", "stream": 0}, RequestFacts("m", 0, False, None)),
        (
            {"model": "m", "generation_config": CONFIG, "service_tier": "priority"},
            RequestFacts("m", 0, False, {**SETTINGS, "service_tier": "priority"}),
        ),
        ({"model": "m", "service_tier": "flex"}, RequestFacts("m", 0, False, {"service_tier": "flex"})),
        ({}, RequestFacts("unknown", 0, False, None)),
    ],
)
def test_the_creation_of_an_interaction_says_its_settings(body: dict[str, Any], facts: RequestFacts) -> None:
    assert INTERACT.facts(body) == facts
    assert INTERACT.input_content(body) == body.get("input")


@pytest.mark.parametrize(
    ("keywords", "asked"),
    [
        ({"contents": "c", "prompt": "p", "source": "s"}, "c"),
        ({"contents": None, "prompt": "p", "source": "s"}, "p"),
        ({"source": "s"}, "s"),
        ({}, None),
    ],
)
def test_what_was_asked_stands_in_one_of_three_fields(keywords: dict[str, Any], asked: object) -> None:
    assert GENERATE.input_content(keywords) == asked


# Failures


def body(status: str | None, *details: Any, message: str = "no") -> dict[str, Any]:
    return {"error": {"code": 400, "status": status, "message": message, "details": list(details)}}


def quota(*violations: dict[str, Any]) -> dict[str, Any]:
    return {"violations": list(violations)}


@SENT
@pytest.mark.parametrize(
    ("status", "details", "category"),
    [
        (400, [{"reason": "API_KEY_INVALID"}], "auth"),
        (400, [{"reason": "API_KEY_EXPIRED"}], "auth"),
        (403, [{"reason": "API_KEY_SERVICE_BLOCKED"}], "auth"),
        (401, [{"reason": "ACCESS_TOKEN_EXPIRED"}], "auth"),
        (400, [{"reason": "SERVICE_DISABLED"}], "auth"),
        (400, [{"reason": "CONSUMER_INVALID"}], "auth"),
        (403, [{"reason": "BILLING_DISABLED"}], "quota"),
        (400, [{"reason": "NEW"}, {"reason": "API_KEY_INVALID"}], "auth"),
        (400, [{"reason": "NEW"}, {}], "invalid_request"),
        (429, [{"violations": [{"quota_id": "RequestsPerDay"}]}], "quota"),
        (429, [{"violations": [{"quota_id": "RequestsPerMonth"}]}], "quota"),
        (429, [{"violations": [{"quota_id": "RequestsPerMinute"}]}], "rate_limit"),
        (429, [{"violations": [{"quota_id": "RequestsPerMinute"}, {"quota_id": "TokensPerDay"}]}], "quota"),
        (429, [{"violations": []}, {"violations": [{"quota_id": "TokensPerDay"}]}], "quota"),
        (429, [{"violations": [{"quota_id": "RequestsPerMinute", "quota_value": "0"}]}], "quota"),
        (429, [{"violations": [{"quota_value": 0}]}], "quota"),
        (429, [{"violations": [{"quota_value": "10"}]}], "rate_limit"),
        (429, [{"violations": [{"quota_value": None}]}], "rate_limit"),
        (429, [], "rate_limit"),
        (504, [], "timeout"),
    ],
)
def test_the_details_of_an_error_say_what_its_status_does_not(
    form: Any, status: int, details: list[Any], category: str
) -> None:
    told = body("SOMETHING", *details)
    for given in (form(told), [form(told)], form(told["error"])):
        assert gemini_failure(status=status, body=given).error_type == category


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        ("UNAUTHENTICATED", "auth"),
        ("PERMISSION_DENIED", "auth"),
        ("RESOURCE_EXHAUSTED", "rate_limit"),
        ("INVALID_ARGUMENT", "invalid_request"),
        ("FAILED_PRECONDITION", "invalid_request"),
        ("OUT_OF_RANGE", "invalid_request"),
        ("NOT_FOUND", "invalid_request"),
        ("DEADLINE_EXCEEDED", "timeout"),
        ("UNAVAILABLE", "server_error"),
        ("INTERNAL", "server_error"),
        ("UNKNOWN", "server_error"),
        ("ABORTED", "server_error"),
        ("CANCELLED", "connection"),
        ("SOMETHING_NEW", "unknown"),
    ],
)
def test_a_word_alone_decides_where_there_is_no_status(kind: str, category: str) -> None:
    failure = gemini_failure(body=body(kind))
    assert (failure.error_type, failure.code, failure.message) == (category, kind, "no")


class ValidationError(Exception):
    title = "GenerateContentResponse"


class OddValidationError(ValidationError):
    pass


def test_failures_are_told_whole() -> None:
    headers = {"retry-after": "7", "x-request-id": "r"}
    assert gemini_failure(status=429, headers=headers, body=body("RESOURCE_EXHAUSTED")) == Failure(
        "rate_limit", True, 429, "RESOURCE_EXHAUSTED", "no", None, 7.0
    )
    unreadable = gemini_failure(error=ValidationError("odd"))
    assert unreadable == Failure("server_error", True, 200, "unreadable_answer", "odd")
    assert gemini_failure(error=OddValidationError("odd")) == Failure("unknown", False, None, None, "odd")
    request = type("ValidationError", (Exception,), {"title": "GenerateContentConfig"})("odd")
    assert gemini_failure(error=request) == Failure("unknown", False, None, None, "odd")
    bare = type("ValidationError", (Exception,), {})("odd")
    assert gemini_failure(error=bare) == Failure("unknown", False, None, None, "odd")
    assert gemini_failure(status=503) == Failure("server_error", True, 503)
    for name, category in (
        ("UnsupportedFunctionError", "invalid_request"),
        ("UnknownFunctionCallArgumentError", "invalid_request"),
        ("UnknownApiResponseError", "server_error"),
    ):
        assert gemini_failure(error=type(name, (Exception,), {})("x")).error_type == category


@pytest.mark.parametrize(
    ("message", "category"),
    [
        ("API key not valid. Pass one.", "auth"),
        ("API Key expired", "auth"),
        ("Your monthly spending cap is used up", "quota"),
        ("Your prepayment credits are depleted", "quota"),
        ("something else", "invalid_request"),
    ],
)
def test_messages_say_what_no_word_does(message: str, category: str) -> None:
    assert gemini_failure(status=400, body=body("INVALID_ARGUMENT", message=message)).error_type == category


@FORMS
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            {"prompt_feedback": {"block_reason": "SAFETY", "block_reason_message": "Not that."}},
            Failure("content_filter", False, 200, "SAFETY", "Not that."),
        ),
        (
            {"prompt_feedback": {"block_reason": "OTHER"}, "candidates": [{"finish_reason": "SPII"}]},
            Failure("content_filter", False, 200, "OTHER", "The prompt was blocked"),
        ),
        (
            {"prompt_feedback": {"safety_ratings": []}, "candidates": [{"finish_reason": "SPII"}]},
            Failure("content_filter", False, 200, "SPII", "The answer was cut by a filter"),
        ),
        (
            {"candidates": [{"finish_reason": "STOP"}, {"finish_reason": "SAFETY"}]},
            Failure("content_filter", False, 200, "SAFETY", "The answer was cut by a filter"),
        ),
        ({"candidates": [{"finish_reason": "MAX_TOKENS"}, {}]}, None),
        ({"prompt_feedback": {}}, None),
        ({}, None),
    ],
)
def test_a_response_that_was_blocked_says_why(form: Any, response: dict[str, Any], expected: Failure | None) -> None:
    assert gemini_response_failure(form(response)) == expected


def test_reasons_of_filters_are_failures_and_no_others() -> None:
    assert gemini_finish_failure("STOP") is gemini_finish_failure(None) is None
    for reason in BLOCKED:
        assert gemini_finish_failure(reason) == Failure(
            "content_filter", False, 200, reason, "The answer was cut by a filter"
        )


@OWN_NAMES
@pytest.mark.parametrize(
    ("interaction", "expected"),
    [
        ({"status": "completed", "error": {"message": "API key expired"}}, None),
        ({}, None),
        (
            {"status": "failed", "error": {"code": "busy", "message": "try again"}},
            Failure("server_error", True, 200, "busy", "try again"),
        ),
        ({"status": "failed"}, Failure("server_error", True, 200)),
        (
            {"status": "failed", "error": {"code": "x", "message": "API key not valid"}},
            Failure("auth", False, None, None, "API key not valid"),
        ),
    ],
)
def test_an_interaction_that_failed_says_why(form: Any, interaction: dict[str, Any], expected: Failure | None) -> None:
    assert interaction_failure(form(interaction)) == expected
