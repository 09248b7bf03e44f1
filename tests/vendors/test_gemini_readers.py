"""Gemini's generations, interactions, batches, images, videos and REST API: what a record says of an answer."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from support.answers import attributes, loose, made, read, routed, streamed, told
from tachograph.records import Usage
from tachograph.vendors.api import RequestFacts
from tachograph.vendors.gemini.apis import (
    BATCHES,
    FETCH_INTERACTION,
    FETCH_VIDEO,
    GENERATE,
    INTERACT,
    PLAIN,
)
from tachograph.vendors.gemini.generation import Generation
from tachograph.vendors.gemini.interactions import BEGUN
from tachograph.vendors.gemini.rest import route
from tachograph.vendors.once import COUNTED, Once


def same(value: Any) -> Any:
    return value


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    COUNTED.forget()
    BEGUN.forget()


class Model:
    """An answer as the SDK's models have it: each field is there."""

    def __init__(self, fields: dict[str, Any]) -> None:
        for name in (
            *("usage_metadata", "candidates", "prompt_feedback", "finish_reason", "grounding_metadata", "content"),
            *("parts", "model_version", "response_id", "sdk_http_response", "block_reason", "block_reason_message"),
            *("prompt_token_count", "total_token_count", "maps"),
        ):
            setattr(self, name, None)
        self.__dict__.update(fields)


def models(value: Any) -> Any:
    """An answer whose objects are `Model`."""
    if isinstance(value, dict):
        return Model({name: models(inner) for name, inner in value.items()})
    return [models(each) for each in value] if isinstance(value, list) else value


FORMS = pytest.mark.parametrize("form", [same, loose, attributes, models], ids=["dict", "wire", "attributes", "models"])
SOME_FORMS = pytest.mark.parametrize("form", [same, loose, attributes], ids=["dict", "wire", "attributes"])
OBJECTS = pytest.mark.parametrize("form", [loose, attributes], ids=["wire", "attributes"])

# generate_content


def candidate(finish_reason: Any = "STOP", parts: Any = ({"text": "hi"},), **fields: Any) -> dict[str, Any]:
    content = {} if parts is None else {"content": {"parts": list(parts)}}
    return {**content, "finish_reason": finish_reason, **fields}


def counted(prompt: int, answer: int) -> dict[str, Any]:
    return {"prompt_token_count": prompt, "candidates_token_count": answer, "total_token_count": prompt + answer}


ANSWER = {
    "candidates": [candidate()],
    "usage_metadata": counted(10, 5),
    "model_version": "gemini-3-001",
    "response_id": "r1",
}
TOLD = {"finish_reason": "STOP", "usage": Usage(10, 5), "response_model": "gemini-3-001", "response_id": "r1"}


@FORMS
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ANSWER, TOLD),
        ({"candidates": [candidate()]}, {"finish_reason": "STOP"}),
        ({"usage_metadata": counted(10, 0)}, {"usage": Usage(10, 0), "failed": "server_error"}),
        ({}, {"failed": "server_error"}),
        ({**ANSWER, "model_version": 7, "response_id": 7}, {"finish_reason": "STOP", "usage": Usage(10, 5)}),
        (
            {**ANSWER, "candidates": [candidate("SAFETY", None)]},
            {**TOLD, "finish_reason": "SAFETY", "failed": "content_filter"},
        ),
        (
            {**ANSWER, "candidates": [candidate("SAFETY"), candidate("STOP")]},
            {**TOLD, "finish_reason": "STOP", "failed": "content_filter"},
        ),
        ({**ANSWER, "candidates": [candidate(), candidate(None)]}, TOLD),
        (
            {"prompt_feedback": {"block_reason": "OTHER"}, "usage_metadata": counted(10, 0)},
            {"finish_reason": "OTHER", "usage": Usage(10, 0), "failed": "content_filter"},
        ),
        (
            {**ANSWER, "prompt_feedback": {"block_reason": "OTHER"}, "candidates": [candidate("STOP", None)]},
            {**TOLD, "failed": "content_filter"},
        ),
        ({**ANSWER, "sdk_http_response": {"headers": {}}}, TOLD),
    ],
)
def test_a_generation_is_read_whole(form: Any, answer: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(GENERATE, form(answer)) == expected


@pytest.mark.parametrize("form", [same, attributes], ids=["dict", "attributes"])
def test_the_names_of_the_wire_are_read_as_well(form: Any) -> None:
    answer = {
        "candidates": [
            {
                "content": {"parts": [{"text": "a"}]},
                "finishReason": "STOP",
                "groundingMetadata": {"webSearchQueries": ["a", "b"], "groundingChunks": [{"maps": {}}]},
            }
        ],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
        "modelVersion": "gemini-3-001",
        "responseId": "r1",
    }
    assert read(GENERATE, form(answer)) == {
        **TOLD, "usage": Usage(10, 5, {}, {"web_search": 2, "google_maps": 1}),
    }  # fmt: skip
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}
    assert read(GENERATE, form(blocked)) == {"finish_reason": "SAFETY", "failed": "content_filter"}


