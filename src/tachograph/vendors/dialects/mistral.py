"""Mistral."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="mistral",
    hosts=("api.mistral.ai",),
    stream_usage="on_request",
)
