"""Volcano Engine's Ark."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="volcengine",
    hosts=("ark.cn-beijing.volces.com",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
