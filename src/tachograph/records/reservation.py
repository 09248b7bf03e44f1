"""What a call asks for before it is sent, and the money that is held for it meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from tachograph.records.sound import seconds_at_most

_MEDIA_TOKENS: Final = 1500
"""Of an image, about: https://platform.claude.com/docs/en/build-with-claude/vision, checked 2026-11-20."""
_LIMITS: Final = ("max_output_tokens", "max_completion_tokens", "max_tokens")
_CONFIGS: Final = ("config", "generation_config", "generationConfig", "inferenceConfig")
_PROMPTS: Final = frozenset(("messages", "input", "contents", "prompt", "system", "instructions", "tools"))
_MEDIA: Final = frozenset(
    {"image", "image_url", "input_image", "input_audio", "input_file", "document", "file"}
    | {"inline_data", "inlineData", "file_data", "fileData"}
)
ELSEWHERE: Final = ("previous_response_id", "conversation", "previous_interaction_id")
"""Where a request names what the vendor keeps, and bills again as a part of the prompt."""
_RARE: Final = frozenset((*ELSEWHERE, "file", "n", "service_tier", "speed", "tools"))


class Asked:
    """What a request asks for, as far as its cost depends on it.

    Attributes:
        size: Characters of the prompt; media count as three for each of their tokens.
        most_output: Tokens that one answer may have at most, or None when the request does not say.
        answers: How many answers are asked for (`n`, `candidate_count`).
        is_open: Whether the prompt holds more than can be measured here: media, files, an earlier conversation, what
            the vendor's own tools find.
        sound_seconds: How long the file that is to be written down lasts at most; None where it cannot be seen.
        media: Images or seconds of video that are asked for, by item (`records.media`); None where there are none.
        tier, speed: What the request says about its price, in the vendor's words.
    """

    __slots__ = ("answers", "is_open", "media", "most_output", "size", "sound_seconds", "speed", "tier")

    def __init__(self, size: int, most_output: int | None, is_open: bool = False) -> None:
        self.size = size
        self.most_output = most_output
        self.is_open = is_open
        self.answers = 1
        self.sound_seconds: float | None = None
        self.media: dict[str, int] | None = None
        self.tier: str | None = None
        self.speed: str | None = None

    def say_answers(self, count: object) -> None:
        """So many answers are asked for."""
        if type(count) is int and count > 1:
            self.answers = count

    def say_rest(self, body: Mapping[str, Any]) -> None:
        """Read what few requests say."""
        self.say_answers(body.get("n"))
        if "file" in body:
            self.sound_seconds = seconds_at_most(body["file"])
        tier, speed = body.get("service_tier"), body.get("speed")
        self.tier = tier if type(tier) is str else None
        self.speed = speed if type(speed) is str else None
        tools = body.get("tools")
        if type(tools) is list and any(map(_is_vendors_tool, tools)):
            self.is_open = True
        if any(body.get(name) is not None for name in ELSEWHERE):
            self.is_open = True


class Holder(Protocol):
    """Takes back the money of a call that was dropped without an end."""

    def dropped(self, reservation: Reservation, accounts: list[Any]) -> None: ...


class Reservation:
    """Money held for one call until it is settled.

    Attributes:
        nano_usd: How much.
        asked: What it was estimated from.
        accounts: Where it is held; the guard's own.
        holder: The guard's state in the process that made it: a forked child has another.
    """

    __slots__ = ("accounts", "asked", "holder", "nano_usd")

    def __init__(self, nano_usd: int, asked: Asked, accounts: list[Any], holder: Holder) -> None:
        self.nano_usd = nano_usd
        self.asked = asked
        self.accounts = accounts
        self.holder = holder

    def __del__(self) -> None:
        """A call that was dropped without an end gives its money back.

        Once: a stream that is collected with it makes both reachable again, to record how it ended.
        """
        accounts, self.accounts = self.accounts, []
        if accounts:
            with suppress(Exception):  # the interpreter may be ending
                self.holder.dropped(self, accounts)


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


def as_mapping(body: object) -> Mapping[str, Any] | None:
    """A request's body, or what our engine's Request says, as a mapping."""
    if isinstance(body, Mapping):
        return body
    made = getattr(body, "as_body", None)
    return None if made is None else made()


def asked_of(body: object) -> Asked:
    """Read a request's body, of whatever vendor: how long the prompt is, and how much may be answered.

    Args:
        body: The JSON object that is sent, google-genai's keyword arguments, or our engine's Request.
    """
    body = as_mapping(body)
    if body is None:
        return Asked(0, None)
    texts, media = 0, 0
    for name in _PROMPTS.intersection(body):
        part = body[name]
        if type(part) is str:
            texts += len(part)
        elif part is not None:
            more, found = _size(part)
            texts, media = texts + more, media + found
    most = answers = None
    for name in _LIMITS:
        most = body.get(name)
        if most is not None:
            break
    else:
        config = next((body[name] for name in _CONFIGS if body.get(name)), None)
        if config is not None:
            most = _either(config, "max_output_tokens", "maxOutputTokens") or _field(config, "maxTokens")
            instruction = _either(config, "system_instruction", "systemInstruction")
            texts += len(instruction) if type(instruction) is str else 0
            answers = _either(config, "candidate_count", "candidateCount") or _field(config, "number_of_images")
            media += _either(config, "cached_content", "cachedContent") is not None
    asked = Asked(texts + 3 * _MEDIA_TOKENS * media, most if type(most) is int else None, media > 0)
    if answers is not None:
        asked.say_answers(answers)
    if not _RARE.isdisjoint(body):
        asked.say_rest(body)
    return asked


def _is_vendors_tool(tool: object) -> bool:
    """Whether the vendor runs it, and bills what it finds as a part of the prompt."""
    return type(tool) is dict and tool.get("type", "function") not in ("function", "custom")


def _size(part: Any) -> tuple[int, int]:
    """Characters of all text inside, and how many media."""
    size, media, waiting = 0, 0, [part]
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
                media += 1
            else:
                waiting.extend(part.values())
        elif kind is list or kind is tuple:
            waiting.extend(part)
        elif part is None or kind in (int, float, bool):
            size += 4
        elif kind is bytes:
            media += 1
        else:  # a model of the vendor's SDK
            inner = getattr(part, "__dict__", None)
            if inner:
                waiting.append({name: value for name, value in inner.items() if value is not None})
            else:  # a dataclass of ours
                waiting.extend(getattr(part, name, None) for name in getattr(kind, "__slots__", ()))
    return size, media


def _either(config: object, name: str, camel: str) -> object:
    found = _field(config, name)
    return _field(config, camel) if found is None else found


def _field(config: object, name: str) -> object:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
