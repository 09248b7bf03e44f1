"""One module per peer: `start(emitted)` switches it on in this process, in its best configuration.

`emitted` says what to do with what it emits: `Dropped` throws it away (cost), `Kept` keeps it for reading (truth).
"""

from __future__ import annotations

import importlib
from typing import Any


def load(name: str) -> Any:
    """The peer's module; ours is one with several settings."""
    if name.startswith("tachograph"):
        from benchmarks.peers.ours import Ours

        return Ours(name)
    return importlib.import_module(f"benchmarks.peers.{name}")


def is_sampled(name: str) -> bool:
    """Whether spans are sampled when this peer runs."""
    return not name.endswith("unsampled")
