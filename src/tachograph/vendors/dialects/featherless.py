"""Featherless."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="featherless",
    hosts=("api.featherless.ai",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
