"""Which API key pays for a call, without keeping the key.

Vendors list keys by their last characters (OpenAI's `redacted_value`, Anthropic's `partial_key_hint`), so these are
enough to distinguish keys and to find them on the vendor's page. A key cannot be guessed from its last four characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_SHOWN: Final = 4
_SHORTEST: Final = 16
"""Of a shorter text, which is no key of a vendor's, nothing is kept."""


_HEADERS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_TOKEN: Final = re.compile(r"ya29\.|eyJ")
"""How the tokens of Google's and Microsoft's logins begin: they are new every hour, and no keys."""
_IN_URL: Final = re.compile(r"[?&]key=([^&#]+)")


def key_hint(key: object) -> str:
    """`...wxyz` of an API key; "" where there is none, or it is too short to be one."""
    return "..." + key[-_SHOWN:] if type(key) is str and len(key) >= _SHORTEST else ""


def key_hint_of_request(headers: Mapping[Any, Any] | None, url: object) -> str:
    """The hint of the key that a request carries, in its headers or, as Gemini takes it, in its URL."""
    given = {_text(name).lower(): value for name, value in (headers or {}).items()}
    for name in _HEADERS:
        scheme, _, key = _text(given.get(name) or "").rpartition(" ")
        if key and scheme.lower() in ("", "bearer") and not _TOKEN.match(key):
            return key_hint(key)
    found = _IN_URL.search(str(url))
    return key_hint(found[1]) if found is not None else ""


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
