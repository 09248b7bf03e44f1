"""The border between the application's call and us: every hook is generated here, from one text for sync and async.

What is in a client library's place must not be able to fail, at any instruction, whatever the reason: a bug of
ours, a RecursionError because the application is deep in its own recursion, a MemoryError. So the wrappers hold
nothing but the original call and guarded calls into our code. They are compiled from the texts below, once for sync
and once for async, and each call into our code is in a `try` whose handler is guarded as well. A failure of ours
before the request means that the call goes on unwatched; one after it means that the record is lost and counted.

`Refused` is the one exception of ours that may reach the application: a budget that the user asked us to enforce.
In strict mode (tests) a failure of ours is raised, too.

tests/instrument/test_guard.py injects exceptions at every function entry of ours, over every API.
"""

from __future__ import annotations

import inspect
import linecache
import re
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextvars import ContextVar
from functools import cache
from itertools import count
from textwrap import dedent, indent
from types import CodeType
from typing import Any, Final

from tachograph.errors import BudgetExceededError

_numbers = count(1)
_GUARD: Final = re.compile(r"^(?P<pad> *)guard (?P<otherwise>[\w. =();+]*?): (?P<code>.+)$", re.MULTILINE)


_failed: Callable[[Exception], object] = repr  # until the parts are joined


def report(error: Exception) -> None:
    """Count and log a failure of ours; raises it in strict mode."""
    _failed(error)


def report_to(failed: Callable[[Exception], object]) -> None:
    """Have failures of ours counted and logged here; `runtime` joins this with the recorder."""
    global _failed
    _failed = failed


def generate(text: str, name: str, *, is_async: bool = False, **names: object) -> Callable[..., Any]:
    """Compile one wrapper.

    Args:
        text: Python, with two additions. `guard OTHERWISE: CODE` runs CODE, and OTHERWISE where it fails.
            `ASYNC` and `AWAIT` become `async` and `await`, or nothing.
        name: The function that the text defines.
        names: What its globals hold.
    """
    made: Callable[..., Any] = _generated(text, name, is_async, names)[name]
    return made


def generate_class(text: str, name: str, *, is_async: bool = False, **names: object) -> type[Any]:
    """Compile one class, of which `generate` says how its text is written."""
    made: type[Any] = _generated(text, name, is_async, names)[name]
    return made


def _generated(text: str, name: str, is_async: bool, names: Mapping[str, object]) -> Mapping[str, Any]:
    space: dict[str, Any] = {"Refused": BudgetExceededError, "report": report, **names}
    exec(_compiled(text, name, is_async), space)
    return space


@cache
def _compiled(text: str, name: str, is_async: bool) -> CodeType:
    source = _GUARD.sub(_guarded, dedent(text))
    source = re.sub(r"\bASYNC ", "async " if is_async else "", source)
    source = re.sub(r"\bAWAIT ", "await " if is_async else "", source)
    place = f"<tachograph guard {next(_numbers)}: {name}>"
    linecache.cache[place] = (len(source), None, source.splitlines(True), place)
    return compile(source, place, "exec")


def _guarded(match: re.Match[str]) -> str:
    """`guard OTHERWISE: CODE`, written out."""
    block = f"""\
try:
    {match["code"]}
except Refused:
    raise
except Exception as failure:
    try:
        {match["otherwise"] or "pass"}
        report(failure)
    except Exception as again:
        if again is failure:
            raise
"""
    return indent(block.rstrip("\n"), match["pad"])


_CALL: Final = """
    ASYNC def call({signature}):
        around = get_context()
        guard watch = None; attach(around): watch = begin({begins})
        if watch is None:
            return AWAIT original({plain})
        {set}
        try:
            answer = AWAIT original({watched})
        except BaseException as error:
            {reset}
            guard attach(around): failed(watch, error)
            raise
        {reset}
        guard attach(around): done(watch, answer)
        return answer
"""
_EVERYTHING: Final = "self, *args, **keywords"


def call_wrapper(
    original: object,
    holds: Mapping[ContextVar[Any], str] | None = None,
    *,
    begin: Callable[..., Any],
    done: Callable[[Any, Any], object] | None = None,
    failed: Callable[[Any, BaseException], object] | None = None,
    is_async: bool,
    signature: str = _EVERYTHING,
    begins: str = "self, args, keywords",
    plain: str = "",
    watched: str = "",
) -> Callable[..., Any]:
    """The wrapper around a client's method that is one watched call.

    Args:
        original: The method.
        holds: What context variables hold while the method runs, as an expression; `watch` is what `begin` made.
        begin: Makes the watch; None when the call is not to be watched.
        done: Takes the watch and the answer.
        failed: Takes the watch and the exception that the application sees.
        is_async: Whether the method is a coroutine function.
        signature, begins, plain, watched: Parameters of the wrapper, and arguments of `begin`, of the original when
            the call is not watched, and of the original when it is: those of the wrapper unless given. They may differ
            by what the watch has replaced.
    """
    from opentelemetry import context  # not imported before something is watched

    held = list((holds or {}).items())
    plain = plain or re.sub(r" ?=[^,]+|/, ", "", signature)
    text = _CALL.format(
        signature=signature,
        begins=begins,
        plain=plain,
        watched=watched or plain,
        set="; ".join(f"token{n} = set{n}({value})" for n, (_, value) in enumerate(held)) or "pass",
        reset="; ".join(f"reset{n}(token{n})" for n in range(len(held))) or "pass",
    )
    names: dict[str, Any] = {"original": original, "begin": begin, "done": done, "failed": failed}
    names |= {"get_context": context.get_current, "attach": context.attach}
    for name in ("done", "failed"):
        if names[name] is None:
            text = re.sub(rf"guard attach\(around\): {name}\(.*", "pass", text)
    for n, (variable, _) in enumerate(held):
        names |= {f"set{n}": variable.set, f"reset{n}": variable.reset}
    return generate(text, "call", is_async=is_async, **names)