def test_an_answer_that_the_application_takes_as_http_is_read_from_its_body() -> None:
    body = '{"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}], "responseId": "r1"}'
    taken = {"sdk_http_response": {"body": body}}
    for form in (same, loose, attributes, models):
        assert read(GENERATE, form(taken)) == {"finish_reason": "STOP", "response_id": "r1"}
    assert read(GENERATE, {**ANSWER, "sdk_http_response": {"body": body}}) == TOLD
    assert read(GENERATE, {**ANSWER, "sdk_http_response": {"body": 7}}) == TOLD


@FORMS
def test_the_tier_asked_for_holds_where_the_answer_names_none(form: Any) -> None:
    asked = {"request": {"service_tier": "flex"}}
    assert read(GENERATE, form(ANSWER), **asked) == {**TOLD, **asked, "service_tier": "flex"}
    assert read(GENERATE, form(ANSWER), request={"seed": 1}) == {**TOLD, "request": {"seed": 1}}
    reported = {**ANSWER, "usage_metadata": {**counted(10, 5), "service_tier": "standard"}}
    for known in ("priority", None):
        found = read(GENERATE, form(reported), service_tier=known, **asked)
        assert found["service_tier"] == "standard"
    assert read(GENERATE, form(ANSWER), service_tier="priority", **asked)["service_tier"] == "priority"


def test_a_finish_reason_may_be_an_enumeration() -> None:
    reason = enum.Enum("Reason", {"STOP": "STOP"})["STOP"]
    for form in (same, models):
        assert read(GENERATE, form({**ANSWER, "candidates": [candidate(reason)]})) == TOLD


@FORMS
@pytest.mark.parametrize(
    ("grounding", "uses"),
    [
        ({"web_search_queries": ["a", "b", "a"]}, {"web_search": 2}),
        ({"web_search_queries": ["a"], "image_search_queries": ["a", "b"]}, {"web_search": 3}),
        ({"web_search_queries": ["", None, 7]}, {}),
        ({"grounding_chunks": [{"web": {}}, {"maps": {}}, {"web": {}}]}, {"google_maps": 1}),
        ({"grounding_chunks": [{"web": {}}]}, {}),
        ({"web_search_queries": [], "grounding_chunks": []}, {}),
        ({}, {}),
    ],
)
def test_what_an_answer_rests_on_is_billed(form: Any, grounding: dict[str, Any], uses: dict[str, int]) -> None:
    answer = {**ANSWER, "candidates": [candidate(grounding_metadata=grounding)]}
    assert read(GENERATE, form(answer)) == {**TOLD, "usage": Usage(10, 5, {}, uses)}
    old = {**answer, "model_version": "gemini-2.5-flash"}
    expected = {name: min(number, 1) for name, number in uses.items()}
    assert read(GENERATE, form(old))["usage"] == Usage(10, 5, {}, expected)


@FORMS
def test_searches_are_billed_by_the_model_asked_for_where_none_is_named(form: Any) -> None:
    grounded = candidate(grounding_metadata={"web_search_queries": ["a", "b"]})
    answer = {"candidates": [grounded], "usage_metadata": counted(10, 5)}
    for model, searches in (("gemini-2.5-pro", 1), ("gemini-3", 2)):
        usage = read(GENERATE, form(answer), model=model)["usage"]
        assert usage.tool_uses == {"web_search": searches}


ZEROS = {"prompt_token_count": 0, "candidates_token_count": 0, "total_token_count": 0}


