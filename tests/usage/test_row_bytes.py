"""A row and its bytes in a journal: what is read back, what becomes text, and the buckets of latencies."""

from __future__ import annotations

import enum
import math
from typing import Any

import msgspec
import pytest

from tachograph.usage.row import Row, bucket_seconds, decode, encode, encode_as_text, latency_bucket

ID = bytes(range(16))


def row(**facts: Any) -> Row:
    given = {"id": ID, "ts_us": 5, "kind": "llm", "provider": "openai", "model": "gpt-5", "operation": "chat"}
    return Row(**(given | {"outcome": "success"} | facts))


class Model(enum.Enum):
    SMALL = "small"


class Name(str):
    """Text of a client library."""


class Level(enum.IntEnum):
    LOW = 3


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        ({"model": "half \ud83d"}, {"model": "half ?"}),
        ({"model": Model.SMALL}, {"model": "Model.SMALL"}),
        ({"model": Name("gpt")}, {"model": "gpt"}),
        ({"model": "\u20ac"}, {"model": "\u20ac"}),
        ({"model": None}, None),
        ({"input_tokens": Level.LOW, "output_tokens": 0}, {"input_tokens": 3, "output_tokens": 0}),
        ({"labels": {"team\ud83d": "a", "user": "\udc00b"}}, {"labels": {"team?": "a", "user": "?b"}}),
        ({"labels": {"team": Model.SMALL, "user": None}}, {"labels": {"team": "Model.SMALL", "user": "None"}}),
        ({"labels": {"team": 5, "rate": 0.5}}, {"labels": {"team": "5", "rate": "0.5"}}),
        ({"details": {"cache_read": 7}}, {"details": {"cache_read": 7}}),
        ({"stream": True}, {"stream": True}),
    ],
)
def test_what_cannot_be_written_as_it_is_is_written_as_text(odd: dict[str, Any], text: dict[str, Any] | None) -> None:
    payload = encode_as_text(row(**odd))
    if text is None:
        with pytest.raises(msgspec.ValidationError):
            decode(payload)
    else:
        assert decode(payload) == row(**text)
        assert decode(encode(row(**text))) == row(**text)


@pytest.mark.parametrize("labels", [{"a": "b"}, {}, {"a": 1, "b": 2}, {"a": 1, "b": "c"}, {"a": None}, {1: "x"}])
def test_labels_that_are_no_text_are_read_as_text(labels: dict[Any, Any]) -> None:
    values = list(msgspec.structs.astuple(row(details={"cache_read": 5})))
    at = Row.__struct_fields__.index("labels")
    for count in (len(values), at + 1):
        payload = encode([*values[:at], labels, *values[at + 1 :]][:count])
        text = {str(key): str(value) for key, value in labels.items()}
        assert decode(payload) == row(labels=text, details={"cache_read": 5})
    values[Row.__struct_fields__.index("details")] = {"cache_read": "5"}
    assert decode(encode(values[:at])) == row(details={"cache_read": 5})


@pytest.mark.parametrize("name", ["model", "operation", "response_id", "finish_reason", "session_id", "api_key_hint"])
@pytest.mark.parametrize("value", [7, 0, 1.5, True, b"id", ["a"]])
def test_a_name_or_id_that_is_no_text_is_read_as_text(name: str, value: Any) -> None:
    values = list(msgspec.structs.astuple(row()))
    values[Row.__struct_fields__.index(name)] = value
    assert decode(encode(values)) == row(**{name: str(value)})


def test_bytes_that_are_no_row_are_refused() -> None:
    for payload in (b"", b"\xc1", encode(row())[:-1]):
        with pytest.raises(msgspec.DecodeError):
            decode(payload)
    for value in ({"a": 1}, 7, "text", [], [ID, 5], [ID[1:], *msgspec.structs.astuple(row())[1:]]):
        with pytest.raises(msgspec.ValidationError):
            decode(encode(value))
    values = msgspec.structs.astuple(row())
    assert decode(encode([*values, "of a later version"])) == row()
    assert decode(encode(["AAECAwQFBgcICQoLDA0ODw==", *values[1:]])) == row()


def test_numbers_that_came_as_text_are_read_as_numbers() -> None:
    values = list(msgspec.structs.astuple(row()))
    for name, value in (("input_tokens", "12"), ("stream", "true")):
        values[Row.__struct_fields__.index(name)] = value
    assert decode(encode(values)) == row(input_tokens=12, stream=True)


def test_a_bucket_holds_the_latencies_between_two_powers() -> None:
    assert [latency_bucket(number) for number in (-1, 0, 1, 2, 3, 10, 1000, 1_000_000)] == [
        0, 0, 0, 36, 56, 117, 349, 698
    ]  # fmt: skip
    for number in (*range(2, 2000, 7), *range(2000, 10**9, 10**7)):
        bucket = latency_bucket(number)
        assert 1.02 ** (bucket - 1) * (1 - 1e-9) < number <= 1.02**bucket * (1 + 1e-9)
        assert abs(bucket_seconds(bucket) * 1e6 / number - 1) < 0.01
    assert latency_bucket(51) == math.ceil(math.log(51, 1.02))


def test_the_middle_of_a_bucket_in_seconds() -> None:
    assert (bucket_seconds(-1), bucket_seconds(0)) == (1e-6, 1e-6)
    assert bucket_seconds(1) == pytest.approx(1.02**0.5 / 1e6, rel=1e-12)
    assert bucket_seconds(698) == pytest.approx(1.02**697.5 / 1e6, rel=1e-12)
