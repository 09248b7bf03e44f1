"""What a call cost, and how far to trust the figure."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from tachograph.records.outcomes import CostQuality

NANO_PER_USD: Final = 1_000_000_000


class Cost(msgspec.Struct, frozen=True, gc=False):
    """Money of one call, in whole nano-dollars, so that sums are exact everywhere.

    Attributes:
        nano_usd: Billionths of a US dollar, rounded half-even once per call. None: unpriced, which is not zero.
        quality: `priced` (a price for this model and all its parts), `estimated` (a near price or missing parts),
            `unpriced` (no price known).
        source: Which price: `genai-prices/0.2.3`, `file:prices.toml`, ...
    """

    nano_usd: int | None
    quality: CostQuality
    source: str = ""

    @property
    def usd(self) -> Decimal | None:
        """US dollars, exact, or None when unpriced."""
        return None if self.nano_usd is None else Decimal(self.nano_usd).scaleb(-9)


UNPRICED: Final = Cost(None, "unpriced")
