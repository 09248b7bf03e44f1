"""Groq."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="groq",
    hosts=("api.groq.com", "groq.helicone.ai"),
    stream_usage="on_request",
    source="console.groq.com/docs/api-reference; 2026-11-27",
)
