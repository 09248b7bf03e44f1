"""MiniMax."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="minimax",
    hosts=("api.minimax.io", "api.minimaxi.com"),
    source="litellm 1.110 `llms/`, `constants.py`; 2026-11-27",
)
