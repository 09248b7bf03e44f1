"""Sentences about calls, made by rules: what fails, since when, and what a failure of one kind means."""

from __future__ import annotations

import re
import time
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
    """A time of day, UTC, with its date where it is more than a day away."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when.day} {when:%b %H:%M} UTC" if abs(time.time() - at) > 86_400 else f"{when:%H:%M} UTC"


_SMALL: Final = re.compile(r"(\d+(?:\.\d+)?)([munµ])/sec\b")
_FACTORS: Final = {"m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}


def plain(summary: str) -> str:
    """An alert's summary as people read it: `0.124/sec` where Prometheus' `humanize` writes `124.4m/sec`."""
    return _SMALL.sub(lambda found: f"{float(found[1]) * _FACTORS[found[2]]:.3g}/sec", summary)


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
