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


def test_a_definition_in_each_format():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "enum": [1, 2]}}, "required": ["n"]}
    assert FORMATS["openai"]("w", "d", schema) == {
        "type": "function",
        "function": {"name": "w", "description": "d", "parameters": schema},
    }
    assert FORMATS["openai_responses"]("w", "d", schema) == {
        "type": "function",
        "name": "w",
        "description": "d",
        "parameters": schema,
        "strict": False,
    }
    assert FORMATS["anthropic"]("w", "d", schema) == {"name": "w", "description": "d", "input_schema": schema}
    assert FORMATS["gemini"]("w", "d", schema) == {"name": "w", "description": "d", "parameters_json_schema": schema}


def test_a_tool_without_arguments():
    assert gemini("now", "The time.", {"type": "object"}) == {"name": "now", "description": "The time."}
    assert FORMATS["anthropic"]("now", "d", {})["input_schema"] == {"type": "object", "properties": {}}


def test_the_sdks_take_the_definitions():
    from anthropic.types import ToolParam
    from google.genai import types
    from openai.types.chat import ChatCompletionFunctionToolParam
    from pydantic import TypeAdapter

    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}}
    declaration = types.FunctionDeclaration.model_validate(gemini("weather", "Tell it.", schema))
    assert declaration.parameters_json_schema["properties"]["n"] == {"type": "integer", "enum": [1, 2]}
    TypeAdapter(ChatCompletionFunctionToolParam).validate_python(FORMATS["openai"]("weather", "Tell it.", schema))
    TypeAdapter(ToolParam).validate_python(FORMATS["anthropic"]("weather", "Tell it.", schema))


@pytest.mark.parametrize(("name", "safe"), [("git.log", "git_log"), ("9lives", "_9lives"), ("x" * 80, "x" * 64)])
def test_names_are_made_fit_for_every_provider(name, safe):
    assert safe_name(name) == safe
