"""Moonshot: cached tokens are in `cached_tokens`, a stream's usage in its last choice."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="moonshotai",
    hosts=("api.moonshot.ai", "api.moonshot.cn"),
    source="platform.moonshot.ai/docs/api/chat; 2026-11-27",
)
