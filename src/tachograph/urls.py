"""URLs as they come from outside: taken apart without an exception, whatever they are."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from urllib.error import HTTPError

NONE: Final = SplitResult("", "", "", "", "")


def split(url: str) -> SplitResult:
    """A URL's parts; `NONE` for what is not a URL, so that its host and port are None."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # it is read only now, and may be no number
    except ValueError:
        return NONE
    return parts


def body_of_refusal(error: HTTPError, most: int) -> bytes:
    """The first bytes of an error's body; nothing where the server breaks off."""
    import http.client  # most processes need none of it

    with suppress(OSError, http.client.HTTPException):
        return error.read(most)
    return b""
