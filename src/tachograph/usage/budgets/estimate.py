"""The largest likely cost of a call that is about to be made.

Prompt: the length of the text asked with, at the tokens per character seen lately (a third of a token before any was
seen), and where it holds more than can be measured here, as much as was seen beyond the text. Completion: what the
request allows, or the most seen lately with this model and these labels; times the answers asked for. Sound that is to
be written down: as long as its file may last. Images and videos that are billed by number: what the request asks for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tachograph.records.cost import Cost
from tachograph.records.reservation import Asked
from tachograph.records.sound import MOST_SECONDS
from tachograph.records.usage import Usage

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall

_FIRST_RATIO: Final = 1 / 3
_FIRST_OUTPUT: Final = 2048
_FIRST_IMAGE: Final = 7024
"""Of a square image of high quality. Source: developers.openai.com/api/docs/guides/image-generation, 2026-11-27."""
_HEARD_PER_SECOND: Final = 20
_SAID_PER_SECOND: Final = 10
"""Tokens of a second of speech, as sound and as text: at least what makes $0.003 a minute of each, as others measured.
Source: halfpower.work/?p=3800, of gpt-4o-mini-transcribe, read 2026-11-27."""
_MOST_RATIO: Final = 2.0
"""No text has more tokens per character: what is more was not in the text."""
_FADES: Final = 0.02
"""How far the most seen comes down to a lower value with each call."""
_MOST_KEYS: Final = 2048
Pricer = Callable[["LLMCall"], Cost | None]
_Key = tuple[str, str, Any]


class _Seen:
    """What calls of one kind have lately been like, at most."""

    __slots__ = ("beyond", "nano", "output", "ratio")

    def __init__(self) -> None:
        self.ratio = 0.0
        self.beyond = 0.0
        self.output = 0.0
        self.nano = 0.0

    def learn_prompt(self, asked: Asked, tokens: int) -> None:
        """Tokens per character, or what the prompt held beside its text."""
        if asked.is_open:
            self.beyond = _most(self.beyond, max(0.0, tokens - asked.size * (self.ratio or _FIRST_RATIO)))
        elif asked.size >= 64:
            self.ratio = _most(self.ratio, min(tokens / asked.size, _MOST_RATIO))


def _usages(call: LLMCall, asked: Asked, seen: _Seen | None) -> list[Usage]:
    """What the call may use at most, by whatever its model is billed by: the first that has a price counts."""
    if call.operation == "speech":
        return [Usage(tool_uses={"character": asked.size})]
    if call.operation == "transcription":
        return [_written_down(asked.sound_seconds or MOST_SECONDS)]
    items = [Usage(tool_uses=asked.media)] if asked.media else []
    return items if call.operation == "video_generation" else [_tokens(call, asked, seen), *items]


def _tokens(call: LLMCall, asked: Asked, seen: _Seen | None) -> Usage:
    prompt = asked.size * (seen.ratio if seen is not None and seen.ratio else _FIRST_RATIO)
    if asked.is_open and seen is not None:
        prompt += seen.beyond
    output = asked.most_output
    if output is None and seen is not None and seen.output:
        output = int(seen.output)
    if output is None:
        output = _FIRST_IMAGE if call.operation == "image_generation" else _FIRST_OUTPUT
    return Usage(int(prompt) + 1, output * asked.answers)


def _written_down(seconds: float) -> Usage:
    """So much speech, for models that bill the time and for those that bill tokens."""
    heard = math.ceil(seconds * _HEARD_PER_SECOND)
    return Usage(heard, math.ceil(seconds * _SAID_PER_SECOND), {"audio_input": heard}, audio_seconds=seconds)


class Estimates:
    """What calls are likely to cost at most, learned from those that ended."""

    def __init__(self) -> None:
        self._seen: dict[_Key, _Seen] = {}

    def nano_usd(self, call: LLMCall, asked: Asked, pricer: Pricer | None) -> int:
        """The largest likely cost in nano-dollars; 0 where neither a price nor a call like it is known."""
        labels = call.labels
        kind = (call.provider, call.model, None)
        seen = self._seen.get((call.provider, call.model, frozenset(labels.items()))) if labels else None
        if seen is None:
            seen = self._seen.get(kind)
        is_unseen = call.operation == "transcription" and asked.sound_seconds is None
        if pricer is not None and not (is_unseen and seen is not None and seen.nano):
            if asked.tier or asked.speed:
                call.service_tier, call.speed = asked.tier, asked.speed
            try:
                for usage in _usages(call, asked, seen):
                    call.usage = usage
                    cost = pricer(call)
                    if cost is not None and cost.nano_usd:
                        return cost.nano_usd
            finally:
                call.usage = call.service_tier = call.speed = None
        return int(seen.nano) if seen is not None else 0

    def learn(self, call: LLMCall, asked: Asked | None) -> None:
        """Note what a finished call was like."""
        usage = call.usage
        for labels in (None, frozenset(call.labels.items())) if call.labels else (None,):
            key = (call.provider, call.model, labels)
            seen = self._seen.get(key)
            if seen is None:
                if len(self._seen) >= _MOST_KEYS:
                    self._seen.clear()
                seen = self._seen[key] = _Seen()
            if usage is not None and usage.output_tokens:
                seen.output = _most(seen.output, usage.output_tokens / (1 if asked is None else asked.answers))
            if usage is not None and usage.input_tokens and asked is not None:
                seen.learn_prompt(asked, usage.input_tokens)
            if call.cost is not None and call.cost.nano_usd:
                seen.nano = _most(seen.nano, call.cost.nano_usd)


def _most(most: float, value: float) -> float:
    return value if value >= most else most - (most - value) * _FADES
