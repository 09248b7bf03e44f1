"""What vendors publish and genai-prices does not hold: fees by item, and surcharges by region.

Every number stands with the vendor's page that it is from. It was taken on 2026-11-27 from stored copies of those pages
and from what genai-prices 0.2.3 says of the same item; the pages themselves were not opened. Correct a number here
when a page says another, and write the day beside it. Prices of a model that genai-prices has win.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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


class Media(NamedTuple):
    """What images, seconds of video and searches cost, of a model that is billed by these.

    Attributes:
        provider: genai-prices' id.
        models: A pattern of the whole names it is for.
        usd: US dollars for one, by item (`records.media`) or tool.
        doubt: Why it may be another one, or empty.
    """

    provider: str
    models: re.Pattern[str]
    usd: dict[str, Decimal]
    doubt: str = ""


def _by_size(quality: str, *usd: str) -> dict[str, Decimal]:
    """Of gpt-image's three usual sizes: square, then the two longer ones."""
    sizes = ("1024x1024", *_LONGER)
    return {f"image/{quality}/{size}": Decimal(price) for size, price in zip(sizes, (*usd, usd[-1]), strict=True)}


def _each(prices: Mapping[str, str]) -> dict[str, Decimal]:
    return {item: Decimal(usd) for item, usd in prices.items()}


def _of_sizes(kind: str, sizes: tuple[str, ...], usd: str) -> dict[str, Decimal]:
    return {f"{kind}/{size}": Decimal(usd) for size in sizes}


_LONGER: Final = ("1024x1536", "1536x1024")
_WIDE: Final = ("1024x1792", "1792x1024")
_720P: Final = ("720x1280", "1280x720")
_IMAGE_ALONE: Final = "no token usage was reported: the price of the image alone"
_SORA: Final = _of_sizes("video_second", _720P, "0.10")
_SORA_PRO: Final = _of_sizes("video_second", _720P, "0.30") | _of_sizes("video_second", _WIDE, "0.50")
_VEO_3: Final = {"video_second/720p": "0.40", "video_second/1080p": "0.40"}
_VEO_3_LITE: Final = {"video_second/720p": "0.05", "video_second/1080p": "0.08"}
_VEO_3_FAST: Final = {"video_second/720p": "0.10", "video_second/1080p": "0.12"}

