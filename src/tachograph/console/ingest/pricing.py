"""Prices calls of other senders, which come without a cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tachograph.console.calls import Call
from tachograph.records import LLMCall, Usage

if TYPE_CHECKING:
    from tachograph.pricing import Pricer


class _Nowhere:
    def finish_llm_call(self, call: LLMCall) -> None:
        """Take nothing: the call is only there to be priced."""


class ForeignPricer:
    """Gives the cost of a call by its model and tokens; the price list is loaded at the first call.

    Args:
        price_file: The user's own prices, or None.
    """

    def __init__(self, price_file: str | None = None) -> None:
        self._price_file = price_file
        self._pricer: Pricer | None = None

    def __call__(self, call: Call) -> tuple[str, str] | None:
        """Return dollars and quality, or None when the call used nothing or has no price."""
        if call.input_tokens is None and call.output_tokens is None:
            return None
        if self._pricer is None:
            from tachograph.pricing import Pricer

            self._pricer = Pricer(self._price_file)
        asked = LLMCall(_Nowhere(), call.provider, call.model, call.operation)
        asked.started_unix_ns = int(call.time * 1e9)
        asked.response_model = call.response_model
        details = {"cache_read": call.cached_tokens, "reasoning": call.reasoning_tokens}
        asked.usage = Usage(call.input_tokens, call.output_tokens, {k: v for k, v in details.items() if v})
        cost = self._pricer(asked)
        if cost is None or cost.usd is None:
            return None
        return format(cost.usd.normalize(), "f"), cost.quality
