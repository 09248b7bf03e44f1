"""Tools made from registry entries, and their definitions for each provider."""

from __future__ import annotations

import pytest

from support.mcp_servers import stdio_trouble
from tachograph.errors import TachographError
from tachograph.mcp import ToolFactory, ToolValidationError
from tachograph.mcp.formats import FORMATS, gemini, safe_name
from tachograph.records import ERROR_KINDS


async def test_a_made_tool_is_called_like_a_function(web, seen):
    add = await ToolFactory(web.executor).create("add")
    assert seen.series("mcp_tool_errors_total") == {
        (("server_id", "trouble"), ("tool_name", "add"), ("error_kind", kind)): 0 for kind in ERROR_KINDS
    }
    assert (add.name, add.description) == ("add", "Add two numbers.")
    assert (await add(left=1, right=2)).text == "3"
    assert (await add.call({"left": 3, "right": 4}, call_id="call_1")).text == "7"
    assert seen.tool_calls[-1].call_id == "call_1"
    with pytest.raises(ToolValidationError, match="left: must be integer, not string"):
        await add(left="1", right=2)
    assert seen.series("factory_create_seconds_count")[("factory_type", "tool"), ("name", "add")] == 1


async def test_tools_of_one_name_get_their_servers_name_in_front(on, gate, seen):
    async with on({"web": gate.entry, "pipe.one": stdio_trouble()}) as bench:
        tools = {tool.name: tool for tool in await ToolFactory(bench.executor).create_all()}
        assert "echo" not in tools
        assert (await tools["web__echo"](text="a")).text == "a"
        assert (await tools["pipe_one__echo"](text="b")).text == "b"
    assert [call.server_id for call in seen.tool_calls] == ["web", "pipe.one"]


async def test_an_unknown_format_says_which_there_are(web):
    tool = await ToolFactory(web.executor).create("echo")
    with pytest.raises(TachographError, match="openai, openai_responses, anthropic, gemini"):
        tool.definition("openia")


SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1, "examples": ["Ulm"]},
        "days": {"anyOf": [{"type": "integer", "format": "int32"}, {"type": "null"}], "default": None},
        "unit": {"$ref": "#/$defs/Unit"},
        "tags": {"type": ["array", "null"], "items": {"type": "string", "format": "uri"}},
        "mode": {"const": 3},
        "tree": {"$ref": "#/$defs/Tree"},
        "shape": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"x": {"type": "number"}}}]},
        "both": {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"required": ["a"]}]},
    },
    "required": ["city", "absent"],
    "additionalProperties": False,
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "Unit": {"type": "string", "enum": ["C", "F"], "title": "Unit"},
        "Tree": {"type": "object", "properties": {"child": {"$ref": "#/$defs/Tree"}}},
    },
}


def test_gemini_gets_only_what_its_schema_knows():
    assert gemini("weather", "Tell it.", SCHEMA) == {
        "name": "weather",
        "description": "Tell it.",
        "parameters": {
            "type": "OBJECT",
            "properties": {
                "city": {"type": "STRING", "minLength": 1},
                "days": {"type": "INTEGER", "format": "int32", "nullable": True},
                "unit": {"type": "STRING", "enum": ["C", "F"], "title": "Unit"},
                "tags": {"type": "ARRAY", "items": {"type": "STRING"}, "nullable": True},
                "mode": {"type": "STRING", "enum": ["3"]},
                "tree": {"type": "OBJECT", "properties": {"child": {"type": "OBJECT"}}},
                "shape": {"anyOf": [{"type": "STRING"}, {"type": "OBJECT", "properties": {"x": {"type": "NUMBER"}}}]},
                "both": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]},
            },
            "required": ["city"],
        },
    }


def test_gemini_gets_no_parameters_where_there_are_none():
    assert gemini("now", "The time.", {"type": "object", "properties": {}}) == {
        "name": "now",
        "description": "The time.",
    }


def test_the_sdks_take_the_definitions():
    from google.genai import types
    from openai.types.chat import ChatCompletionFunctionToolParam
    from pydantic import TypeAdapter

    declaration = types.FunctionDeclaration.model_validate(gemini("weather", "Tell it.", SCHEMA))
    assert declaration.parameters is not None
    assert declaration.parameters.properties["city"].type is types.Type.STRING
    chat = FORMATS["openai"]("weather", "Tell it.", SCHEMA)
    TypeAdapter(ChatCompletionFunctionToolParam).validate_python(chat)
    assert FORMATS["openai_responses"]("w", "d", {}) == {
        "type": "function",
        "name": "w",
        "description": "d",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }
    top = FORMATS["anthropic"]("w", "d", {"anyOf": [{"required": ["a"]}], "properties": {"a": {"type": "string"}}})
    assert top["input_schema"] == {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(("name", "safe"), [("git.log", "git_log"), ("9lives", "_9lives"), ("x" * 80, "x" * 64)])
def test_names_are_made_fit_for_every_provider(name, safe):
    assert safe_name(name) == safe