MEDIA: Final[tuple[Media, ...]] = (
    # developers.openai.com/api/docs/models/dall-e-3 and .../dall-e-2, until both were shut down on 2026-05-12
    Media(
        "openai",
        re.compile("dall-e-3"),
        _each({"image/standard/1024x1024": "0.04", "image/hd/1024x1024": "0.08"})
        | _of_sizes("image/standard", _WIDE, "0.08")
        | _of_sizes("image/hd", _WIDE, "0.12"),
    ),
    Media(
        "openai",
        re.compile("dall-e-2"),
        _each({"image/256x256": "0.016", "image/512x512": "0.018", "image/1024x1024": "0.02"}),
    ),
    # azure.microsoft.com/pricing/details/azure-openai, as LiteLLM 1.110 has it by the pixel
    Media(
        "azure",
        re.compile("dall-e-3"),
        _each({"image/standard/1024x1024": "0.044", "image/hd/1024x1024": "0.088"})
        | _of_sizes("image/standard", _WIDE, "0.088")
        | _of_sizes("image/hd", _WIDE, "0.132"),
    ),
    # https://developers.openai.com/api/docs/pricing, "Image generation": these models are billed by tokens; a host that
    # reports none is priced by what an image of this quality and size usually costs
    Media(
        "openai",
        re.compile(r"gpt-image-1(-20.*)?"),
        _by_size("low", "0.011", "0.016") | _by_size("medium", "0.042", "0.063") | _by_size("high", "0.167", "0.25"),
        _IMAGE_ALONE,
    ),
    Media(
        "openai",
        re.compile(r"gpt-image-1\.5(-20.*)?"),
        _by_size("low", "0.009", "0.013") | _by_size("medium", "0.034", "0.05") | _by_size("high", "0.133", "0.2"),
        _IMAGE_ALONE,
    ),
    Media(
        "openai",
        re.compile(r"gpt-image-1-mini(-20.*)?"),
        _by_size("low", "0.005", "0.006") | _by_size("medium", "0.011", "0.015"),
        _IMAGE_ALONE,
    ),
    # https://developers.openai.com/api/docs/models/sora-2 and .../sora-2-pro, until they were shut down on 2026-09-24
    *(Media(vendor, re.compile(r"sora-2(-20.*)?"), _SORA) for vendor in ("openai", "azure")),
    *(Media(vendor, re.compile(r"sora-2-pro(-20.*)?"), _SORA_PRO) for vendor in ("openai", "azure")),
    # https://ai.google.dev/gemini-api/docs/pricing, "Imagen 4" and "Imagen 3"; an image of any size
    Media("google", re.compile(r"imagen-[34]\.0-fast-.*"), _each({"image": "0.02"})),
    Media("google", re.compile(r"imagen-4\.0-ultra-.*"), _each({"image": "0.06"})),
    Media("google", re.compile(r"imagen-[34]\.0-generate-.*"), _each({"image": "0.04"})),
    # https://ai.google.dev/gemini-api/docs/pricing, "Veo 3.1"; cloud.google.com/vertex-ai/generative-ai/pricing, "Veo"
    Media("google", re.compile(r"veo-3\.1-fast-.*"), _each({**_VEO_3_FAST, "video_second/4k": "0.30"})),
    Media("google", re.compile(r"veo-3\.1-lite-.*"), _each(_VEO_3_LITE)),
    Media("google", re.compile(r"veo-3\.1-generate-.*"), _each({**_VEO_3, "video_second/4k": "0.60"})),
    Media("google", re.compile(r"veo-3\.0-fast-.*"), _each(_VEO_3_FAST)),
    Media("google", re.compile(r"veo-3\.0-generate-.*"), _each(_VEO_3)),
    Media("google", re.compile(r"veo-2\.0-.*"), _each({"video_second": "0.50"})),
    # https://cohere.com/pricing, "Rerank": a search is a query with up to 100 documents
    Media(
        "cohere", re.compile(r"rerank-(v3\.5|v4\.0-fast|(english|multilingual)-v3\.0)"), _each({"search_unit": "0.002"})
    ),
    Media("cohere", re.compile(r"rerank-v4\.0-pro"), _each({"search_unit": "0.0025"})),
)
"""Taken on 2026-11-27 from LiteLLM 1.110's table, which names these pages, and from transcriptions of the pages; those
of DALL-E and Imagen 4, which no longer stand there, from older copies."""

_TOKENS: Final[tuple[tuple[str, re.Pattern[str], dict[str, str]], ...]] = (
    # https://developers.openai.com/api/docs/pricing, "Image generation"
    (
        "openai",
        re.compile(r"gpt-image-2\.6-(sunburst|flare)(-20.*)?"),
        {"input": "5", "cache_read": "1.25", "image_input": "8", "image_cache_read": "2"}
        | dict.fromkeys(("output", "image_output"), "30"),
    ),
    # https://ai.google.dev/gemini-api/docs/pricing, "Gemini Omni Flash"
    ("google", re.compile(r"gemini-omni-1\.2-flash.*"), {"input": "1.5", "output": "9", "video_output": "12"}),
    # https://aistudio.google.com/docs/pricing and https://ai.google.dev/gemini-api/docs/pricing
    ("google", re.compile("gemini-4-hydrogen"), {"input": "1.5", "cache_read": "0.075", "output": "7.5"}),
    ("google", re.compile(r"gemini-3\.5-transcribe"), {"input": "2", "audio_input": "2", "output": "12"}),
    (
        "google",
        re.compile(r"gemini-3\.5-(transcribe-live|live-translate).*"),
        {"input": "3.5", "audio_input": "3.5"} | dict.fromkeys(("output", "audio_output"), "21"),
    ),
    # https://developers.openai.com/api/docs/pricing
    ("openai", re.compile("gpt-6-astra-law"), {"input": "10", "cache_read": "1", "output": "50"}),
    # https://cohere.com/pricing, "Embed" and "Rerank"; embed-v3 by tokens, which an older page of docs.cohere.com names
    ("cohere", re.compile(r"embed-(english|multilingual)-(light-)?v3\.0"), {"input": "0.1"}),
    ("cohere", re.compile(r"embed-v5\.0-pro"), {"input": "0.12"}),
    ("cohere", re.compile(r"embed-v5\.0-fast"), {"input": "0.08"}),
    ("cohere", re.compile(r"rerank-v5\.0-pro"), {"input": "0.05"}),
    ("cohere", re.compile(r"rerank-v5\.0-fast"), {"input": "0.02"}),
    # https://docs.voyageai.com/docs/pricing
    ("voyageai", re.compile(r"voyage-multimodal-3\.5"), {"input": "0.12"}),
)
"""Models that genai-prices 0.2.3 does not hold yet: US dollars for a million tokens, on 2026-11-27."""


