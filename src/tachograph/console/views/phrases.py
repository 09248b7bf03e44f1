"""Sentences about calls, made by rules: what fails, since when, and what a failure of one kind means."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

FAILED: Final = ("error", "timeout", "rate_limited")
"""The outcomes that are failures; a call that its caller cancelled is none."""

_FAILING: Final = {
    "auth": "{who} rejects the key",
    "quota": "{who} refuses calls: the quota is used up",
    "rate_limit": "{who} limits the rate",
    "server_error": "{who} answers with server errors",
    "timeout": "{who} does not answer in time",
    "connection": "{who} cannot be reached",
    "invalid_request": "{who} refuses requests as invalid",
    "content_filter": "{who} blocks content",
    "validation": "{who} refuses arguments",
    "execution": "{who}: tools fail",
    "unknown": "{who} fails for reasons it does not say",
}
_NAMES: Final = {"openai": "OpenAI", "anthropic": "Anthropic", "gemini": "Gemini", "deepseek": "DeepSeek"}

CAUSES: Final = {
    "auth": "us",
    "quota": "quota",
    "rate_limit": "quota",
    "server_error": "provider",
    "timeout": "provider",
    "connection": "network",
    "invalid_request": "us",
    "validation": "us",
    "execution": "provider",
    "content_filter": "us",
}


def name_of(provider: str) -> str:
    """A provider's name as it writes itself."""
    return _NAMES.get(provider, provider or "A provider")


def brief(name: str) -> str:
    """A long name by its beginning and its end."""
    return name if len(name) <= 40 else f"{name[:16]}…{name[-22:]}"


def failing(who: str, error: str) -> str:
    """What an error type says about the one who answers."""
    return _FAILING.get(error, _FAILING["unknown"]).format(who=who)


def count(number: float, word: str) -> str:
    """`1 call`, `1,204 calls`."""
    return f"{number:,.0f} {word}{'' if number == 1 else 's'}"


def clock(at: float) -> str:
    """A time of day, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M UTC")


def share(part: float, whole: float) -> str:
    """A percentage that never rounds a failure away."""
    if not whole:
        return "0%"
    percent = 100 * part / whole
    return f"{percent:.0f}%" if percent >= 10 else f"{percent:.1f}%" if percent >= 0.1 else "<0.1%" if part else "0%"


def seconds(value: float | None) -> str:
    """A duration as people read it."""
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.2g} s" if value < 10 else f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"


def usd(value: float | None) -> str:
    """Dollars as people read them."""
    if value is None:
        return "-"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4g}"
