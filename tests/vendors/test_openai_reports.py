"""OpenAI's usage reports, field by field: what of a report becomes which part of a reading."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from tachograph.records import NOWHERE, LLMCall, Usage
from tachograph.vendors.dialects import Dialect
from tachograph.vendors.fields import MOST
from tachograph.vendors.openai.usage import (
    fields_of,
    openai_response_usage,
    openai_usage,
    read_reports,
    read_response_usage,
    read_usage,
)
from tachograph.vendors.usage import Reading, billed_fields, bounded, exceeds, nano_usd, put_all, stated

OUTSIDE = Dialect(label="x", hosts=("x",), reasoning="outside")
STATES = Dialect(label="x", hosts=("x",), stated_cost=("cost",), upstream_cost=("cost_details", "upstream"))
TICKS = Dialect(label="x", hosts=("x",), stated_cost=("bill", "ticks"), stated_cost_per_usd=1000)


def as_object(value: Any) -> Any:
    """A report as an SDK's model has it."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(inner) for key, inner in value.items()})
    return [as_object(inner) for inner in value] if isinstance(value, list) else value


class Odd:
    """A model with slots: no dictionary to read, only attributes."""

    __slots__ = ("__fields",)

    def __init__(self, **fields: Any) -> None:
        self.__fields = fields

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = self.__fields.get(name)
        return Odd(**found) if isinstance(found, dict) else found


FORMS = pytest.mark.parametrize("form", [dict, as_object, lambda report: Odd(**report)], ids=["JSON", "model", "slots"])


