"""The shapes that the catalogue has on the page: as structs, as JSON Schema, and as types for the page's modules.

They are made from the catalogue's own dataclasses, so a field that a panel gets reaches the page, and `tsc` checks
there what reads it. `python -m tachograph.console.api.schema FILE` writes the types (`make goldens` does).
"""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from tachograph.catalogue.panels import Annotation, Dashboard, Link, Panel, PanelRow, Variable

_KNOWN: Final = {"Annotation": Annotation, "Link": Link, "Variable": Variable}


def _fields(of: type, **instead: object) -> list[tuple[str, Any]]:
    hints = get_type_hints(of)
    return [(one.name, instead.get(one.name, hints[one.name])) for one in fields(of)]


BoardPanel: Final[Any] = msgspec.defstruct("BoardPanel", [("id", str), *_fields(Panel, colors=dict[str, str])])
BoardRow: Final[Any] = msgspec.defstruct("BoardRow", _fields(PanelRow, panels=tuple[BoardPanel, ...]))
Board: Final[Any] = msgspec.defstruct("Board", _fields(Dashboard, rows=tuple[BoardRow, ...]))


class AlertInstance(msgspec.Struct):
    """One alert that is pending or fires, in the shape of Prometheus' API."""

    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    activeAt: str
    value: str


class AlertRule(msgspec.Struct):
    """A rule in the shape of Prometheus' API, and what people said about it."""

    name: str
    group: str
    query: str
    state: str
    duration: float
    keepFiringFor: float
    labels: dict[str, str]
    annotations: dict[str, str]
    alerts: list[AlertInstance]
    since: float | None
    silenced_until: float | None
    acknowledged: float | None
    lastError: str = ""


SHAPES: Final[tuple[Any, ...]] = (Board, AlertRule)


def schema() -> dict[str, Any]:
    """JSON Schema of a dashboard and of an alert rule, as the page gets them."""
    _, parts = msgspec.json.schema_components(SHAPES)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": dict(sorted(parts.items()))}


def types() -> str:
    """The same shapes as TypeScript declarations."""
    lines = ["// Made from the catalogue by `make goldens`: do not edit.", ""]
    for name, part in schema()["$defs"].items():
        required = set(part.get("required", ()))
        lines.append(f"export interface {name} {{")
        for field, kind in part["properties"].items():
            lines.append(f"  {field}{'' if field in required or 'default' in kind else '?'}: {_type(kind)};")
        lines += ["}", ""]
    return "\n".join(lines)


def _type(kind: dict[str, Any]) -> str:
    if "$ref" in kind:
        return str(kind["$ref"]).rpartition("/")[2]
    if "anyOf" in kind:
        return " | ".join(_type(one) for one in kind["anyOf"])
    if "enum" in kind:
        return " | ".join(f'"{one}"' for one in kind["enum"])
    if kind.get("type") == "array":
        if "prefixItems" in kind:
            return f"[{', '.join(_type(one) for one in kind['prefixItems'])}]"
        inner = _type(kind.get("items", {}))
        return f"({inner})[]" if " " in inner else f"{inner}[]"
    if kind.get("type") == "object":
        return f"Record<string, {_type(kind.get('additionalProperties', {}))}>"
    names = {"integer": "number", "number": "number", "string": "string", "boolean": "boolean", "null": "null"}
    return names.get(str(kind.get("type")), "unknown")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(types(), "utf-8")
