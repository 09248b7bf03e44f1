"""Databricks."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="databricks",
    hosts=(".cloud.databricks.com", ".azuredatabricks.net", ".gcp.databricks.com"),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
