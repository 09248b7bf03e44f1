"""Vendors' usage reports under one rule: prompt includes cached tokens, completion includes reasoning tokens.

Pure functions, one file per vendor. Each takes the vendor's usage object as its SDK gives it, or the same as a
dictionary; any field may be missing, None or odd. Nothing reported gives None, never zeros.
"""

from tachograph.llm.usage_anthropic import anthropic_merge_usage, anthropic_usage
from tachograph.llm.usage_gemini import gemini_embedding_usage, gemini_searches, gemini_usage, interactions_usage
from tachograph.llm.usage_openai import openai_response_usage, openai_usage

__all__ = [
    "anthropic_merge_usage",
    "anthropic_usage",
    "gemini_embedding_usage",
    "gemini_searches",
    "gemini_usage",
    "interactions_usage",
    "openai_response_usage",
    "openai_usage",
]
