"""Watching the body of an HTTP response that is read after the client library has returned.

The response's byte stream gets one of ours around it. While the library's own generator reads the body, ours hands out
the inner iterator and only hears of closing and of being collected. When the application reads the bytes itself
(`with_streaming_response`, a raw response's `iter_lines()`), the bytes are followed too.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from time import perf_counter_ns
from typing import Any

from tachograph.instrument.settled import recorder
from tachograph.instrument.streams import StreamState, is_running
from tachograph.vendors.loose import loads

_EVENT = re.compile(rb"(?<=\n\n)|(?<=\n\r\n)|(?<=\r\r)")
"""Where one event of a stream ends and the next begins."""

KEPT_BYTES = 8 * 1024 * 1024
"""More than this of a compressed or non-streamed body is not kept for reading; its usage counts as missing."""

LONGEST_USAGE_EVENT = 64 * 1024


def watch_body(response: Any, state: StreamState, library: Any, *, is_async: bool) -> None:
    """Put our byte stream around the response's, and note the state on the response for the library's stream.

    Args:
        response: An httpx or httpx2 response whose body is unread.
        state: The stream's.
        library: The module it is from.
        is_async: Whether an async client got it.
    """
    sync, asynchronous = _classes(library)
    inner = response.stream
    make = asynchronous if is_async else sync
    response.stream = make(inner, state, Follower(state, response))
    response._tachograph = state


def state_of(response: Any) -> StreamState | None:
    """The state noted on a response."""
    state = getattr(response, "_tachograph", None)
    return state if isinstance(state, StreamState) else None


@lru_cache(maxsize=4)
def _classes(library: Any) -> tuple[type[Any], type[Any]]:
    """Byte streams that are what the library expects: `isinstance(response.stream, SyncByteStream)` stays true."""

    class _Body:
        def __init__(self, inner: Any, state: StreamState, follower: Follower) -> None:
            self._inner = inner
            self._state = state
            self._follower = follower
            self.stream_observer = getattr(inner, "stream_observer", None)  # anthropic asks for it at each chunk

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)  # `elapsed`, and whatever else the inner one offers

        def _closing(self) -> None:
            state = self._state
            if state.watch.call.is_finished:
                return
            if is_running(state.generator):
                state.closed_by_library()
                return  # it tells what happened
            if state.reads_bytes:
                state.dropped()  # perhaps from a generator that is being collected
            else:
                state.closed()

        def __del__(self) -> None:
            state = self.__dict__.get("_state")
            if state is not None:
                state.dropped()

    class ObservedBody(_Body, library.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            if self._state.generator is not None:
                self._state.body = body = iter(self._inner)
                return body  # type: ignore[no-any-return]
            return self._follow()

        def _follow(self) -> Iterator[bytes]:
            follower = self._follower
            self._state.reads_bytes = True
            try:
                for data in self._inner:
                    follower.feed(data)
                    yield data if not follower.hides else follower.shown(data)
                if follower.unshown:
                    yield follower.unshown
            except GeneratorExit:
                self._state.dropped()
                raise
            except BaseException as error:
                follower.failed(error)
                raise
            follower.ended()

        def close(self) -> None:
            self._closing()
            self._inner.close()

    class ObservedAsyncBody(_Body, library.AsyncByteStream):  # type: ignore[misc]
        def __aiter__(self) -> AsyncIterator[bytes]:
            if self._state.generator is not None:
                if self._state.body is not None:  # the library discards what follows the vendor's last word
                    self._state.has_end_marker = True
                    return self._inner.__aiter__()  # type: ignore[no-any-return]
                self._state.body = body = self._inner.__aiter__()
                return body  # type: ignore[no-any-return]
            return self._follow()

        async def _follow(self) -> AsyncIterator[bytes]:
            follower = self._follower
            self._state.reads_bytes = True
            inner = self._inner.__aiter__()
            try:
                async for data in inner:
                    follower.feed(data)
                    yield data if not follower.hides else follower.shown(data)
                if follower.unshown:
                    yield follower.unshown
            except GeneratorExit:
                self._state.dropped()
                raise
            except BaseException as error:
                follower.failed(error)
                raise
            finally:
                close = getattr(inner, "aclose", None)
                if close is not None:
                    await close()
            follower.ended()

        async def aclose(self) -> None:
            self._closing()
            await self._inner.aclose()

    return ObservedBody, ObservedAsyncBody


class Follower:
    """Reads an answer out of bytes that the application reads itself."""

    def __init__(self, state: StreamState, response: Any) -> None:
        headers = response.headers
        kind = headers.get("content-type", "")
        self.state = state
        self.is_events = "event-stream" in kind
        self.is_json = "json" in kind
        self.is_lines = state.reader.takes_lines
        self.encoding = headers.get("content-encoding", "identity")
        self.make_response = type(response)
        self.kept: list[bytes] = []
        self.size = 0
        self.rest = b""
        self.keep: Callable[[bytes], None] | None = None
        self.hides = state.watch.hides_usage and self.is_events and self.encoding == "identity"
        self.unshown = b""

    def shown(self, data: bytes) -> bytes:
        """Some bytes without the event that carries the usage we asked for; a short event is shown once it is whole."""
        *events, self.unshown = _EVENT.split(self.unshown + data)
        if len(self.unshown) > LONGEST_USAGE_EVENT:
            events.append(self.unshown)
            self.unshown = b""
        return b"".join(event for event in events if not self._is_hidden(event))

    def _is_hidden(self, event: bytes) -> bool:
        line = event.strip()
        if b'"usage"' not in line or not line.startswith(b"data:"):
            return False
        try:
            return self.state.reader.hides(loads(line[5:]))
        except Exception:  # noqa: BLE001 - what cannot be read is the application's
            return False

    def feed(self, data: bytes) -> None:
        """Some bytes of the body, as they came over the wire."""
        if self.encoding == "identity" and (self.is_events or self.is_lines):
            self._lines(data)
            return
        self.state.last_ns = perf_counter_ns()
        if self.size <= KEPT_BYTES and (self.is_events or self.is_json or self.is_lines):
            self.size += len(data)
            self.kept.append(data)

    def failed(self, error: BaseException) -> None:
        """Reading the body failed."""
        self.state.failed(error)

    def ended(self) -> None:
        """The body is whole."""
        state, watch = self.state, self.state.watch
        try:
            if self.is_events or self.is_lines:
                self._lines(self._decoded() + b"\n\n")
                state.reader.is_complete = state.reader.is_complete or self.is_lines
                state.ended()
                return
            if self.is_json and self.size <= KEPT_BYTES:
                watch.answer(loads(self._decoded()))
                return
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
            recorder().failed("instrument", error)
        state.reader.is_complete = True  # binary, or too long to keep: whole, and without usage
        state.closed()

    def _decoded(self) -> bytes:
        data = b"".join(self.kept)
        if self.encoding == "identity" or not data:
            return data
        return bytes(self.make_response(200, headers={"content-encoding": self.encoding}, content=data).content)

    def _lines(self, data: bytes) -> None:
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        state, reader = self.state, self.state.reader
        for line in lines:
            if not self.is_lines:
                line = line[5:] if line.startswith(b"data:") else b""
            line = line.strip()
            if not line:
                continue
            if line == b"[DONE]":
                state.has_end_marker = True
                continue
            if self.keep is not None:
                state.last_ns = perf_counter_ns()
                self.keep(line)
                continue
            chunk = _loads(line)
            if chunk is not None:
                state.chunk(chunk)
            if reader.tail and reader.started:
                self.keep = state.keep_last(_loads)


def _loads(line: bytes) -> Any:
    """A line of an answer; None when it is no JSON."""
    try:
        return loads(line)
    except ValueError:
        return None