_AFTER: Final = """
    def call(self, *args, **keywords):
        answer = original(self, *args, **keywords)
        guard pass: done(self, answer, args, keywords)
        return answer
"""


def after(original: object, done: Callable[[Any, Any, Any, Any], object]) -> Callable[..., Any]:
    """The wrapper around a method whose answer we look at: `done` takes its owner, its answer and its arguments."""
    return generate(_AFTER, "call", original=original, done=done)


_CHOICE: Final = """
    def call({signature}):
        guard way = original: way = choose({chooses})
        return way({plain})
"""


def choice(original: object, choose: Callable[..., Any], *, signature: str, chooses: str) -> Callable[..., Any]:
    """The wrapper that has one of several functions called, the original or a wrapper of it, by the arguments.

    It is no coroutine function: an ordinary call has no frame of ours around its awaiting.
    """
    plain = re.sub(r" ?=[^,]+|/, ", "", signature)
    text = _CHOICE.format(signature=signature, chooses=chooses, plain=plain)
    made = generate(text, "call", original=original, choose=choose)
    mark = getattr(inspect, "markcoroutinefunction", None)  # since Python 3.12
    if mark is not None and inspect.iscoroutinefunction(original):
        mark(made)
    return made


_READ: Final = """
    ASYNC def read(state, chunks):
        guard pass: state.begin(chunks)
        try:
            FIRST_STEP
            hide, reader = state.chunk, state.reader
            ASYNC for chunk in chunks:
                hidden = None
                guard pass: hidden = hide(chunk)
                if hidden or (hidden is None and state.hides_usage and USAGE_ALONE):
                    continue
                yield chunk
                if reader.tail and reader.started:
                    break
            else:
                guard pass: state.ended()
                return
            keep = None
            guard pass: keep = state.keep_last()
            keep = keep or kept_nowhere
            if not state.hides_usage:
                ASYNC for chunk in chunks:
                    state.last_ns = clock()
                    keep(chunk)
                    yield chunk
            else:
                ASYNC for chunk in chunks:
                    state.last_ns = clock()
                    try:
                        hidden = not chunk.choices and reader.hides(chunk)
                    except Exception:
                        hidden = USAGE_ALONE
                    keep(chunk)
                    if not hidden:
                        yield chunk
            guard pass: state.ended()
        except BaseException as error:
            guard pass: state.interrupted(error)
            raise
        finally:
            state.generator = None
            CLOSE
"""


def reader_of_chunks(*, is_async: bool, clock: Callable[[], int]) -> Callable[..., Any]:
    """The generator function that stands around a client library's own generator of chunks.

    An event loop closes each asynchronous generator that is dropped or left at its end, by a hook that the generator
    takes up at its first step. The library's has that hook, as it has without us. Ours must not: the loop would close
    both at once, and one of the two fails (`aclose(): asynchronous generator is already running`). So the first step
    of ours, which waits for nothing, is taken here, without hooks. Closed or dropped, it waits for nothing either.
    """
    return _reader(_READ, is_async=is_async, chunks=1, clock=clock, kept_nowhere=deque(maxlen=0).append)


_WITHOUT_USAGE: Final = """
    ASYNC def read(chunks):
        try:
            FIRST_STEP
            ASYNC for chunk in chunks:
                if not USAGE_ALONE:
                    yield chunk
        finally:
            CLOSE
"""


def reader_without_usage(*, is_async: bool) -> Callable[..., Any]:
    """The generator function that hides the chunk that we asked for, where watching the stream has failed."""
    return _reader(_WITHOUT_USAGE, is_async=is_async, chunks=0)


_USAGE_ALONE: Final = '(getattr(chunk, "choices", None) == [] and getattr(chunk, "usage", None) is not None)'


def _reader(text: str, *, is_async: bool, chunks: int, **names: object) -> Callable[..., Any]:
    text = text.replace("USAGE_ALONE", _USAGE_ALONE)
    text = text.replace("FIRST_STEP", "yield None" if is_async else "pass")
    text = text.replace("CLOSE", "pass" if is_async else 'if hasattr(chunks, "close"): chunks.close()')
    made = generate(text, "read", is_async=is_async, **names)
    return unhooked(made, chunks=chunks) if is_async else made


_UNHOOKED: Final = """
    def read(*args):
        reading = args[CHUNKS]
        guard pass: reading = first_step(make(*args))
        return reading
"""


def unhooked(make: object, *, chunks: int) -> Callable[..., Any]:
    """An async generator function that steps over its first `yield`, without the event loop's hooks.

    Args:
        make: The generator function; its first step is `yield None` and waits for nothing.
        chunks: Which argument is the library's generator: it is read as it is where ours fails.
    """
    return generate(_UNHOOKED.replace("CHUNKS", str(chunks)), "read", make=make, first_step=_first_step)


def _first_step(reading: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        reading.asend(None).send(None)
    except StopIteration:
        return reading  # it is at its first yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return reading
