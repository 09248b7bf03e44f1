"""Watching the body of an HTTP response that is read after the client library has returned.

The response's byte stream gets one of ours around it. While the library's own generator reads the body, ours hands out
the inner iterator and only sees closing and garbage collection. When the application reads the bytes itself
(`with_streaming_response`, a raw response's `iter_lines()`), the bytes are followed too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from time import perf_counter_ns
from typing import Any, Final

from tachograph.instrument.encodings import decoded
from tachograph.instrument.splitting import Frames, Lines, opened
from tachograph.instrument.streams import StreamState, is_running
from tachograph.tape.guard import generate_class
from tachograph.vendors.bedrock.frames import CONTENT_TYPE
from tachograph.vendors.bedrock.frames import opened as opened_frame
from tachograph.vendors.loose import loads

_EVENT = re.compile(rb"(?<=\n\n)|(?<=\n\r\n)|(?<=\r\r)")
"""Where one event of a stream ends and the next begins."""

KEPT_BYTES = 8 * 1024 * 1024
"""More than this of a compressed or non-streamed body is not kept for reading; its usage counts as missing."""

LONGEST_USAGE_EVENT = 64 * 1024


HIDES_USAGE: Final = "hides usage"
"""Noted on a response in place of a state while there is none, where we asked for usage: its chunk is hidden anyway."""


def watch_body(
    response: Any, state: StreamState, library: object, *, is_async: bool, follower: Follower | None = None
) -> None:
    """Put our byte stream around the response's, and note the state on the response for the library's stream.

    Args:
        response: An httpx or httpx2 response whose body is unread.
        state: The stream's.
        library: The module it is from.
        is_async: Whether an async client got it.
        follower: What reads the bytes where the application reads them itself.
    """
    sync, asynchronous = _classes(library)
    inner = response.stream
    make = asynchronous if is_async else sync
    response.stream = make(inner, state, follower or Follower(state, response))
    response._tachograph = state


def state_of(response: object) -> StreamState | None:
    """The state noted on a response."""
    state = getattr(response, "_tachograph", None)
    return state if isinstance(state, StreamState) else None


_BODY: Final = """
    class ObservedBody(Base):
        def __init__(self, inner, state, follower):
            self._inner = inner
            self._state = state
            self._follower = follower
            self.stream_observer = getattr(inner, "stream_observer", None)  # anthropic asks for it at each chunk

        def __getattr__(self, name):
            return getattr(self.__dict__["_inner"], name)  # `elapsed`, and whatever else the inner one offers

        def __del__(self):
            state = self.__dict__.get("_state")
            if state is not None:
                try:
                    state.dropped()
                except Exception:
                    pass

        def ITER(self):
            state = self._state
            if state.generator is None:
                return self._follow()
            body = self._inner.ITER()
            if state.body is None or not IS_ASYNC:
                state.body = body
            else:  # the library discards what follows the vendor's last word
                state.has_end_marker = True
            return body

        ASYNC def _follow(self):
            follower = self._follower
            inner = self._inner.ITER()
            guard pass: follower.begin()
            try:
                ASYNC for data in inner:
                    guard pass: follower.feed(data)
                    if follower.hides:
                        guard data = bytes(follower.held) + data; follower.hides = False: data = follower.shown(data)
                    yield data
                if follower.hides and follower.held:
                    yield bytes(follower.held)
            except BaseException as error:
                guard pass: follower.interrupted(error)
                raise
            finally:
                if IS_ASYNC:
                    close = getattr(inner, "aclose", None)
                    if close is not None:
                        AWAIT close()
            guard pass: follower.ended()

        ASYNC def CLOSE(self):
            guard pass: closing(self._state)
            AWAIT self._inner.CLOSE()
"""


def closing(state: StreamState) -> None:
    """The response is being closed: by the generator, which reports what happened, or by the application."""
    if state.watch.call.is_finished:
        return
    if is_running(state.generator):
        state.closed_by_library()  # the generator reports what happened
    elif state.reads_bytes:
        state.dropped()  # perhaps from a generator that is being collected
    else:
        state.closed()


@lru_cache(maxsize=4)
def _classes(library: Any) -> tuple[type[Any], type[Any]]:
    """Byte streams that are what the library expects: `isinstance(response.stream, SyncByteStream)` stays true."""
    sync = _BODY.replace("ITER", "__iter__").replace("IS_ASYNC", "False").replace("CLOSE", "close")
    asynchronous = _BODY.replace("ITER", "__aiter__").replace("IS_ASYNC", "True")
    names: dict[str, Any] = {"closing": closing, "is_running": is_running}
    return (
        generate_class(sync, "ObservedBody", Base=library.SyncByteStream, **names),
        generate_class(
            asynchronous.replace("CLOSE", "aclose"),
            "ObservedBody",
            is_async=True,
            Base=library.AsyncByteStream,
            **names,
        ),
    )


_BREAKS: Final = """
    class NotedPieces:
        # An iterator and no generator: nothing of ours runs when the application leaves it.

        def __init__(self, inner, broken):
            self._inner = inner
            self._broken = broken

        def __getattr__(self, name):
            return getattr(self.__dict__["_inner"], name)

        def __aiter__(self):
            return self

        async def __anext__(self):
            try:
                return await self._inner.__anext__()
            except StopAsyncIteration:
                raise
            except BaseException as error:
                guard pass: self._broken(error)
                raise
