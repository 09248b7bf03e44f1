"""Attributes and numbers of OTLP, from the dictionaries of either encoding."""

from __future__ import annotations

import binascii
from typing import Any

MAX_ATTRIBUTES = 128
MAX_VALUE = 4096


def attributes(pairs: object, depth: int = 0) -> dict[str, Any]:
    """Turn a list of KeyValue into a dictionary; long text is shortened, and so is a long list."""
    out: dict[str, Any] = {}
    for pair in (pairs or [])[:MAX_ATTRIBUTES] if isinstance(pairs, list) else []:
        if isinstance(pair, dict) and isinstance(pair.get("key"), str):
            out[pair["key"][:256]] = any_value(pair.get("value"), depth)
    return out


def any_value(value: object, depth: int = 0) -> object:
    """Turn an AnyValue into a plain value."""
    if not isinstance(value, dict) or depth > 8:
        return None
    for name, found in value.items():
        if name == "stringValue":
            text = str(found)
            return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"
        if name == "boolValue":
            return bool(found)
        if name == "intValue":
            return integer(found)
        if name == "doubleValue":
            return number(found)
        if name == "arrayValue":
            values = found.get("values") or [] if isinstance(found, dict) else []
            return [any_value(one, depth + 1) for one in values[:64]]
        if name == "kvlistValue":
            return attributes(found.get("values") if isinstance(found, dict) else None, depth + 1)
        if name == "bytesValue":
            return str(found)[:MAX_VALUE]
    return None


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a list; nothing of what is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def integer(value: object) -> int | None:
    """Read an integer that JSON may carry as text."""
    try:
        return int(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def number(value: object) -> float:
    """Read a number that JSON may carry as text ("NaN", "Infinity")."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else float("nan")
    except (ValueError, OverflowError):
        return float("nan")


def hex_id(value: object, length: int) -> str:
    """Read an id as lowercase hex of `length` bytes, or "" when it is none or all zero."""
    text = str(value or "").lower()
    if len(text) != 2 * length:
        return ""
    try:
        raw = binascii.unhexlify(text)
    except (binascii.Error, ValueError):
        return ""
    return text if any(raw) else ""
