"""Anthropic."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="anthropic",
    hosts=("api.anthropic.com", "anthropic.helicone.ai"),
)
