"""The border between the application's call and us: every hook is generated here, from one text for sync and async.

What stands in a client library's place must not be able to fail, at any instruction, whatever the reason: a bug of
ours, a RecursionError because the application is deep in its own recursion, a MemoryError. So the wrappers hold
nothing but the original call and guarded calls into our code. They are compiled from the texts below, once for sync
and once for async, and each call into our code stands in a `try` whose handler is guarded as well. A failure of ours
before the request means that the call goes on unwatched; one after it means that the record is lost and counted.

`Refused` is the one exception of ours that may reach the application: a budget that the user asked us to enforce.
In strict mode (tests) a failure of ours is raised, too.

tests/instrument/test_guard.py injects exceptions at every function entry of ours, over every API.
"""

from __future__ import annotations

import linecache
import re
import sys
from collections.abc import Callable
from itertools import count
from textwrap import dedent, indent
from typing import Any, Final

from tachograph.errors import BudgetExceededError
from tachograph.instrument.settled import recorder

_numbers = count(1)
_GUARD: Final = re.compile(r"^(?P<pad> *)guard (?P<otherwise>[\w. =]*?): (?P<code>.+)$", re.MULTILINE)


def report(error: Exception) -> None:
    """Count and log a failure of ours; raises it in strict mode."""
    recorder().failed("instrument", error)


def generate(text: str, name: str, *, is_async: bool = False, **names: Any) -> Any:
    """Compile one wrapper.

    Args:
        text: Python, with two additions. `guard OTHERWISE: CODE` runs CODE, and OTHERWISE where it fails.
            `ASYNC` and `AWAIT` become `async` and `await`, or nothing.
        name: The function or class that the text defines.
        names: What its globals hold.
    """
    source = _GUARD.sub(_guarded, dedent(text))
    source = re.sub(r"\bASYNC ", "async " if is_async else "", source)
    source = re.sub(r"\bAWAIT ", "await " if is_async else "", source)
    place = f"<tachograph guard {next(_numbers)}: {name}>"
    linecache.cache[place] = (len(source), None, source.splitlines(True), place)
    space = {"Refused": BudgetExceededError, "report": report, **names}
    exec(compile(source, place, "exec"), space)
    return space[name]


def _guarded(match: re.Match[str]) -> str:
    """`guard OTHERWISE: CODE`, written out."""
    block = f"""\
try:
    {match["code"]}
except Refused:
    raise
except Exception as failure:
    {match["otherwise"] or "pass"}
    try:
        report(failure)
    except Exception as again:
        if again is failure:
            raise
"""
    return indent(block.rstrip("\n"), match["pad"])


_CALL: Final = """
    ASYNC def {name}({signature}):
        guard watch = None: watch = begin({begins})
        if watch is None:
            return AWAIT original({plain})
        token = set_variable(watch)
        try:
            answer = AWAIT original({watched})
        except BaseException as error:
            reset_variable(token)
            guard pass: failed(watch, error)
            raise
        reset_variable(token)
        guard pass: done(watch, answer)
        return answer
"""


def call_wrapper(
    original: Any,
    variable: Any,
    *,
    begin: Callable[..., Any],
    done: Callable[[Any, Any], None],
    failed: Callable[[Any, BaseException], None],
    is_async: bool,
    signature: str = "self, *args, **keywords",
    begins: str = "self, args, keywords",
    plain: str = "self, *args, **keywords",
    watched: str = "self, *args, **keywords",
) -> Any:
    """The wrapper around a client's method that is one watched call.

    Args:
        original: The method.
        variable: The ContextVar that holds the watch while the method runs.
        begin: Makes the watch; None when the call is not to be watched.
        done: Takes the watch and the answer.
        failed: Takes the watch and the exception that the application sees.
        is_async: Whether the method is a coroutine function.
        signature, begins, plain, watched: Parameters of the wrapper, and arguments of `begin`, of the original when
            the call is not watched, and of the original when it is. They may differ by what the watch has replaced.
    """
    text = _CALL.format(name="call", signature=signature, begins=begins, plain=plain, watched=watched)
    return generate(
        text,
        "call",
        is_async=is_async,
        original=original,
        begin=begin,
        done=done,
        failed=failed,
        set_variable=variable.set,
        reset_variable=variable.reset,
    )


_READ: Final = """
    ASYNC def read(state, chunks):
        guard pass: state.begin(chunks)
        try:
            FIRST_STEP
            hide, reader = state.chunk, state.reader
            ASYNC for chunk in chunks:
                hidden = False
                guard pass: hidden = hide(chunk)
                if hidden:
                    continue
                yield chunk
                if reader.tail and reader.started:
                    break
            else:
                guard pass: state.ended()
                return
            keep = now = None
            guard pass: keep, now = state.keep_last(), clock
            if keep is None:
                ASYNC for chunk in chunks:
                    yield chunk
            elif not state.hides_usage:
                ASYNC for chunk in chunks:
                    state.last_ns = now()
                    keep(chunk)
                    yield chunk
            else:
                ASYNC for chunk in chunks:
                    state.last_ns = now()
                    hidden = False
                    try:
                        if chunk.choices:
                            keep(chunk)
                        elif hide(chunk):
                            continue
                        else:
                            keep(chunk)
                    except Exception:
                        keep(chunk)
                    yield chunk
            guard pass: state.ended()
        except BaseException as error:
            guard pass: state.interrupted(error)
            raise
        finally:
            state.generator = None
            CLOSE
"""


def reader_of_chunks(*, is_async: bool, clock: Callable[[], int]) -> Any:
    """The generator function that stands around a client library's own generator of chunks.

    An event loop closes each asynchronous generator that is dropped or left at its end, by a hook that the generator
    takes up at its first step. The library's has that hook, as it has without us. Ours must not: the loop would close
    both at once, and one of the two fails (`aclose(): asynchronous generator is already running`). So the first step
    of ours, which waits for nothing, is taken here, without hooks. Closed or dropped, it waits for nothing either.
    """
    if not is_async:
        text = _READ.replace("FIRST_STEP", "pass").replace("CLOSE", "close_if_it_can(chunks)")
        return generate(text, "read", clock=clock, close_if_it_can=_close_if_it_can)
    text = _READ.replace("FIRST_STEP", "yield None").replace("CLOSE", "pass")
    return unhooked(generate(text, "read", is_async=True, clock=clock), chunks=1)


_UNHOOKED: Final = """
    def read(*args):
        reading = args[CHUNKS]
        guard pass: reading = first_step(make(*args))
        return reading
"""


def unhooked(make: Any, *, chunks: int) -> Any:
    """An async generator function that steps over its first `yield`, without the event loop's hooks.

    Args:
        make: The generator function; its first step is `yield None` and waits for nothing.
        chunks: Which argument is the library's generator: it is read as it is where ours fails.
    """
    return generate(_UNHOOKED.replace("CHUNKS", str(chunks)), "read", make=make, first_step=_first_step)


def _first_step(reading: Any) -> Any:
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        reading.asend(None).send(None)
    except StopIteration:
        return reading  # it stands at its first yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return reading


def _close_if_it_can(chunks: Any) -> None:
    close = getattr(chunks, "close", None)
    if close is not None:
        close()
