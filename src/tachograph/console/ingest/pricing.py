"""Prices calls of other senders, which come without a cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tachograph.records import Cost, LLMCall

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

    def __call__(self, call: LLMCall) -> Cost | None:
        """The cost, or None when the call used nothing."""
        if call.usage is None:
            return None
        if self._pricer is None:
            from tachograph.pricing import Pricer

            self._pricer = Pricer(self._price_file)
        return self._pricer(call)
