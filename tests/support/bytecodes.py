"""Counts the bytecode instructions that a piece of code runs: the same in every run, whatever else the machine does.

By opcode tracing, which Python 3.11 has and later ones still do. Only frames of the given package are counted.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def count(run: Callable[[], Any], package: str = "tachograph") -> int:
    """Instructions run inside files of `package` while `run` runs, in this thread; warm it up before."""
    total = 0
    mark = f"/{package}/"

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal total
        if event == "call":
            if mark not in frame.f_code.co_filename and not frame.f_code.co_filename.startswith("<string"):
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