class Same(NamedTuple):
    """A model that costs what another one does.

    Attributes:
        provider: genai-prices' id.
        models: A pattern of the whole names it is for.
        of: The provider and the model that it is priced by.
        factor: Of that price.
        doubt: Why it may be another one, or empty.
    """

    provider: str
    models: re.Pattern[str]
    of: tuple[str, str]
    factor: Fraction = Fraction(1)
    doubt: str = ""


_TEN_PERCENT: Final = Fraction(11, 10)
_ALIAS: Final = "the name stands for the newest model, whose price changes with it"

SAME: Final[tuple[Same, ...]] = (
    # https://developers.openai.com/api/docs/models/gpt-daybreak-blue-latest and .../gpt-daybreak-red-latest
    Same("openai", re.compile(r"(gpt-)?daybreak-blue-latest"), ("openai", "gpt-5.6-sol")),
    Same("openai", re.compile(r"(gpt-)?daybreak-red-latest"), ("openai", "gpt-5.6-cyber")),
    Same("openai", re.compile(r"gpt-5\.5-cyber-preview"), ("openai", "gpt-5.5-cyber")),
    # https://platform.claude.com/docs/en/about-claude/pricing
    Same("anthropic", re.compile(r"claude-mythos-5(-\d{8})?"), ("anthropic", "claude-fable-5")),
    Same("anthropic", re.compile(r"claude-mythos-5-1(-\d{8})?"), ("anthropic", "claude-fable-5-1")),
    # https://ai.google.dev/gemini-api/docs/pricing,
    # https://cloud.google.com/gemini-enterprise-agent-platform/generative-ai/pricing
    Same("google", re.compile("nano-banana-pro-preview"), ("google", "gemini-3-pro-image")),
    Same("google", re.compile(r"gemini-2\.5-computer-use-.*"), ("google", "gemini-2.5-pro")),
    Same("google", re.compile(r"gemini-robotics-er-1\.5-.*"), ("google", "gemini-2.5-flash")),
    Same("google", re.compile(r"gemini-3\.8-flash-cyber.*"), ("google", "gemini-3.8-flash"), Fraction(2)),
    # https://api.x.ai/v1/language-models
    Same("x-ai", re.compile(r"grok-4\.20-(non-)?reasoning(-latest)?"), ("x-ai", "grok-4.20")),
    # https://docs.mistral.ai/models: genai-prices has the models that these names stood for before
    Same("mistral", re.compile("mistral-large-latest"), ("mistral", "mistral-large-2512"), doubt=_ALIAS),
    Same("mistral", re.compile("magistral-medium-latest"), ("mistral", "mistral-medium-3-5"), doubt=_ALIAS),
    Same("mistral", re.compile("magistral-small-latest"), ("mistral", "mistral-small-2603"), doubt=_ALIAS),
    Same("mistral", re.compile("mistral-medium"), ("mistral", "mistral-medium-3-5"), doubt=_ALIAS),
    Same("mistral", re.compile("(codestral|mistral-code|mistral-code-fim)-latest"), ("mistral", "codestral-2508")),
    Same("mistral", re.compile("mistral-code-agent-latest"), ("mistral", "devstral-2512")),
    Same("mistral", re.compile("mistral-vibe-cli-(latest|with-tools)"), ("mistral", "mistral-medium-3-5")),
    Same("mistral", re.compile("mistral-vibe-cli-fast"), ("mistral", "mistral-small-2603")),
    # https://aws.amazon.com/bedrock/pricing, docs.aws.amazon.com/bedrock/latest/userguide/model-card-openai-gpt-54.html
    Same("aws", re.compile(r"amazon\.nova-2-lite-v1:0"), ("aws", "global.amazon.nova-2-lite-v1:0")),
    *(
        Same("aws", re.compile(rf"{where}\.{maker}\.{model}"), (vendor, model), factor)
        for where, factor in (("global", Fraction(1)), ("us", _TEN_PERCENT))
        for maker, vendor, model in (
            *(("openai", "openai", "gpt-5.4"), ("openai", "openai", "gpt-5.5")),
            ("xai", "x-ai", "grok-4.6"),
        )
    ),
)
"""Taken on 2026-11-27 from LiteLLM 1.110's table, which names these pages, and compared with genai-prices 0.2.3."""


