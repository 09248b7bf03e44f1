"""Tools' schemas in the part of JSON Schema that every provider takes."""

from __future__ import annotations

import copy

import pytest
from jsonschema import Draft202012Validator, validators

from tachograph.mcp.schemas import portable, with_own_names

STRING = {"type": "string"}
NODE = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}


def of(**properties):
    return {"type": "object", "properties": properties}


CASES = {
    "one of two sets at the top": (
        {
            "oneOf": [
                {"properties": {"a": STRING, "both": {"const": 1}}, "required": ["a", "both"]},
                {"properties": {"b": STRING, "both": {"const": 2}}, "required": ["b", "both"]},
            ]
        },
        {
            **of(
                a=STRING,
                both={"anyOf": [{"type": "integer", "enum": [1]}, {"type": "integer", "enum": [2]}]},
                b=STRING,
            ),
            "required": ["both"],
            "description": "Give one of these sets of properties: a, both; or b, both.",
        },
        [{"a": "x", "both": 1}, {"b": "x", "both": 2}],
    ),
    "any of two requirements at the top": (
        {**of(a=STRING, b=STRING), "description": "Find.", "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {**of(a=STRING, b=STRING), "description": "Find. Give one of these sets of properties: a; or b."},
        [{"a": "x"}, {"b": "x"}],
    ),
    "a reference at the top": (
        {"$ref": "#/definitions/Whole", "definitions": {"Whole": {**of(a=STRING), "required": ["a"]}}},
        {**of(a=STRING), "required": ["a"]},
        [{"a": "x"}],
    ),
    "all of two at the top": (
        {"allOf": [of(a=STRING), {"required": ["a"]}]},
        {**of(a=STRING), "required": ["a"]},
        [{"a": "x"}],
    ),
    "a tree": (
        {**of(root={"$ref": "#/$defs/Node"}), "$defs": {"Node": NODE}},
        {**of(root={"$ref": "#/$defs/Node"}), "$defs": {"Node": NODE}},
        [{"root": {"kids": [{"kids": []}]}}],
    ),
    "references elsewhere in the schema": (
        of(a={"type": "array", "items": of(q=STRING)}, b={"$ref": "#/properties/a/items", "description": "One."}),
        {
            **of(
                a={"type": "array", "items": of(q=STRING)},
                b={"anyOf": [{"$ref": "#/$defs/items"}], "description": "One."},
            ),
            "$defs": {"items": of(q=STRING)},
        },
        [{"b": {"q": "x"}}],
    ),
    "references into a list, escaped, and by an anchor": (
        {
            **of(
                a={"anyOf": [{"type": "integer"}, {"type": "null"}]},
                b={"$ref": "#/properties/a/anyOf/0"},
                c={"$ref": "#/$defs/x~1y%20z"},
                d={"$ref": "#named"},
            ),
            "$defs": {"x/y z": STRING, "n": {"$anchor": "named", "type": "boolean"}},
        },
        {
            **of(
                a={"anyOf": [{"type": "integer"}, {"type": "null"}]},
                b={"$ref": "#/$defs/0"},
                c={"$ref": "#/$defs/x_1y_20z"},
                d={"$ref": "#/$defs/_named"},
            ),
            "$defs": {"0": {"type": "integer"}, "x_1y_20z": STRING, "_named": {"type": "boolean"}},
        },
        [{"a": None, "b": 1, "c": "x", "d": True}],
    ),
    "a reference that leads out of it, or nowhere": (
        of(r={"$ref": "https://example.com/s.json"}, s={"$ref": "#/nowhere", "description": "Lost."}),
        of(r={}, s={"description": "Lost."}),
        [],
    ),
    "enums of integers, booleans and null": (
        of(n={"enum": [1, 2]}, yes={"const": True}, maybe={"type": ["string", "null"], "enum": ["x", None]}),
        of(
            n={"type": "integer", "enum": [1, 2]},
            yes={"type": "boolean"},
            maybe={"type": ["string", "null"], "enum": ["x"]},
        ),
        [{"n": 2, "yes": True, "maybe": "x"}],
    ),
    "what older drafts wrote": (
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            **of(
                n={"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False},
                pair={"type": "array", "items": [STRING, {"type": "integer"}]},
            ),
        },
        of(
            n={"type": "number", "exclusiveMinimum": 0, "maximum": 9},
            pair={"type": "array", "prefixItems": [STRING, {"type": "integer"}], "items": {}},
        ),
        [{"n": 1, "pair": ["x", 1]}],
    ),
    "schemas that are true or false": (
        {"type": "object", "properties": {"any": True, "none": False, "list": {"type": "array", "items": True}}},
        of(any={}, list={"type": "array"}),
        [{"any": 1, "list": [1]}],
    ),
    "a pattern that is none": (
        of(r={"type": "string", "pattern": "(?<a>"}, s={"type": "string", "pattern": "[0-9]{4}"}),
        of(r=STRING, s={"type": "string", "pattern": "[0-9]{4}"}),
        [],
    ),
    "parts that are merged": (
        of(both={"allOf": [of(a=STRING), {"$ref": "#/$defs/More"}]}) | {"$defs": {"More": {"required": ["a"]}}},
        of(both={**of(a=STRING), "required": ["a"]}),
        [{"both": {"a": "x"}}],
    ),
    "what is not JSON Schema": (
        {"properties": {"a": {"type": "any"}, "b": {"type": "object", "required": "x"}}, "required": "a"},
        of(a={}, b={"type": "object"}),
        [],
    ),
    "properties that are none": ({"type": "object", "properties": [1]}, of(), []),
    "references that lead to themselves": (
        of(a={"$ref": "#/properties/a"}, b={"$ref": "#/$defs/x"}) | {"$defs": {"x": {"$ref": "#/$defs/x"}}},
        of(a={}, b={}),
        [],
    ),
    "references where providers do not look": (
        of(a={"type": "object", "unevaluatedProperties": False}, b={"$dynamicRef": "#up"})
        | {"dependencies": {"a": {"$ref": "#/definitions/gone"}}},
        of(a={"type": "object"}, b={}),
        [],
    ),
    "nothing at all": ({}, of(), [{}]),
}


@pytest.mark.parametrize(("schema", "wanted", "arguments"), CASES.values(), ids=CASES)
def test_a_schema_means_the_same_in_words_that_every_provider_knows(schema, wanted, arguments):
    before = copy.deepcopy(schema)
    result = portable(schema)
    assert result == wanted
    assert schema == before, "the server's own schema is what arguments are checked against"
    assert not {"oneOf", "anyOf", "allOf", "enum", "not", "$ref"} & set(result)
    Draft202012Validator.check_schema(result)
    if "pattern" not in str(schema):
        for given in arguments:
            validators.validator_for(schema, default=Draft202012Validator)(schema).validate(given)
            Draft202012Validator(result).validate(given)
    assert portable(result) == result


def test_names_of_arguments_are_made_fit_for_every_provider_and_turned_back():
    schema = of(
        **{"$filter": STRING, "_filter": STRING, "größe": {"type": "integer"}, "x" * 70: STRING, "a.b-c": STRING}
    )
    schema["required"] = ["größe", "a.b-c"]
    shown = portable(schema)
    assert list(shown["properties"]) == ["_filter_2", "_filter", "gr__e", "x" * 60, "a.b-c"]
    assert shown["required"] == ["gr__e", "a.b-c"]
    given = {"_filter_2": "p", "_filter": "q", "gr__e": 3, "a.b-c": "r"}
    assert with_own_names(schema, given) == {"$filter": "p", "_filter": "q", "größe": 3, "a.b-c": "r"}
    assert with_own_names(schema, {"größe": 3, "new": 1}) == {"größe": 3, "new": 1}


def test_a_schema_without_a_bottom_allows_anything_there():
    schema: dict = {}
    inner = schema
    for _ in range(2000):
        inner["properties"] = {"x": {}}
        inner = inner["properties"]["x"]
    Draft202012Validator.check_schema({"properties": {}})
    assert portable(schema)["type"] == "object"
