"""Reading an answer out of its bytes, as the application reads them, whatever HTTP library they come by.

The hook of the library passes a `WireFollower` each piece, the end, an exception, and closing. Pieces are
split into events, lines or frames. Those before the first content are read at once, of the others only the last few
are kept, and read in the drain (`streams.py`). A whole answer is kept as references to the pieces until it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from tachograph.instrument.bodies import KEPT_BYTES
from tachograph.instrument.encodings import decoded
from tachograph.instrument.splitting import Frames, Lines, opened
from tachograph.instrument.streams import StreamState
from tachograph.vendors.bedrock.frames import CONTENT_TYPE
from tachograph.vendors.bedrock.frames import opened as opened_frame

if TYPE_CHECKING:
    from tachograph.instrument.wire import WireWatch
    from tachograph.vendors.api import ChunkReader

_KEPT_ERROR_BYTES: Final = 64 * 1024
_LINES: Final = ("ndjson", "stream+json", "jsonl", "json-seq")


class ReadBody:
    """The body of an error, with `content` and `is_closed` as a response has them."""

    __slots__ = ("content", "is_closed")

    def __init__(self, content: bytes | None) -> None:
        self.content = content or b""
        self.is_closed = True


class FailedState(StreamState):
    """The body of an answer with an error status: however reading it ends, the status stands."""

    __slots__ = ("has_ended", "sent")

    def __init__(self, watch: Any, reader: ChunkReader) -> None:
        super().__init__(watch, reader)
        self.sent = watch.sent[-1]
        self.has_ended = False

    def interrupted(self, error: BaseException) -> None:
        """Reading it failed."""
        self.closed()

    def _end(self, otherwise: object, *, was_cut: bool = False) -> None:
        watch = self.watch
        if watch.call.is_finished or watch.sent[-1] is not self.sent or self.has_ended:
            return
        self.has_ended = True
        self.sent.ended_ns = self.sent.ended_ns or perf_counter_ns()
        watch.fail(watch.read_status)  # type: ignore[attr-defined]


def form_of(kind: str, reader: ChunkReader) -> str:
    """How a body is put together, by its content type: `events`, `lines`, `frames` or `whole`."""
    if "event-stream" in kind:
        return "events"
    if CONTENT_TYPE in kind:
        return "frames"
    if any(word in kind for word in _LINES) or (reader.takes_lines and "json" not in kind):
        return "lines"
    return "whole"


class WireFollower:
    """Reads one answer.

    Args:
        state: The stream's.
        headers: Of the answer.
        is_decoded: Whether the pieces come as the content is, without its encoding.
    """

    hides = False

    def __init__(self, state: StreamState, headers: Any, *, is_decoded: bool = False) -> None:
        self.state = state
        self.kind = (headers.get("content-type") or "").lower()
        is_streamed = state.watch.api.chunks is not None and not isinstance(state, FailedState)
        self.form = form_of(self.kind, state.reader) if is_streamed else "whole"
        self.encoding = "" if is_decoded else (headers.get("content-encoding") or "").lower()
        if self.encoding == "identity":
            self.encoding = ""
        length = headers.get("content-length") or ""
        self.expected = int(length) if length.isdigit() else -1
        self.most = _KEPT_ERROR_BYTES if isinstance(state, FailedState) else KEPT_BYTES
        self.kept: list[bytes] = []
        self.size = 0
        self.pieces: Lines | Frames = Frames() if self.form == "frames" else Lines()
        self.keep: Callable[[bytes], None] | None = None
        self._open: Callable[[bytes], Any] = opened_frame if self.form == "frames" else opened

    def begin(self) -> None:
        """The application reads the body."""
        self.state.reads_bytes = True

    def feed(self, data: bytes) -> None:
        """A piece of the body."""
        self.state.last_ns = perf_counter_ns()
        if self.form == "whole" or self.encoding:
            if self.size <= self.most:
                self.kept.append(data)
            self.size += len(data)
        else:
            self._split(data)

    def interrupted(self, error: BaseException) -> None:
        """Reading the body failed, or it is no longer read."""
        self.state.interrupted(error)

    def ended(self) -> None:
        """The body is whole."""
        state, watch = self.state, self.state.watch
        if watch.call.is_finished:
            return
        sent = watch.sent[-1]
        if isinstance(state, FailedState):
            state.sent.response = ReadBody(self._decoded() if self.size <= self.most else b"")
            state.closed()
        elif self.form == "whole":
            sent.ended_ns = perf_counter_ns()
            watch.call.hand_over(self._read_whole)
        else:
            state.rest = self._read_rest
            state.ended()

    def closed(self) -> None:
        """The application closes the response, perhaps from a finaliser."""
        if self.state.watch.call.is_finished:
            return
        if self.form == "whole" and self.size == self.expected:
            self.ended()
        else:
            self.state.dropped()

    # Splitting

    def _split(self, data: bytes) -> None:
        for piece in self.pieces.feed(data):
            if self.form == "events":
                piece = piece[5:] if piece.startswith(b"data:") else b""
            if self.form != "frames":
                piece = piece.strip()
            if piece == b"[DONE]":
                self.state.reader.is_complete = True
            elif piece:
                self._piece(piece)

    def _piece(self, piece: bytes) -> None:
        if self.keep is not None:
            self.keep(piece)
            return
        state = self.state
        chunk = self._open(piece)
        if chunk is not None:
            state.reader.feed(chunk, state.watch.call)
        if state.reader.tail and state.reader.started:
            self.keep = state.keep_last(self._open)

    # Read when the record is delivered

    def _read_rest(self) -> None:
        call = self.state.watch.call
        first_token_ns = call.first_token_ns
        self.keep = None
        self._split((self._decoded() if self.encoding else b"") + (b"" if self.form == "frames" else b"\n"))
        self.state.read_tail()
        reader = self.state.reader
        reader.is_complete = reader.is_complete or reader.ends_with_body
        call.first_token_ns = first_token_ns  # what is read here came earlier

    def _read_whole(self) -> None:
        watch: Any = self.state.watch
        watch.body = ReadBody(self._decoded() if self.size <= self.most else b"")
        watch.read_whole()

    def _decoded(self) -> bytes:
        pieces, self.kept = self.kept, []
        return decoded(b"".join(pieces), self.encoding)


def read_chunks(watch: WireWatch, kind: str, content: bytes) -> bool:
    """Read a streamed answer that was read as a whole; False when it is none."""
    reader = watch.reader()
    if form_of(kind, reader) == "whole":
        return False
    state = StreamState(watch, reader)
    follower = WireFollower(state, {"content-type": kind}, is_decoded=True)
    follower.feed(content)
    state.rest = follower._read_rest
    watch.call.first_token_ns = 0
    state.read_all()
    watch.call.first_token_ns = 0  # all of it came at once
    return True
