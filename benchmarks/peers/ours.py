"""Tachograph, watching the clients that the benchmark uses."""

from __future__ import annotations

import os
import tempfile
from typing import Any


def start_with(emitted: Any, *, ledger: bool, spans: bool) -> None:
    """Switch it on with these signals; the ledger in a directory of its own."""
    if not spans:
        os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    else:
        emitted.make_global(meters=False)
    import tachograph

    tachograph.configure(
        ledger={"enabled": ledger, "data_dir": tempfile.mkdtemp(prefix="tachograph-bench-")},
        spans={"enabled": spans},
    )
    tachograph.instrument()
