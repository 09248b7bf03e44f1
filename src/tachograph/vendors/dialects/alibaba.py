"""Alibaba Cloud's Model Studio (DashScope)."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="alibaba",
    hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
