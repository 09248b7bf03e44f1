"""OpenLIT, content off."""

from __future__ import annotations

import os
from typing import Any


def start(emitted: Any) -> None:
    os.environ["ANTHROPIC_OPEN_TELEMETRY"] = "false"
    emitted.make_global()
    import openlit
    from opentelemetry import metrics, trace

    openlit.init(
        tracer=trace.get_tracer("openlit"),
        meter=metrics.get_meter("openlit"),
        capture_message_content=False,
        disable_batch=True,
        collect_gpu_stats=False,
    )
