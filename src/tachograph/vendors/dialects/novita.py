"""Novita."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="novita",
    hosts=("api.novita.ai",),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
