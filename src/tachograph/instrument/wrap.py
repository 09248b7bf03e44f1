"""The wrapper around a client's method that is one watched call, once for sync and once for async."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from tachograph.errors import BudgetExceededError
from tachograph.instrument.patches import SWITCH
from tachograph.instrument.settled import recorder
from tachograph.instrument.watch import WATCH, Watch
from tachograph.records import ENGINE_CALL
from tachograph.signals.spans import enter, leave

Begin = Callable[[Any, dict[str, Any]], Watch | None]
"""Makes the watch of one call from `self` and the keyword arguments; None when it is not to be watched."""

Done = Callable[[Any, Any], None]
"""Takes the watch and the answer, when the client's method has returned a whole one."""


def watched(original: Any, *, begin: Begin, done: Done, variable: ContextVar[Any] = WATCH) -> Any:
    """Watch a method: the variable holds the watch while the method runs."""

    def method(self: Any, *args: Any, **keywords: Any) -> Any:
        watch = _begin(begin, self, keywords)
        if watch is None:
            return original(self, *args, **keywords)
        token = variable.set(watch)
        enter(watch.call)
        try:
            answer = original(self, *args, **keywords)
        except BaseException as error:
            watch.failed(error)
            raise
        finally:
            leave(watch.call)  # a stream's span is current only here
            variable.reset(token)
        if watch.state is None:
            done(watch, answer)
        return answer

    return method


def watched_async(original: Any, *, begin: Begin, done: Done, variable: ContextVar[Any] = WATCH) -> Any:
    """The same for a coroutine method."""

    async def method(self: Any, *args: Any, **keywords: Any) -> Any:
        watch = _begin(begin, self, keywords)
        if watch is None:
            return await original(self, *args, **keywords)
        token = variable.set(watch)
        enter(watch.call)
        try:
            answer = await original(self, *args, **keywords)
        except BaseException as error:
            watch.failed(error)
            raise
        finally:
            leave(watch.call)  # a stream's span is current only here
            variable.reset(token)
        if watch.state is None:
            done(watch, answer)
        return answer

    return method


def _begin(begin: Begin, owner: Any, keywords: dict[str, Any]) -> Watch | None:
    if not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    try:
        return begin(owner, keywords)
    except BudgetExceededError:
        raise  # the user asked for this: budgets.guard = "all"
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        recorder().failed("instrument", error)
        return None