@FORMS
@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        (
            [
                {"candidates": [candidate(None, None)], "usage_metadata": counted(10, 1)},
                {"candidates": [candidate(None)], "usage_metadata": counted(10, 3)},
                ANSWER,
            ],
            {**TOLD, "first": 1, "whole": True},
        ),
        ([ANSWER, {"usage_metadata": ZEROS}], {"finish_reason": "STOP", "usage": Usage(10, 5), "first": 0,
                                               "whole": True}),
        ([{"usage_metadata": ZEROS}], {"usage_mismatch": "zeros"}),
        (
            [ANSWER, {"usage_metadata": {"prompt_token_count": 11}}],
            {"finish_reason": "STOP", "usage": Usage(11, None), "first": 0, "whole": True},
        ),
        (
            [ANSWER, {"usage_metadata": {"candidates_token_count": 9, "total_token_count": 9}}],
            {"finish_reason": "STOP", "usage": Usage(None, 9), "first": 0, "whole": True},
        ),
        ([{"candidates": [candidate(None)]}], {"first": 0}),
        (
            [{"candidates": [candidate(None)]}, {"candidates": [candidate("RECITATION", None)]}],
            {"first": 0, "finish_reason": "RECITATION", "failed": "content_filter", "whole": True},
        ),
        (
            [{"prompt_feedback": {"block_reason": "OTHER"}}],
            {"finish_reason": "OTHER", "failed": "content_filter", "whole": True},
        ),
        ([], {}),
    ],
)  # fmt: skip
def test_a_stream_of_a_generation_is_read_as_its_chunks_say(
    form: Any, chunks: list[Any], expected: dict[str, Any]
) -> None:
    assert streamed(GENERATE, *map(form, chunks)) == expected


@FORMS
def test_each_request_of_a_generation_is_priced_by_itself(form: Any) -> None:
    reader = Generation()
    reader.hop().feed(form({**ANSWER, "candidates": [candidate(grounding_metadata={"web_search_queries": ["a"]})]}))
    reader.hop().feed(form({**ANSWER, "usage_metadata": counted(100, 50), "response_id": "r2"}))
    first, second = Usage(10, 5, {}, {"web_search": 1}), Usage(100, 50)
    expected = {**TOLD, "response_id": "r2", "usage": first + second, "usages": (first, second)}
    assert read(GENERATE, reader) == expected
    content = [{"parts": [{"text": "hi"}]}]
    if form is same:
        assert GENERATE.output_content(reader) == content
        assert GENERATE.output_content(ANSWER) == content
    reader.hop().feed(form({"candidates": []}))
    assert read(GENERATE, reader)["failed"] == "server_error"


def test_what_a_generation_said_is_what_its_last_request_said() -> None:
    reader = Generation()
    for part in ("one", "two", "three"):
        reader.hop().feed({"candidates": [candidate(parts=[part])]})
        assert GENERATE.output_content(reader) == [{"parts": [part]}]


def test_a_generation_that_was_never_asked_says_nothing() -> None:
    assert read(GENERATE, Generation()) == {}
    assert GENERATE.output_content(Generation()) == []
    assert GENERATE.output_content({}) == []


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [(counted(10, 5), (10, 5)), ({"prompt_token_count": 3}, (3, 0)), ({"candidates_token_count": 3}, (0, 3)),
     (None, None)],
)  # fmt: skip
def test_the_ring_gets_the_tokens_as_they_are_reported(usage: Any, tokens: Any) -> None:
    assert GENERATE.tokens(loose({"usage_metadata": usage})) == tokens


@SOME_FORMS
def test_embeddings_and_counts_are_read(form: Any) -> None:
    assert read(PLAIN["embed_content"], form({"usage_metadata": {"prompt_token_count": 3}})) == {"usage": Usage(3)}
    assert read(PLAIN["embed_content"], form({}), usage=Usage(9)) == {}
    assert read(PLAIN["count_tokens"], form({"total_tokens": 3})) == {}


# Interactions

REPORT = {"total_input_tokens": 20, "total_output_tokens": 6, "total_tokens": 26}
DONE = {"id": "i1", "model": "gemini-3", "status": "completed", "usage": REPORT}
SEEN = {"response_id": "i1", "response_model": "gemini-3", "finish_reason": "completed", "usage": Usage(20, 6)}
RUNS = {"response_id": "i1", "finish_reason": "in_progress"}


