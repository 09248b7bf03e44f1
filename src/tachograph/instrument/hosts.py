"""Which provider stands behind a base URL.

The OpenAI client is used against many vendors' servers, so the provider label follows the host. Hosts that nobody
knows (a proxy, a local server) keep the label of the client library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

LABELS: Final[Mapping[str, str]] = {
    "api.openai.com": "openai",
    ".api.openai.com": "openai",
    ".openai.azure.com": "azure",
    ".cognitiveservices.azure.com": "azure",
    ".services.ai.azure.com": "azure",
    ".models.ai.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "aiplatform.googleapis.com": "vertex",
    ".aiplatform.googleapis.com": "vertex",
    "-aiplatform.googleapis.com": "vertex",
    ".amazonaws.com": "bedrock",
    ".api.aws": "bedrock",
    "openrouter.ai": "openrouter",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x-ai",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
    "api.cerebras.ai": "cerebras",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.moonshot.ai": "moonshotai",
    "router.huggingface.co": "huggingface",
}
"""Label by host; a leading dot or hyphen stands for every host that ends so. Labels are those of genai-prices where it
has the provider, so that prices are found."""

UNDERSTANDS_INCLUDE_USAGE: Final = (
    "api.openai.com",
    ".api.openai.com",  # eu., us.: data residency
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
    "api.groq.com",
    "api.deepseek.com",
    "api.x.ai",
    "api.together.xyz",
    "api.together.ai",
    "api.fireworks.ai",
    "api.cerebras.ai",
    "api.mistral.ai",
)
"""Hosts that accept `stream_options: {"include_usage": true}` on chat completions. Source: their API references, as of
2026; a server that does not know it may answer 400, so nobody else is asked."""

ALWAYS_SENDS_USAGE: Final = ("openrouter.ai",)
"""Hosts that end every stream with a chunk that carries nothing but usage, asked or not: it is the application's.

Source: openrouter.ai/docs/use-cases/usage-accounting (`include_usage` is deprecated and has no effect); 2026-11-27.
"""


def matches(host: str, pattern: str) -> bool:
    """Whether a host is the one named, or ends as a pattern with a leading dot or hyphen says."""
    return host.endswith(pattern) if pattern[:1] in (".", "-") else host == pattern


@lru_cache(maxsize=256)
def _known(host: str) -> str | None:
    return next((label for pattern, label in LABELS.items() if matches(host, pattern)), None)


def provider_of(host: str | None, fallback: str, overrides: Mapping[str, str]) -> str:
    """The provider label of a host: the user's, ours, or that of the client library."""
    if not host:
        return fallback
    return chosen(host, overrides) or _known(host) or fallback


class Place(NamedTuple):
    """Where a client sends its requests, and whose label they get."""

    host: str
    port: int | None
    provider: str


def place_of(client: Any, overrides: Mapping[str, str], fallback_of: Callable[[type], str]) -> Place:
    """Where a client's base URL leads. Asked once of each URL, since reading one takes long.

    Args:
        client: Has a `base_url` of httpx's make.
        overrides: The user's labels by host.
        fallback_of: The label of hosts that nobody knows, by the client's class.
    """
    url = client.base_url
    key = (id(url), type(client))
    found = _places.get(key)
    if found is not None and found[0] is url and found[1] is overrides:
        return found[2]
    place = Place(url.host, url.port, provider_of(url.host, fallback_of(type(client)), overrides))
    if len(_places) >= _MOST_PLACES:
        _places.clear()
    _places[key] = url, overrides, place  # with the URL kept, nobody else gets its id
    return place


_places: dict[tuple[int, type], tuple[Any, Mapping[str, str], Place]] = {}
_MOST_PLACES: Final = 256


def chosen(host: str, overrides: Mapping[str, str]) -> str | None:
    """The label that the user gave a host, if any."""
    for pattern, label in overrides.items():
        if matches(host, pattern):
            return label
    return None


@lru_cache(maxsize=256)
def understands_include_usage(host: str, extra: tuple[str, ...]) -> bool:
    """Whether a host may be asked for usage in a chat stream."""
    return any(matches(host, pattern) for pattern in (*UNDERSTANDS_INCLUDE_USAGE, *extra))


@lru_cache(maxsize=256)
def always_sends_usage(host: str) -> bool:
    """Whether a host sends the chunk of usage without being asked."""
    return any(matches(host, pattern) for pattern in ALWAYS_SENDS_USAGE)
