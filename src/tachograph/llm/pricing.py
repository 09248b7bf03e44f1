"""Where prices were until 2026-11: now `tachograph.pricing`. Goes away with the next release."""

from tachograph.moved import names_of

__getattr__ = names_of(
    __name__,
    {
        "Pricer": "tachograph.pricing",
        "PriceFileError": "tachograph.pricing",
        "PriceFile": "tachograph.pricing.sources.price_file",
    },
)
