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
        nano_usd: Billionths of a US dollar, rounded half-even once per request. None: unpriced, which is not zero.
        quality: `priced` (every billable part known), `stated` (the vendor's own figure), `estimated` (something is
            unknown, see `detail`), `included` (a subscription of the user's: 0), `unpriced` (no price known).
        source: Which price: `genai-prices/0.2.3`, `file:prices.toml`, `stated by openrouter`, ...
        detail: What is unknown, for people: `no price for file_search; service tier 'scale'`. Empty when nothing is.
        list_nano_usd: What our prices say, where `nano_usd` is something else: the vendor's figure, or 0 of a
            subscription. None: they say nothing, or `nano_usd` is theirs.
    """

    nano_usd: int | None
    quality: CostQuality
    source: str = ""
    detail: str = ""
    list_nano_usd: int | None = None

    @property
    def usd(self) -> Decimal | None:
        """US dollars, exact, or None when unpriced."""
        return None if self.nano_usd is None else Decimal(self.nano_usd).scaleb(-9)

    @property
    def contradicts_list(self) -> bool:
        """Whether the vendor's own figure is more than 1 % away from ours; 0 says that nothing was charged."""
        ours, theirs = self.list_nano_usd, self.nano_usd
        if self.quality != "stated" or ours is None or not theirs:
            return False
        return abs(ours - theirs) * 100 > max(ours, theirs) and abs(ours - theirs) > _SMALLEST_DIFFERENCE


_SMALLEST_DIFFERENCE: Final = 1000
"""A millionth of a dollar: vendors round the figures that they state."""

UNPRICED: Final = Cost(None, "unpriced")
