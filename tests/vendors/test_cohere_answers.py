"""Cohere's chat, embeddings and rerank, v1 and v2: requests, answers and streams."""

from __future__ import annotations

from typing import Any

import pytest

from support.answers import attributes, loose, read, routed, streamed
from tachograph.records import Usage
from tachograph.vendors.cohere.apis import read_usage
from tachograph.vendors.wire import route

CHAT, EMBED, RERANK = (routed(f"/v2/{name}").api for name in ("chat", "embed", "rerank"))
BILLED = {"billed_units": {"input_tokens": 7, "output_tokens": 3}}
FORMS = pytest.mark.parametrize("form", [lambda each: each, loose, attributes], ids=["dict", "wire", "attributes"])


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(
    ("name", "operation", "streams"),
    [("chat", "chat", True), ("embed", "embeddings", False), ("rerank", "rerank", False)],
)
def test_both_versions_have_three_apis(version: str, name: str, operation: str, streams: bool) -> None:
    api = routed(f"/{version}/{name}").api
    assert (api.vendor, api.name, api.operation, api.chunks is not None) == ("cohere", name, operation, streams)
    assert route("GET", f"/{version}/{name}") is None


@FORMS
@pytest.mark.parametrize(
    ("meta", "usage", "mismatch"),
    [
        (BILLED, Usage(7, 3), None),
        ({"tokens": {"input_tokens": 70, "output_tokens": 3}}, Usage(70, 3), None),
        ({**BILLED, "tokens": {"input_tokens": 70, "output_tokens": 30}}, Usage(7, 3), None),
        ({**BILLED, "cached_tokens": 5}, Usage(7, 3, {"cache_read": 5}), None),
        ({**BILLED, "cached_tokens": 50}, Usage(7, 3, {"cache_read": 7}), None),
        ({"billed_units": {"output_tokens": 3}, "cached_tokens": 5}, Usage(None, 3), None),
        ({"billed_units": {"input_tokens": 7, "image_tokens": 6}}, Usage(7, None, {"image_input": 6}), None),
        ({"billed_units": {"search_units": 2}}, Usage(None, None, {}, {"search_unit": 2}), None),
        ({"billed_units": {"classifications": 4}}, Usage(None, None, {}, {"classification": 4}), None),
        (
            {"billed_units": {"search_units": 1, "classifications": 4, "input_tokens": 7}},
            Usage(7, None, {}, {"search_unit": 1, "classification": 4}),
            None,
        ),
        ({"billed_units": {"input_tokens": 7, "search_units": 0, "image_tokens": 0}}, Usage(7, None), None),
        ({"billed_units": {"input_tokens": 7.0, "output_tokens": 3.0}}, Usage(7, 3), None),
        ({"billed_units": {"input_tokens": -7, "output_tokens": 3}}, Usage(None, 3), "absurd"),
        ({"billed_units": {"input_tokens": 0, "output_tokens": 0}}, None, "zeros"),
        ({"billed_units": "seven"}, None, "zeros"),
        ({"billed_units": {}}, None, "zeros"),
        ({"api_version": {"version": "2"}}, None, None),
    ],
)
def test_billed_units_count_and_not_what_the_model_saw(
    form: Any, meta: dict[str, Any], usage: Usage | None, mismatch: str | None
) -> None:
    reading = read_usage(form(meta))
    assert (reading.usage, reading.mismatch, reading.unknown) == (usage, mismatch, ())


@pytest.mark.parametrize("form", [lambda each: each, loose], ids=["dict", "wire"])
def test_units_that_nobody_knows_are_told(form: Any) -> None:
    known = {"input_tokens": 1, "output_tokens": 1, "image_tokens": 1, "search_units": 1, "classifications": 1}
    assert read_usage(form({"billed_units": {**known, "holograms": 2}})).unknown == ("holograms",)


