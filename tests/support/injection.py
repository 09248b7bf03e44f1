"""The injection machine: raises an exception at one function entry of ours after the other, on the caller's thread.

Generated wrappers (`tachograph.tape.guard`) have no file of ours, so they are not entries: they are what must hold.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import tachograph

_SOURCE = os.path.dirname(tachograph.__file__) + os.sep
_APART = tuple(os.path.join(_SOURCE, room) for room in ("testing.py",))
"""Ours, but not on a call's path."""


@dataclass
class Injection:
    """One exception to be raised.

    Attributes:
        number: At which entry, from 1 on.
        make: Makes the exception.
        place: Where it was raised; "" when there are fewer entries.
        unraisable: Exceptions that the interpreter could raise nowhere: of finalizers.
    """

    number: int
    make: Callable[[], BaseException]
    place: str = ""
    entries: int = 0
    unraisable: list[type[BaseException]] = field(default_factory=list)

    def enter(self, code: CodeType) -> None:
        """A function of ours is entered."""
        self.entries += 1
        if self.entries == self.number:
            self.place = f"{Path(code.co_filename).relative_to(_SOURCE)}:{code.co_qualname}"
            raise self.make()


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(_SOURCE) and not code.co_filename.startswith(_APART)


@contextmanager
def injecting(injection: Injection) -> Iterator[None]:
    """Raise it inside; the machine is switched off before anything else happens."""
    before, sys.unraisablehook = sys.unraisablehook, lambda seen: injection.unraisable.append(seen.exc_type)
    stop = _monitor(injection) if sys.version_info >= (3, 12) else _trace(injection)
    try:
        yield
    finally:
        stop()
        sys.unraisablehook = before


_traced: list[Injection] = []


def _entered(frame: FrameType, event: str, _: Any) -> None:
    """A trace function that is never freed: CPython 3.11 may call one that raised once more."""
    if _traced and event == "call" and _is_ours(frame.f_code):
        _traced[0].enter(frame.f_code)


def _trace(injection: Injection) -> Callable[[], None]:
    def stop() -> None:
        sys.settrace(None)
        _traced.clear()

    _traced.append(injection)
    sys.settrace(_entered)
    return stop


def _monitor(injection: Injection) -> Callable[[], None]:
    monitoring = sys.monitoring  # type: ignore[attr-defined,unused-ignore]  # 3.12
    events = monitoring.events
    here = threading.get_ident()

    def entered(code: CodeType, _: int) -> Any:
        if not _is_ours(code):
            return monitoring.DISABLE
        if threading.get_ident() == here:
            injection.enter(code)
        return None

    tool = monitoring.PROFILER_ID
    monitoring.use_tool_id(tool, "injection")
    for event in (events.PY_START, events.PY_RESUME):
        monitoring.register_callback(tool, event, entered)
    monitoring.set_events(tool, events.PY_START | events.PY_RESUME)

    def stop() -> None:
        monitoring.set_events(tool, events.NO_EVENTS)
        monitoring.free_tool_id(tool)

    return stop


class Injected(Exception):
    """A failure of ours."""


KINDS = (Injected, RecursionError, MemoryError)


def inject_at_entries(ask: Callable[[], Any], *, step: int = 3) -> int:
    """Ask without an exception, then with one at each so many entries of ours: the answer stays the same.

    Returns:
        How many entries there are, about.
    """
    wanted = ask()
    number = 1
    while True:
        injection = Injection(number, KINDS[number // step % len(KINDS)])
        with injecting(injection):
            found = ask()
        assert found == wanted, injection.place
        if not injection.place:
            return number
        number += step


@contextmanager
def watched_quietly(**settings: Any) -> Iterator[None]:
    """Everything is watched, and failures of ours are counted and dropped without a word, as in production."""
    from tachograph import instrument, uninstrument
    from tachograph.tape import TAPE
    from tachograph.testing import recording

    with recording(strict=False):
        instrument(**settings)
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
            TAPE.drain()
            uninstrument()
