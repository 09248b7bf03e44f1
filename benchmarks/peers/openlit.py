"""OpenLIT, content off."""

from __future__ import annotations

import os
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    emitted.make_global()
    import openlit

    openlit.init(
        capture_message_content=False,
        collect_gpu_stats=False,
    )
