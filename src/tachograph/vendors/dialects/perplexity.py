"""Perplexity: states the cost of a request."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="perplexity",
    hosts=("api.perplexity.ai",),
    stated_cost=("cost", "total_cost"),
    source="docs.perplexity.ai/api-reference; 2026-11-27",
)
