"""Cohere."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="cohere",
    hosts=("api.cohere.ai", "api.cohere.com"),
)
