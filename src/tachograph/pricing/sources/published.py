"""What vendors publish and genai-prices does not hold: fees by item, and surcharges by region.

Every number stands with the vendor's page that it is from. It was taken on 2026-11-27 from stored copies of those pages
and from what genai-prices 0.2.3 says of the same item; the pages themselves were not opened. Correct a number here
when a page says another, and write the day beside it. Prices of a model that genai-prices has win.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple


class Fee(NamedTuple):
    """What one use costs.

    Attributes:
        provider: genai-prices' id.
        models: A pattern of the models it is for.
        tool: A word of `dimensions.TOOLS`; `request` for each request.
        usd: US dollars for a thousand.
        doubt: Why it may be another one, or empty.
    """

    provider: str
    models: re.Pattern[str]
    tool: str
    usd: Decimal
    doubt: str = ""


_ANY: Final = re.compile("")

FEES: Final[tuple[Fee, ...]] = (
    # https://developers.openai.com/api/docs/pricing, "Built-in tools"
    Fee("openai", re.compile(r"gpt-4o(-mini)?-search-preview"), "request", Decimal(25)),
    Fee("openai", re.compile(r"gpt-5-search-api"), "request", Decimal(10)),
    Fee("openai", _ANY, "web_search", Decimal(10)),
    Fee("openai", re.compile(r"gpt-4"), "web_search_preview", Decimal(25)),  # models that do not reason
    Fee("openai", _ANY, "web_search_preview", Decimal(10)),
    Fee("openai", _ANY, "file_search", Decimal("2.5")),
    Fee("openai", _ANY, "code_interpreter", Decimal(30), "code_interpreter: a container of 1 GB, by its session"),
    # https://ai.google.dev/gemini-api/docs/pricing, "Grounding"
    Fee("google", re.compile(r"gemini-[12]"), "google_maps", Decimal(25)),
    Fee("google", re.compile(r"gemini-"), "google_maps", Decimal(14)),
    # https://docs.x.ai/developers/pricing, "Tool Invocation Costs"; answers state their whole cost beside
    Fee("x-ai", _ANY, "web_search", Decimal(5)),
    Fee("x-ai", _ANY, "file_search", Decimal("2.5")),
    # https://docs.x.ai/docs/models, "Live Search", which the tools have replaced
    Fee("x-ai", _ANY, "source", Decimal(25)),
    # https://docs.perplexity.ai/getting-started/pricing, "Sonar Deep Research"
    Fee("perplexity", re.compile("deep-research"), "search_query", Decimal(5)),
)


class Surcharge(NamedTuple):
    """By how much the price of tokens rises in a region.

    Attributes:
        provider: genai-prices' id.
        models: Claude's generation, or a pattern.
        factor: Of every price of tokens.
        regions: The regions that it is for; empty: all that are reported.
    """

    provider: str
    models: re.Pattern[str]
    since: tuple[int, int]
    factor: Fraction
    regions: frozenset[str] = frozenset()


_CLAUDE: Final = re.compile(r"claude-[a-z]+-(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)")
_GPT: Final = re.compile(r"^gpt-(?P<major>\d{1,2})(?:\.(?P<minor>\d{1,2}))?(?!\d)")
_GEMINI: Final = re.compile(r"gemini-(?P<major>\d{1,2})(?:\.(?P<minor>\d{1,2}))?(?!\d)")
_TEN_PERCENT: Final = Fraction(11, 10)

SURCHARGES: Final[tuple[Surcharge, ...]] = (
    # https://platform.claude.com/docs/en/about-claude/pricing, "Data residency pricing": inference_geo "us", Claude
    # Opus 4.6 and newer, all prices of tokens, also on top of fast mode
    Surcharge("anthropic", _CLAUDE, (4, 6), _TEN_PERCENT, frozenset(("us",))),
    # https://developers.openai.com/api/docs/pricing, "Regional processing (data residency) endpoints": 10 % for models
    # released on or after 2026-03-05 (GPT-5.4)
    Surcharge("openai", _GPT, (5, 4), _TEN_PERCENT),
    # https://platform.claude.com/docs/en/about-claude/pricing, "Third-party platform pricing": regional and
    # multi-region endpoints of Vertex AI, Claude 4.5 and newer
    Surcharge("google", _CLAUDE, (4, 5), _TEN_PERCENT),
)
_MAY_DIFFER: Final = (
    # https://cloud.google.com/vertex-ai/generative-ai/pricing: from Gemini 3 on, global and other endpoints differ
    ("google", _GEMINI, (3, 0)),
    # genai-prices holds Azure's prices of global deployments; regional and data zone ones are often higher
    ("azure", _ANY, (0, 0)),
)

DISCOUNTS: Final[dict[tuple[str, str], Fraction]] = {
    # https://platform.claude.com/docs/en/build-with-claude/batch-processing
    ("anthropic", "batch"): Fraction(1, 2),
    # https://developers.openai.com/api/docs/guides/batch and .../guides/flex-processing
    ("openai", "batch"): Fraction(1, 2),
    ("openai", "flex"): Fraction(1, 2),
    # https://ai.google.dev/gemini-api/docs/pricing, columns "Batch" and "Flex"
    ("google", "batch"): Fraction(1, 2),
    ("google", "flex"): Fraction(1, 2),
    # https://docs.mistral.ai/capabilities/batch, https://console.groq.com/docs/batch
    ("mistral", "batch"): Fraction(1, 2),
    ("groq", "batch"): Fraction(1, 2),
}
"""What a tier takes off, where the model has no price of its own for it: still an estimate."""


_FINE_TUNED: Final[tuple[tuple[re.Pattern[str], dict[str, Decimal]], ...]] = tuple(
    (re.compile(model), dict(zip(("input", "cache_read", "output"), map(Decimal, usd), strict=True)))
    for model, *usd in (
        # https://developers.openai.com/api/docs/pricing, "Fine-tuning": input, cached input, output per million tokens
        (r"gpt-4\.1(-20.*)?", "3", "0.75", "12"),
        (r"gpt-4\.1-mini(-20.*)?", "0.80", "0.20", "3.20"),
        (r"gpt-4\.1-nano(-20.*)?", "0.20", "0.05", "0.80"),
        (r"o4-mini(-20.*)?", "4", "1", "16"),
    )
)


def fine_tuned(base: str) -> dict[str, Decimal] | None:
    """What tokens of a model that was tuned from this one cost, by the words of `dimensions.TOKENS`."""
    return next((usd for model, usd in _FINE_TUNED if model.fullmatch(base)), None)


def fees(provider: str, model: str) -> dict[str, Fee]:
    """What a model's provider charges by item, by tool."""
    found: dict[str, Fee] = {}
    for fee in FEES:
        if fee.provider == provider and fee.models.search(model):
            found.setdefault(fee.tool, fee)
    return found


def surcharge(provider: str, model: str, region: str) -> tuple[Fraction, str]:
    """What a region does to the price of tokens: the factor, and what is not known about it."""
    if not region:
        return Fraction(1), ""
    for one in SURCHARGES:
        if one.provider == provider and _reaches(one.models, model, one.since):
            is_told = not one.regions or region in one.regions
            return one.factor, "" if is_told else f"the surcharge of region {region!r} is not known"
    for other, pattern, since in _MAY_DIFFER:
        if other == provider and _reaches(pattern, model, since):
            return Fraction(1), f"region {region!r} may have other prices"
    return Fraction(1), ""


def _reaches(pattern: re.Pattern[str], model: str, since: tuple[int, int]) -> bool:
    found = pattern.search(model)
    if found is None:
        return False
    parts = found.groupdict()
    return not parts or (int(parts["major"]), int(parts["minor"] or 0)) >= since