@SOME_FORMS
@pytest.mark.parametrize(
    ("interaction", "expected"),
    [
        (DONE, SEEN),
        ({**DONE, "model": None, "agent": "deep"}, {**SEEN, "response_model": "deep"}),
        ({**DONE, "agent": "deep", "service_tier": "flex"}, {**SEEN, "service_tier": "flex"}),
        ({**DONE, "usage": None}, {name: value for name, value in SEEN.items() if name != "usage"}),
        (
            {**DONE, "status": "failed", "error": {"code": "x", "message": "busy"}},
            {**SEEN, "finish_reason": "failed", "failed": "server_error"},
        ),
        (
            {**DONE, "steps": [{"type": "thought"}, {"type": "laser"}, {"type": "google_search_call"}, {},
                               {"type": "phaser"}, {"type": "laser"}]},
            {**SEEN, "unknown_billables": ("laser", "phaser")},
        ),
        (
            {**DONE, "usage": {**REPORT, "grounding_tool_count": [{"type": "google_search", "count": 2}]},
             "model": "gemini-2.5-pro"},
            {**SEEN, "response_model": "gemini-2.5-pro", "usage": Usage(20, 6, {}, {"web_search": 1})},
        ),
        ({"id": "i1", "status": "in_progress"}, {**RUNS, "counts_usage": False}),
        ({"id": "i1", "status": "queued"}, {**RUNS, "finish_reason": "queued", "counts_usage": False}),
        ({"id": "i1", "status": "requires_action"}, {**RUNS, "finish_reason": "requires_action"}),
        ({"status": "in_progress"}, {"finish_reason": "in_progress"}),
        ({"id": "i1", "status": "in_progress", "usage": REPORT}, {**RUNS, "usage": Usage(20, 6)}),
    ],
)  # fmt: skip
def test_an_interaction_is_read_whole(form: Any, interaction: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(INTERACT, form(interaction)) == expected


def test_searches_of_an_interaction_are_billed_by_the_model_asked_for_where_none_is_named() -> None:
    usage = {**REPORT, "grounding_tool_count": [{"type": "google_search", "count": 2}]}
    for model, searches in (("gemini-2.5-pro", 1), ("gemini-3", 2)):
        found = read(INTERACT, {"usage": usage}, model=model)["usage"]
        assert found.tool_uses == {"web_search": searches}


def test_what_an_interaction_does_not_say_stays_as_it_was() -> None:
    kept = {"response_id": "a", "response_model": "b", "finish_reason": "c", "service_tier": "d"}
    assert read(INTERACT, {}, **kept) == kept


def test_an_interaction_that_was_whole_at_once_counts_once_however_often_it_is_read() -> None:
    assert read(INTERACT, DONE) == SEEN
    for _ in range(3):
        assert read(FETCH_INTERACTION, DONE) == {**SEEN, "model": "gemini-3", "counts_usage": False}


def test_an_interaction_that_ran_on_counts_the_first_time_that_it_is_read_whole() -> None:
    begun = {"id": "i1", "status": "in_progress"}
    assert read(INTERACT, begun)["counts_usage"] is False
    assert read(FETCH_INTERACTION, begun) == {**RUNS, "counts_usage": False}
    failed = {**DONE, "status": "failed", "error": {"message": "API key expired"}}
    assert read(FETCH_INTERACTION, failed) == {
        **SEEN, "model": "gemini-3", "finish_reason": "failed", "failed": "auth",
    }  # fmt: skip
    assert read(FETCH_INTERACTION, failed) == {
        **SEEN, "model": "gemini-3", "finish_reason": "failed", "counts_usage": False,
    }  # fmt: skip


def test_an_interaction_without_an_id_is_not_counted_when_it_is_read() -> None:
    for _ in range(2):
        assert read(FETCH_INTERACTION, {"usage": REPORT}) == {"usage": Usage(20, 6), "counts_usage": False}


@pytest.mark.parametrize(
    ("body", "counts"),
    [({"background": True}, False), ({}, True), (None, True)],
    ids=["in the background", "not so", "unknown"],
)
def test_a_stream_of_an_interaction_that_was_left_is_not_read_again(body: Any, counts: bool) -> None:
    call = made(INTERACT, stream=True, body=body)
    INTERACT.read(call, {"id": "i1", "status": "in_progress"})
    assert call.counts_usage is counts
    assert ("i1" in BEGUN) is not counts


def test_an_id_that_is_looked_for_is_not_remembered() -> None:
    once = Once()
    assert "a" not in once
    assert once.first_time("a")
    assert "a" in once
    assert None not in once


def test_what_an_interaction_said_is_its_outputs_or_its_steps() -> None:
    assert INTERACT.output_content({"outputs": [1], "steps": [2]}) == [1]
    assert INTERACT.output_content({"outputs": [], "steps": [2]}) == [2]


@OBJECTS
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                {"event_type": "interaction.created", "interaction": {"id": "i1", "status": "in_progress"}},
                {"event_type": "step.start"},
                {"event_type": "step.delta"},
                {"event_type": "content.delta"},
                {"event_type": "interaction.completed", "interaction": DONE},
            ],
            {**SEEN, "first": 2, "whole": True},
        ),
        ([{"event_type": "interaction.complete", "interaction": DONE}], {**SEEN, "whole": True}),
        (
            [{"event_type": "interaction.failed", "interaction": {**DONE, "status": "failed"}}],
            {**SEEN, "finish_reason": "failed", "failed": "server_error", "whole": True},
        ),
        (
            [{"event_type": "content.delta", "metadata": {"total_usage": REPORT}}, {"event_type": "content.delta"}],
            {"first": 0, "usage": Usage(20, 6)},
        ),
        (
            [
                {"event_type": "content.delta", "metadata": {"total_usage": {"total_input_tokens": 1}}},
                {"event_type": "interaction.completed", "interaction": DONE},
            ],
            {**SEEN, "first": 0, "whole": True},
        ),
        (
            [{"event_type": "error", "error": {"code": "RESOURCE_EXHAUSTED", "message": "slow"}}],
            {"failed": "rate_limit"},
        ),
        ([{"event_type": "error", "error": {"status": "PERMISSION_DENIED"}}], {"failed": "auth"}),
        ([{"event_type": "error", "error": {"message": "API key expired"}}], {"failed": "auth"}),
        ([{"event_type": "error", "error": {"code": "new"}}], {"failed": "server_error"}),
        ([{"event_type": "error"}], {"failed": "server_error"}),
        (
            [
                {"event_type": "error", "error": {"message": "API key expired"}},
                {"event_type": "interaction.failed", "interaction": {"status": "failed"}},
            ],
            {"failed": "auth", "finish_reason": "failed", "whole": True},
        ),
        (
            [{"event_type": "interaction.completed", "interaction": DONE}, {"event_type": "interaction.other"}],
            {**SEEN, "whole": True},
        ),
        (
            [
                {"event_type": "interaction.completed", "interaction": DONE},
                {"event_type": "interaction.status", "interaction": DONE},
            ],
            SEEN,
        ),
        ([{"event_type": "other", "interaction": DONE}, {"event_type": "interaction.completed"}, {}], {}),
        ([], {}),
    ],
)
def test_a_stream_of_an_interaction_is_read_as_its_events_say(
    form: Any, events: list[Any], expected: dict[str, Any]
) -> None:
    assert streamed(INTERACT, *map(form, events)) == expected


