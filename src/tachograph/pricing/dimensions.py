"""What a price depends on beside the model, and the words for the parts of a usage.

A part with a price of its own is taken out of the part it lies in, so that nothing is paid twice: cached audio out of
cached, cached out of the prompt.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    "image_cache_read": _dimensions(**_INPUT, modality="image", token_type="cache_read"),
    "image_output": _dimensions(**_OUTPUT, modality="image"),
    "video_output": _dimensions(**_OUTPUT, modality="video"),
}
"""Prices by tokens; the words of `records.usage.DETAILS`, and the two totals. Dimensions are genai-prices' own."""

TOOLS: Final[dict[str, str]] = {
    "web_search": "web_search",
    "web_search_preview": "web_search_preview",
    "file_search": "storage_search",
    "code_execution": "code_execution",
    "code_interpreter": "container",
    "web_fetch": "web_fetch",
    "google_maps": "google_maps",
    "image_generation": "image_generation",
    "source": "source",
    "search_query": "search_query",
    "character": "character",
    "search_unit": "search_unit",
}
"""Prices by use of a server-side tool, with genai-prices' word for it. `code_interpreter`: by container. `source`: by
source that a live search used (xAI). `character`: of the text that is spoken."""

FREE_TOOLS: Final = frozenset({"web_fetch"})
"""Billed only by their tokens."""

OWN_PRICE_EXPECTED: Final = frozenset(
    {"cache_read", "cache_write", "cache_write_1h", "audio_input", "audio_output", "image_output", "video_output"}
)
"""Parts that usually cost something else than the part they lie in: without a price of their own, an estimate."""


class Served(NamedTuple):
    """How and where a call was served, as far as prices depend on it.

    Attributes:
        label: The provider label.
        host, port: Where the requests went, if known.
        models: Names to look up, best first.
        tier: The vendor's word for the service tier, in lower case; empty for the ordinary one.
        speed: `fast`, or empty for the ordinary one.
        region: Where the answer was made, by the vendor's word (`us`, `eu`, `europe-west4`); empty: not reported, or
            wherever the vendor likes.
    """

    label: str
    host: str | None
    port: int | None
    models: tuple[str, ...]
    tier: str = ""
    speed: str = ""
    region: str = ""


_ORDINARY: Final = frozenset(
    {"", "default", "standard", "auto", "on_demand", "standard_only", "traffic_type_unspecified", "unspecified"}
)
"""Tiers that cost the standard price."""
_TIERS: Final = {"on_demand_flex": "flex", "on_demand_priority": "priority", "flex_processing": "flex"}
"""Vertex's traffic types, by the tier they are."""
_ANYWHERE: Final = frozenset({"", "global", "not_available", "none", "us-east-1", "us-east-2", "us-west-2"})
"""Those of AWS have the prices that genai-prices holds. Source: aws.amazon.com/bedrock/pricing, 2026-11-27."""
_OPENAI_REGION: Final = re.compile(r"([a-z]{2})\.api\.openai\.com")
_VERTEX_REGION: Final = re.compile(
    r"([a-z]+-[a-z]+\d+|us|eu)-aiplatform\.googleapis\.com|aiplatform\.(us|eu)\.rep\.googleapis\.com"
)
_BEDROCK_REGION: Final = re.compile(r"bedrock[a-z-]*\.([a-z]{2}(?:-[a-z]+)+-\d+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)")
_LOCAL_PORTS: Final = frozenset({11434, 1234})
"""Of Ollama and of LM Studio, which serve models of the machine and pass nothing on.
Source: docs.ollama.com/faq, lmstudio.ai/docs/developer, checked 2026-11-27."""
_VLLM_PORT: Final = 8000
"""Of vLLM, whose models often get the names of OpenAI's (`--served-model-name`). On other machines gateways have it.
Source: docs.vllm.ai/en/latest/serving/openai_compatible_server.html, checked 2026-11-27."""
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
_LOCAL_LABELS: Final = frozenset({"ollama", "vllm", "lmstudio", "lm_studio", "llamacpp", "llama.cpp", "local"})


