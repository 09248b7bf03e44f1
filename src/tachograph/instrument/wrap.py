"""The wrapper around a client's method that is one watched call, once for sync and once for async."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from tachograph.instrument.patches import SWITCH
from tachograph.instrument.watch import WATCH, Watch
from tachograph.records import ENGINE_CALL
from tachograph.signals.spans import enter
from tachograph.tape.guard import call_wrapper

Begin = Callable[[Any, dict[str, Any]], Watch | None]
"""Makes the watch of one call from `self` and the keyword arguments; None when it is not to be watched."""

Done = Callable[[Any, Any], None]
"""Takes the watch and the answer, when the client's method has returned a whole one."""


def watched(
    original: object, *, begin: Begin, done: Done, variable: ContextVar[Any] = WATCH, is_async: bool = False
) -> Any:
    """Watch a method: the variable holds the watch while the method runs."""

    def begin_watch(owner: object, args: object, keywords: dict[str, Any]) -> Watch | None:
        if not SWITCH.on or ENGINE_CALL.get() is not None:
            return None
        watch = begin(owner, keywords)
        if watch is not None and watch.call.span is not None:
            enter(watch.call)
        return watch

    def failed(watch: Watch, error: BaseException) -> None:
        watch.failed(error)

    return call_wrapper(original, {variable: "watch"}, begin=begin_watch, done=done, failed=failed, is_async=is_async)


watched_async = partial(watched, is_async=True)
"""The same for a coroutine method."""
