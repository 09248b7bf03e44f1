"""YAML for configuration files: only what they need, and the same text each time.

Strings are quoted unless they cannot be anything but a string; several lines become a literal block. Checked in the
tests against PyYAML; written here because four cases do not warrant a dependency in every installation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z_/][\w./-]*\Z")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def dump(value: Mapping[str, Any], comment: str = "") -> str:
    """One document: mappings, sequences, strings, numbers, booleans and None."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    return head + "\n".join(_block(value, 0)) + "\n"


def _block(value: Mapping[str, Any] | Sequence[Any], depth: int) -> list[str]:
    pad = "  " * depth
    lines: list[str] = []
    if isinstance(value, Mapping):
        for key, item in value.items():
            lines += _entry(f"{pad}{_scalar(str(key))}:", item, depth)
        return lines
    for item in value:
        if isinstance(item, Mapping) and item:
            inner = _block(item, depth + 1)
            lines += [f"{pad}- {inner[0].lstrip(' ')}", *inner[1:]]
        else:
            lines += _entry(f"{pad}-", item, depth)
    return lines


def _entry(start: str, item: object, depth: int) -> list[str]:
    if isinstance(item, Mapping | list | tuple):
        if not item:
            return [f"{start} {'{}' if isinstance(item, Mapping) else '[]'}"]
        return [start, *_block(item, depth + 1)]
    if isinstance(item, str) and _is_literal(item):
        pad = "  " * (depth + 1)
        return [f"{start} |-", *(pad + line if line else "" for line in item.split("\n"))]
    return [f"{start} {_scalar(item)}"]


def _is_literal(text: str) -> bool:
    """Whether a block can hold it: several lines, none of them with blanks at its start or end that would be lost."""
    lines = text.split("\n")
    return (
        len(lines) > 1
        and bool(lines[-1])
        and lines[0][:1] not in ("", " ")
        and all(line.isprintable() for line in lines)
    )


def _scalar(item: object) -> str:
    if item is None:
        return "null"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return f"{item:g}" if isinstance(item, float) else str(item)
    text = str(item)
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    if "'" not in text and "\n" not in text and text.isprintable():
        return f"'{text}'"
    return _quoted(text)


def _quoted(text: str) -> str:
    out = ['"']
    for character in text:
        if character in '"\\':
            out.append("\\" + character)
        elif character == "\n":
            out.append("\\n")
        elif character == "\t":
            out.append("\\t")
        elif character.isprintable():
            out.append(character)
        else:
            code = ord(character)
            out.append(f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}")
    return "".join(out) + '"'
