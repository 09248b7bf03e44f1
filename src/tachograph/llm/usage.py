"""Where usage reports were read until 2026-11: now in `tachograph.vendors`. Goes away with the next release."""

from tachograph.moved import names_of

__getattr__ = names_of(
    __name__,
    {
        "anthropic_merge_usage": "tachograph.vendors.anthropic.usage",
        "anthropic_usage": "tachograph.vendors.anthropic.usage",
        "gemini_embedding_usage": "tachograph.vendors.gemini.usage",
        "gemini_searches": "tachograph.vendors.gemini.usage",
        "gemini_usage": "tachograph.vendors.gemini.usage",
        "interactions_usage": "tachograph.vendors.gemini.usage",
        "openai_response_usage": "tachograph.vendors.openai.usage",
        "openai_usage": "tachograph.vendors.openai.usage",
    },
)
