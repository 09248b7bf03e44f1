"""The demo: provider simulators, traffic and incidents, nothing of which needs a key or a network."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from tachograph.errors import MissingExtraError

_NEEDED: Final = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google.genai": "google-genai",
    "mcp": "mcp",
    "mcp_server_time": "mcp-server-time",
    "mcp_server_git": "mcp-server-git",
    "aiohttp": "aiohttp",
    "uvicorn": "uvicorn",
    "starlette": "starlette",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "rich": "rich",
}
"""Packages by module, beside what the parts ask for themselves."""


def check_installed() -> None:
    """See, before anything is started, that all is there.

    Raises:
        MissingExtraError: A package is not installed.
    """
    for module, package in _NEEDED.items():
        try:
            found = find_spec(module)
        except ModuleNotFoundError:  # what it is part of is not there
            found = None
        if found is None:
            raise MissingExtraError("the demo", "demo", package)
