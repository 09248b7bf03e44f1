"""Fields of answers in whatever form they come, and what is remembered of stored answers."""

from __future__ import annotations

import math
from collections import ChainMap
from enum import Enum, StrEnum
from types import SimpleNamespace
from typing import Any

import httpx2
import pydantic
import pytest

from tachograph.vendors.fields import (
    MOST,
    count,
    dig,
    getter,
    items,
    pick,
    plain,
    scalar,
    text,
    whole,
    wholes,
    word,
)
from tachograph.vendors.loose import LooseObject, last_event, loads, opened
from tachograph.vendors.once import REMEMBERED, Jobs, Once


class Model(pydantic.BaseModel):
    """As the SDKs' models: fields that are declared, and what came beside them."""

    model_config = pydantic.ConfigDict(extra="allow")
    name: str = "n"


class Closed(pydantic.BaseModel):
    """A model that keeps nothing beside its fields."""

    name: str = "n"


class Slots:
    __slots__ = ("name",)

    def __init__(self) -> None:
        self.name = "n"


class Tier(StrEnum):
    FLEX = "flex"


class OldTier(str, Enum):  # noqa: UP042 - SDKs have both
    FLEX = "flex"


class Loud(str):
    """Text of a kind of its own."""


FORMS: list[Any] = [
    {"name": "n"},
    SimpleNamespace(name="n"),
    Model(),
    Closed(),
    Slots(),
    ChainMap({"name": "n"}),
    loads('{"name": "n"}'),
]


@pytest.mark.parametrize("thing", FORMS, ids=lambda thing: type(thing).__name__)
def test_a_field_is_found_in_every_form(thing: Any) -> None:
    assert pick(thing, "name") == getter(thing)("name") == text(thing, "name") == dig(thing, "name") == "n"
    assert pick(thing, "other") is getter(thing)("other") is text(thing, "other") is dig(thing, "other", "x") is None


def test_an_entry_of_json_may_have_the_name_of_a_dictionarys_method() -> None:
    assert pick({"items": 7}, "items") == getter({"items": 7})("items") == dig({"items": 7}, "items") == 7
    assert pick({}, "items") is getter({})("items") is dig({}, "keys") is None


@pytest.mark.parametrize("thing", [None, 7, "text", [], object()])
def test_what_has_no_fields_has_none_by_any_name(thing: Any) -> None:
    assert pick(thing, "name") is getter(thing)("name") is text(thing, "name") is count(thing, "name") is None
    assert dig(thing, "name", "n") is None
    assert list(items(thing, "name")) == []


def test_the_fields_of_a_model_are_those_declared_and_those_beside() -> None:
    assert plain(Model()) == plain(Closed()) == {"name": "n"}
    assert plain(Model.model_validate({"name": "a", "more": 7})) == {"name": "a", "more": 7}
    assert plain(SimpleNamespace(a=1)) == {"a": 1}
    assert plain(loads('{"a": 1}')) == {"a": 1}
    fields = {"a": 1}
    assert plain(fields) is fields
    slots = Slots()
    assert plain(slots) is slots
    assert plain(None) is None


def test_a_path_leads_through_fields_of_every_form() -> None:
    assert dig({"a": SimpleNamespace(b=Model(name="x"))}, "a", "b", "name") == "x"
    assert dig({"a": {"b": 0}}, "a", "b") == 0
    assert dig({"a": None}, "a", "b") is None
    thing = object()
    assert dig(thing) is thing


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (0.0, 0),
        (MOST, MOST),
        (float(MOST), MOST),
        (-1, None),
        (-1.0, None),
        (MOST + 1, None),
        (float(MOST) * 2, None),
        (7.5, None),
        (math.nan, None),
        (math.inf, None),
        (True, None),
        ("7", None),
        (None, None),
        ([7], None),
    ],
)
def test_a_count_is_a_whole_number_that_can_be(value: Any, number: int | None) -> None:
    found = whole(value)
    assert (found, type(found)) == (number, type(number))
    assert count({"n": value}, "n") == number
    assert wholes([value, 3, None]) == [number, 3, None]
    assert wholes([3, value]) == [3, number]


def test_no_more_is_counted_than_a_ledger_holds() -> None:
    assert MOST == 10**15


@pytest.mark.parametrize("said", [[1, 2, 3], [1, None, MOST], [0, 0, None], [None, None], [0, 5], [1]])
def test_counts_that_are_whole_are_not_copied(said: list[Any]) -> None:
    assert wholes(said) is said


