"""Zhipu."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="zhipuai",
    hosts=("open.bigmodel.cn",),
    source="genai-prices 0.2 `data.py`; 2026-11-27",
)
