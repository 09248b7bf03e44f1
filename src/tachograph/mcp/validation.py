"""Check a tool's arguments against its JSON Schema before anything is sent."""

from __future__ import annotations

import logging
import threading
from typing import Any

from tachograph.errors import MissingExtraError

logger = logging.getLogger("tachograph.mcp")

_SHOWN = 3


class ArgumentCheck:
    """Checks arguments against one schema, in the dialect that its `$schema` names (2020-12 where it names none).

    References are followed inside the schema only: nothing is ever fetched. A schema that is itself broken, or that
    refers elsewhere, checks nothing, and the server decides.
    """

    __slots__ = ("_lock", "_validator", "schema")

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self._validator: Any = None  # compiled when first needed: many listed tools are never called
        self._lock = threading.Lock()

    def compile(self) -> None:
        """Build the validator now instead of at the first check."""
        with self._lock:
            if self._validator is None:
                self._validator = _compile(self.schema) or False

    def problems(self, arguments: dict[str, Any]) -> list[str]:
        """What is wrong with the arguments, at most a few of it, in words; empty when nothing is."""
        if self._validator is None:
            self.compile()
        validator = self._validator
        if not validator:
            return []
        try:
            errors = sorted(validator.iter_errors(arguments), key=lambda error: list(map(str, error.path)))
        except Exception as error:  # noqa: BLE001 - the schema's fault (a dangling $ref, a bad pattern): the server decides
            logger.warning("a tool's input schema cannot be used to check arguments: %.300s", error)
            self._validator = False
            return []
        problems = list(dict.fromkeys(f"{_path(error.path)}: {_words(error)}" for error in errors))
        if len(problems) > _SHOWN:
            problems[_SHOWN:] = [f"and {len(problems) - _SHOWN} more"]
        return problems


def _path(path: Any) -> str:
    return ".".join(map(str, path)) or "arguments"


_JSON_TYPES = {
    dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null",
}  # fmt: skip


def _words(error: Any) -> str:
    """What is wrong, without the value that is wrong: it may be content, and ends up in logs and on spans."""
    keyword, wanted = error.validator, error.validator_value
    if keyword == "required":
        missing = [name for name in wanted if isinstance(error.instance, dict) and name not in error.instance]
        return "missing " + ", ".join(map(repr, missing))
    if keyword == "type":
        names = " or ".join(wanted) if isinstance(wanted, list) else wanted
        return f"must be {names}, not {_JSON_TYPES.get(type(error.instance), 'something else')}"
    if keyword == "additionalProperties" and wanted is False:
        known = error.schema.get("properties", {})
        return "unknown " + ", ".join(repr(name) for name in error.instance if name not in known)
    if keyword == "enum":
        return "must be one of " + ", ".join(map(repr, wanted[:10])) + (", ..." if len(wanted) > 10 else "")
    shown = f" {wanted!r}" if isinstance(wanted, (str, int, float)) else ""
    return f"does not satisfy {keyword}{shown}"


def _compile(schema: dict[str, Any]) -> object:
    try:
        from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]
        from jsonschema.validators import validator_for  # type: ignore[import-untyped]
        from referencing import Registry
    except ImportError as error:
        raise MissingExtraError("checking tool arguments", "mcp", "jsonschema") from error
    dialect = validator_for(schema, default=Draft202012Validator)
    try:
        dialect.check_schema(schema)
    except SchemaError as error:
        logger.warning("a tool's input schema is not valid JSON Schema: %.300s", error.message)
        return None
    return dialect(schema, registry=Registry())  # an empty registry: no reference is ever fetched
