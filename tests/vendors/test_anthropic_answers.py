"""Anthropic's messages: which API a path is, what requests, answers, streams, batches and failures say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support.answers import attributes, loose, made, read, routed, streamed, told
from tachograph.records import NOWHERE, LLMCall, Usage
from tachograph.vendors.anthropic.apis import MESSAGES, route
from tachograph.vendors.anthropic.errors import (
    anthropic_event_failure,
    anthropic_failure,
    anthropic_finish_failure,
    anthropic_message_failure,
)
from tachograph.vendors.anthropic.usage import anthropic_merge_usage, anthropic_usage, read_usage
from tachograph.vendors.api import RequestFacts
from tachograph.vendors.failures import Failure
from tachograph.vendors.once import COUNTED
from tachograph.vendors.usage import Reading

FORMS = pytest.mark.parametrize("form", [lambda each: each, loose, attributes], ids=["dict", "wire", "attributes"])
NAMED = pytest.mark.parametrize("form", [lambda each: each, loose], ids=["dict", "wire"])
OBJECTS = pytest.mark.parametrize("form", [loose, attributes], ids=["wire", "attributes"])

# Paths and requests


@pytest.mark.parametrize(
    ("method", "url", "expected"),
    [
        ("POST", "/v1/messages", ("messages", "chat", True, None)),
        ("post", "v1/messages", ("messages", "chat", True, None)),
        ("post", "/v1/messages/", ("messages", "chat", True, None)),
        ("post", "/v1/messages?beta=true", ("messages", "chat", True, None)),
        ("post", "https://api.anthropic.com/v1/messages", ("messages", "chat", True, None)),
        ("post", "https://host/proxy/v1/messages?x=1", ("messages", "chat", True, None)),
        ("post", "https://gateway/v1/account/anthropic/v1/messages", ("messages", "chat", True, None)),
        ("post", "/v1/messages/count_tokens", ("token_count", "count_tokens", False, None)),
        ("post", "/v1/messages/batches", ("batches", "create_batch", False, None)),
        ("post", "/v1/complete", ("completions", "text_completion", True, None)),
        ("get", "/v1/messages/batches/b1/results", ("batches", "fetch_response", True, "b1")),
        ("GET", "v1/messages/batches/b1/results", ("batches", "fetch_response", True, "b1")),
        ("get", "https://host/v1/messages/batches/b1/results", ("batches", "fetch_response", True, "b1")),
        ("get", "/proxy/v1/messages/batches/b1/results", ("batches", "fetch_response", True, "b1")),
        ("get", "/v1/messages", None),
        ("post", "/v1/messages/batches/b1/results", None),
        ("get", "/v1/messages/batches/b1", None),
        ("get", "/v1/messages/batches/b1/x/results", None),
        ("get", "/v1/results", None),
        ("post", "messages", None),
        ("post", "https://host/messages", None),
        ("post", "/v1/models", None),
    ],
)
def test_a_path_is_an_api(method: str, url: str, expected: tuple[str, str, bool, str | None] | None) -> None:
    api, stored_id = route(method, url)
    found = None if api is None else (api.name, api.operation, api.counts_usage, stored_id)
    assert found == expected
    assert api is not None or stored_id is None
    assert api is None or api.vendor == "anthropic"


@pytest.mark.parametrize(
    ("body", "facts", "settings"),
    [
        ({"model": "m", "messages": [1, 2]}, ("m", 2, False), None),
        (
            {
                "model": "m",
                "stream": True,
                "messages": [1],
                "max_tokens": 9,
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 4,
                "service_tier": "auto",
                "stop_sequences": ["a"],
                "output_config": {"effort": "high"},
                "system": "s",
            },
            ("m", 1, True),
            {
                "max_tokens": 9,
                "temperature": 0.5,
                "top_p": 0.9,
                "top_k": 4,
                "service_tier": "auto",
                "stop_sequences": ["a"],
                "reasoning.level": "high",
            },
        ),
        ({"model": "m", "prompt": "p", "max_tokens_to_sample": 7}, ("m", 1, False), {"max_tokens": 7}),
        ({"requests": [1, 2, 3]}, ("unknown", 3, False), None),
        ({"messages": [1], "output_config": {"format": {}}}, ("unknown", 1, False), None),
        ({"messages": [1], "output_config": {"effort": "low"}}, ("unknown", 1, False), {"reasoning.level": "low"}),
    ],
)
def test_a_request_says_its_settings(body: dict[str, Any], facts: tuple[str, int, bool], settings: Any) -> None:
    found = MESSAGES.facts(body)
    said = found.settings() if callable(found.settings) else found.settings
    assert msgspec.structs.replace(found, settings=None) == RequestFacts(*facts, None)
    assert said == settings


# Usage

WHOLE = {"input_tokens": 10, "output_tokens": 5}


@FORMS
@pytest.mark.parametrize(
    ("report", "reading"),
    [
        (WHOLE, Reading(Usage(10, 5))),
        (
            {**WHOLE, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 7},
            Reading(Usage(117, 5, {"cache_read": 100, "cache_write": 7})),
        ),
        ({**WHOLE, "cache_read_input_tokens": 100}, Reading(Usage(110, 5, {"cache_read": 100}))),
        ({**WHOLE, "cache_creation_input_tokens": 7}, Reading(Usage(17, 5, {"cache_write": 7}))),
        (
            {**WHOLE, "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}},
            Reading(Usage(17, 5, {"cache_write_5m": 3, "cache_write_1h": 4, "cache_write": 7})),
        ),
        (
            {**WHOLE, "cache_creation": {"ephemeral_5m_input_tokens": 3}},
            Reading(Usage(13, 5, {"cache_write_5m": 3, "cache_write": 3})),
        ),
        (
            {**WHOLE, "cache_creation": {"ephemeral_1h_input_tokens": 4}},
            Reading(Usage(14, 5, {"cache_write_1h": 4, "cache_write": 4})),
        ),
        (
            {
                **WHOLE,
                "cache_creation_input_tokens": 9,
                "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
            },
            Reading(Usage(19, 5, {"cache_write_5m": 3, "cache_write_1h": 4, "cache_write": 9})),
        ),
        ({**WHOLE, "cache_creation": {}}, Reading(Usage(10, 5))),
        ({"cache_creation": {}, "output_tokens": 5}, Reading(Usage(None, 5))),
        ({"cache_read_input_tokens": 3}, Reading(Usage(3, None, {"cache_read": 3}))),
        ({"cache_creation_input_tokens": 3}, Reading(Usage(3, None, {"cache_write": 3}))),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 3}},
         Reading(Usage(3, None, {"cache_write_5m": 3, "cache_write": 3}))),
        ({"input_tokens": 10}, Reading(Usage(10, None))),
        ({"output_tokens": 5}, Reading(Usage(None, 5))),
        (
            {"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 4}},
            Reading(Usage(None, 5, {"reasoning": 4})),
        ),
        (
            {**WHOLE, "output_tokens_details": {"thinking_tokens": 4}},
            Reading(Usage(10, 5, {"reasoning": 4})),
        ),
        ({**WHOLE, "output_tokens_details": {"thinking_tokens": 0}}, Reading(Usage(10, 5))),
        (
            {
                **WHOLE,
                "server_tool_use": {
                    "web_search_requests": 2,
                    "web_fetch_requests": 3,
                    "code_execution_requests": 4,
                },
            },
            Reading(Usage(10, 5, {}, {"web_search": 2, "web_fetch": 3, "code_execution": 4})),
        ),
        ({**WHOLE, "server_tool_use": {"web_search_requests": 0}}, Reading(Usage(10, 5))),
        (
            {**WHOLE, "service_tier": "priority", "speed": "fast", "inference_geo": "us"},
            Reading(Usage(10, 5), service_tier="priority", speed="fast", region="us"),
        ),
        ({**WHOLE, "service_tier": 7, "speed": "", "inference_geo": []}, Reading(Usage(10, 5))),
        ({"input_tokens": 0, "output_tokens": 0}, Reading(None, "zeros")),
        ({"input_tokens": 10, "output_tokens": -1}, Reading(Usage(10, None), "absurd")),
        ({"input_tokens": "10", "output_tokens": 1}, Reading(Usage(None, 1), "absurd")),
        ({**WHOLE, "output_tokens_details": {"thinking_tokens": 6}}, Reading(Usage(10, 5, {"reasoning": 6}), "parts")),
        ({"service_tier": "standard"}, Reading(None, service_tier="standard")),
        (
            {**WHOLE, "iterations": [{"type": "message", **WHOLE}, {"type": "fallback_message", **WHOLE}]},
            Reading(Usage(10, 5)),
        ),
        (
            {
                **WHOLE,
                "iterations": [
                    {"type": "compaction", "input_tokens": 100, "output_tokens": 30, "cache_read_input_tokens": 50},
                    {"type": "compaction", "input_tokens": 1, "output_tokens": 2},
                ],
            },
            Reading(Usage(161, 37, {"cache_read": 50})),
        ),
        (
            {**WHOLE, "iterations": [{"type": "advisor_message", "model": "big", "input_tokens": 20}]},
            Reading(
                Usage(30, 5, {}, {"advisor": 1}), own=Usage(10, 5), others=(("big", Usage(20, None)),)
            ),
        ),
        (
            {
                **WHOLE,
                "iterations": [
                    {"type": "advisor_message", "model": "big", "input_tokens": 20, "output_tokens": 2},
                    {"type": "compaction", "input_tokens": 100, "output_tokens": 30},
                    {"type": "advisor_message", "input_tokens": 3, "output_tokens": 4},
                ],
            },
            Reading(
                Usage(133, 41, {}, {"advisor": 2}),
                own=Usage(110, 35),
                others=(("big", Usage(20, 2)), ("an advisor", Usage(3, 4))),
            ),
        ),
        (
            {**WHOLE, "iterations": [{"type": "hologram", **WHOLE}, {"input_tokens": 4}, {"type": "compaction"}]},
            Reading(Usage(10, 5), unknown=("iterations.hologram", "iterations.iteration", "iterations.compaction")),
        ),
        ({**WHOLE, "iterations": []}, Reading(Usage(10, 5))),
        ({**WHOLE, "iterations": 7}, Reading(Usage(10, 5))),
        ({"iterations": [{"type": "compaction", **WHOLE}]}, Reading(None)),
        ({}, Reading(None)),
    ],
)  # fmt: skip
def test_a_usage_report_is_read_whole(form: Any, report: dict[str, Any], reading: Reading) -> None:
    assert read_usage(form(report)) == reading
    assert anthropic_usage(form(report)) == reading.usage


def test_no_report_is_no_usage() -> None:
    assert read_usage(None) == Reading()


@NAMED
def test_counts_that_nobody_knows_are_told(form: Any) -> None:
    tools = {"web_search_requests": 1, "hologram_requests": 2, "note": "x", "other": 0}
    known = {"fallback_credit": 3, "cache_creation": {}, "iterations": [], "speed": "fast", "inference_geo": "us"}
    report = {**WHOLE, **known, "hologram_tokens": 4, "later": {"x_tokens": 1}, "server_tool_use": tools}
    reading = read_usage(form(report))
    assert reading.unknown == ("hologram_tokens", "later", "server_tool_use.hologram_requests")
    reading = read_usage(form({**WHOLE, "server_tool_use": {"hologram_requests": 2}}))
    assert reading.unknown == ("server_tool_use.hologram_requests",)


@FORMS
@pytest.mark.parametrize(
    ("started", "delta", "merged"),
    [
        (WHOLE, {"output_tokens": 50}, {"input_tokens": 10, "output_tokens": 50}),
        (WHOLE, {"input_tokens": 0, "output_tokens": 0}, WHOLE),
        ({"input_tokens": 0}, {"input_tokens": 0, "output_tokens": 7}, {"input_tokens": 0, "output_tokens": 7}),
        (
            {**WHOLE, "cache_read_input_tokens": 3, "service_tier": "priority", "speed": "fast"},
            {"cache_read_input_tokens": 4, "inference_geo": "us", "unknown": 7},
            {
                **WHOLE,
                "cache_read_input_tokens": 4,
                "service_tier": "priority",
                "speed": "fast",
                "inference_geo": "us",
            },
        ),
        ({}, {}, {}),
    ],
)
def test_a_delta_overlays_what_the_start_said(form: Any, started: Any, delta: Any, merged: dict[str, Any]) -> None:
    assert anthropic_merge_usage(form(started), form(delta)) == merged
    assert anthropic_merge_usage(None, form(merged)) == merged == anthropic_merge_usage(form(merged), None)


# Whole answers


def message(**fields: Any) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "model": "claude-1", "content": [{"type": "text", "text": "hi"}]}
    return {**head, "stop_reason": "end_turn", "usage": WHOLE, **fields}


HEAD = {"response_id": "msg_1", "response_model": "claude-1", "finish_reason": "end_turn", "usage": Usage(10, 5)}


@FORMS
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (message(), HEAD),
        (message(usage=None), {name: value for name, value in HEAD.items() if name != "usage"}),
        (
            message(stop_reason="refusal", content=[]),
            {**HEAD, "finish_reason": "refusal", "failed": "content_filter"},
        ),
        (message(stop_reason="max_tokens"), {**HEAD, "finish_reason": "max_tokens"}),
        (message(content=None), {**HEAD, "failed": "server_error"}),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, {"failed": "rate_limit"}),
        ({"error": {"type": "authentication_error", "message": "no"}}, {"failed": "auth"}),
        ({"answer": 42}, {"failed": "server_error"}),
        (
            message(diagnostics={"cache_miss_reason": {"type": "tools_changed", "cache_missed_input_tokens": 900}}),
            {**HEAD, "cache_miss": (900, "tools_changed")},
        ),
        (
            message(diagnostics={"cache_miss_reason": {"cache_missed_input_tokens": 0}}),
            {**HEAD, "cache_miss": (0, "cache_miss")},
        ),
        (message(diagnostics={"cache_miss_reason": None}), HEAD),
        (
            message(content=[{"type": "text"}, {"type": "hologram"}, {"type": "hologram"}]),
            {**HEAD, "unknown_billables": ("hologram",)},
        ),
    ],
)
def test_an_answer_is_read_whole(form: Any, answer: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(MESSAGES, form(answer)) == expected


def test_an_answer_that_is_not_json_says_nothing() -> None:
    assert read(MESSAGES, None) == {}
    assert read(MESSAGES, "<html>") == {"failed": "server_error"}


def test_what_an_answer_does_not_say_of_itself_stays_as_it_was() -> None:
    kept = {"response_model": "m", "response_id": "i"}
    assert read(MESSAGES, {"content": []}, **kept) == kept
    assert streamed(MESSAGES, loose({"type": "message_start", "message": {}}), **kept) == kept


@FORMS
@pytest.mark.parametrize(
    ("blocks", "searches", "unknown"),
    [
        ([{"type": "server_tool_use", "name": "web_search"}, {"type": "web_search_tool_result"}], 0, ()),
        ([{"type": "server_tool_use", "name": "tool_search_tool_regex"}], 0, ()),
        ([{"type": "server_tool_use", "name": "code_execution"}], 0, ("code_execution",)),
        ([{"type": "server_tool_use", "name": "code_execution"}], 1, ()),
        ([{"type": "server_tool_use", "name": "bash_code_execution"}], 1, ()),
        ([{"type": "server_tool_use", "name": "bash_code_execution"}], 0, ("bash_code_execution",)),
        ([{"type": "server_tool_use", "name": "new_tool_use"}], 0, ("new_tool_use",)),
        ([{"type": "new_tool_use"}, {"type": "hologram_tool_result"}], 0, ()),
        ([{"type": "hologram"}, {"type": "text"}, {"type": "laser"}, {"type": "hologram"}], 0, ("hologram", "laser")),
        ([{"type": "server_tool_use"}, {}, {"type": 7}, {"type": "hologram"}], 0, ("hologram",)),
        ([{"type": "web_fetch"}, {"type": "hologram"}], 1, ("hologram",)),
    ],
)
def test_what_may_be_billed_beside_the_tokens_is_told(
    form: Any, blocks: list[dict[str, Any]], searches: int, unknown: tuple[str, ...]
) -> None:
    usage = {**WHOLE, "server_tool_use": {"web_search_requests": searches}}
    found = read(MESSAGES, form(message(content=blocks, usage=usage)))
    assert found.get("unknown_billables", ()) == unknown
    start = {"type": "message_start", "message": {"usage": usage}}
    events = [{"type": "content_block_start", "content_block": block} for block in blocks]
    found = streamed(MESSAGES, *map(loose, [start, *events]))
    assert found.get("unknown_billables", ()) == unknown


def test_code_without_a_usage_report_may_be_billed() -> None:
    blocks = [{"type": "server_tool_use", "name": "code_execution"}]
    assert read(MESSAGES, message(content=blocks, usage=None))["unknown_billables"] == ("code_execution",)


def test_the_ring_gets_the_tokens_as_they_are_reported() -> None:
    assert MESSAGES.tokens(loose(message())) == (10, 5)
    assert MESSAGES.tokens(loose(message(usage=None))) is None


@FORMS
def test_what_was_said_and_asked_is_told(form: Any) -> None:
    content = [{"type": "text", "text": "one"}, {"type": "tool_use"}, {"type": "text", "text": "two"}]
    assert MESSAGES.output_content(form(message(content=content))) == ["one", "two"]
    assert MESSAGES.input_content({"messages": [1], "prompt": "p"}) == [1]
    assert MESSAGES.input_content({"prompt": "p", "requests": [1]}) == "p"
    assert MESSAGES.input_content({}) is None


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/messages/batches", "/v1/complete"])
def test_answers_without_usage_say_nothing(path: str) -> None:
    api, _ = route("post", path)
    assert api is not None
    assert read(api, loose(message())) == {}


# Streams

START = {"type": "message_start", "message": {**message(stop_reason=None), "usage": {**WHOLE, "output_tokens": 1}}}
TEXT = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}
BLOCK = {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
STOP = {"type": "message_stop"}
BEGUN = {"response_id": "msg_1", "response_model": "claude-1", "usage": Usage(10, 1)}


@OBJECTS
@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([START, BLOCK, TEXT, TEXT, END, STOP], {**HEAD, "first": 2, "whole": True}),
        ([START, BLOCK, TEXT, END], {**HEAD, "first": 2, "whole": True}),
        ([START, TEXT], {**BEGUN, "first": 1}),
        ([START, STOP], {**BEGUN, "whole": True}),
        ([START, BLOCK], BEGUN),
        (
            [START, {"type": "message_delta", "usage": {"output_tokens": 3}}],
            {**BEGUN, "usage": Usage(10, 3)},
        ),
        (
            [START, END, {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 9}}],
            {**HEAD, "usage": Usage(10, 9), "whole": True},
        ),
        (
            [START, {"type": "message_delta", "delta": {"stop_reason": "refusal"}}],
            {**BEGUN, "finish_reason": "refusal", "failed": "content_filter", "whole": True},
        ),
        (
            [START, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}],
            {**BEGUN, "failed": "server_error"},
        ),
        (
            [
                {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}},
                {"type": "message_delta", "delta": {"stop_reason": "refusal"}},
            ],
            {"failed": "rate_limit", "finish_reason": "refusal", "whole": True},
        ),
        ([END], {"finish_reason": "end_turn", "usage": Usage(None, 5), "whole": True}),
        (
            [
                {
                    "type": "message_start",
                    "message": {
                        "diagnostics": {"cache_miss_reason": {"type": "model_changed", "cache_missed_input_tokens": 4}}
                    },
                }
            ],
            {"cache_miss": (4, "model_changed")},
        ),
        ([{"type": "message_start"}, {"type": "ping"}, {"type": "message_delta"}], {}),
        ([{"type": "content_block_start"}, {}], {}),
        ([], {}),
    ],
)
def test_a_stream_is_read_as_its_events_say(form: Any, events: list[Any], expected: dict[str, Any]) -> None:
    assert streamed(MESSAGES, *map(form, events)) == expected


# Batches


class Kept:
    """Keeps the finished records."""

    content = NOWHERE.content

    def __init__(self) -> None:
        self.in_flight: dict[int, Any] = {}
        self.records: list[LLMCall] = []

    def failed(self, component: str, error: BaseException) -> None:
        raise error

    def put(self, record: Any) -> None:
        self.records.append(record)

    def settle(self) -> None:
        pass


def result(model: str | None, tokens: int) -> dict[str, Any]:
    usage = {"input_tokens": tokens, "output_tokens": 1, "cache_read_input_tokens": 2}
    return {"custom_id": "x", "result": {"type": "succeeded", "message": {"model": model, "usage": usage}}}


def usage_of(tokens: int, number: int = 1) -> Usage:
    return Usage(tokens + 2 * number, number, {"cache_read": 2 * number})


RESULTS = routed("/v1/messages/batches/b/results", "GET").api


@FORMS
def test_the_results_of_a_batch_are_summed_by_model(form: Any) -> None:
    COUNTED.forget()
    sink = Kept()
    call = LLMCall(sink, "anthropic", "unknown", RESULTS.operation, labels={"team": "a"})
    call.response_id, call.api, call.api_key_hint = "batch_1", "batches", "hint"
    assert RESULTS.chunks is not None
    reader = RESULTS.chunks()
    lines = [
        result("m-1", 10), result("m-2", 20), {"result": {"type": "errored"}}, result("m-1", 30), result(None, 40), {},
    ]  # fmt: skip
    for line in lines:
        assert reader.feed(form(line), call) is False
    reader.is_complete = True
    reader.fill(call)
    facts = ("model", "response_model", "response_id", "service_tier", "usage", "usages", "counts_usage")
    first = {"response_id": "batch_1", "service_tier": "batch", "counts_usage": True}
    assert {name: getattr(call, name) for name in facts} == {
        **first, "model": "m-1", "response_model": "m-1", "usage": usage_of(40, 2),
        "usages": (usage_of(10), usage_of(30)),
    }  # fmt: skip
    others = [
        {**first, "model": "m-2", "response_model": "m-2", "usage": usage_of(20), "usages": (usage_of(20),)},
        {**first, "model": "unknown", "response_model": "unknown", "usage": usage_of(40), "usages": (usage_of(40),)},
    ]
    assert [{name: getattr(more, name) for name in facts} for more in sink.records] == others
    for more in sink.records:
        assert (more.api, more.parent_id, more.outcome, more.labels) == ("batches", call.id, "success", {"team": "a"})
    again = made(RESULTS, response_id="batch_1")
    reader.fill(again)
    assert told(again) == {"response_id": "batch_1", "service_tier": "batch", "counts_usage": False}


def test_results_that_are_not_read_to_the_end_or_hold_no_message_do_not_count() -> None:
    COUNTED.forget()
    not_counted = {"service_tier": "batch", "counts_usage": False, "response_id": "batch_2"}
    assert streamed(RESULTS, loose(result("m", 10)), response_id="batch_2") == not_counted
    assert RESULTS.chunks is not None
    reader, call = RESULTS.chunks(), made(RESULTS, response_id="batch_2")
    reader.is_complete = True
    reader.fill(call)
    assert told(call) == not_counted
    reader.feed(loose(result("m", 10)), call)
    call = made(RESULTS, response_id="batch_2")
    reader.fill(call)
    assert (call.counts_usage, call.usage) == (True, usage_of(10))


def test_results_come_in_lines_that_end_with_the_body() -> None:
    assert RESULTS.chunks is not None
    reader = RESULTS.chunks()
    assert (reader.takes_lines, reader.ends_with_body, reader.tail) == (True, True, 0)


# Failures


def error(kind: str, message: str = "no") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"status": 529, "body": error("overloaded_error"), "headers": {"request-id": "r1", "retry-after": "7"}},
            Failure("server_error", True, 529, "overloaded_error", "no", "r1", 7.0),
        ),
        (
            {"status": 200, "body": error("something_new"), "headers": {"request-id": "r1"}},
            Failure("server_error", True, 200, "something_new", "no", "r1"),
        ),
        ({"status": 200, "body": error("timeout_error")}, Failure("timeout", True, 200, "timeout_error", "no")),
        ({"status": 200, "body": error("api_error")}, Failure("server_error", True, 200, "api_error", "no")),
        ({"status": 404, "body": error("something_new")},
         Failure("invalid_request", False, 404, "something_new", "no")),
        ({"body": error("something_new")}, Failure("unknown", False, None, "something_new", "no")),
        ({"error": TimeoutError("late")}, Failure("timeout", True, None, None, "late")),
        ({"error": TimeoutError("late"), "status": 200}, Failure("timeout", True, 200, None, "late")),
        ({"error": type("CredentialsError", (Exception,), {})("x")}, Failure("auth", False, None, None, "x")),
        ({"error": type("RetryableError", (Exception,), {})("x")}, Failure("server_error", True, None, None, "x")),
        ({"status": 200}, Failure("server_error", True, 200)),
    ],
)  # fmt: skip
def test_a_failure_is_told_whole(given: dict[str, Any], expected: Failure) -> None:
    assert anthropic_failure(**given) == expected


@FORMS
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (message(), None),
        (message(stop_reason=None), None),
        (message(stop_reason="refusal"),
         Failure("content_filter", False, 200, "refusal", "The model refused to answer")),
        (error("rate_limit_error", "slow"), Failure("rate_limit", True, 200, "rate_limit_error", "slow")),
        ({**message(), "type": "error", "error": {"type": "api_error"}},
         Failure("server_error", True, 200, "api_error")),
        ({"error": {"type": "not_found_error", "message": "m"}},
         Failure("invalid_request", False, 200, "not_found_error", "m")),
        ({"error": {"message": "m"}}, Failure("server_error", True, 200, None, "m")),
        ({"error": {"type": "x"}, "content": [], "stop_reason": "end_turn"}, None),
        ({"error": {}, "content": None}, Failure("server_error", True, 200)),
    ],
)  # fmt: skip
def test_the_failure_of_an_answer_is_told_whole(form: Any, answer: dict[str, Any], expected: Failure | None) -> None:
    assert anthropic_message_failure(form(answer)) == expected


def test_an_answer_of_another_kind_is_unreadable() -> None:
    expected = "The answer is no answer of this API (dict)"
    assert anthropic_message_failure({"content": "text"}) == Failure(
        "server_error", True, 200, "unreadable_answer", expected
    )
    assert anthropic_message_failure({"content": ("block",)}) is None


def test_a_reason_to_stop_is_a_failure_only_where_the_model_refused() -> None:
    refused = Failure("content_filter", False, 200, "refusal", "The model refused to answer")
    assert anthropic_finish_failure("refusal") == refused
    for reason in (None, "end_turn", "max_tokens", "tool_use", "pause_turn"):
        assert anthropic_finish_failure(reason) is None


@FORMS
def test_an_error_event_is_a_failure_under_status_200(form: Any) -> None:
    assert anthropic_event_failure(form(error("billing_error", "pay"))) == Failure(
        "quota", False, 200, "billing_error", "pay"
    )
    assert anthropic_event_failure(form({"type": "error"})) == Failure("server_error", True, 200)
