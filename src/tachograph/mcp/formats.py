"""Tool definitions in each provider's own format. One entry in `FORMATS` per format.

Sources, read 2026-11-23: the request types of openai 3.54 (`ChatCompletionFunctionToolParam`, `FunctionToolParam`),
anthropic 2.12 (`ToolParam`) and google-genai 3.4 (`FunctionDeclaration`, `Schema`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tachograph.mcp.schemas import portable

Definition = dict[str, Any]

_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
NAME_LIMIT: Final = 64
"""Longest tool name that every provider takes; letters, digits, `_` and `-` only."""


def safe_name(name: str) -> str:
    """A tool name that every provider takes."""
    name = _NAME.sub("_", name)[:NAME_LIMIT]
    return name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"[:NAME_LIMIT]


def openai_chat(name: str, description: str, schema: dict[str, Any]) -> Definition:
    """For `tools` of Chat Completions."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": portable(schema)}}


def openai_responses(name: str, description: str, schema: dict[str, Any]) -> Definition:
    """For `tools` of Responses. Not strict: strict mode forbids optional arguments, which MCP tools have."""
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": portable(schema),
        "strict": False,
    }


def anthropic(name: str, description: str, schema: dict[str, Any]) -> Definition:
    """For `tools` of Messages."""
    return {"name": name, "description": description, "input_schema": portable(schema)}


def gemini(name: str, description: str, schema: dict[str, Any]) -> Definition:
    """For `function_declarations`: no parameters where there are none.

    In JSON Schema, not in Gemini's own `Schema`, whose enums are strings: an integer would come back as a string.
    """
    definition: Definition = {"name": name, "description": description}
    parameters = portable(schema)
    if parameters["properties"] or "additionalProperties" in parameters:
        definition["parameters_json_schema"] = parameters
    return definition


FORMATS: Final[dict[str, Callable[[str, str, dict[str, Any]], Definition]]] = {
    "openai": openai_chat,
    "openai_responses": openai_responses,
    "anthropic": anthropic,
    "gemini": gemini,
}
