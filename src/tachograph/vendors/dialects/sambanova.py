"""SambaNova."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="sambanova",
    hosts=("api.sambanova.ai",),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