def test_a_stored_interaction_that_is_streamed_counts_as_one_that_is_read() -> None:
    event = loose({"event_type": "interaction.completed", "interaction": DONE})
    expected = {**SEEN, "model": "gemini-3", "whole": True}
    assert streamed(FETCH_INTERACTION, event) == {**expected, "counts_usage": False}
    BEGUN.first_time("i1")
    assert streamed(FETCH_INTERACTION, event) == expected


# Batches

JOB = {"name": "batches/1", "model": "models/gemini-3", "state": "JOB_STATE_SUCCEEDED"}
JOB_SAID = {
    "model": "gemini-3", "response_id": "batches/1", "finish_reason": "JOB_STATE_SUCCEEDED", "service_tier": "batch",
}  # fmt: skip


def generated(prompt: int) -> dict[str, Any]:
    return {"response": {"candidates": [candidate()], "usage_metadata": counted(prompt, 1)}}


@SOME_FORMS
@pytest.mark.parametrize(
    ("dest", "usage", "usages"),
    [
        ({"inlined_responses": [generated(5)]}, Usage(5, 1), (Usage(5, 1),)),
        (
            {"inlined_responses": [generated(5), {"error": {}}, {"response": {}}, generated(7)]},
            Usage(12, 2),
            (Usage(5, 1), Usage(7, 1)),
        ),
        (
            {
                "inlined_embed_content_responses": [
                    {"response": {"token_count": 3}},
                    {"response": {"token_count": 0}},
                    {"error": {}},
                    {"response": {"token_count": 4}},
                ]
            },
            Usage(7),
            (Usage(3), Usage(4)),
        ),
        (
            {
                "inlined_responses": [generated(5)],
                "inlined_embed_content_responses": [{"response": {"token_count": 3}}],
            },
            Usage(8, 1),
            (Usage(5, 1), Usage(3)),
        ),
    ],
)
def test_a_batch_counts_the_first_time_that_it_is_read_with_answers(
    form: Any, dest: dict[str, Any], usage: Usage, usages: tuple[Usage, ...]
) -> None:
    begun = {**JOB_SAID, "finish_reason": "JOB_STATE_RUNNING", "counts_usage": False}
    assert read(BATCHES["create"], form({**JOB, "state": "JOB_STATE_RUNNING"})) == begun
    whole = form({**JOB, "dest": dest})
    assert read(BATCHES["get"], whole) == {**JOB_SAID, "usage": usage, "usages": usages}
    assert read(BATCHES["get"], whole) == {**JOB_SAID, "counts_usage": False}


