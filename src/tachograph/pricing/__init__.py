"""What calls cost: `Pricer()(call)` gives a Cost, exact, with its quality and the reason for it."""

from tachograph.pricing.pricer import Pricer
from tachograph.pricing.sources.price_file import PriceFileError

__all__ = ["PriceFileError", "Pricer"]
