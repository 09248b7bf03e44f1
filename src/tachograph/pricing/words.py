"""The words of prices: which part of a usage a price is for, and which parts lie inside which.

A part with a price of its own is taken out of the part it lies in, so that nothing is paid twice: cached audio out of
cached, cached out of the prompt.
"""

from __future__ import annotations

from typing import Final

Dimensions = frozenset[tuple[str, str]]


def _dimensions(**dimensions: str) -> Dimensions:
    return frozenset(dimensions.items())


_INPUT = {"family": "tokens", "direction": "input"}
_OUTPUT = {"family": "tokens", "direction": "output"}
_WRITE = {**_INPUT, "token_type": "cache_write"}

TOKENS: Final[dict[str, Dimensions]] = {
    "input": _dimensions(**_INPUT),
    "output": _dimensions(**_OUTPUT),
    "cache_read": _dimensions(**_INPUT, token_type="cache_read"),
    "cache_write": _dimensions(**_WRITE),
    "cache_write_5m": _dimensions(**_WRITE, cache_ttl="5m"),
    "cache_write_30m": _dimensions(**_WRITE, cache_ttl="30m"),
    "cache_write_1h": _dimensions(**_WRITE, cache_ttl="1h"),
    "cache_write_12h": _dimensions(**_WRITE, cache_ttl="12h"),
    "audio_input": _dimensions(**_INPUT, modality="audio"),
    "image_input": _dimensions(**_INPUT, modality="image"),
    "video_input": _dimensions(**_INPUT, modality="video"),
    "document_input": _dimensions(**_INPUT, modality="document"),
    "audio_cache_read": _dimensions(**_INPUT, modality="audio", token_type="cache_read"),
    "reasoning": _dimensions(**_OUTPUT, token_type="reasoning"),
    "audio_output": _dimensions(**_OUTPUT, modality="audio"),
    "image_output": _dimensions(**_OUTPUT, modality="image"),
}
"""Prices by tokens; the words of `records.usage.DETAILS`, and the two totals. Dimensions are genai-prices' own."""

TOOLS: Final[dict[str, str]] = {
    "web_search": "web_search",
    "code_execution": "code_execution",
    "web_fetch": "web_fetch",
    "google_maps": "google_maps",
    "image_generation": "image_generation",
}
"""Prices by use of a server-side tool, with genai-prices' word for it."""

FREE_TOOLS: Final = frozenset({"web_fetch"})
"""Billed only by their tokens."""

OWN_PRICE_EXPECTED: Final = frozenset(
    {"cache_read", "cache_write", "cache_write_1h", "audio_input", "audio_output", "image_output"}
)
"""Parts that usually cost something else than the part they lie in: without a price of their own, an estimate."""