def test_searches_of_a_batch_are_billed_by_its_model() -> None:
    grounded = candidate(grounding_metadata={"web_search_queries": ["a", "b"]})
    response = {"candidates": [grounded], "usage_metadata": counted(5, 1)}
    for number, (model, searches) in enumerate((("gemini-2.5-pro", 1), ("gemini-3", 2))):
        job = {**JOB, "name": f"b{number}", "model": model, "dest": {"inlined_responses": [{"response": response}]}}
        assert read(BATCHES["get"], job)["usage"].tool_uses == {"web_search": searches}


def test_the_tier_of_a_batch_is_batch_whatever_its_answers_say() -> None:
    usage = {**counted(5, 1), "service_tier": "standard"}
    dest = {"inlined_responses": [{"response": {"candidates": [candidate()], "usage_metadata": usage}}]}
    assert read(BATCHES["get"], {**JOB, "dest": dest})["service_tier"] == "batch"


def test_a_batch_without_a_name_is_not_counted() -> None:
    found = read(BATCHES["get"], {"dest": {"inlined_responses": [generated(5)]}})
    assert found == {"model": "unknown", "service_tier": "batch", "counts_usage": False}


# Images and videos


@SOME_FORMS
def test_images_are_billed_by_their_tokens_or_by_their_number(form: Any) -> None:
    images = {"generated_images": [{"image": {}}, {"rai_filtered_reason": "x"}, {"image": {}}]}
    body = {"config": {"image_size": "2K"}}
    assert read(PLAIN["generate_images"], form(images), model="imagen-4", body=body) == {
        "model": "imagen-4", "usage": Usage(tool_uses={"image/2k": 2}),
    }  # fmt: skip
    assert read(PLAIN["generate_images"], form({**images, "usage_metadata": counted(5, 9)})) == {"usage": Usage(5, 9)}
    assert read(PLAIN["generate_images"], form({"generated_images": [{"rai_filtered_reason": "x"}]})) == {}
    assert read(PLAIN["generate_images"], form({})) == {}


VIDEO = {"name": "models/veo-3/operations/1", "done": True}
NOT_COUNTED = {"counts_usage": False}


@SOME_FORMS
@pytest.mark.parametrize(
    "made_of",
    [
        {"response": {"generated_videos": [{}, {}]}},
        {"result": {"generated_videos": [{}, {}]}},
        {"response": {"generateVideoResponse": {"generatedSamples": [{}, {}]}}},
        {"response": {"videos": [{}, {}]}},
    ],
)
@pytest.mark.parametrize(
    ("body", "item", "seconds"),
    [
        ({"config": {"duration_seconds": 6, "resolution": "4k"}}, "video_second/4k", 6),
        ({"config": {"duration_seconds": 6, "generate_audio": False}}, "video_second/720p/silent", 6),
        ({}, "video_second/720p", 8),
    ],
)
def test_a_video_is_billed_once_by_the_seconds_that_were_asked_for(
    form: Any, made_of: dict[str, Any], body: dict[str, Any], item: str, seconds: int
) -> None:
    name, done = VIDEO["name"], form({**VIDEO, **made_of})
    said = {"response_id": name, "model": "veo-3"}
    begun = read(PLAIN["generate_videos"], form({"name": name}), model="veo-3", body=body)
    assert begun == {**said, "finish_reason": "in_progress", **NOT_COUNTED}
    assert read(FETCH_VIDEO, form({"name": name})) == {**said, "finish_reason": "in_progress", **NOT_COUNTED}
    whole = {**said, "finish_reason": "completed", "usage": Usage(tool_uses={item: 2 * seconds})}
    assert read(FETCH_VIDEO, done) == whole
    assert read(FETCH_VIDEO, done) == {**said, "finish_reason": "completed", **NOT_COUNTED}


def test_a_video_that_another_process_asked_for_is_of_unknown_length() -> None:
    job = {"name": "publishers/google/models/veo-9/operations/x", "done": True, "response": {"videos": [{}, {}, {}]}}
    assert read(FETCH_VIDEO, job) == {
        "response_id": job["name"], "model": "veo-9", "finish_reason": "completed",
        "usage": Usage(tool_uses={"video/unknown_length": 3}),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ({"error": {"code": 3}, "done": True, "response": {"videos": [{}]}}, "failed"),
        ({"done": True, "response": {"videos": []}}, "completed"),
        ({"done": False, "response": {"videos": [{}]}}, "in_progress"),
    ],
)
def test_a_video_that_is_not_there_costs_nothing(job: dict[str, Any], reason: str) -> None:
    found = read(FETCH_VIDEO, {"name": "operations/2", **job})
    assert found == {"response_id": "operations/2", "finish_reason": reason, **NOT_COUNTED}


