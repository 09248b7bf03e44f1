"""A tool's input schema in the part of JSON Schema that every provider takes.

A server may describe its arguments in any dialect and by any keyword; providers refuse a whole request for one schema
that they do not know. What is rewritten here means the same to a model or allows more, so that arguments go back to the
server as the model gave them; they are checked against the server's own schema. Rewritten are:

- `oneOf`, `anyOf`, `allOf` and `$ref` at the top, which OpenAI and Anthropic refuse: one object with every property;
- references: into `$defs`, where each provider looks; one that leads out of the schema allows anything;
- `allOf`, which Gemini does not know: merged; `const`: an `enum` of one; an `enum` of booleans: any boolean;
- what older drafts wrote otherwise: `exclusiveMinimum: true`, a list of `items`; schemas that are `true` or `false`;
- names of arguments that Anthropic refuses (`$filter`, `größe`): their other characters become `_`, and
  `with_own_names` turns them back; those in nested objects, items and `$defs` it takes as they are;
- a `pattern` that is no regular expression here (JavaScript's named groups are not): left out.

Sources, read 2026-11-27 and 28: the refusals that OpenAI and Anthropic send (`langchain-ai/langchainjs` issue 9804,
`anthropics/claude-code` issue 5319), that names are checked at the top only (`decocms/studio` pull request 6874;
measured in issue 709 of `aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws`),
google-genai 3.6 (`FunctionDeclaration.parameters_json_schema`, `_mcp_utils.py`), and JSON Schema 2020-12 with the
migration notes of drafts 4 to 7.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

Schema = dict[str, Any]

_ONE_SCHEMA: Final = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
_SCHEMAS: Final = ("anyOf", "oneOf", "prefixItems")
_NAMED_SCHEMAS: Final = ("properties", "patternProperties", "dependentSchemas")
_LEFT_OUT: Final = frozenset(
    {"$schema", "$id", "id", "$anchor", "$comment", "$defs", "definitions", "allOf", "dependencies", "$dynamicRef"}
    | {"$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "unevaluatedProperties", "unevaluatedItems"}
)
_DEPTH: Final = 200
"""A schema nested deeper than this allows anything there."""


def portable(schema: Schema) -> Schema:
    """The schema as one that every provider takes: an object with properties, and `$defs` if it needs them."""
    rewriting = _Rewriting(schema)
    top = rewriting.top()
    names = _names_for_models(top["properties"])
    top["properties"] = {names[name]: part for name, part in top["properties"].items()}
    if "required" in top:
        top["required"] = [names.get(name, name) for name in top["required"]]
    return {**top, "$defs": rewriting.definitions} if rewriting.definitions else top


def with_own_names(schema: Schema, arguments: dict[str, Any]) -> dict[str, Any]:
    """A model's arguments under the names that the server's schema has for them; `portable` may have changed some."""
    known = schema.get("properties")
    if isinstance(known, dict) and arguments.keys() <= known.keys():
        return arguments
    names = {given: own for own, given in _names_for_models(_Rewriting(schema).top()["properties"]).items()}
    return {names.get(name, name): value for name, value in arguments.items()}


def _names_for_models(properties: Iterable[str]) -> dict[str, str]:
    """Names of arguments as Anthropic takes them, the others take more: by those that the server has."""
    names = {name: name for name in properties if _NAME.fullmatch(name)}
    taken = set(names)
    for name in properties:
        if name not in names:
            fit, number = re.sub(r"[^a-zA-Z0-9_.-]", "_", name)[:60] or "_", 2
            unique = fit
            while unique in taken:
                unique, number = f"{fit}_{number}", number + 1
            taken.add(unique)
            names[name] = unique
    return names


_NAME: Final = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


class _Rewriting:
    """One schema being rewritten.

    Attributes:
        definitions: What is referred to, by the names that references have now.
    """

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._names: dict[str, str] = {}  # of definitions, by the references that the server wrote
        self._depth = 0
        self.definitions: dict[str, Schema] = {}

    def top(self) -> Schema:
        schema = self._in_place(self._root)
        branches = [self._in_place(branch) for key in ("oneOf", "anyOf") for branch in schema.get(key) or ()]
        branches = [branch for branch in branches if branch.get("type", "object") == "object"]
        rest = {key: value for key, value in schema.items() if key not in ("oneOf", "anyOf", "not", "enum")}
        top = self.rewrite({**rest, "type": "object", "properties": _named(rest)})
        top.setdefault("properties", {})
        if branches:
            self._join(top, [self.rewrite({"type": "object", **branch}) for branch in branches])
        return top

    def _in_place(self, schema: object) -> Schema:
        """A schema with its own `$ref` and `allOf` resolved."""
        seen: set[str] = set()
        while isinstance(schema, dict):
            reference = schema.get("$ref")
            if isinstance(reference, str) and reference not in seen:
                seen.add(reference)
                target = self._target(reference)
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**target, **rest} if isinstance(target, dict) else rest
            elif schema.get("allOf"):
                schema = self._merged(schema)
            else:
                return schema
        return {}

    def _join(self, top: Schema, branches: list[Schema]) -> None:
        """Put the alternatives of the whole into one object: each property is optional that one of them lacks."""
        properties: dict[str, list[Schema]] = {name: [part] for name, part in _named(top).items()}
        for branch in branches:
            for name, part in _named(branch).items():
                known = properties.setdefault(name, [])
                if part not in known and name not in _named(top):
                    known.append(part)
        top["properties"] = {
            name: parts[0] if len(parts) == 1 else {"anyOf": parts} for name, parts in properties.items()
        }
        always = set.intersection(*(set(branch.get("required", ())) for branch in branches))
        required = [name for name in properties if name in always or name in top.get("required", ())]
        top.pop("required", None)
        if required:
            top["required"] = required
        sets = [", ".join(branch.get("required", ())) or "nothing more" for branch in branches]
        if len(set(sets)) > 1:
            hint = f"Give one of these sets of properties: {'; or '.join(dict.fromkeys(sets))}."
            top["description"] = f"{top['description']} {hint}" if top.get("description") else hint

    def rewrite(self, schema: object) -> Schema:
        if not isinstance(schema, dict) or self._depth > _DEPTH:
            return {}
        self._depth += 1
        try:
            return self._rewritten(schema)
        finally:
            self._depth -= 1

    def _rewritten(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._refer(reference, {key: value for key, value in schema.items() if key != "$ref"})
        if schema.get("allOf"):
            schema = self._merged(schema)
            if "$ref" in schema:
                return self.rewrite(self._in_place(schema))
        result = {key: value for key, value in schema.items() if key not in _LEFT_OUT}
        _rewrite_plain(result)
        self._rewrite_inner(result)
        return result

    def _rewrite_inner(self, result: Schema) -> None:
        """The schemas inside one, in place; a property or alternative that nothing fits (`false`) goes."""
        for key in _ONE_SCHEMA:
            if isinstance(result.get(key), dict):
                result[key] = self.rewrite(result[key])
        for key in _SCHEMAS:
            if isinstance(result.get(key), list):
                result[key] = [self.rewrite(part) for part in result[key] if part is not False]
        for key in _NAMED_SCHEMAS:
            if isinstance(result.get(key), dict):
                result[key] = {name: self.rewrite(part) for name, part in result[key].items() if part is not False}

    def _refer(self, reference: str, beside: Schema) -> Schema:
        name = self._names.get(reference)
        if name is None:
            target = self._end_of_links(reference)
            if not isinstance(target, dict):
                return self.rewrite(beside)
            name = self._names[reference] = self._name(reference)
            self.definitions[name] = {}  # a definition may refer to itself
            self.definitions[name] = self.rewrite(target)
        told = {key: value for key, value in self.rewrite(beside).items() if key in ("title", "description", "default")}
        link = {"$ref": f"#/$defs/{name}"}
        return {"anyOf": [link], **told} if told else link

    def _end_of_links(self, reference: str) -> Any:
        """What a reference leads to over definitions that are nothing but references; None when in a circle."""
        target, seen = self._target(reference), {reference}
        while isinstance(target, dict) and target.keys() == {"$ref"}:
            if target["$ref"] in seen or not isinstance(target["$ref"], str):
                return None
            seen.add(target["$ref"])
            target = self._target(target["$ref"])
        return target

    def _name(self, reference: str) -> str:
        wanted = re.sub(r"[^A-Za-z0-9_-]", "_", reference.rpartition("/")[2]) or "root"
        name, number = wanted, 2
        while name in self.definitions:
            name, number = f"{wanted}_{number}", number + 1
        return name

    def _target(self, reference: str) -> Any:
        """What a reference leads to inside of the schema; None when it leads out of it or nowhere."""
        if not reference.startswith("#"):
            return None
        pointer = unquote(reference[1:])
        if pointer and not pointer.startswith("/"):
            return _anchored(self._root, pointer)
        target: Any = self._root
        for part in pointer.split("/")[1:]:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and part.isdigit() and int(part) < len(target):
                target = target[int(part)]
            elif isinstance(target, dict):
                target = target.get(part)
            else:
                return None
        return target

    def _merged(self, schema: Schema) -> Schema:
        """`allOf` folded into the schema around it."""
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            part = self._in_place(part) if isinstance(part, dict) else {}
            properties = {**part.get("properties", {}), **merged.get("properties", {})}
            required = [*merged.get("required", ()), *part.get("required", ())]
            merged = {**part, **merged}
            if properties:
                merged["properties"] = properties
            if required:
                merged["required"] = list(dict.fromkeys(required))
        return merged


def _named(schema: Schema) -> dict[str, Any]:
    """The properties of a schema; none where what stands there is no object."""
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _anchored(schema: object, anchor: str) -> object:
    parts: Iterable[Any] = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    if isinstance(schema, dict) and schema.get("$anchor") == anchor:
        return schema
    return next((found for part in parts if (found := _anchored(part, anchor)) is not None), None)


def _rewrite_plain(result: Schema) -> None:
    """What of a schema is no schema itself, in place."""
    if "const" in result:
        result["enum"] = [result.pop("const")]
    _rewrite_enum(result)
    _rewrite_bounds(result)
    if isinstance(result.get("items"), list):  # before 2020-12
        result["prefixItems"], result["items"] = result["items"], result.pop("additionalItems", {})
    if isinstance(result.get("items"), bool):
        del result["items"]
    if "pattern" in result and not _is_pattern(result["pattern"]):
        del result["pattern"]
    if not isinstance(result.get("required", []), list):  # draft 3 has it on the property itself
        del result["required"]
    _rewrite_type(result)


def _rewrite_type(schema: Schema) -> None:
    """Leave out types that JSON Schema does not have (`any`)."""
    given = schema.get("type")
    known = [name for name in (given if isinstance(given, list) else [given]) if name in _TYPE_NAMES]
    if given is not None and known != given and known != [given]:
        del schema["type"]


def _rewrite_enum(schema: Schema) -> None:
    """Leave strings and numbers in an enum, and say of what type they are."""
    values = schema.get("enum")
    if not isinstance(values, list):
        schema.pop("enum", None)
        return
    types = list(dict.fromkeys(_TYPES[type(value)] for value in values if type(value) in _TYPES))
    if "type" not in schema and types:
        schema["type"] = types[0] if len(types) == 1 else types
    schema["enum"] = [value for value in values if type(value) in (str, int, float)]
    if not schema["enum"] or any(isinstance(value, (bool, dict, list)) for value in values):
        del schema["enum"]


_TYPE_NAMES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
_TYPES: Final = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def _rewrite_bounds(schema: Schema) -> None:
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:  # draft 4
            schema[exclusive] = schema.pop(bound)


def _is_pattern(pattern: Any) -> bool:
    try:
        re.compile(pattern)
    except (re.error, TypeError, RecursionError):
        return False
    return True
