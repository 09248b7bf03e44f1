"""Counts bytecode instructions by opcode tracing, which Python 3.11 has and later ones still do."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


def count(run: Callable[[], Any], inside: Callable[[CodeType], bool] | None = None) -> int:
    """Instructions that this thread executes while `run` runs, garbage collection left out; warm it up before.

    Args:
        run: What is counted.
        inside: Whether code is counted; all is unless given.
    """
    total = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal total
        if event == "call":
            if inside is not None and not inside(frame.f_code):
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            total += 1
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
        gc.enable()
    return total
