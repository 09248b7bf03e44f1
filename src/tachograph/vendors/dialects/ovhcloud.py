"""OVHcloud."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="ovhcloud",
    hosts=("oai.endpoints.kepler.ai.cloud.ovh.net",),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
