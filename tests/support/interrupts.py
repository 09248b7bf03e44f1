"""Raises where a signal handler can: at every point of given modules at which the interpreter looks for signals.

CPython runs signal handlers when a function begins, after a call, and where a loop goes back; nowhere else.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from functools import cache
from types import CodeType, FrameType, ModuleType
from typing import Any


class Interrupt(BaseException):
    """What the handler raises, as `KeyboardInterrupt` or a soft time limit would."""


@cache
def _points(code: CodeType) -> frozenset[int]:
    found, before = set(), "RESUME"
    for instruction in dis.get_instructions(code):
        if instruction.opname == "CACHE":
            continue
        if before == "RESUME" or before.startswith(("CALL", "JUMP_BACKWARD")):
            found.add(instruction.offset)
        before = instruction.opname
    return frozenset(found)


def interrupted_at(point: int, action: Callable[[], object], *modules: ModuleType) -> bool:
    """Run the action and interrupt it at its n-th point (from 0) inside these modules; whether it had so many."""
    files = {module.__file__ for module in modules}
    left = point

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in _points(frame.f_code):
            if left == 0:
                sys.settrace(None)
                left = -1
                raise Interrupt
            left -= 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return left < 0
