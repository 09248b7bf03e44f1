"""Which API key pays for a call, without keeping the key.

Vendors list keys by their last characters (OpenAI's `redacted_value`, Anthropic's `partial_key_hint`), so these are
enough to tell keys apart and to find them on the vendor's page. Nobody can guess a key from its last four characters.
"""

from __future__ import annotations

from typing import Any, Final

_SHOWN: Final = 4
_SHORTEST: Final = 16
"""Of a shorter text, which is no key of a vendor's, nothing is kept."""


def key_hint(key: Any) -> str:
    """`...wxyz` of an API key; "" where there is none, or it is too short to be one."""
    return "..." + key[-_SHOWN:] if type(key) is str and len(key) >= _SHORTEST else ""
