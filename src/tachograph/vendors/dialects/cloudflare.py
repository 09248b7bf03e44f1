"""Cloudflare's Workers AI."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="cloudflare",
    hosts=("api.cloudflare.com",),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