def report(prompt: Any = 10, completion: Any = 5, **more: Any) -> dict[str, Any]:
    """A report of a chat."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


# The totals


@FORMS
@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "input_tokens": 7, "output_tokens": 8}, Usage(10, 5)),
        ({"prompt_tokens": 0, "completion_tokens": 5, "input_tokens": 7, "output_tokens": 8}, Usage(0, 5)),
        ({"prompt_tokens": None, "completion_tokens": None, "input_tokens": 7, "output_tokens": 8}, Usage(7, 8)),
        ({"prompt_tokens": 10}, Usage(10, None)),
        ({"completion_tokens": 5}, Usage(None, 5)),
        ({"input_tokens": 7}, Usage(7, None)),
        ({"output_tokens": 8}, Usage(None, 8)),
        ({"seconds": 9}, Usage(audio_seconds=9.0)),
        ({"seconds": 1_000_000}, Usage(audio_seconds=1_000_000.0)),
        ({"seconds": 0}, Usage(audio_seconds=0.0)),
        ({"seconds": 9, "input_tokens": 7}, Usage(7, None)),
        ({"total_tokens": 7}, None),
        ({}, None),
    ],
)
def test_the_totals_are_those_of_either_name(form: Any, said: dict[str, Any], usage: Usage | None) -> None:
    reading = read_usage(form(said))
    assert reading == Reading(usage)
    assert openai_usage(form(said)) == usage


def test_seconds_of_audio_are_a_number_with_a_fraction() -> None:
    usage = openai_usage({"seconds": 9})
    assert usage is not None
    assert type(usage.audio_seconds) is float


@pytest.mark.parametrize("seconds", [-1, 1_000_001, 1_000_000.5, "9", True])
def test_a_length_that_cannot_be_is_absurd(seconds: Any) -> None:
    assert read_usage({"seconds": seconds}) == Reading(mismatch="absurd")


@pytest.mark.parametrize(
    ("said", "reading"),
    [
        (report(-1, 5), Reading(Usage(None, 5), "absurd")),
        (report(10, -1), Reading(Usage(10, None), "absurd")),
        (report(10, 5, total_tokens=-1), Reading(Usage(10, 5), "absurd")),
        (report(10, 5, total_tokens="15"), Reading(Usage(10, 5), "absurd")),
        (report(MOST, 5), Reading(Usage(MOST, 5))),
        (report(MOST + 1, 5), Reading(Usage(None, 5), "absurd")),
        (report(10.0, 5.0), Reading(Usage(10, 5))),
        (report(10.5, 5), Reading(Usage(None, 5), "absurd")),
        (report(-1, -1), Reading(mismatch="absurd")),
        (report(0, 0), Reading(mismatch="zeros")),
        (report(0, None), Reading(mismatch="zeros")),
        (report(None, 0), Reading(mismatch="zeros")),
        (report(0, -1), Reading(mismatch="absurd")),
        (report(0, 1), Reading(Usage(0, 1))),
        (report(1, 0), Reading(Usage(1, 0))),
        (report(0, 0, num_search_queries=2), Reading(Usage(0, 0, tool_uses={"search_query": 2}))),
        (report(0, 0, hologram_tokens=3), Reading(mismatch="zeros", unknown=("hologram_tokens",))),
    ],
)
def test_totals_that_cannot_be_are_left_out_and_told(said: dict[str, Any], reading: Reading) -> None:
    assert read_usage(said) == reading


@FORMS
@pytest.mark.parametrize(
    ("prompt", "completion", "total", "reasoning", "dialect", "usage", "mismatch"),
    [
        (10, 5, 15, 0, None, Usage(10, 5), None),
        (10, 5, 16, 0, None, Usage(10, 5), "total"),
        (10, 5, 14, 0, None, Usage(10, 5), "total"),
        (10, 5, 0, 0, None, Usage(10, 5), "total"),
        (10, 5, 17, 2, None, Usage(10, 7, {"reasoning": 2}), "reasoning_outside"),
        (10, 5, 16, 2, None, Usage(10, 5, {"reasoning": 2}), "total"),
        (10, 5, 18, 2, None, Usage(10, 5, {"reasoning": 2}), "total"),
        (10, 5, 17, 2, OUTSIDE, Usage(10, 7, {"reasoning": 2}), None),
        (10, 5, 16, 2, OUTSIDE, Usage(10, 6, {"reasoning": 2}), None),
        (10, 5, 18, 2, OUTSIDE, Usage(10, 8, {"reasoning": 3}), None),
        (10, 5, 16, 0, OUTSIDE, Usage(10, 6, {"reasoning": 1}), None),
        (10, 5, 15, 2, OUTSIDE, Usage(10, 5, {"reasoning": 2}), None),
        (10, 5, 14, 0, OUTSIDE, Usage(10, 5), "total"),
        (10, 5, 13, 2, OUTSIDE, Usage(10, 5, {"reasoning": 2}), "total"),
        (10, 5, 16, 0, STATES, Usage(10, 5), "total"),
        (10, None, 10, 0, None, Usage(10, None), None),
        (10, None, 11, 0, None, Usage(10, 1), "incomplete"),
        (10, None, 9, 0, None, Usage(10, None), None),
        (None, 5, 6, 0, None, Usage(1, 5), "incomplete"),
        (None, 5, 5, 0, None, Usage(None, 5), None),
        (None, 5, 4, 0, None, Usage(None, 5), None),
        (None, 5, 20, 0, OUTSIDE, Usage(15, 5), "incomplete"),
    ],
)
def test_two_sides_are_held_against_the_total(
    form: Any,
    prompt: int | None,
    completion: int | None,
    total: int,
    reasoning: int,
    dialect: Dialect | None,
    usage: Usage,
    mismatch: str | None,
) -> None:
    said = report(prompt, completion, total_tokens=total)
    if reasoning:
        said["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    assert read_usage(form(said), dialect) == Reading(usage, mismatch)


# The parts of the totals

INPUT = {
    "cached_tokens": "cache_read",
    "cache_write_tokens": "cache_write",
    "cache_creation_tokens": "cache_write",
    "audio_tokens": "audio_input",
    "image_tokens": "image_input",
    "video_tokens": "video_input",
}
OUTPUT = {
    "reasoning_tokens": "reasoning",
    "audio_tokens": "audio_output",
    "image_tokens": "image_output",
    "video_tokens": "video_output",
    "accepted_prediction_tokens": "accepted_prediction",
    "rejected_prediction_tokens": "rejected_prediction",
}


@FORMS
@pytest.mark.parametrize("place", ["prompt_tokens_details", "input_tokens_details", "input_token_details"])
@pytest.mark.parametrize("name", INPUT)
def test_each_part_of_the_prompt_is_known_wherever_it_stands(form: Any, place: str, name: str) -> None:
    assert read_usage(form(report(**{place: {name: 3}}))) == Reading(Usage(10, 5, {INPUT[name]: 3}))


@FORMS
@pytest.mark.parametrize("place", ["completion_tokens_details", "output_tokens_details", "output_token_details"])
@pytest.mark.parametrize("name", OUTPUT)
def test_each_part_of_the_completion_is_known_wherever_it_stands(form: Any, place: str, name: str) -> None:
    assert read_usage(form(report(**{place: {name: 3}}))) == Reading(Usage(10, 5, {OUTPUT[name]: 3}))


@FORMS
def test_the_first_details_that_are_there_count(form: Any) -> None:
    said = report(
        prompt_tokens_details={"cached_tokens": 1},
        input_tokens_details={"cached_tokens": 2},
        input_token_details={"cached_tokens": 3},
        completion_tokens_details={"reasoning_tokens": 1},
        output_tokens_details={"reasoning_tokens": 2},
        output_token_details={"reasoning_tokens": 3},
    )
    for left, right in (
        ("prompt_tokens_details", "completion_tokens_details"),
        ("input_tokens_details", "output_tokens_details"),
        ("input_token_details", "output_token_details"),
    ):
        details = {"cache_read": said[left]["cached_tokens"], "reasoning": said[right]["reasoning_tokens"]}
        assert read_usage(form(said)) == Reading(Usage(10, 5, details))
        said[left] = said[right] = None


@FORMS
def test_parts_of_parts_are_read_with_theirs(form: Any) -> None:
    said = report(
        prompt_tokens_details={
            "cached_tokens": 6,
            "cached_tokens_details": {"audio_tokens": 2, "image_tokens": 1, "text_tokens": 3},
            "cache_write_tokens": 4,
            "cache_write_tokens_details": {"ttl_30m_tokens": 3, "ttl_12h_tokens": 1},
        }
    )
    parts = {
        "cache_read": 6,
        "audio_cache_read": 2,
        "image_cache_read": 1,
        "cache_write": 4,
        "cache_write_30m": 3,
        "cache_write_12h": 1,
    }
    assert read_usage(form(said)) == Reading(Usage(10, 5, parts))


@pytest.mark.parametrize("nothing", [0, None, "3", -1, 1.5, True, {}, []])
def test_a_part_that_is_nothing_or_no_number_is_left_out(nothing: Any) -> None:
    said = report(
        prompt_tokens_details={"cached_tokens": nothing, "audio_tokens": 2},
        completion_tokens_details={"reasoning_tokens": nothing, "audio_tokens": 1},
    )
    assert read_usage(said) == Reading(Usage(10, 5, {"audio_input": 2, "audio_output": 1}))


def test_text_is_the_part_that_is_left_and_no_part_of_its_own() -> None:
    said = report(prompt_tokens_details={"text_tokens": 10}, completion_tokens_details={"text_tokens": 5})
    assert read_usage(said) == Reading(Usage(10, 5))


@pytest.mark.parametrize("details", ["cached_tokens", 7, ["cached_tokens"]])
def test_details_that_are_no_object_say_nothing(details: Any) -> None:
    said = report(prompt_tokens_details=details, completion_tokens_details=details)
    assert read_usage(said) == Reading(Usage(10, 5))


@pytest.mark.parametrize(
    ("said", "mismatch"),
    [
        (report(prompt_tokens_details={"cached_tokens": 10}), None),
        (report(prompt_tokens_details={"cached_tokens": 11}), "parts"),
        (report(prompt_tokens_details={"cached_tokens": 6, "cache_write_tokens": 4}), None),
        (report(prompt_tokens_details={"cached_tokens": 6, "cache_write_tokens": 5}), "parts"),
        (report(prompt_tokens_details={"cache_write_tokens": 11}), "parts"),
        (report(completion_tokens_details={"reasoning_tokens": 5}), None),
        (report(completion_tokens_details={"reasoning_tokens": 6}), "parts"),
        (report(total_tokens=99, completion_tokens_details={"reasoning_tokens": 6}), "total"),
        (report(None, 5, prompt_tokens_details={"cached_tokens": 11}), None),
        (report(10, None, completion_tokens_details={"reasoning_tokens": 11}), None),
    ],
)
def test_parts_are_no_more_than_their_total(said: dict[str, Any], mismatch: str | None) -> None:
    assert read_usage(said).mismatch == mismatch


# What stands beside


@pytest.mark.parametrize(
    ("more", "details", "uses"),
    [
        ({"prompt_cache_hit_tokens": 3}, {"cache_read": 3}, {}),
        ({"cached_tokens": 3}, {"cache_read": 3}, {}),
        ({"cache_read_input_tokens": 3}, {"cache_read": 3}, {}),
        ({"cache_read_input_tokens": 1, "cached_tokens": 2, "prompt_cache_hit_tokens": 3}, {"cache_read": 3}, {}),
        ({"cache_read_input_tokens": 1, "cached_tokens": 2, "prompt_cache_hit_tokens": 0}, {"cache_read": 2}, {}),
        ({"cached_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}, {"cache_read": 4}, {}),
        ({"cache_creation_input_tokens": 3}, {"cache_write": 3}, {}),
        ({"cache_write_tokens": 3}, {"cache_write": 3}, {}),
        ({"cache_write_tokens": 3, "cache_creation_input_tokens": 4}, {"cache_write": 4}, {}),
        ({"cache_write_tokens": 3, "prompt_tokens_details": {"cache_write_tokens": 4}}, {"cache_write": 4}, {}),
        ({"cached_tokens": 3, "cache_write_tokens": 4}, {"cache_read": 3, "cache_write": 4}, {}),
        ({"num_sources_used": 3}, {}, {"source": 3}),
        ({"num_search_queries": 3}, {}, {"search_query": 3}),
        ({"num_search_queries": 3, "num_sources_used": 2}, {}, {"search_query": 3, "source": 2}),
        ({"num_search_queries": 0, "num_sources_used": "2", "cached_tokens": -1, "cache_write_tokens": "1"}, {}, {}),
    ],
)
def test_what_servers_report_beside_the_details_is_read(
    more: dict[str, Any], details: dict[str, int], uses: dict[str, int]
) -> None:
    assert read_usage(report(**more)) == Reading(Usage(10, 5, details, uses))


def test_what_is_no_count_and_what_is_known_is_no_unknown_field() -> None:
    known = {
        "type": 1,
        "prompt_cache_miss_tokens": 1,
        "cost": 1,
        "cost_details": {"a": 1},
        "cost_in_usd_ticks": 1,
        "is_byok": True,
        "estimated_cost": 1,
        "invocation_count": 1,
        "model_name": 1,
        "queue_time": 1,
        "prompt_time": 1,
        "completion_time": 1,
        "total_time": 1,
        "seconds": 1,
    }
    odd = {"currency": "USD", "is_new": True, "none": None, "zero": 0, "zeros": {"a": 0}, "words": {"a": "b"}}
    assert read_usage(report(**known, **odd)) == Reading(Usage(10, 5))


def test_fields_that_count_and_are_not_known_are_told_with_their_names() -> None:
    said = report(
        holograms=1,
        smells={"rose": 2},
        prompt_tokens_details={"hologram_tokens": 3, "cached_tokens": 4},
        completion_tokens_details={"smell_tokens": 5, "reasoning_tokens": 1},
    )
    details = {"cache_read": 4, "reasoning": 1}
    unknown = ("holograms", "smells", "hologram_tokens", "smell_tokens")
    assert read_usage(said) == Reading(Usage(10, 5, details), unknown=unknown)


# What the host states of the cost


@pytest.mark.parametrize(
    ("dialect", "more", "cost"),
    [
        (STATES, {"cost": 0.5}, 500_000_000),
        (STATES, {"cost": "0.000000001"}, 1),
        (STATES, {"cost": 0}, 0),
        (STATES, {}, None),
        (None, {"cost": 0.5}, None),
        (OUTSIDE, {"cost": 0.5}, None),
        (STATES, {"cost": 0.5, "is_byok": True, "cost_details": {"upstream": 2}}, 2_500_000_000),
        (STATES, {"cost": 0.5, "is_byok": True, "cost_details": {"upstream": 0}}, 500_000_000),
        (STATES, {"cost": 0.5, "is_byok": False, "cost_details": {"upstream": 2}}, 500_000_000),
        (STATES, {"cost": 0.5, "is_byok": 1, "cost_details": {"upstream": 2}}, 500_000_000),
        (STATES, {"cost": 0.5, "cost_details": {"upstream": 2}}, 500_000_000),
        (STATES, {"cost": 0.5, "is_byok": True, "cost_details": {}}, None),
        (STATES, {"cost": 0.5, "is_byok": True}, None),
        (STATES, {"is_byok": True, "cost_details": {"upstream": 2}}, None),
        (TICKS, {"bill": {"ticks": 5}}, 5_000_000),
        (TICKS, {"bill": {"ticks": 5}, "is_byok": True, "cost_details": {"upstream": 2}}, 5_000_000),
        (TICKS, {"bill": 5}, None),
    ],
)
def test_a_cost_is_read_where_the_host_states_it(dialect: Dialect | None, more: dict[str, Any], cost: Any) -> None:
    reading = read_usage(report(**more), dialect)
    assert (reading.usage, reading.stated_cost_nano_usd) == (Usage(10, 5), cost)


def test_an_upstream_cost_is_of_the_same_unit() -> None:
    dialect = Dialect(label="x", hosts=(), stated_cost=("fee",), stated_cost_per_usd=100, upstream_cost=("theirs",))
    said = report(fee=3, theirs=5, is_byok=True)
    assert read_usage(said, dialect).stated_cost_nano_usd == 80_000_000


def test_a_cost_stands_where_the_tokens_are_zero() -> None:
    assert read_usage(report(0, 0, cost=0.5), STATES) == Reading(None, "zeros", (), 500_000_000)
    assert read_usage({"cost": 0.5}, STATES) == Reading(None, None, (), 500_000_000)


@pytest.mark.parametrize(
    ("value", "per_usd", "cost"),
    [
        (1, 1, 1_000_000_000),
        (1, 100, 10_000_000),
        ("0.25", 1, 250_000_000),
        (Decimal("0.1"), 1, 100_000_000),
        (0.0000000004, 1, 0),
        (0.0000000006, 1, 1),
        (1_000_000, 1, 10**15),
        (1_000_001, 1, None),
        (0, 1, 0),
        (-1, 1, None),
        ("much", 1, None),
        ("NaN", 1, None),
        ("Infinity", 1, None),
        (True, 1, None),
        (None, 1, None),
        ([1], 1, None),
    ],
)
def test_a_stated_cost_is_a_sensible_sum(value: Any, per_usd: int, cost: int | None) -> None:
    assert nano_usd(value, per_usd) == cost


def test_a_stated_cost_is_in_dollars_where_nothing_else_is_said() -> None:
    found = nano_usd(2)
    assert (found, type(found)) == (2_000_000_000, int)


# The reports of one stream


@pytest.mark.parametrize(
    ("reports", "reading"),
    [
        ([report()], Reading(Usage(10, 5))),
        ([report(10, 1), report(10, 3), report(10, 5)], Reading(Usage(10, 5))),
        ([report(10, 5), report(10, 3)], Reading(Usage(10, 8), "early")),
        ([report(10, 5), report(10, 3), report(10, 4)], Reading(Usage(10, 12), "early")),
        ([report(10, None), report(None, 5)], Reading(Usage(10, 5))),
        ([report(10, 0), report(0, 5)], Reading(Usage(10, 5))),
        ([report(None, 5), report(10, None)], Reading(Usage(10, 5))),
        ([{"input_tokens": 10}, {"output_tokens": 5}], Reading(Usage(10, 5))),
        ([report(9, 1), report(10, None)], Reading(Usage(10, 1))),
        ([report(10, None), report(10, None)], Reading(Usage(10, None))),
        ([report(None, 5), report(None, 5)], Reading(Usage(None, 5))),
        ([report(0, 0), report(0, 0)], Reading(mismatch="zeros")),
        ([{}, {}], Reading()),
        ([report(10, 5), {}], Reading(Usage(10, 5))),
        ([report(10, 5), None], Reading(Usage(10, 5))),
        ([report(10, 5), 7], Reading(Usage(10, 5))),
        (
            [report(10, None, prompt_tokens_details={"cached_tokens": 4}), report(None, 5, num_search_queries=2)],
            Reading(Usage(10, 5, {"cache_read": 4}, {"search_query": 2})),
        ),
        (
            [report(10, None, cached_tokens=4), report(None, 5, cached_tokens=0)],
            Reading(Usage(10, 5, {"cache_read": 4})),
        ),
        ([report(10, None, total_tokens=99), report(None, 5, total_tokens=98)], Reading(Usage(10, 5))),
        (
            [report(1, None, prompt_tokens_details={"cached_tokens": 4}), report(None, 5)],
            Reading(Usage(1, 5, {"cache_read": 4}), "parts"),
        ),
        (
            [report(1, 5, prompt_tokens_details={"cached_tokens": 4}), report(1, 3)],
            Reading(Usage(1, 8, {"cache_read": 4}), "parts"),
        ),
    ],
)
@pytest.mark.parametrize("form", [lambda said: said, as_object], ids=["JSON", "model"])
def test_the_reports_of_a_stream_say_together_what_was_used(form: Any, reports: list[Any], reading: Reading) -> None:
    assert read_reports([form(each) for each in reports]) == reading


def test_reports_of_a_stream_are_read_as_their_host_writes_them() -> None:
    outside = report(10, 5, total_tokens=16)
    assert read_reports([outside], OUTSIDE) == Reading(Usage(10, 6, {"reasoning": 1}))
    assert read_reports([report(10, 3), outside], OUTSIDE) == Reading(Usage(10, 6, {"reasoning": 1}))
    stated = [report(10, None), report(None, 5, cost=2)]
    assert read_reports(stated, STATES) == Reading(Usage(10, 5), stated_cost_nano_usd=2_000_000_000)


def test_the_fields_of_a_report_are_none_where_it_is_nothing_of_the_kind() -> None:
    assert fields_of(report()) == report()
    assert fields_of(as_object(report())) == report()
    assert fields_of(7) == fields_of(None) == fields_of("text") == {}


# What the Responses API bills beside tokens


def response(*output: Any, usage: Any = None, **more: Any) -> dict[str, Any]:
    """A response with these items in its output."""
    return {
        "output": list(output),
        "usage": {"input_tokens": 10, "output_tokens": 5} if usage is None else usage,
        **more,
    }


def search(kind: str | None = "search") -> dict[str, Any]:
    return {"type": "web_search_call", "action": None if kind is None else {"type": kind}}


def code(**names: str) -> dict[str, Any]:
    return {"type": "code_interpreter_call", **names}


NEW, OLD = {"type": "web_search"}, {"type": "web_search_preview_2025_03_11"}


@FORMS
@pytest.mark.parametrize(
    ("said", "uses"),
    [
        (response(), {}),
        (response(search(), search()), {"web_search": 2}),
        (response(search(None)), {"web_search": 1}),
        (response(search("open_page"), search("find")), {}),
        (response(search(), search("open_page"), {"type": "file_search_call"}), {"web_search": 1, "file_search": 1}),
        (response({"type": "file_search_call"}, {"type": "file_search_call"}), {"file_search": 2}),
        (response({"type": "image_generation_call"}), {"image_generation": 1}),
        (response(code(container_id="a"), code(container_id="a")), {"code_interpreter": 1}),
        (response(code(container_id="a"), code(container_id="b")), {"code_interpreter": 2}),
        (response(code(id="a"), code(id="b"), code(id="b")), {"code_interpreter": 2}),
        (response(code(container_id="a", id="1"), code(container_id="a", id="2")), {"code_interpreter": 1}),
        (response(code(), code()), {"code_interpreter": 1}),
        (response(code(container_id="a"), search()), {"code_interpreter": 1, "web_search": 1}),
        (response(search(), tool_usage={"web_search": {"num_requests": 3}}), {"web_search": 3}),
        (response(search(), tool_usage={"web_search": {"num_requests": 0}}), {}),
        (response(search(), tool_usage={"web_search": {}}), {"web_search": 1}),
        (response(tool_usage={"web_search": {"num_requests": 1}}), {"web_search": 1}),
        (response(search(), tools=[NEW]), {"web_search": 1}),
        (response(search(), tools=[NEW, OLD]), {"web_search_preview": 1}),
        (response(search(), tools=[{}, OLD]), {"web_search_preview": 1}),
        (response(tools=[OLD]), {}),
        (response(tool_usage={"web_search": {"num_requests": 3}}, tools=[OLD]), {"web_search_preview": 3}),
        (response({"type": "message"}, {"type": "reasoning"}, {"type": "mcp_call"}, search()), {"web_search": 1}),
        (response({}, {"type": ""}, search()), {"web_search": 1}),
    ],
)
def test_tools_of_a_response_are_counted_as_they_are_billed(
    form: Any, said: dict[str, Any], uses: dict[str, int]
) -> None:
    usage = Usage(10, 5, tool_uses=uses)
    assert read_response_usage(form(said)) == Reading(usage)
    assert openai_response_usage(form(said)) == usage


def test_items_that_nobody_knows_are_told_once_after_the_fields() -> None:
    said = response(
        {"type": "smell_call"}, {"type": "hologram_call"}, {"type": "smell_call"}, {"type": "message"}, {"type": None},
        usage={"input_tokens": 10, "output_tokens": 5, "scents": 3},
    )  # fmt: skip
    assert read_response_usage(said) == Reading(Usage(10, 5), unknown=("scents", "smell_call", "hologram_call"))


def test_tools_are_billed_where_no_tokens_are_reported() -> None:
    assert read_response_usage(response(search(), usage={})) == Reading(Usage(tool_uses={"web_search": 1}))
    assert read_response_usage({"output": []}) == Reading()
    assert read_response_usage(None) == Reading()


def test_a_response_is_read_as_its_host_writes_it() -> None:
    said = response(usage={"input_tokens": 10, "output_tokens": 5, "total_tokens": 16, "cost": 1})
    assert read_response_usage(said, OUTSIDE) == Reading(Usage(10, 6, {"reasoning": 1}))
    assert read_response_usage(said, STATES) == Reading(Usage(10, 5), "total", stated_cost_nano_usd=1_000_000_000)


DRAWN = {"input_tokens": 100, "output_tokens": 200, "input_tokens_details": {"image_tokens": 60}}
DREW = {"type": "image_generation_call"}


@pytest.mark.parametrize(
    ("tools", "model"),
    [
        ([{"type": "image_generation", "model": "gpt-image-2"}], "gpt-image-2"),
        ([{"type": "web_search", "model": "w"}, {"type": "image_generation", "model": "gpt-image-2"}], "gpt-image-2"),
        ([{"type": "image_generation"}, {"type": "image_generation", "model": "gpt-image-2"}], "gpt-image-2"),
        ([{"type": "image_generation"}], "an image model"),
        ([], "an image model"),
        (None, "an image model"),
    ],
)
def test_images_of_a_response_are_drawn_by_a_model_of_their_own(tools: Any, model: str) -> None:
    said = response(DREW, search(), tools=tools, tool_usage={"image_gen": DRAWN})
    assert read_response_usage(said) == Reading(
        Usage(10, 5, {}, {"image_generation": 1, "web_search": 1}),
        own=Usage(10, 5, {}, {"web_search": 1}),
        others=((model, Usage(100, 200, {"image_input": 60})),),
    )


def test_images_without_tokens_of_their_own_are_a_tool_like_any_other() -> None:
    for told in ({}, {"image_gen": None}, {"image_gen": {"input_tokens": 0, "output_tokens": 0}}):
        assert read_response_usage(response(DREW, tool_usage=told)) == Reading(
            Usage(10, 5, {}, {"image_generation": 1})
        )
    assert read_response_usage(response(tool_usage={"image_gen": DRAWN})) == Reading(Usage(10, 5))


# A reading and the record


FULL = Reading(
    Usage(10, 5, {"reasoning": 1}, {"web_search": 1}),
    "total",
    ("a", "b"),
    7,
    "priority",
    "fast",
    "us",
    "ON_DEMAND",
    Usage(4, 2),
    (("other", Usage(6, 3)),),
)


def call() -> LLMCall:
    return LLMCall(NOWHERE, "openai", "m")


def test_a_reading_goes_into_the_record_whole() -> None:
    made = call()
    made.unknown_billables = ("b", "c")
    FULL.put(made)
    assert made.usage is FULL.usage
    assert (made.usage_mismatch, made.unknown_billables, made.stated_cost_nano_usd) == ("total", ("b", "c", "a"), 7)
    assert (made.service_tier, made.speed, made.region, made.traffic_type) == ("priority", "fast", "us", "ON_DEMAND")
    assert (made.usages, made.others) == ((Usage(4, 2),), (("other", Usage(6, 3)),))


def test_an_empty_reading_takes_back_the_tokens_and_nothing_else() -> None:
    made = call()
    FULL.put(made)
    Reading().put(made)
    assert (made.usage, made.usage_mismatch) == (None, None)
    assert (made.unknown_billables, made.stated_cost_nano_usd) == (("a", "b"), 7)
    assert (made.service_tier, made.speed, made.region, made.traffic_type) == ("priority", "fast", "us", "ON_DEMAND")
    assert (made.usages, made.others) == ((Usage(4, 2),), (("other", Usage(6, 3)),))


def test_a_cost_of_zero_is_a_cost() -> None:
    made = call()
    made.stated_cost_nano_usd = 7
    Reading(stated_cost_nano_usd=0).put(made)
    assert made.stated_cost_nano_usd == 0


def test_what_others_did_without_a_share_of_the_models_own_leaves_no_parts() -> None:
    made = call()
    made.usages = (Usage(1, 1),)
    Reading(Usage(6, 3), others=(("other", Usage(6, 3)),)).put(made)
    assert (made.usages, made.others) == ((), (("other", Usage(6, 3)),))


def test_two_readings_of_one_call_add_up() -> None:
    later = Reading(Usage(1, 2, {"reasoning": 2}), "parts", ("b", "c"), 5, "flex", "slow", "eu", "FLEX")
    parts = Usage(11, 7, {"reasoning": 3}, {"web_search": 1})
    assert FULL + later == Reading(parts, "total", ("a", "b", "c"), 12, "flex", "slow", "eu", "FLEX")
    assert later + FULL == Reading(parts, "parts", ("b", "c", "a"), 12, "priority", "fast", "us", "ON_DEMAND")
    plain = Reading(FULL.usage, "total", ("a", "b"), 7, "priority", "fast", "us", "ON_DEMAND")
    assert FULL + Reading() == plain
    assert Reading() + FULL == plain
    assert Reading() + Reading() == Reading()
    assert Reading(stated_cost_nano_usd=0) + Reading() == Reading(stated_cost_nano_usd=0)


def test_requests_of_one_call_are_put_together_and_kept_apart() -> None:
    first, second, third = Reading(Usage(1, 2), stated_cost_nano_usd=3), Reading(), Reading(Usage(10, 20), "total")
    made = call()
    put_all([first, second, third], made)
    assert (made.usage, made.usages) == (Usage(11, 22), (Usage(1, 2), Usage(10, 20)))
    assert (made.usage_mismatch, made.stated_cost_nano_usd) == ("total", 3)
    both = call()
    put_all([first, third], both)
    assert (both.usage, both.usages) == (Usage(11, 22), (Usage(1, 2), Usage(10, 20)))
    alone = call()
    put_all([first], alone)
    assert (alone.usage, alone.usages) == (Usage(1, 2), ())


@pytest.mark.parametrize(
    ("fields", "unknown"),
    [
        ({"known": 1}, ()),
        ({"known": 1, "new": 2, "newer": 2.5}, ("new", "newer")),
        ({"new": -1}, ("new",)),
        ({"new": 0, "none": None, "text": "7", "truth": True, "list": [7]}, ()),
        ({"new": {"a": 0, "b": 1}}, ("new",)),
        ({"new": {"a": 0, "b": 0.5}}, ("new",)),
        ({"new": {"a": 0, "b": -1, "c": True, "d": "1"}}, ()),
        ({"new": SimpleNamespace(a=0, b=1)}, ("new",)),
        ({"new": SimpleNamespace(a=0, b=-1, c=True, d="1")}, ()),
        ({"text": "7", "new": 1}, ("new",)),
    ],
)
def test_a_field_that_counts_something_is_unknown_until_a_table_has_it(
    fields: dict[str, Any], unknown: tuple[str, ...]
) -> None:
    assert billed_fields(fields, frozenset(("known",))) == unknown
    assert billed_fields(fields, frozenset(("known",)), "details.") == tuple(f"details.{name}" for name in unknown)


def test_a_value_at_a_path_is_none_as_soon_as_a_step_is_missing() -> None:
    said = {"a": {"b": 7}}
    assert stated(said, "a", "b") == 7
    assert stated(said, "a") == {"b": 7}
    assert stated(said) is said
    assert stated(said, "x", "b") is stated(said, "a", "x") is stated(None, "a") is None


@pytest.mark.parametrize(
    ("usage", "more"),
    [
        (Usage(10, 5, {"cache_read": 6, "cache_write": 4, "reasoning": 5}), False),
        (Usage(10, 5, {"cache_read": 7, "cache_write": 4}), True),
        (Usage(10, 5, {"cache_read": 11}), True),
        (Usage(10, 5, {"cache_write": 11}), True),
        (Usage(10, 5, {"reasoning": 6}), True),
        (Usage(None, 5, {"cache_read": 7}), False),
        (Usage(10, None, {"reasoning": 6}), False),
        (Usage(0, 0, {"audio_input": 9}), False),
        (Usage(0, 5, {"cache_read": 1}), True),
        (Usage(10, 0, {"reasoning": 1}), True),
    ],
)
def test_parts_that_are_more_than_their_total_are_seen(usage: Usage, more: bool) -> None:
    assert exceeds(usage) is more


def test_a_reading_is_bounded_by_what_was_said() -> None:
    counted = Reading(Usage(10, 5))
    said = [10, 5, None]
    assert bounded(counted, said, said) is counted
    assert bounded(Reading(Usage(10, None)), [10, "5"], [10, None]) == Reading(Usage(10, None), "absurd")
    assert bounded(Reading(Usage(10, 5)), [10, 5.0], [10, 5]) == Reading(Usage(10, 5))
    assert bounded(Reading(None, unknown=("x",)), [None], [None]) == Reading(None, unknown=("x",))
    audio = Reading(Usage(audio_seconds=0.0))
    assert bounded(audio, said, said) is audio
    zeros = Reading(Usage(0, 0, {"reasoning": 1}), "total", ("x",), 7, "priority")
    assert bounded(zeros, said, said) == Reading(None, "total", ("x",), 7)
