"""OpenAI, data residency hosts included."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="openai",
    hosts=("api.openai.com", ".api.openai.com", "oai.helicone.ai"),
    stream_usage="on_request",
    source="platform.openai.com/docs/api-reference/chat, platform.openai.com/docs/guides/your-data; 2026-11-27",
)
