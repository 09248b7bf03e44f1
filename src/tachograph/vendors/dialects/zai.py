"""Z.ai."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="zai",
    hosts=("api.z.ai",),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
