"""Arguments against schemas: dialects, references, and what is said about a mistake."""

from __future__ import annotations

import pytest

from tachograph.mcp.validation import ArgumentCheck


@pytest.mark.parametrize(
    ("schema", "arguments", "problems"),
    [
        ({"required": ["a", "b"]}, {}, ["arguments: missing 'a', 'b'"]),
        ({"properties": {"n": {"type": "integer"}}}, {"n": "x"}, ["n: must be integer, not string"]),
        (
            {"properties": {"n": {"type": ["integer", "null"]}}},
            {"n": True},
            ["n: must be integer or null, not boolean"],
        ),
        ({"properties": {"u": {"enum": ["C", "F"]}}}, {"u": "K"}, ["u: must be one of 'C', 'F'"]),
        (
            {"properties": {"a": {}}, "additionalProperties": False},
            {"a": 1, "b": 2},
            ["arguments: unknown 'b'"],
        ),
        ({"properties": {"p": {"minimum": 3}}}, {"p": 2}, ["p: does not satisfy minimum 3"]),
        ({"properties": {"l": {"items": {"type": "string"}}}}, {"l": ["a", 5]}, ["l.1: must be string, not integer"]),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"required": ["x"]}}}, {}, ["arguments: missing 'x'"]),
        ({"type": "object"}, {"anything": 1}, []),
    ],
)
def test_a_mistake_is_told_in_words_without_its_value(schema, arguments, problems):
    assert ArgumentCheck(schema).problems(arguments) == problems


def test_the_dialect_that_the_schema_names_is_used():
    tuple_of = {"properties": {"p": {"items": [{"type": "integer"}]}}}
    draft7 = {"$schema": "http://json-schema.org/draft-07/schema#", **tuple_of}
    assert ArgumentCheck(draft7).problems({"p": ["x"]}) == ["p.0: must be integer, not string"]
    modern = {"properties": {"p": {"prefixItems": [{"type": "integer"}]}}}
    assert ArgumentCheck(modern).problems({"p": ["x"]}) == ["p.0: must be integer, not string"]


@pytest.mark.parametrize("schema", [{"type": "no such type"}, {"$ref": "https://127.0.0.1:9/schema.json"}])
def test_a_schema_that_cannot_be_used_leaves_the_checking_to_the_server(schema):
    check = ArgumentCheck(schema)
    assert check.problems({"a": 1}) == []
    assert check.problems({"a": 1}) == []


def test_many_mistakes_are_cut_short():
    schema = {"properties": {name: {"type": "integer"} for name in "abcdef"}}
    problems = ArgumentCheck(schema).problems(dict.fromkeys("abcdef", "x"))
    assert len(problems) == 4
    assert problems[-1] == "and 3 more"
