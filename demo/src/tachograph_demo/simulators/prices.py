"""What a call costs, worked out straight from what was served: a second opinion on the engine's pricing.

Nothing here shares code with `tachograph.llm`; both use genai-prices' bundled data.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from .usage import ServedUsage

_PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}


def cost_nano_usd(vendor: str, model: str, usage: ServedUsage) -> int | None:
    """Billionths of a US dollar, rounded half-even; None when the model has no price."""
    lifetimes = (usage.cache_write_5m, usage.cache_write_1h) if vendor == "anthropic" else (0, 0)
    price = _price(
        vendor,
        model,
        usage.prompt,
        usage.completion,
        usage.cache_read,
        usage.cache_write,
        lifetimes,
        usage.audio_input,
        usage.audio_output,
        usage.web_searches,
        usage.service_tier,
    )
    return None if price is None else int(price.scaleb(9).quantize(Decimal(1), ROUND_HALF_EVEN))


@lru_cache(maxsize=4096)
def _price(
    vendor: str,
    model: str,
    prompt: int,
    completion: int,
    cache_read: int,
    cache_write: int,
    lifetimes: tuple[int, int],
    audio_input: int,
    audio_output: int,
    web_searches: int,
    service_tier: str | None,
) -> Decimal | None:
    from genai_prices import Usage, calc_price

    parts = {
        "cache_read_tokens": cache_read,
        "cache_write_tokens": cache_write,
        "cache_write_5m_tokens": lifetimes[0],
        "cache_write_1h_tokens": lifetimes[1],
        "input_audio_tokens": audio_input,
        "output_audio_tokens": audio_output,
        "web_searches": web_searches,
    }
    given = {name: value for name, value in parts.items() if value}
    if audio_input and cache_read:
        given["cache_audio_read_tokens"] = 0
    usage = Usage(input_tokens=prompt, output_tokens=completion, **given)
    context = {"service_tier": service_tier} if service_tier in ("flex", "priority") else None
    try:
        return calc_price(usage, model, provider_id=_PROVIDERS[vendor], price_context=context).total_price
    except (LookupError, ValueError):
        return None