"""

_NOTED_BODY: Final = """
    class NotedBody(Base):
        def __init__(self, inner, broken):
            self._inner = inner
            self._broken = broken

        def __getattr__(self, name):
            return getattr(self.__dict__["_inner"], name)

        def __aiter__(self):
            return Pieces(self._inner.__aiter__(), self._broken)

        async def aclose(self):
            await self._inner.aclose()
"""


def note_breaks(response: Any, broken: Callable[[BaseException], None], library: Any) -> None:
    """Tell what breaks off the body of an async client's response, and read nothing of it."""
    response.stream = _noted_body(library)(response.stream, broken)


@lru_cache(maxsize=4)
def _noted_body(library: Any) -> Any:
    pieces = generate_class(_BREAKS, "NotedPieces", is_async=True)
    return generate_class(_NOTED_BODY, "NotedBody", is_async=True, Base=library.AsyncByteStream, Pieces=pieces)


class Follower:
    """Reads an answer out of bytes that the application reads itself."""

    def __init__(self, state: StreamState, response: Any) -> None:
        headers = response.headers
        kind = headers.get("content-type", "")
        self.state = state
        self.is_events = "event-stream" in kind
        self.is_json = "json" in kind
        self.is_lines = state.reader.takes_lines
        self.is_frames = CONTENT_TYPE in kind
        self.encoding = headers.get("content-encoding", "identity")
        self.kept: list[bytes] = []
        self.size = 0
        self.lines, self.frames = Lines(), Frames()
        self.keep: Callable[[bytes], None] | None = None
        self.hides = state.watch.hides_usage and self.is_events and self.encoding == "identity"
        self.held = bytearray()  # the beginning of an event, until it is whole
        self._before = b""
        self._is_long = False

    def shown(self, data: bytes) -> bytes:
        """Some bytes without the event that carries the usage we asked for; a short event is shown once it is whole.

        The bytes of an event are put together once, when its end has come: each piece is looked through for that alone,
        with the three bytes before it. Where this fails nothing has changed: what is held and the piece are shown as
        they came.
        """
        events: list[bytes] = []
        whole, held, is_long = self._before + data, self.held, self._is_long
        if _EVENT.search(whole):
            *events, data = _EVENT.split(whole)
            events[0] = bytes(held) + events[0][len(self._before) :]
            whole, held, is_long = data, bytearray(), False
        if is_long or len(held) + len(data) > LONGEST_USAGE_EVENT:
            events.append(bytes(held) + data)
            held, data, is_long = bytearray(), b"", True
        shown = b"".join(event for event in events if not self._is_hidden(event))
        held += data
        self.held, self._before, self._is_long = held, whole[-3:], is_long
        return shown

    def _is_hidden(self, event: bytes) -> bool:
        line = event.strip()
        if b'"usage"' not in line or not line.startswith(b"data:"):
            return False
        try:
            return self.state.reader.hides(loads(line[5:]))
        except Exception:  # noqa: BLE001 - what cannot be read is the application's
            return False

    def begin(self) -> None:
        """The application reads the bytes itself."""
        self.state.reads_bytes = True

    def feed(self, data: bytes) -> None:
        """Some bytes of the body, as they came over the wire."""
        if self.encoding == "identity" and (self.is_events or self.is_lines):
            self._lines(data)
            return
        if self.is_frames and self.encoding == "identity":
            self._frames(data)
            return
        self.state.last_ns = perf_counter_ns()
        if self.size <= KEPT_BYTES and (self.is_events or self.is_json or self.is_lines):
            self.size += len(data)
            self.kept.append(data)

    def interrupted(self, error: BaseException) -> None:
        """Reading the body failed, or it is no longer read."""
        self.state.interrupted(error)

    def ended(self) -> None:
        """The body is whole. What was kept of it is read when the record is delivered."""
        state, watch = self.state, self.state.watch
        if self.is_frames:
            state.ended()
        elif self.is_events or self.is_lines:
            state.rest = self._read_rest
            state.ended()
        elif self.is_json and self.size <= KEPT_BYTES:
            watch.call.hand_over(self._read_json)
        else:
            state.reader.is_complete = True  # binary, or too long to keep: whole, and without usage
            state.closed()

    def _read_rest(self) -> None:
        self.keep = None
        self._lines(self._decoded() + b"\n\n")
        reader = self.state.reader
        self.state.read_tail()
        reader.is_complete = reader.is_complete or self.is_lines

    def _read_json(self) -> None:
        self.state.watch.answer = loads(self._decoded())
        self.state.watch.read_answer()

    def _decoded(self) -> bytes:
        return decoded(b"".join(self.kept), self.encoding)

    def _frames(self, data: bytes) -> None:
        for frame in self.frames.feed(data):
            self._piece(frame, opened_frame)

    def _lines(self, data: bytes) -> None:
        for line in self.lines.feed(data):
            if not self.is_lines:
                line = line[5:] if line.startswith(b"data:") else b""
            line = line.strip()
            if line == b"[DONE]":
                self.state.reader.is_complete = True
            elif line:
                self._piece(line, opened)

    def _piece(self, piece: bytes, read: Callable[[bytes], Any]) -> None:
        state = self.state
        if self.keep is not None:
            state.last_ns = perf_counter_ns()
            self.keep(piece)
            return
        chunk = read(piece)
        if chunk is not None:
            state.chunk(chunk)
        if state.reader.tail and state.reader.started:
            self.keep = state.keep_last(read)
