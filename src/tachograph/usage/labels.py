"""Labels as the ledger keeps them: text, and hashed with the user's key where the settings say so."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping

from msgspec import structs

from tachograph.errors import SettingsError
from tachograph.settings.ledger import LedgerSettings
from tachograph.usage.row import Row
from tachograph.usage.stores.columns import SUBJECTS

_CACHED = 10_000


def hashed(value: str, key: str) -> str:
    """The keyed hash (HMAC-SHA256, half of it) of a label's value; the same value gives the same hash."""
    return "hmac:" + hmac.new(key.encode(), value.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:32]


def labels_of(settings: LedgerSettings) -> Callable[[Mapping[str, str]], dict[str, str]] | None:
    """A function from a call's labels to those that are kept; None where they are kept as they are.

    Raises:
        SettingsError: Labels are to be hashed and there is no key.
    """
    names, key = frozenset(settings.hash_labels), settings.hash_key
    if not names:
        return None
    if not key:
        raise SettingsError(
            "ledger.hash_labels is set and ledger.hash_key is not",
            where="setting ledger.hash_key",
            do="Set TACHOGRAPH_LEDGER_HASH_KEY to a secret of at least 16 characters and keep it.",
        )
    secret = key
    cache: dict[str, str] = {}

    def stored_labels(labels: Mapping[str, str]) -> dict[str, str]:
        found = _as_text(labels)
        for name in names:
            value = found.get(name)
            if value is not None:
                known = cache.get(value)
                if known is None:
                    if len(cache) >= _CACHED:
                        cache.clear()
                    known = cache[value] = hashed(value, secret)
                found[name] = known
        return found

    return stored_labels


def ids_of(settings: LedgerSettings) -> Callable[[Row], Row] | None:
    """A function that hashes a row's `user_id` and `session_id`; None where neither is to be hashed."""
    names, key = [name for name in SUBJECTS if name in settings.hash_labels], settings.hash_key
    if not names or not key:
        return None

    def hash_ids(row: Row) -> Row:
        found = {name: hashed(value, key) for name in names if (value := getattr(row, name))}
        return structs.replace(row, **found) if found else row

    return hash_ids


def _as_text(labels: Mapping[str, str]) -> dict[str, str]:
    return {str(name): value if type(value) is str else str(value) for name, value in labels.items()}
