"""Azure's API Management, in front of Azure OpenAI."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="azure",
    hosts=(".azure-api.net",),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
