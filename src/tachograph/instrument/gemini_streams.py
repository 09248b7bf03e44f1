"""The generated wrappers of google-genai's methods that send requests: chunks of a call or request, whole answers."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any, Final

from opentelemetry import context

from tachograph.instrument.gemini_generation import GENERATING
from tachograph.instrument.watch import WATCH
from tachograph.tape.guard import generate, unhooked

_STREAM: Final = """
    def generate_content_stream(self, *args, **keywords):
        chunks = original(self, *args, **keywords)
        watch = None
        guard pass: watch = begin(self, keywords)
        return chunks if watch is None else read(watch, watch.stream, chunks)
"""

_ASYNC_STREAM: Final = """
    async def generate_content_stream(self, *args, **keywords):
        watch = None
        guard pass: watch = begin(self, keywords)
        if watch is None:
            return await original(self, *args, **keywords)
        token = set_variable(watch)
        try:
            chunks = await original(self, *args, **keywords)
        except BaseException as error:
            guard pass: watch.failed(error)
            raise
        finally:
            reset_variable(token)
        return read(watch, watch.stream, chunks)
"""

_READ: Final = """
    ASYNC def read(watch, state, chunks):
        # The chunks of all hops. The library works for this call at first, between hops, and where it runs tools.
        keep = None
        runs_tools = False
        around = get_context()
        guard pass: keep = state.keep_last()
        try:
            FIRST_STEP
            guard pass: state.begin(chunks)
            guard attach(around): watch.go_inside()
            ASYNC for chunk in chunks:
                state.last_ns = clock()
                if watch.is_inside:
                    guard put_back(watch.before); attach(around): keep, runs_tools = watch.came_out(keep)
                if keep is not None:
                    keep(chunk)
                yield chunk
                if runs_tools:
                    guard attach(around): watch.go_inside()
            guard attach(around): watch.stream_ended()
        except BaseException as error:
            guard attach(around): watch.stream_interrupted(error)
            raise
        finally:
            guard put_back(watch.before); attach(around): watch.come_out()
            state.generator = None
            CLOSE
"""

_HOP: Final = """
    ASYNC def _generate_content(self, *args, **keywords):
        watch = current()
        if watch is None:
            return AWAIT original(self, *args, **keywords)
        token = set_variable(watch)
        try:
            answer = AWAIT original(self, *args, **keywords)
        finally:
            reset_variable(token)
        guard pass: watch.hop_answered(answer)
        return answer
"""

_HOP_STREAM: Final = """
    def _generate_content_stream(self, *args, **keywords):
        watch = current()
        chunks = original(self, *args, **keywords)
        return chunks if watch is None else read(watch, chunks)
"""

_ASYNC_HOP_STREAM: Final = """
    async def _generate_content_stream(self, *args, **keywords):
        watch = current()
        if watch is None:
            return await original(self, *args, **keywords)
        token = set_variable(watch)
        try:
            chunks = await original(self, *args, **keywords)
        finally:
            reset_variable(token)
        return read(watch, chunks)
"""

_READ_HOP: Final = """
    ASYNC def read(watch, chunks):
        # The chunks of one request, which is sent when the first is asked for.
        hop = None
        guard pass: hop = watch.next_hop()
        chunks = ITER(chunks)
        try:
            FIRST_STEP
            before = current()
            set_variable(watch)
            try:
                chunk = AWAIT NEXT(chunks, None)
            finally:
                set_variable(before)  # not reset(): a generator may be closed in another context
            while chunk is not None:
                has_started = hop is None
                if hop is not None:
                    guard has_started = True: has_started = watch.note(hop, chunk)
                yield chunk
                if has_started:
                    break
                chunk = AWAIT NEXT(chunks, None)
            REST
            guard pass: watch.hop_ended()
        except Exception:
            guard pass: watch.hop_failed()
            raise
        finally:
            CLOSE
"""


def _async_words(text: str, *, is_async: bool) -> str:
    """The text with the iteration's words for sync or async."""
    words = {"ITER": "iter", "NEXT": "next", "REST": "yield from chunks"}
    words |= {"FIRST_STEP": "pass", "CLOSE": "chunks.close()"}
    if is_async:
        words = {"ITER": "aiter", "NEXT": "anext", "FIRST_STEP": "yield None", "CLOSE": "pass"}
        words["REST"] = "async for chunk in chunks:\n                yield chunk"
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


def _readers(text: str, *, chunks: int, **names: object) -> tuple[Any, Any]:
    """The generator function for sync, and the one for async; `chunks`: which argument is the library's generator."""
    sync, asynchronous = (
        generate(_async_words(text, is_async=is_async), "read", is_async=is_async, **names)
        for is_async in (False, True)
    )
    return sync, unhooked(asynchronous, chunks=chunks)


_read, _read_async = _readers(
    _READ,
    chunks=2,
    clock=perf_counter_ns,
    put_back=GENERATING.set,
    get_context=context.get_current,
    attach=context.attach,
)
_read_hop, _read_hop_async = _readers(_READ_HOP, chunks=1, current=WATCH.get, set_variable=WATCH.set)


def generate_stream(original: object, *, begin: object, is_async: bool = False) -> object:
    """Watch a method that returns the chunks of one or more requests."""
    return generate(
        _ASYNC_STREAM if is_async else _STREAM,
        "generate_content_stream",
        original=original,
        begin=begin,
        read=_read_async if is_async else _read,
        set_variable=GENERATING.set,
        reset_variable=GENERATING.reset,
    )


def hop(original: object, *, is_async: bool = False) -> object:
    return generate(
        _HOP,
        "_generate_content",
        is_async=is_async,
        original=original,
        current=GENERATING.get,
        set_variable=WATCH.set,
        reset_variable=WATCH.reset,
    )


def hop_stream(original: object) -> object:
    return generate(_HOP_STREAM, "_generate_content_stream", original=original, current=GENERATING.get, read=_read_hop)


def hop_stream_async(original: object) -> object:
    return generate(
        _ASYNC_HOP_STREAM,
        "_generate_content_stream",
        original=original,
        current=GENERATING.get,
        read=_read_hop_async,
        set_variable=WATCH.set,
        reset_variable=WATCH.reset,
    )
