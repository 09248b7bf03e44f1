"""The largest likely cost of a call that is about to be made.

Prompt: the length of the text asked with, at the tokens per character seen lately (a third of a token before any was
seen). Completion: what the request allows, or the most seen lately with this model and these labels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tachograph.records.cost import Cost
from tachograph.records.reservation import Asked
from tachograph.records.usage import Usage

if TYPE_CHECKING:
    from tachograph.records.llm_call import LLMCall

_FIRST_RATIO: Final = 1 / 3
_FIRST_OUTPUT: Final = 2048
_FADES: Final = 0.02
"""How far the most seen comes down to a lower value with each call."""
_MOST_KEYS: Final = 2048
Pricer = Callable[["LLMCall"], Cost | None]
_Key = tuple[str, str, Any]


class _Seen:
    """What calls of one kind have lately been like, at most."""

    __slots__ = ("nano", "output", "ratio")

    def __init__(self) -> None:
        self.ratio = 0.0
        self.output = 0.0
        self.nano = 0.0


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
        ratio = seen.ratio if seen is not None and seen.ratio else _FIRST_RATIO
        output = asked.most_output
        if output is None:
            output = int(seen.output) if seen is not None and seen.output else _FIRST_OUTPUT
        if pricer is not None:
            call.usage = Usage(int(asked.size * ratio) + 1, output)
            try:
                cost = pricer(call)
            finally:
                call.usage = None
            if cost is not None and cost.nano_usd is not None:
                return cost.nano_usd
        return int(seen.nano) if seen is not None else 0

    def learn(self, call: LLMCall, asked: Asked | None) -> None:
        """Note what a finished call was like."""
        usage = call.usage
        for labels in (None, frozenset(call.labels.items()) if call.labels else None):
            key = (call.provider, call.model, labels)
            seen = self._seen.get(key)
            if seen is None:
                if len(self._seen) >= _MOST_KEYS:
                    self._seen.clear()
                seen = self._seen[key] = _Seen()
            if usage is not None and usage.output_tokens:
                seen.output = _most(seen.output, usage.output_tokens)
            if usage is not None and usage.input_tokens and asked is not None and asked.size >= 64:
                seen.ratio = _most(seen.ratio, usage.input_tokens / asked.size)
            if call.cost is not None and call.cost.nano_usd:
                seen.nano = _most(seen.nano, call.cost.nano_usd)


def _most(most: float, value: float) -> float:
    return value if value >= most else most - (most - value) * _FADES
