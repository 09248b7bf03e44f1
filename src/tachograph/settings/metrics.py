"""Settings of the metrics signal."""

from __future__ import annotations

from typing import Annotated

import msgspec


class MetricsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How metrics are kept and shown.

    Attributes:
        enabled: Keep metrics at all.
        port: Serve /metrics on this port by itself; None: only where the application mounts it.
        address: Address of that port.
        label_limit: How many values a label from outside may have before further ones become `other`.
        labels: Keys of the user's labels that become metric labels too.
        multiprocess_dir: Directory shared by the worker processes of one application; None: this process alone.
    """

    enabled: bool = True
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    address: str = "127.0.0.1"
    label_limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 200
    labels: tuple[str, ...] = ()
    multiprocess_dir: str | None = None
