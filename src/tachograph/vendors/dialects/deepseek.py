"""DeepSeek: cached tokens are in `prompt_cache_hit_tokens`."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="deepseek",
    hosts=("api.deepseek.com",),
    stream_usage="on_request",
    source="api-docs.deepseek.com/api/create-chat-completion; 2026-11-27",
)
