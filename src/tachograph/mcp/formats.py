"""Tool definitions in each provider's own format. One entry in `FORMATS` per format.

Sources, read 2026-11-23: the request types of openai 3.54 (`ChatCompletionFunctionToolParam`, `FunctionToolParam`),
anthropic 2.12 (`ToolParam`) and google-genai 3.4 (`FunctionDeclaration`, `Schema`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

Definition = dict[str, Any]

_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
NAME_LIMIT: Final = 64
"""Longest tool name that every provider takes; letters, digits, `_` and `-` only."""


def safe_name(name: str) -> str:
    """A tool name that every provider takes."""
    name = _NAME.sub("_", name)[:NAME_LIMIT]
    return name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"[:NAME_LIMIT]


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as an object schema: providers want `type` and `properties` said."""
    return {**schema, "type": "object", "properties": schema.get("properties") or {}}


def openai_chat(name: str, description: str, schema: dict[str, Any]) -> Definition:
    """For `tools` of Chat Completions."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": _object(schema)}}


def openai_responses(name: str, description: str, schema: dict[str, Any]) -> Definition:
    """For `tools` of Responses. Not strict: strict mode forbids optional arguments, which MCP tools have."""
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": _object(schema),
        "strict": False,
    }


def anthropic(name: str, description: str, schema: dict[str, Any]) -> Definition:
    """For `tools` of Messages, which refuses `anyOf`, `oneOf` and `allOf` at the top of the schema."""
    top = {key: value for key, value in _object(schema).items() if key not in ("anyOf", "oneOf", "allOf")}
    return {"name": name, "description": description, "input_schema": top}


def gemini(name: str, description: str, schema: dict[str, Any]) -> Definition:
    """For `function_declarations`: no `parameters` where there are none, and only the part of JSON Schema it knows."""
    definition: Definition = {"name": name, "description": description}
    if schema.get("properties"):
        definition["parameters"] = _GeminiSchema(schema).convert(_object(schema))
    return definition


FORMATS: Final[dict[str, Callable[[str, str, dict[str, Any]], Definition]]] = {
    "openai": openai_chat,
    "openai_responses": openai_responses,
    "anthropic": anthropic,
    "gemini": gemini,
}

_GEMINI_COPIED: Final = (
    "title", "description", "default", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems",
    "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
_GEMINI_FORMATS: Final = {
    "STRING": ("enum", "date-time"),
    "NUMBER": ("float", "double"),
    "INTEGER": ("int32", "int64"),
}


class _GeminiSchema:
    """Rewrites a JSON Schema into Gemini's `Schema`, an OpenAPI 3.0 subset: references are put in place (a recursive
    one ends as a plain object), `const` becomes `enum`, `null` becomes `nullable`, `oneOf` becomes `anyOf`, `allOf` is
    merged, enums are strings, and what `Schema` does not know is left out. Arguments are still checked against the
    whole schema, by us and by the server.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._open: list[str] = []  # references being put in place

    def convert(self, schema: Any) -> dict[str, Any]:
        if not isinstance(schema, dict):
            return {"type": "OBJECT"}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if reference in self._open or not isinstance(target := self._resolve(reference), dict):
                return {"type": "OBJECT", **_copied(schema)}
            self._open.append(reference)
            try:
                return self.convert({**target, **{key: value for key, value in schema.items() if key != "$ref"}})
            finally:
                self._open.pop()
        schema = _merged(schema)
        result = _copied(schema)
        alternatives, nullable = self._alternatives(schema)
        if alternatives:
            if len(alternatives) == 1:
                result = {**self.convert(alternatives[0]), **result}
            else:
                result["anyOf"] = [self.convert(alternative) for alternative in alternatives]
        else:
            self._typed(schema, result)
        if nullable:
            result["nullable"] = True
        return result

    def _typed(self, schema: dict[str, Any], result: dict[str, Any]) -> None:
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if values is not None:
            result["type"] = "STRING"
            result["enum"] = [str(value) for value in values if value is not None]
            result.pop("default", None)
            return
        kind = str(schema.get("type") or ("object" if "properties" in schema else "string")).upper()
        result["type"] = kind
        if schema.get("format") in _GEMINI_FORMATS.get(kind, ()):
            result["format"] = schema["format"]
        if kind == "ARRAY":
            items = schema.get("items") or next(iter(schema.get("prefixItems", ())), None)
            result["items"] = self.convert(items) if isinstance(items, dict) else {"type": "STRING"}
        elif kind == "OBJECT" and schema.get("properties"):
            properties = schema["properties"]
            result["properties"] = {name: self.convert(part) for name, part in properties.items()}
            required = [name for name in schema.get("required", ()) if name in properties]
            if required:
                result["required"] = required

    def _alternatives(self, schema: dict[str, Any]) -> tuple[list[dict[str, Any]], bool]:
        """The alternatives of anyOf, oneOf and of a list of types, without `null`, and whether `null` was one."""
        found = schema.get("anyOf") or schema.get("oneOf")
        if found is None and isinstance(schema.get("type"), list):
            found = [{**schema, "type": kind} for kind in schema["type"]]
        if not found:
            return [], bool(schema.get("nullable"))
        rest = [part for part in found if not (isinstance(part, dict) and part.get("type") == "null")]
        return rest, len(rest) < len(found)

    def _resolve(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return self._root if reference == "#" else None
        target: Any = self._root
        for part in reference[2:].split("/"):
            if not isinstance(target, dict):
                return None
            target = target.get(part.replace("~1", "/").replace("~0", "~"))
        return target


def _copied(schema: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = {key: schema[key] for key in _GEMINI_COPIED if key in schema}
    if copied.get("default", 0) is None:
        del copied["default"]
    return copied


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    """`allOf` folded into the schema around it."""
    merged = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema.get("allOf") or ():
        if isinstance(part, dict):
            properties = {**part.get("properties", {}), **merged.get("properties", {})}
            required = [*merged.get("required", ()), *part.get("required", ())]
            merged = {**part, **merged}
            if properties:
                merged["properties"] = properties
            if required:
                merged["required"] = list(dict.fromkeys(required))
    return merged
