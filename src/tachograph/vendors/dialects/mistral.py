"""Mistral: refuses `stream_options`, and sends usage with the last choice of every stream."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="mistral",
    hosts=("api.mistral.ai",),
    stream_usage="always",
    source="docs.mistral.ai/api; status 422 in openai/openai-agents-python issue 442; 2026-11-27",
)