@pytest.mark.parametrize("said", [[-1, 2], [1, MOST + 1], [2, -1], [True, 1], ["1", 1], [1.0, 1]])
def test_counts_of_which_one_is_odd_are_looked_at_one_by_one(said: list[Any]) -> None:
    assert wholes(said) == [whole(each) for each in said]
    assert wholes(said) is not said


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a", "a"),
        ("", None),
        (Tier.FLEX, "flex"),
        (OldTier.FLEX, "flex"),
        (Loud("a"), "a"),
        (Loud(""), None),
        (7, None),
        (None, None),
        (b"a", None),
        (["a"], None),
    ],
)
def test_a_word_is_text_that_is_not_empty(value: Any, found: str | None) -> None:
    assert word(value) == found
    assert type(word(value)) in (str, type(None))
    assert text({"n": value}, "n") == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a", "a"),
        ("", ""),
        (7, 7),
        (0, 0),
        (0.5, 0.5),
        (True, True),
        (False, False),
        (Tier.FLEX, "flex"),
        (Loud(""), None),
        (["a", 7], ["a", 7]),
        (("a", 0), ["a", 0]),
        (["a", None, object(), ["b"], {"c": 1}], ["a"]),
        ([Tier.FLEX], ["flex"]),
        ([None], None),
        ([], None),
        ({"a": 1}, None),
        (None, None),
        (object(), None),
    ],
)
def test_a_setting_that_may_be_recorded_is_text_a_number_a_truth_value_or_a_list(value: Any, found: Any) -> None:
    assert scalar(value) == found
    assert type(scalar(value)) is type(found)


def test_the_entries_of_a_field_are_those_of_a_list() -> None:
    assert list(items({"a": [1, 2]}, "a")) == list(items({"a": (1, 2)}, "a")) == [1, 2]
    for odd in ("12", {"1": 2}, 7, None):
        assert list(items({"a": odd}, "a")) == []


# JSON that reads like a model


def test_loose_json_reads_as_attributes_of_which_any_may_be_missing() -> None:
    read: Any = loads(b'{"a": {"b": [1, {"c": 2}]}, "items": 3}')
    assert (read.a.b[0], read.a.b[1].c, read.items) == (1, 2, 3)
    assert read.missing is None
    assert (loads("[1]"), loads("7")) == ([1], 7)
    with pytest.raises(AttributeError, match=r"^__len__$"):
        LooseObject().__len__  # noqa: B018


@pytest.mark.parametrize("form", [str, str.encode])
def test_a_text_that_holds_json_is_opened(form: Any) -> None:
    opened_text = opened(form('{"a": 1}'))
    assert opened_text == LooseObject(a=1)
    for odd in (form("no JSON"), form("")):
        assert opened(odd) is odd
    deep = form("[" * 100_000)
    assert opened(deep) is deep


def events(*data: str) -> bytes:
    return "".join(f"data: {each}\n\n" for each in data).encode()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"a": 1}', LooseObject(a=1)),
        (events('{"a": 1}', '{"a": 2}'), LooseObject(a=2)),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_an_http_response_is_opened_and_a_stream_of_events_by_its_last(content: bytes, found: Any) -> None:
    assert opened(httpx2.Response(200, content=content)) == found


def test_a_response_that_was_not_read_holds_nothing() -> None:
    assert opened(httpx2.Response(200, stream=httpx2.ByteStream(b"{}"))) is None


@pytest.mark.parametrize("answer", [None, 7, {"a": 1}, ["{}"], Model(), bytearray(b"{}")])
def test_any_other_answer_is_itself(answer: Any) -> None:
    assert opened(answer) is answer


def test_the_last_event_of_a_stream_is_what_stands_after_its_last_mark() -> None:
    assert last_event(events('{"a": 1}', '{"a": 2}')) == LooseObject(a=2)
    assert last_event(events("[DONE]")) == b" [DONE]\n\n"


# What is remembered


def test_an_id_is_new_once() -> None:
    once = Once()
    assert [once.first_time(key) for key in ("a", "a", "b", "a")] == [True, False, True, False]
    once.forget()
    assert once.first_time("a")


def test_the_newest_ids_are_remembered_and_the_oldest_forgotten() -> None:
    once = Once(2)
    assert [once.first_time(key) for key in "abb"] == [True, True, False]
    assert not once.first_time("a")
    assert once.first_time("c")
    assert [once.first_time(key) for key in "bc"] == [False, False]
    assert once.first_time("a")


def test_what_was_asked_of_a_job_is_remembered_of_the_newest() -> None:
    jobs = Jobs(2)
    jobs.note("a", "video_second/4k", 8)
    assert (jobs.asked("a"), jobs.asked("b")) == (("video_second/4k", 8), None)
    jobs.note("a", "video_second", 4)
    jobs.note("b", "video_second", 5)
    assert (jobs.asked("a"), jobs.asked("b")) == (("video_second", 4), ("video_second", 5))
    jobs.note("c", "video_second", 6)
    assert [jobs.asked(job) for job in "abc"] == [None, ("video_second", 5), ("video_second", 6)]


def test_thousands_of_jobs_and_ids_are_remembered() -> None:
    once, jobs = Once(), Jobs()
    for number in range(REMEMBERED + 1):
        once.first_time(str(number))
        jobs.note(str(number), "item", number)
    assert (jobs.asked("0"), jobs.asked("1")) == (None, ("item", 1))
    assert not once.first_time("1")
    assert once.first_time("0")
