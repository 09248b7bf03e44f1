"""Cerebras."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="cerebras",
    hosts=("api.cerebras.ai",),
    stream_usage="on_request",
)
