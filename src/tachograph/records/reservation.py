"""What a call asks for before it is sent, and the money that is held for it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

_MEDIA_TOKENS: Final = 1500
"""Of an image, about: https://platform.claude.com/docs/en/build-with-claude/vision, checked 2026-11-20."""
_LIMITS: Final = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_PROMPTS: Final = ("messages", "input", "contents", "prompt", "system", "instructions", "tools")
_MEDIA: Final = frozenset(
    {"image", "image_url", "input_image", "input_audio", "input_file", "document", "file", "inline_data", "inlineData"}
)


class Asked:
    """What a request asks for, as far as its cost depends on it.

    Attributes:
        size: Characters of the prompt; media count as three for each of their tokens.
        most_output: Tokens that the answer may have at most, or None when the request does not say.
    """

    __slots__ = ("most_output", "size")

    def __init__(self, size: int, most_output: int | None) -> None:
        self.size = size
        self.most_output = most_output


class Reservation:
    """Money held for one call until it is settled.

    Attributes:
        nano_usd: How much.
        asked: What it was estimated from.
        accounts: Where it is held; the guard's own.
        holder: The guard's state in the process that made it: a forked child has another.
    """

    __slots__ = ("accounts", "asked", "holder", "nano_usd")

    def __init__(self, nano_usd: int, asked: Asked, accounts: list[Any], holder: Any) -> None:
        self.nano_usd = nano_usd
        self.asked = asked
        self.accounts = accounts
        self.holder = holder

    def __del__(self) -> None:
        """A call that was dropped without an end gives its money back."""
        if self.accounts:
            with suppress(Exception):  # the interpreter may be ending
                self.holder.dropped(self)


@dataclass(frozen=True, slots=True)
class BudgetStep:
    """A part of a budget's limit (0.8 is 80 %) that was spent with a call, for its span."""

    budget: str
    step: float
    spent_usd: Decimal
    limit_usd: Decimal


@dataclass(frozen=True, slots=True)
class BudgetRequest:
    """What your function is asked: may this call be made, although the budget cannot pay its largest likely cost?

    Attributes:
        budget: Its name.
        provider, model, labels: The call's.
        limit_usd, spent_usd, reserved_usd: The budget's, US dollars; reserved by calls under way.
        needs_usd: The call's largest likely cost.
    """

    budget: str
    provider: str
    model: str
    labels: dict[str, str]
    limit_usd: Decimal
    spent_usd: Decimal
    reserved_usd: Decimal
    needs_usd: Decimal


def as_mapping(body: Any) -> Mapping[str, Any] | None:
    """A request's body, or what our engine's Request says, as a mapping."""
    if isinstance(body, Mapping):
        return body
    made = getattr(body, "as_body", None)
    return None if made is None else made()


def asked_of(body: Any) -> Asked:
    """Read a request's body, of whatever vendor: how long the prompt is, and how much may be answered.

    Args:
        body: The JSON object that is sent, google-genai's keyword arguments, or our engine's Request.
    """
    body = as_mapping(body)
    if body is None:
        return Asked(0, None)
    size = 0
    for name in _PROMPTS:
        part = body.get(name)
        if part is not None:
            size += len(part) if type(part) is str else _size(part)
    most = None
    for name in _LIMITS:
        most = body.get(name)
        if most is not None:
            break
    else:
        config = body.get("config") or body.get("generation_config") or body.get("generationConfig")
        if config is not None:
            most = _field(config, "max_output_tokens") or _field(config, "maxOutputTokens")
            instruction = _field(config, "system_instruction")
            size += len(instruction) if type(instruction) is str else 0
    if type(most) is not int:
        return Asked(size, None)
    answers = body.get("n")
    most = most * answers if type(answers) is int and answers > 1 else most
    return Asked(size, most)


def _size(part: Any) -> int:
    """Characters of all text inside; media count as so many tokens."""
    size, waiting = 0, [part]
    while waiting:
        part = waiting.pop()
        kind = type(part)
        if kind is str:
            size += len(part)
        elif kind is dict:
            content = part.get("content")
            if type(content) is str:  # most messages
                size += len(content) + 12
            elif part.get("type") in _MEDIA or not _MEDIA.isdisjoint(part):
                size += 3 * _MEDIA_TOKENS
            else:
                waiting.extend(part.values())
        elif kind is list or kind is tuple:
            waiting.extend(part)
        elif part is None or kind in (int, float, bool):
            size += 4
        elif kind is bytes:
            size += 3 * _MEDIA_TOKENS
        else:  # a model of the vendor's SDK
            inner = getattr(part, "__dict__", None)
            if inner:
                waiting.extend(value for value in inner.values() if value is not None)
            else:  # a dataclass of ours
                waiting.extend(getattr(part, name, None) for name in getattr(kind, "__slots__", ()))
    return size


def _field(config: Any, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
