"""Meta's Llama API."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="meta",
    hosts=("api.meta.ai", "api.llama.com"),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
