"""OpenRouter: every stream ends with a chunk of usage, which states the cost in credits of one dollar."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="openrouter",
    hosts=("openrouter.ai",),
    stream_usage="always",
    stated_cost=("cost",),
    source="openrouter.ai/docs/use-cases/usage-accounting; 2026-11-27",
)
