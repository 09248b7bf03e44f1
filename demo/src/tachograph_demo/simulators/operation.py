"""What a request asks a simulator for, and the forms an answer goes through on its way to the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from . import seeded
from .script import Answer, AskedRequest, Finish, ToolCall
from .usage import ServedUsage

JSON_HEADERS = {"content-type": "application/json"}


def json_bytes(value: object) -> bytes:
    return msgspec.json.encode(value)


def without_none(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: inner for key, inner in value.items() if inner is not None}


@dataclass(slots=True, kw_only=True)
class Piece:
    """One write of a stream.

    `usage` is the usage reported up to here; None if this piece reports nothing new.
    """

    data: bytes
    is_content: bool = False
    usage: ServedUsage | None = None


@dataclass(slots=True, kw_only=True)
class Filled:
    """An answer with nothing left open, ready to be written in a vendor's format."""

    asked: AskedRequest
    answer: Answer
    text: str
    reasoning: str
    tool_calls: Sequence[ToolCall]
    usage: ServedUsage
    finish: Finish
    model: str
    created: int

    @property
    def body(self) -> dict[str, Any]:
        return self.asked.body if isinstance(self.asked.body, dict) else {}

    def id(self, prefix: str, length: int = 24) -> str:
        return seeded.identifier(self.asked.seed, prefix, length)

    def call_id(self, index: int, prefix: str) -> str:
        given = self.tool_calls[index].id
        return given or seeded.identifier(seeded.number(self.asked.seed, index), prefix)

    def text_pieces(self) -> list[str]:
        return seeded.split_text(self.text, self.answer.pieces)

    def reasoning_pieces(self) -> list[str]:
        return seeded.split_text(self.reasoning, self.answer.pieces)


@dataclass(slots=True, kw_only=True)
class Rendered:
    """A whole (not streamed) answer."""

    body: bytes
    usage: ServedUsage | None
    headers: Mapping[str, str] = field(default_factory=lambda: JSON_HEADERS)
    response_id: str | None = None
    status: int = 200


@dataclass(slots=True, kw_only=True)
class Operation:
    """What a request asks for, with the two ways to answer it."""

    name: str
    model: str
    whole: Callable[[Filled], Rendered]
    stream: Callable[[Filled], Iterable[Piece]] | None = None
    """Given when the request is for a stream."""
    is_scripted: bool = True
    prompt: Sequence[Any] = ()
    """The parts of the body that are counted as prompt."""
    messages: Sequence[Any] = ()
    """The conversation, without what the system says."""
    prefix: Any = None
    """The part of the prompt that a cache may hold."""
    cache_lifetime: str | None = None
    """Anthropic: `5m` or `1h` when the request marks something for the cache."""
    is_cached_by_itself: bool = False
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    must_call_tool: bool | str = False
    output_schema: Mapping[str, Any] | None = None
    wants_reasoning: bool = False
    produces_text: bool = True
