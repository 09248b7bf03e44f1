"""Gemini, its OpenAI endpoint included: thoughts are in the total alone."""

from tachograph.vendors.dialects.dialect import Dialect

DIALECT = Dialect(
    label="gemini",
    hosts=("generativelanguage.googleapis.com",),
    reasoning="outside",
    source="ai.google.dev/gemini-api/docs/openai; answers of it; 2026-11-27",
)
