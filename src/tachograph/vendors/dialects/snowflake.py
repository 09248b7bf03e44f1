"""Snowflake's Cortex."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="snowflake",
    hosts=(".snowflakecomputing.com",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
