"""URLs as they come from outside: taken apart without an exception, whatever they are."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, urlsplit

NONE: Final = SplitResult("", "", "", "", "")


def split(url: str) -> SplitResult:
    """A URL's parts; `NONE` for what is not a URL, so that its host and port are None."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # it is read only now, and may be no number
    except ValueError:
        return NONE
    return parts
