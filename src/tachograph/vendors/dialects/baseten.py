"""Baseten."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="baseten",
    hosts=("inference.baseten.co", ".api.baseten.co"),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
