"""Hosts that are known, one file each: which label they get, and how they differ from the vendor's API.

The OpenAI client is used against many vendors' servers. What differs between them is data here; a server that is not
known is read as the vendor itself, and what does not add up in its reports is counted.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

from tachograph.vendors.dialects.dialect import Dialect

if TYPE_CHECKING:
    from tachograph.records import LLMCall

__all__ = ["KNOWN", "Dialect", "configured", "dialect_for", "dialect_of", "local_dialect", "matches"]

KNOWN: Final[tuple[Dialect, ...]] = tuple(
    module.DIALECT
    for name in sorted(found.name for found in iter_modules(__path__))
    for module in [import_module(f"{__name__}.{name}")]
    if hasattr(module, "DIALECT")
)
"""What each file of this folder says; a new file needs no entry elsewhere."""


def matches(host: str, pattern: str) -> bool:
    """Whether a host is the one named, or ends as a pattern with a leading dot or hyphen says."""
    return host.endswith(pattern) if pattern[:1] in (".", "-") else host == pattern


@lru_cache(maxsize=256)
def dialect_of(host: str) -> Dialect | None:
    """What is known of a host."""
    return next(
        (each for each in KNOWN if each.host_part in host and any(matches(host, pattern) for pattern in each.hosts)),
        None,
    )


def local_dialect(port: int | None) -> Dialect | None:
    """What is known of a server on a port of this machine."""
    return next((each for each in KNOWN if port in each.local_ports), None)


@lru_cache(maxsize=256)
def configured(host: str, always_usage: tuple[str, ...], reasoning_outside: tuple[str, ...]) -> Dialect | None:
    """What the user's settings say of a host, beside what is known; None when they say nothing."""
    sends = any(matches(host, pattern) for pattern in always_usage)
    leaves_out = any(matches(host, pattern) for pattern in reasoning_outside)
    if not sends and not leaves_out:
        return None
    known = dialect_of(host) or Dialect(label="", hosts=(host,))
    return replace(
        known,
        stream_usage="always" if sends else known.stream_usage,
        reasoning="outside" if leaves_out else known.reasoning,
    )


def dialect_for(call: LLMCall) -> Dialect | None:
    """What is known of the host that answered a call: the user's word, else ours."""
    host = call.server_address
    return call.dialect or (dialect_of(host) if host else None)