def test_a_video_without_a_name_is_not_counted() -> None:
    job = {"done": True, "response": {"videos": [{}]}}
    assert read(FETCH_VIDEO, job) == {"finish_reason": "completed", **NOT_COUNTED}
    assert read(PLAIN["generate_videos"], {}, model="veo-3") == {
        "model": "veo-3", "finish_reason": "in_progress", **NOT_COUNTED,
    }  # fmt: skip


def test_a_video_of_a_model_without_a_usual_length_is_of_unknown_length() -> None:
    name = "models/other-1/operations/3"
    read(PLAIN["generate_videos"], {"name": name}, model="other-1", body={})
    found = read(FETCH_VIDEO, {"name": name, "done": True, "response": {"videos": [{}]}})
    assert found["usage"] == Usage(tool_uses={"video/unknown_length": 1})


# REST


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("post", "/v1beta/models/gemini-3:generateContent",
         ("generate_content", "generate_content", "gemini-3", False)),
        (
            "post",
            "/v1/projects/p/locations/l/publishers/google/models/gemini-3:streamGenerateContent",
            ("generate_content", "generate_content", "gemini-3", True),
        ),
        ("post", "/v1/endpoints/7:generateContent", ("generate_content", "generate_content", "7", False)),
        ("post", "/v1/tunedModels/t:generateContent", ("generate_content", "generate_content", "t", False)),
        ("post", "/v1/models/e:embedContent", ("embed_content", "embeddings", "e", False)),
        ("post", "/v1/models/e:batchEmbedContents", ("embed_content", "embeddings", "e", False)),
        ("post", "/v1/models/m:countTokens", ("token_count", "count_tokens", "m", False)),
        ("post", "/v1/models/veo-3:predictLongRunning", ("videos", "video_generation", "veo-3", False)),
        ("post", "/v1/models/veo-3:fetchPredictOperation", ("videos", "fetch_response", "veo-3", False)),
        ("post", "/v1/models/imagen-4:predict", ("images", "image_generation", "imagen-4", False)),
        ("post", "/v1/models/text-embedding-5:predict", ("embed_content", "embeddings", "text-embedding-5", False)),
        (
            "post",
            "/v1/models/text-multilingual-embedding-2:predict",
            ("embed_content", "embeddings", "text-multilingual-embedding-2", False),
        ),
        ("post", "/v1/models/gemini-embedding-1:predict",
         ("embed_content", "embeddings", "gemini-embedding-1", False)),
        ("get", "/v1beta/models/veo-3/operations/x", ("videos", "fetch_response", "veo-3", False)),
        ("delete", "/v1beta/models/veo-3/operations/x", None),
        ("post", "/v1beta/models/veo-3/operations/x", None),
        ("get", "/v1beta/models/other/operations/x", None),
        ("get", "/v1beta/models/gemini-3:generateContent", None),
        ("post", "/v1/models/my-imagen:predict", None),
        ("post", "/v1/models/m:somethingElse", None),
        ("post", "/v1/models/m", None),
    ],
)  # fmt: skip
def test_a_path_is_an_api(method: str, path: str, expected: tuple[str, str, str, bool] | None) -> None:
    found = route(method, path)
    assert (None if found is None else (found[0].name, found[0].operation, *found[1:])) == expected


SENT, EMBED, IMAGEN = (
    routed(f"/v1beta/models/{name}").api for name in ("gemini-3:generateContent", "e:embedContent", "imagen-4:predict")
)


@pytest.mark.parametrize(
    ("body", "settings"),
    [
        (
            {
                "generationConfig": {
                    "maxOutputTokens": 9,
                    "temperature": 0.5,
                    "topP": 0.9,
                    "topK": 4,
                    "seed": 1,
                    "frequencyPenalty": 0.1,
                    "presencePenalty": 0.2,
                    "candidateCount": 2,
                    "stopSequences": ["a"],
                    "thinkingConfig": {"thinkingLevel": "HIGH"},
                    "responseMimeType": "x",
                }
            },
            {
                "max_tokens": 9,
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 4,
                "seed": 1,
                "frequency_penalty": 0.1,
                "presence_penalty": 0.2,
                "choice.count": 2,
                "stop_sequences": ["a"],
                "reasoning.level": "high",
            },
        ),
        (
            {"generation_config": {"max_output_tokens": 9, "top_p": 0.9, "seed": 1}},
            {"max_tokens": 9, "top_p": 0.9, "seed": 1},
        ),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}, {"reasoning.level": "low"}),
        ({"generationConfig": {"seed": 1}, "serviceTier": "flex"}, {"seed": 1, "service_tier": "flex"}),
        ({"service_tier": "priority"}, {"service_tier": "priority"}),
        ({"generationConfig": {}}, None),
        ({"generationConfig": "odd"}, None),
        ({}, None),
    ],
)
def test_a_request_says_its_settings(body: dict[str, Any], settings: dict[str, Any] | None) -> None:
    assert SENT.facts(body) == RequestFacts("unknown", 0, False, settings)


