"""Reads samples out of the Prometheus text format and OpenMetrics: the one reader of what a /metrics page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_LINE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{(?:[^\"}]|\"(?:\\.|[^\"\\])*\")*\})?[ \t]+(\S+)(?:[ \t]+(-?[0-9.eE+]+))?"
)
_PAIR = re.compile(r"\s*,?\s*([a-zA-Z_][a-zA-Z0-9_]*|\"(?:\\.|[^\"\\])*\")\s*=\s*\"((?:\\.|[^\"\\])*)\"")
_QUOTED_NAME = re.compile(r"\{\s*\"((?:\\.|[^\"\\])*)\"\s*(?=[,}])")
_ESCAPE = re.compile(r"\\(.)")


class SampleLine(NamedTuple):
    """One line: the name, the text of its labels in their braces, and the value's text."""

    name: str
    pairs: str
    value: str


def sample(line: str) -> SampleLine | None:
    """What a line says that is neither empty nor a comment; None when a quoted name has no value.

    Raises:
        ValueError: It is not in the format.
    """
    found = _LINE.match(line)
    if found is None:
        quoted = _QUOTED_NAME.match(line)
        if quoted is None:
            raise ValueError(f"not a sample: {line[:120]!r}")
        found = _LINE.match(unescape(quoted.group(1)) + "{" + line[quoted.end() :].lstrip(", "))
        if found is None:
            return None
    return SampleLine(found[1], found[2] or "", found[3])


def labels_of(pairs: str) -> dict[str, str]:
    """The labels that the text in braces names."""
    return {
        unescape(name[1:-1]) if name[0] == '"' else name: unescape(value) for name, value in _PAIR.findall(pairs[1:])
    }


def number(text: str) -> float:
    """A value.

    Raises:
        ValueError: It is none.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"not a number: {text[:40]!r}") from None


def unescape(text: str) -> str:
    """A label's value as it was before it was written down."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda found: "\n" if found.group(1) == "n" else found.group(1), text)


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of every sample line; lines that are none are passed over."""
    for line in text.split("\n"):
        if not line or line.isspace() or line[0] == "#":
            continue
        try:
            found = sample(line)
            if found is not None:
                yield found.name, labels_of(found.pairs), number(found.value)
        except ValueError:
            continue
