"""Settings of pricing."""

from __future__ import annotations

import msgspec


class PricingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where prices come from.

    Attributes:
        enabled: Price calls at all.
        file: A TOML price file of the user's; its prices win over the bundled ones.
        warm_up: Load the bundled prices (35 ms) once an SDK is imported, and not when the first call begins.
    """

    enabled: bool = True
    file: str | None = None
    warm_up: bool = True
