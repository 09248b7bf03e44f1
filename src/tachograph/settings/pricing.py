"""Settings of pricing."""

from __future__ import annotations

import msgspec


class PricingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where prices come from.

    Attributes:
        file: A TOML price file of the user's; its prices win over the bundled ones.
    """

    file: str | None = None
