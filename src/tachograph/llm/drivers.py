"""The two drivers of one program: blocking for threads, awaiting for tasks.

The engine is written once, as a generator. Whatever takes time it asks of a face and yields what it gets:

    answer = yield face.do(call, seconds_left, function, *args)

`Blocking` has done it by then and hands the result over; `Awaiting` hands over a coroutine, which the driver awaits,
sending the result back in. While an SDK works, both set ENGINE_CALL, so that a watched SDK leaves the call to us, and
make the call's span current, so that what is sent belongs to it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from tachograph.records.context import ENGINE_CALL

if TYPE_CHECKING:
    from tachograph.recorder import Recorder
    from tachograph.records.llm_call import LLMCall

END: Final = object()
"""What `next` gives after the last chunk."""


class Emit:
    """What a program yields for its consumer, all else being for its driver."""

    __slots__ = ("event",)

    def __init__(self, event: object) -> None:
        self.event = event


Program = Generator[Any, Any, Any]


class Blocking:
    """Does it here and now. It cannot interrupt an SDK: time limits are the SDK's own, between two reads."""

    is_async = False

    def __init__(self, recorder: Callable[[], Recorder], sleep: Callable[[float], None] = time.sleep) -> None:
        self._recorder = recorder
        self._sleep = sleep

    def do(self, call: LLMCall, seconds: float | None, function: Callable[..., Any], *args: object) -> Any:
        """Call a function of an SDK for this call; `seconds` are left for it (None: no limit)."""
        engine = ENGINE_CALL.set(call)
        try:
            with self._recorder().current(call):
                return function(*args)
        finally:
            ENGINE_CALL.reset(engine)

    def limited(self, seconds: float | None, function: Callable[..., Any], *args: object) -> object:
        """The same without what only sending needs."""
        return function(*args)

    @staticmethod
    def read(iterator: Any) -> Any:
        """The next chunk of a stream, or END."""
        return next(iterator, END)

    def pause(self, seconds: float) -> None:
        """Wait."""
        self._sleep(seconds)

    def close(self, stream: object) -> None:
        """Close a stream that was not read to its end."""
        close = getattr(stream, "close", None)
        if close is not None:
            close()

    @staticmethod
    def iterate(stream: Any) -> object:
        """Begin to read a stream."""
        return iter(stream)


class Awaiting:
    """Does it when awaited."""

    is_async = True

    def __init__(self, recorder: Callable[[], Recorder], sleep: Callable[[float], Any] = asyncio.sleep) -> None:
        self._recorder = recorder
        self._sleep = sleep

    async def do(self, call: LLMCall, seconds: float | None, function: Callable[..., Any], *args: object) -> Any:
        engine = ENGINE_CALL.set(call)
        try:
            with self._recorder().current(call):
                result = function(*args)
                if inspect.isawaitable(result):
                    if seconds is None:
                        return await result
                    async with asyncio.timeout(seconds):
                        return await result
                return result
        finally:
            ENGINE_CALL.reset(engine)

    async def limited(self, seconds: float | None, function: Callable[..., Any], *args: object) -> object:
        """The same without what only sending needs."""
        async with asyncio.timeout(seconds):
            return await function(*args)

    @staticmethod
    def read(iterator: Any) -> Any:
        """The next chunk of a stream, or END."""
        return anext(iterator, END)

    async def pause(self, seconds: float) -> None:
        await self._sleep(seconds)

    async def close(self, stream: object) -> None:
        close = getattr(stream, "aclose", None) or getattr(stream, "close", None)
        if close is not None:
            result = close()
            if inspect.isawaitable(result):
                await result

    @staticmethod
    def iterate(stream: Any) -> object:
        return aiter(stream)


class Closing(BaseException):
    """Thrown into a program whose consumer has stopped reading; not an error."""


def advance(program: Program, throw: BaseException | None = None) -> Any:
    """Run a blocking program to its next event.

    Raises:
        StopIteration: It has ended; `value` is its result.
    """
    step = program.send(None) if throw is None else program.throw(throw)
    while not isinstance(step, Emit):
        step = program.send(step)
    return step.event


async def aadvance(program: Program, throw: BaseException | None = None) -> tuple[bool, Any]:
    """Run an awaiting program to its next event; returns (True, event), or (False, result) when it has ended."""
    value: Any = None
    while True:
        try:
            step = program.send(value) if throw is None else program.throw(throw)
        except StopIteration as stop:
            return False, stop.value
        throw = None
        if isinstance(step, Emit):
            return True, step.event
        try:
            value = await step
        except BaseException as error:  # noqa: BLE001 - the program decides, cancellation included
            throw = error