@FORMS
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"id": "c1", "finish_reason": "COMPLETE", "usage": BILLED},
            {"response_id": "c1", "finish_reason": "COMPLETE", "usage": Usage(7, 3)},
        ),
        (
            {"response_id": "r1", "generation_id": "g1", "finish_reason": "MAX_TOKENS", "meta": BILLED},
            {"response_id": "r1", "finish_reason": "MAX_TOKENS", "usage": Usage(7, 3)},
        ),
        ({"generation_id": "g1"}, {"response_id": "g1"}),
        ({"id": "c1", "response_id": "r1"}, {"response_id": "c1"}),
        ({"usage": BILLED, "meta": {"billed_units": {"input_tokens": 1}}}, {"usage": Usage(7, 3)}),
        ({"finish_reason": "ERROR"}, {"finish_reason": "ERROR", "failed": "server_error"}),
        ({"finish_reason": "ERROR_TOXIC"}, {"finish_reason": "ERROR_TOXIC", "failed": "content_filter"}),
        ({"finish_reason": "ERROR_LIMIT"}, {"finish_reason": "ERROR_LIMIT", "failed": "invalid_request"}),
        ({"finish_reason": "TIMEOUT"}, {"finish_reason": "TIMEOUT", "failed": "timeout"}),
        ({}, {}),
    ],
)
def test_a_chat_of_either_version_is_read(form: Any, answer: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(CHAT, form(answer)) == expected


@FORMS
@pytest.mark.parametrize("api", [EMBED, RERANK], ids=["embed", "rerank"])
def test_embeddings_and_rerank_are_read(form: Any, api: Any) -> None:
    meta = {"billed_units": {"search_units": 1, "input_tokens": 5}}
    assert read(api, form({"id": "e1", "meta": meta, "usage": BILLED})) == {
        "response_id": "e1", "usage": Usage(5, None, {}, {"search_unit": 1}),
    }  # fmt: skip
    assert read(api, form({})) == {}


def test_what_was_said_is_the_text_of_v1_or_the_parts_of_v2() -> None:
    assert CHAT.output_content({"text": "one"}) == "one"
    parts = [{"type": "text", "text": "two"}, {"type": "text", "text": "three"}]
    assert CHAT.output_content({"message": {"content": parts}}) == ["two", "three"]
    assert CHAT.output_content({}) == []
    assert (EMBED.output_content({"text": "x"}), RERANK.output_content({"text": "x"})) == (None, None)


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({"messages": [1, 2], "message": "m"}, [1, 2]),
        ({"message": "m", "texts": ["t"]}, "m"),
        ({"texts": ["t"], "query": "q"}, ["t"]),
        ({"query": "q"}, "q"),
        ({}, None),
    ],
)
def test_what_was_asked_stands_in_one_of_four_fields(body: dict[str, Any], asked: object) -> None:
    assert CHAT.input_content(body) == EMBED.input_content(body) == RERANK.input_content(body) == asked


END = {"finish_reason": "COMPLETE", "usage": BILLED}


@FORMS
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                {"type": "message-start", "id": "m1"},
                {"type": "content-start"},
                {"type": "content-delta"},
                {"type": "content-end"},
                {"type": "message-end", "delta": END},
            ],
            {"first": 2, "whole": True, "response_id": "m1", "finish_reason": "COMPLETE", "usage": Usage(7, 3)},
        ),
        (
            [
                {"event_type": "stream-start", "generation_id": "g1"},
                {"event_type": "text-generation", "text": "a"},
                {
                    "event_type": "stream-end",
                    "finish_reason": "COMPLETE",
                    "response": {"response_id": "r1", "meta": BILLED},
                },
            ],
            {"first": 1, "whole": True, "response_id": "g1", "finish_reason": "COMPLETE", "usage": Usage(7, 3)},
        ),
        (
            [{"event_type": "stream-end", "finish_reason": "ERROR_TOXIC", "response": {"response_id": "r1"}}],
            {"whole": True, "response_id": "r1", "finish_reason": "ERROR_TOXIC", "failed": "content_filter"},
        ),
        (
            [{"type": "message-end", "delta": {"finish_reason": "ERROR"}}],
            {"whole": True, "finish_reason": "ERROR", "failed": "server_error"},
        ),
        (
            [
                {
                    "event_type": "stream-end",
                    "finish_reason": "COMPLETE",
                    "response": {"finish_reason": "MAX_TOKENS"},
                }
            ],
            {"whole": True, "finish_reason": "MAX_TOKENS"},
        ),
        ([{"type": "message-start", "id": "m1"}, {"type": "tool-plan-delta"}], {"first": 1, "response_id": "m1"}),
        ([{"type": "tool-call-start"}, {"type": "tool-call-delta"}], {"first": 0}),
        ([{"event_type": "tool-calls-chunk"}, {"event_type": "tool-calls-chunk"}], {"first": 0}),
        ([{"type": "citation-start"}, {"text": "a"}, {}], {}),
        ([], {}),
    ],
)
def test_a_stream_is_read_as_its_last_event_says(
    form: Any, events: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    assert streamed(CHAT, *map(form, events)) == expected