def served(
    label: str,
    host: str | None,
    port: int | None,
    models: tuple[str, ...],
    tier: str | None,
    speed: str | None,
    region: str | None,
    traffic_type: str | None,
) -> Served:
    """The dimensions of a call, each in one word."""
    word = (tier or "").lower()
    if word in _ORDINARY and traffic_type:
        word = traffic_type.lower()
    word = tier_word(word)
    pace = (speed or "").lower()
    if word == "fast" and not pace:
        pace = "fast"
    place = (region or "").lower()
    if not place and host:
        found = _OPENAI_REGION.fullmatch(host) or _VERTEX_REGION.fullmatch(host) or _BEDROCK_REGION.fullmatch(host)
        place = next((group for group in found.groups() if group), "") if found else ""
    return Served(
        label,
        host,
        port,
        models,
        "" if word == "fast" else word,
        speed_word(pace),
        "" if place in _ANYWHERE else place,
    )


def tier_word(tier: str) -> str:
    """A service tier as prices know it, whichever of its names is given; empty for the ordinary one."""
    word = tier.lower()
    return "" if word in _ORDINARY else _TIERS.get(word, word)


def speed_word(speed: str) -> str:
    """The same of a speed."""
    word = speed.lower()
    return "" if word in ("standard", "normal") else word


@lru_cache(maxsize=256)
def is_local(host: str | None) -> bool:
    """Whether a host is this machine or one of a private network: its prices are no vendor's."""
    if not host:
        return False
    if (
        host == "localhost"
        or host.endswith((".localhost", ".local", ".internal", ".lan"))
        or "." not in host.strip("[]")
    ):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_private


def serves_own_models(label: str, host: str | None, port: int | None) -> bool:
    """Whether a server is known to run models of the user's own machines, whatever their names."""
    if port == _VLLM_PORT and host in _LOOPBACK:
        return True
    return label in _LOCAL_LABELS or (port in _LOCAL_PORTS and is_local(host))


# Names of models

_PREFIXES: Final[Mapping[str, str]] = {
    "openai": "openai",
    "azure": "azure",
    "azure_ai": "azure",
    "anthropic": "anthropic",
    "gemini": "google",
    "google": "google",
    "vertex_ai": "google",
    "bedrock": "aws",
    "converse": "aws",
    "groq": "groq",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "xai": "x-ai",
    "x-ai": "x-ai",
    "cohere": "cohere",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "perplexity": "perplexity",
    "openrouter": "openrouter",
    "cerebras": "cerebras",
    "moonshot": "moonshotai",
    "databricks": "databricks",
    "huggingface": "huggingface",
    "ollama": "ollama",
    "ollama_chat": "ollama",
    "hosted_vllm": "vllm",
    "lm_studio": "lmstudio",
}
"""genai-prices' provider by what stands before a model's name. Source: docs.litellm.ai/docs/providers, 2026-11-27."""


class Name(NamedTuple):
    """A model's name to look up.

    Attributes:
        model: As genai-prices may have it.
        provider: genai-prices' provider that the name itself gives, if it did.
        variant: The name as it was given, where the model is what it is made from.
    """

    model: str
    provider: str | None = None
    variant: str = ""


def names(models: tuple[str, ...]) -> list[Name]:
    """The names to look up, best first: as they are, then without paths (`models/`, `projects/.../models/`, an ARN)
    and prefixes (`azure/`, `bedrock/`, `openrouter/`), then without what follows (`ft:base:org`, `:online`)."""
    found: dict[Name, None] = {}
    bare = [(base, model) for model in models if (base := _without_variant(model)) != model]
    for model, variant in (*((model, "") for model in models), *bare):
        provider = None
        rest = model
        found[Name(rest, None, variant)] = None
        while "/" in rest:
            prefix, _, rest = rest.partition("/")
            provider = _PREFIXES.get(prefix.lower(), provider)
            if rest:
                found[Name(rest, provider, variant)] = None
    return list(found)


_VARIANTS: Final = frozenset({"beta", "exacto", "extended", "floor", "nitro", "online", "thinking"})
"""What OpenRouter appends to a model's name. Source: openrouter.ai/docs/features/model-routing, checked 2026-11-27."""


_SNAPSHOT: Final = re.compile(r"(?<=.)-20\d\d-\d\d-\d\d$")


def _without_variant(model: str) -> str:
    """A fine-tuned model's base, or a name without the variant of its routing or the day of its snapshot."""
    if model.startswith("ft:"):
        return model.split(":")[1]
    base, _, variant = model.rpartition(":")
    return base if variant in _VARIANTS and base else _SNAPSHOT.sub("", model)


def is_free(models: tuple[str, ...]) -> bool:
    """Whether a name says that the model costs nothing (OpenRouter's `vendor/model:free`); answers may leave it out."""
    return any(name.endswith(":free") and name.startswith(models[0].removesuffix(":free")) for name in models)
