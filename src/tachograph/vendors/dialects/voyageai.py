"""Voyage."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="voyageai",
    hosts=("api.voyageai.com",),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
