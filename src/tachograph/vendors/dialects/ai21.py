"""AI21."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="ai21",
    hosts=("api.ai21.com",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
