"""xAI: the completion leaves reasoning out, the total has it; cost in ticks of 1e-10 dollars."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="x-ai",
    hosts=("api.x.ai", ".api.x.ai"),
    reasoning="outside",
    stream_usage="on_request",
    stated_cost=("cost_in_usd_ticks",),
    stated_cost_per_usd=10000000000,
    source="docs.x.ai/docs/api-reference, docs.x.ai/developers/cost-tracking; 2026-11-27",
)
