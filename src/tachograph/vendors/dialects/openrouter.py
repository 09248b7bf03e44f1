"""OpenRouter: every stream ends with a chunk of usage, which states the cost in credits of one dollar.

With a key of the application's own the cost is OpenRouter's fee alone, and what the vendor charges stands beside it.
"""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="openrouter",
    hosts=("openrouter.ai", "openrouter.helicone.ai"),
    stream_usage="always",
    stated_cost=("cost",),
    upstream_cost=("cost_details", "upstream_inference_cost"),
    source="openrouter.ai/docs/use-cases/usage-accounting; 2026-11-27",
)