@pytest.mark.parametrize(
    ("body", "number", "asked"),
    [
        ({"contents": [1, 2], "content": {}}, 2, [1, 2]),
        ({"contents": [], "content": {"parts": []}}, 1, {"parts": []}),
        ({"requests": [1, 2, 3], "instances": [1]}, 3, [1, 2, 3]),
        ({"instances": [1]}, 1, [1]),
        ({}, 0, None),
    ],
)
def test_what_was_asked_stands_in_one_of_four_fields(body: dict[str, Any], number: int, asked: object) -> None:
    for api in (SENT, EMBED, IMAGEN):
        assert api.facts(body) == RequestFacts("unknown", number, False, None)
        assert api.input_content(body) == asked


CHUNK = {
    "candidates": [{"content": {"parts": [{"text": "a"}]}}],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 1},
}
LAST = {
    "candidates": [{"content": {"parts": []}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    "modelVersion": "gemini-3-001",
    "responseId": "r1",
}


@SOME_FORMS
def test_an_answer_on_the_wire_is_one_or_a_list_of_chunks(form: Any) -> None:
    assert read(SENT, form(LAST)) == TOLD
    assert read(SENT, [form(CHUNK), form(LAST)]) == TOLD
    assert read(SENT, []) == {"failed": "server_error"}
    assert streamed(SENT, form(CHUNK), form(LAST)) == {**TOLD, "first": 0, "whole": True}
    assert streamed(SENT, form(CHUNK)) == {"first": 0, "usage": Usage(10, 1)}


@SOME_FORMS
@pytest.mark.parametrize(
    ("last", "usage"),
    [
        ({"promptTokenCount": 0, "totalTokenCount": 0}, Usage(10, 5)),
        ({"candidatesTokenCount": 7}, Usage(10, 5)),
        ({"promptTokenCount": 9}, Usage(9, None)),
        ({"candidatesTokenCount": 7, "totalTokenCount": 7}, Usage(None, 7)),
    ],
)
def test_a_later_report_counts_where_it_is_one(form: Any, last: dict[str, Any], usage: Usage) -> None:
    assert streamed(SENT, form(LAST), form({"usageMetadata": last}))["usage"] == usage


@SOME_FORMS
def test_what_a_filter_ended_on_the_wire_is_a_failure(form: Any) -> None:
    blocked = {"promptFeedback": {"blockReason": "OTHER"}, "usageMetadata": {"promptTokenCount": 7}}
    expected = {"usage": Usage(7), "finish_reason": "OTHER", "failed": "content_filter"}
    assert read(SENT, form(blocked)) == expected
    assert streamed(SENT, form(blocked)) == {**expected, "whole": True}
    cut = {**LAST, "candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "SAFETY"}]}
    expected = {**TOLD, "finish_reason": "SAFETY", "failed": "content_filter"}
    assert read(SENT, form(cut)) == expected
    assert streamed(SENT, form(CHUNK), form(cut)) == {**expected, "first": 0, "whole": True}


@SOME_FORMS
def test_images_on_the_wire_are_those_with_bytes_or_a_place(form: Any) -> None:
    predictions = [{"bytesBase64Encoded": "YQ=="}, {"raiFilteredReason": "x"}, {"gcsUri": "gs://b/o"}]
    body = {"parameters": {"sampleImageSize": "1K"}}
    assert read(IMAGEN, form({"predictions": predictions}), body=body) == {
        "usage": Usage(tool_uses={"image/1k": 2})
    }  # fmt: skip
    assert read(IMAGEN, form({"predictions": [{}]})) == read(IMAGEN, form({})) == {}


@SOME_FORMS
def test_embeddings_on_the_wire_state_their_tokens_together_or_each(form: Any) -> None:
    each = {"predictions": [{"embeddings": {"statistics": {"token_count": n}}} for n in (3, 4)]}
    assert read(EMBED, form(each)) == {"usage": Usage(7)}
    together = {**each, "usageMetadata": {"promptTokenCount": 9}}
    assert read(EMBED, form(together)) == {"usage": Usage(9)}
    assert read(EMBED, form({"embedding": {"values": []}})) == {}


def test_a_record_that_was_only_begun_says_nothing() -> None:
    assert told(made(GENERATE)) == {}
