"""Bytes of a streamed answer, cut into lines or frames as they come.

The pieces of one that is not whole yet are joined once, when its end has come: an answer with a picture in one line of
20 MB takes as long as its bytes, and not as long as their square.
"""

from __future__ import annotations

from typing import Any

from tachograph.vendors.bedrock.frames import PRELUDE, length
from tachograph.vendors.loose import loads


class Lines:
    """Cuts at newlines, which are left out."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now."""
        lines = data.split(b"\n")
        if len(lines) == 1:
            self._rest.append(data)
            return []
        if self._rest:
            self._rest.append(lines[0])
            lines[0] = b"".join(self._rest)
            self._rest.clear()
        last = lines.pop()
        if last:
            self._rest.append(last)
        return lines


class Frames:
    """Cuts Amazon's event streams into frames; what is no frame is left out, with all that came with it."""

    __slots__ = ("_rest", "_size", "_wanted")

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self._wanted = PRELUDE

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now."""
        self._rest.append(data)
        self._size += len(data)
        if self._size < self._wanted:
            return []
        data = b"".join(self._rest)
        frames: list[bytes] = []
        at = size = 0
        try:
            while (size := length(data[at : at + PRELUDE])) and at + size <= len(data):
                frames.append(data[at : at + size])
                at += size
        except ValueError:
            at = len(data)
        rest = data[at:]
        self._rest = [rest] if rest else []
        self._size, self._wanted = len(rest), size or PRELUDE
        return frames


def opened(line: bytes) -> Any:
    """What a line says; None when it is not JSON."""
    try:
        return loads(line)
    except (ValueError, RecursionError):
        return None
