"""What is hooked, and what is not and why: for the start-up log and `tachograph doctor`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from tachograph.instrument.patches import patch

logger = logging.getLogger("tachograph")

DISTRIBUTIONS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google_genai": "google-genai",
    "mcp": "mcp",
    "fastmcp": "fastmcp",
    "groq": "groq",
    "together": "together",
    "urllib3": "urllib3",
}
SUPPORTED = {
    "openai": ((2, 20), (4,)),
    "anthropic": ((1,), (3,)),
    "google_genai": ((2,), (4,)),
    "mcp": ((1,), (3,)),
    "fastmcp": ((2,), (5,)),
    "groq": ((1,), (2,)),
    "together": ((2,), (4,)),
}
"""From the first version, and below the second, we have seen our hooks work."""


@dataclass(slots=True)
class Client:
    """One client library, as we found it."""

    name: str
    hooked: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


_clients: dict[str, Client] = {}
_checked: set[str] = set()


def client(name: str) -> Client:
    """The library's entry."""
    return _clients.setdefault(name, Client(name))


def hooked(name: str, place: str) -> None:
    """A place is ours now."""
    _warn_of_unknown_version(name)
    entry = client(name)
    if place not in entry.hooked:
        entry.hooked.append(place)


def missing(name: str, place: str, consequence: str) -> None:
    """A place that we know is not there in this version: said once, the rest stays on."""
    _warn_of_unknown_version(name)
    entry = client(name)
    if place not in entry.missing:
        entry.missing[place] = consequence
        logger.warning(
            "tachograph: %s %s has no %s: %s", DISTRIBUTIONS.get(name, name), version_of(name), place, consequence
        )


def hook(library: str, module: object, owner_name: str, name: str, make: Any, consequence: str) -> bool:
    """Patch a method of a class of a library's module and report it, or report what its absence means.

    Args:
        library: Our name for it.
        make: Gets the original, returns the wrapper.
        consequence: What is not seen without it.

    Returns:
        Whether the method is there.
    """
    owner = getattr(module, owner_name, None)
    is_there = owner is not None and patch(owner, name, make)
    if is_there:
        hooked(library, f"{owner_name}.{name}")
    else:
        missing(library, f"{owner_name}.{name}", consequence)
    return is_there


def forget() -> None:
    """Start over."""
    _clients.clear()


def version_of(name: str) -> str | None:
    """The installed version, or None."""
    try:
        return version(DISTRIBUTIONS.get(name, name))
    except PackageNotFoundError:
        return None


def is_known_version(name: str) -> bool:
    """Whether the installed version is one we have seen our hooks work on (or none is installed)."""
    installed = version_of(name)
    if installed is None or name not in SUPPORTED:
        return True
    numbers = tuple(int(part) for part in installed.split(".")[:2] if part.isdigit())
    first, below = SUPPORTED[name]
    return first <= numbers < below


def _warn_of_unknown_version(name: str) -> None:
    if name in _checked:
        return
    _checked.add(name)  # once: each look reads the library's metadata, a file, and a library has dozens of hooks
    if is_known_version(name):
        return
    logger.warning(
        "tachograph: %s %s is a version we do not know; what still works stays on (`tachograph doctor`).",
        DISTRIBUTIONS.get(name, name),
        version_of(name),
    )
