"""Which MCP server a watched connection leads to: one id for each, the same in every process.

The name that is configured for it comes first, then where its transport leads (a command line or an address), then the
name that it gives itself: two servers of one kind have one name, and a fastmcp server without a name draws a new one
whenever it starts. Secrets in a command line or an address do not become labels.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from typing import Final

from tachograph.instrument import active_config
from tachograph.urls import split

NAMELESS: Final = "unknown"
"""The server_id of a server of which nothing is known."""

LONGEST: Final = 120
"""Characters of a command line or an address as a label; a longer one ends in a hash of the whole."""

_HIDDEN: Final = "***"
_SECRET_NAME: Final = re.compile(r"key|token|secret|passw|pwd|auth|credential|cookie|bearer|dsn", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(
    r"(sk|pk|rk|ghp|gho|ghs|glpat|xox[a-z]|hf|AKIA|AIza|eyJ)[-_A-Za-z0-9.]{12,}|(?=[^/]*[0-9])(?=[^/]*[A-Za-z])[-_A-Za-z0-9]{24,}"
)
_ASSIGNMENT: Final = re.compile(r"(-{0,2}[A-Za-z_][-\w.]*)=(.*)", re.DOTALL)
_DRAWN_NAME: Final = re.compile(r"(FastMCP\w*(-MCPRouter)?)-[0-9a-f]{4,}")
"""How fastmcp names a server that has no name, and what joins the servers of one configuration."""

_configured: dict[str, str] = {}
"""Configured names by address, learnt when a server named itself: a later failure to connect has them too."""


def forget() -> None:
    """Forget what was learnt."""
    _configured.clear()


def address_of_command(command: str, arguments: Sequence[str]) -> str:
    """A stdio server's command line as an id: without the program's folder, and with nothing secret in it."""
    words = [os.path.basename(command) or command]
    hides_next = False
    for argument in map(str, arguments):
        words.append(_HIDDEN if hides_next else _word(argument))
        hides_next = not hides_next and argument.startswith("-") and _SECRET_NAME.search(argument) is not None
        hides_next = hides_next and "=" not in argument
    return _shortened(" ".join(words), " ".join([command, *map(str, arguments)]))


def address_of_url(url: str) -> str:
    """A server's address as an id: host, port and path."""
    parts = split(url)
    place = parts.netloc.rpartition("@")[2]
    path = "/".join(_HIDDEN if _SECRET_VALUE.fullmatch(part) else part for part in parts.path.split("/"))
    return _shortened(f"{place}{path}".rstrip("/"), url)


def server_id(address: str | None, own_name: object, configured: str | None = None) -> str:
    """The label of a server.

    Args:
        address: Where its transport leads, by the functions above; None for one that runs in this process.
        own_name: What it calls itself; None before it has been met.
        configured: The name of its entry in an `mcpServers` configuration that a client library was given.
    """
    names = active_config.settings.mcp_servers
    own = own_name if isinstance(own_name, str) and own_name else None
    given = (names.get(address) if address is not None else None) or (names.get(own) if own is not None else None)
    if given is not None:
        if address is not None:
            _configured[address] = given
        return given
    if configured is not None:
        return names.get(configured, configured)
    if address is not None:
        return _configured.get(address, address)
    return named(own)


def named(own_name: str | None) -> str:
    """The label of a server that is known by its own name only."""
    if not own_name:
        return NAMELESS
    names = active_config.settings.mcp_servers
    if own_name.startswith("FastMCP") and (drawn := _DRAWN_NAME.fullmatch(own_name)):
        own_name = str(drawn[1])
    return names.get(own_name, own_name) if names else own_name


def _word(argument: str) -> str:
    assigned = _ASSIGNMENT.fullmatch(argument)
    if assigned is not None:
        name, value = assigned.groups()
        if _SECRET_NAME.search(name) or name.isupper():  # an environment variable, as docker run -e takes it
            return f"{name}={_HIDDEN}"
        return f"{name}={_word(value)}"
    if "://" in argument:
        parts = split(argument)
        return f"{parts.scheme}://{address_of_url(argument)}"
    return _HIDDEN if _SECRET_VALUE.fullmatch(argument) else argument


def _shortened(text: str, whole: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 11]}...{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