def same(provider: str, model: str) -> Same | None:
    """The model whose price another one has."""
    return next((one for one in SAME if one.provider == provider and one.models.fullmatch(model)), None)


def media(provider: str, model: str) -> Media | None:
    """What a model's images or videos cost."""
    return next((one for one in MEDIA if one.provider == provider and one.models.fullmatch(model)), None)


def tokens(provider: str, model: str) -> dict[str, Decimal]:
    """What tokens of a model cost that genai-prices does not hold, by the words of `dimensions.TOKENS`."""
    return next((_each(usd) for one, models, usd in _TOKENS if one == provider and models.fullmatch(model)), {})


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
    # https://aws.amazon.com/bedrock/pricing: other makers' models cost more in some regions (LiteLLM 1.110: Nova Pro
    # 5 % in Asia, Nova 2 Lite 30 % in Europe); Claude costs the same in all, and `global.` is one price
    ("aws", re.compile(r"^(?!global\.)(?!.*anthropic)"), (0, 0)),
)

TIER_FACTORS: Final[dict[tuple[str, str], Fraction]] = {
    # https://platform.claude.com/docs/en/build-with-claude/batch-processing
    ("anthropic", "batch"): Fraction(1, 2),
    # https://developers.openai.com/api/docs/guides/batch and .../guides/flex-processing
    ("openai", "batch"): Fraction(1, 2),
    ("openai", "flex"): Fraction(1, 2),
    # https://ai.google.dev/gemini-api/docs/pricing, columns "Batch" and "Flex"
    ("google", "batch"): Fraction(1, 2),
    ("google", "flex"): Fraction(1, 2),
    # the same, column "Priority": of each model that LiteLLM 1.110 has it for, 1.8 times the ordinary price
    ("google", "priority"): Fraction(9, 5),
    # https://docs.mistral.ai/capabilities/batch, https://console.groq.com/docs/batch
    ("mistral", "batch"): Fraction(1, 2),
    ("groq", "batch"): Fraction(1, 2),
}
"""What a tier makes of the price, where the model has no price of its own for it: still an estimate."""


_FINE_TUNED: Final[tuple[tuple[re.Pattern[str], dict[str, Decimal]], ...]] = tuple(
    (re.compile(model), dict(zip(("input", "cache_read", "output"), map(Decimal, usd), strict=True)))
    for model, *usd in (
        # https://developers.openai.com/api/docs/pricing, "Fine-tuning": input, cached input, output per million tokens
        (r"gpt-4o(-20.*)?", "3.75", "1.875", "15"),
        (r"gpt-4o-mini(-20.*)?", "0.30", "0.15", "1.20"),
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
