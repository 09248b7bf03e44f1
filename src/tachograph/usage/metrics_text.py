"""Reads samples out of a /metrics page: only as much of the text format as `ledger verify` needs."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of every sample line; lines that are none are passed over."""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        found = _LINE.match(line)
        if not found:
            continue
        labels = {name: _unescaped(value) for name, value in _LABEL.findall(found[2] or "")}
        try:
            yield found[1], labels, float(found[3])
        except ValueError:
            continue


def _unescaped(text: str) -> str:
    return re.sub(r'\\[n"\\]', lambda found: _ESCAPES[found[0]], text)
