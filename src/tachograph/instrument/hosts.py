"""Which provider stands behind a base URL.

The OpenAI client is used against many vendors' servers, so the provider label follows the host (`vendors.dialects`).
Hosts that are not known (a proxy, a local server) keep the label of the client library.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from tachograph.instrument import active_config
from tachograph.urls import split
from tachograph.vendors.dialects import Dialect, configured, dialect_of, matches


def provider_of(host: str | None, fallback: str, overrides: Mapping[str, str]) -> str:
    """The provider label of a host: the user's, ours, or that of the client library."""
    if not host:
        return fallback
    dialect = dialect_of(host)
    return chosen(host, overrides) or (dialect and dialect.label) or fallback


class Place(NamedTuple):
    """Where a client sends its requests, whose label they get, and what the user's settings say of the host."""

    host: str
    port: int | None
    provider: str
    dialect: Dialect | None


DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def place_of(url: Any, fallback: str) -> Place:
    """Where a base URL of httpx's make leads; the label is that of unknown hosts."""
    port = url.port or DEFAULT_PORTS.get(url.scheme)
    provider = provider_of(url.host, fallback, active_config.settings.providers)
    return Place(url.host, port, provider, configured_dialect(url.host))


@lru_cache(maxsize=64)
def address_of(url: str) -> tuple[str, int | None]:
    """Host and port of a base URL that is text."""
    place = split(url)
    return place.hostname or "", place.port or DEFAULT_PORTS.get(place.scheme)


def chosen(host: str, overrides: Mapping[str, str]) -> str | None:
    """The label that the user gave a host, if any."""
    for pattern, label in overrides.items():
        if matches(host, pattern):
            return label
    return None


@lru_cache(maxsize=256)
def understands_include_usage(host: str, extra: tuple[str, ...]) -> bool:
    """Whether a host may be asked for usage in a chat stream."""
    dialect = dialect_of(host)
    return (dialect is not None and dialect.stream_usage == "on_request") or any(
        matches(host, pattern) for pattern in extra
    )


def is_azure(host: str) -> bool:
    """Whether a host is one of Azure's."""
    dialect = dialect_of(host)
    return dialect is not None and dialect.label == "azure"


def configured_dialect(host: str) -> Dialect | None:
    """What the user's settings say of a host."""
    chosen = active_config.settings
    return configured(host, chosen.always_usage_hosts, chosen.reasoning_outside_hosts)


def always_sends_usage(host: str) -> bool:
    """Whether a host sends the chunk of usage without being asked."""
    dialect = configured_dialect(host) or dialect_of(host)
    return dialect is not None and dialect.stream_usage == "always"
