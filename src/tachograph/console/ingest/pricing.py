"""Prices calls of other senders, which come without a cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph.console.calls import Call
from tachograph.records import NOWHERE, Cost, LLMCall, Usage

if TYPE_CHECKING:
    from tachograph.pricing import Pricer


class ForeignPricer:
    """Gives the cost of a call by its model and tokens; the price list is loaded at the first call.

    Args:
        price_file: The user's own prices, or None.
    """

    def __init__(self, price_file: str | None = None) -> None:
        self._price_file = price_file
        self._pricer: Pricer | None = None

    def lines(self, call: Call) -> list[dict[str, Any]]:
        """Return the parts of a call's cost: tokens of a kind, dollars for a million of them, dollars.

        The price of a kind is found by pricing a call with that kind only; what the parts do not add up to (a tier by
        size of the prompt, rounding) is in a last line.
        """
        prompt, answer = call.input_tokens or 0, call.output_tokens or 0
        cached, reasoning = call.cached_tokens or 0, call.reasoning_tokens or 0
        written = (call.details or {}).get("cache_write", 0)
        kinds: tuple[tuple[str, int, tuple[int, int, dict[str, int]]], ...] = (
            ("prompt", prompt - cached - written, (1_000_000, 0, {})),
            ("prompt, read from cache", cached, (1_000_000, 0, {"cache_read": 1_000_000})),
            ("prompt, written to cache", written, (1_000_000, 0, {"cache_write": 1_000_000})),
            ("completion", answer - reasoning, (0, 1_000_000, {})),
            ("reasoning", reasoning, (0, 1_000_000, {"reasoning": 1_000_000})),
        )
        found: list[dict[str, Any]] = []
        for name, tokens, (read, wrote, details) in kinds:
            if tokens <= 0:
                continue
            cost = self._price_of(call, Usage(read, wrote, details))
            if cost is None or cost.usd is None:
                return []
            usd = float(cost.usd)
            found.append({"kind": name, "tokens": tokens, "per_million_usd": usd, "usd": usd * tokens / 1e6})
        rest = float(call.cost_usd or 0) - sum(line["usd"] for line in found)
        if found and abs(rest) > 1e-8:
            found.append({"kind": "other parts", "tokens": None, "per_million_usd": None, "usd": rest})
        return found

    def __call__(self, call: LLMCall) -> Cost | None:
        """The cost, or None when the call used nothing."""
        if call.usage is None:
            return None
        if self._pricer is None:
            from tachograph.pricing import Pricer

            self._pricer = Pricer(self._price_file)
        return self._pricer(call)

    def _price_of(self, call: Call, usage: Usage) -> Cost | None:
        asked = LLMCall(NOWHERE, call.provider, call.model, call.operation)
        asked.started_unix_ns = int(call.time * 1e9)
        asked.response_model = call.response_model
        asked.service_tier = call.service_tier
        asked.usage = usage
        return self(asked)
