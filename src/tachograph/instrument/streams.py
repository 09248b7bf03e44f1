"""One record per stream, whatever happens to it.

A stream's answer is under way when the client library returns. From then on two things tell us how it goes:

- the library's own generator of chunks, which we put a generator around (`read`, `read_async`, generated in
  `guard.py`): chunks, the end, an exception. Any reader of the library uses it: iteration, helpers, context managers;
- the HTTP response's body, which we put an object around (`bodies.py`): closing, being collected, and, when the
  application reads the bytes itself, the bytes.

Both report to one `StreamState`. The first ending that is reported counts:

    reported by      event            the call ends as            when
    generator        its last chunk   success; `connection` when  last chunk
                                      the vendor did not say
                                      that the answer is whole
    generator        exception        by the exception            now
    generator        GeneratorExit    success if complete, else   last chunk
                                      cancelled
    body             close            the same                    last chunk
    body             collected        the same                    last chunk
    body's bytes     their end        as the last chunk           last bytes

What an answer says itself (an error event, a blocked answer) wins over all of these. Endings that the garbage
collector may report go over the tape, since the collector may run while a lock of ours is held.

What counts stands in the first chunks and in the last ones. So once the first content has come, a chunk costs a
timestamp and a place among the last few (18 instructions, 0.08 us). The last ones are read when the record is
delivered, off the application's path.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from tachograph.instrument import endings
from tachograph.instrument.guard import reader_of_chunks
from tachograph.instrument.settled import recorder
from tachograph.records.content import keep
from tachograph.tape import TAPE

if TYPE_CHECKING:
    from tachograph.instrument.watch import Watch
    from tachograph.records.outcomes import Outcome
    from tachograph.vendors.api import ChunkReader


class StreamState:
    """How far one streamed answer has come.

    Attributes:
        last_ns: When the last chunk came (the headers, before the first); monotonic.
        generator: The library's generator while it is being read; None when nobody has begun, or bytes are read.
        reads_bytes: Whether the application reads the body itself.
        tail: The last chunks, not yet read; None while each is read as it comes.
        hides_usage: Whether the chunk that carries nothing but usage is hidden from the application.
        rest: What is left to do before the answer is read: the bytes of a body that nobody has parsed.
    """

    __slots__ = (
        "_otherwise",
        "_unpack",
        "_was_cut",
        "body",
        "generator",
        "has_end_marker",
        "hides_usage",
        "last_ns",
        "reader",
        "reads_bytes",
        "rest",
        "tail",
        "watch",
    )

    def __init__(self, watch: Watch, reader: ChunkReader) -> None:
        self.watch = watch
        self.reader = reader
        self.last_ns = perf_counter_ns()
        self.generator: Any = None
        self.reads_bytes = False
        self.body: Any = None
        self.has_end_marker = False
        self.tail: deque[Any] | None = None
        self.hides_usage = watch.hides_usage
        self.rest: Callable[[], None] | None = None
        self._unpack: Callable[[Any], Any] | None = None
        self._otherwise: Outcome = "cancelled"
        self._was_cut = False

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Pickling a response leaves us out."""
        return type(None), ()

    def begin(self, chunks: Any) -> None:
        """The library's generator is being read from now on; however that ends is this stream's ending."""
        self.generator = chunks

    def chunk(self, chunk: Any) -> bool:
        """One piece of the answer; True when the application must not see it."""
        self.last_ns = perf_counter_ns()
        return self.reader.feed(chunk, self.watch.call) and self.hides_usage

    def keep_last(self, unpack: Callable[[Any], Any] | None = None) -> Callable[[Any], None]:
        """From now on only the last chunks are of interest: returns what takes each, as `unpack` can read it."""
        self._unpack = unpack
        self.tail = deque(maxlen=self.reader.tail)
        return self.tail.append

    # Endings: told by the application's threads

    def ended(self) -> None:
        """The stream has ended. Without the vendor's word that the answer is whole, it was cut."""
        self._end("success", was_cut=True)

    def closed_by_library(self) -> None:
        """The library closes the response while it makes a chunk: at the end of the bytes, or before, at a word of the
        vendor's that nothing follows (`[DONE]`), which it keeps to itself."""
        self.has_end_marker = not is_exhausted(self.body)

    def closed(self) -> None:
        """The application closed the stream before its end."""
        self._end("cancelled")

    def interrupted(self, error: BaseException) -> None:
        """Reading ended with an exception that the application sees, or with nobody reading any more."""
        if isinstance(error, GeneratorExit):
            self.dropped()
        elif isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, SystemExit)) and not endings.is_late(error):
            self._end("cancelled")
        else:
            self.watch.error = error
            self.watch.call.traceback = error.__traceback__
            self.watch.call.hand_over(self.read_failure)

    def dropped(self) -> None:
        """As `closed`, told by something that the garbage collector may have called."""
        if not self.watch.call.is_finished:
            TAPE.append(self.closed)

    def _end(self, otherwise: Outcome, *, was_cut: bool = False) -> None:
        call = self.watch.call
        if not call.is_finished:
            self._otherwise, self._was_cut = otherwise, was_cut
            if self.watch.api.tokens is not None:
                call.tokens = self._tokens(self.watch.api.tokens)
            call.hand_over(self.read_end, self.last_ns)

    def _tokens(self, read: Callable[[Any], Any]) -> Any:
        """Tokens as the last chunk gives them, or as the reader has kept them; None where that is not so simple."""
        for place in (self.tail[-1] if self.tail else None, self.reader):
            try:
                found = read(place)
            except Exception:  # noqa: BLE001 - what the chunks say is read when the record is delivered
                found = None
            if found is not None:
                return found
        return None

    # Read when the record is delivered

    def read_end(self) -> None:
        """How the stream ended, by all that its chunks say."""
        watch, reader = self.watch, self.reader
        watch.read_requests()
        self._fill()
        error_type = reader.error_type
        if self._was_cut and self.has_end_marker:
            reader.is_complete = True
        if error_type is None and self._was_cut and not reader.is_complete:
            error_type = "connection"  # the libraries raise nothing here
        call = watch.call
        if error_type is not None:
            endings.correct_last_attempt(call, endings.outcome_of(error_type), error_type)
            call.end(endings.outcome_of(error_type), error_type)
        else:
            call.end("success" if reader.is_complete else self._otherwise)

    def read_failure(self) -> None:
        """How reading failed, with what the chunks before said."""
        self.watch.read_requests()
        self._fill()
        self.watch.end_failed()

    def read_tail(self) -> None:
        """Read the last chunks now, for they are the last of something."""
        tail, self.tail = self.tail, None
        for chunk in list(tail or ()):
            self.reader.feed(chunk if self._unpack is None else self._unpack(chunk), self.watch.call)

    def _fill(self) -> None:
        try:
            self.read_tail()
            if self.rest is not None:
                rest, self.rest = self.rest, None
                rest()
            self.reader.fill(self.watch.call)
            keep(self.watch.call, "output", self.reader.content)
        except Exception as error:  # noqa: BLE001 - how the stream ended is known all the same
            recorder().failed("instrument", error)


read: Callable[[StreamState, Any], Any] = reader_of_chunks(is_async=False, clock=perf_counter_ns)
"""The library's chunks, watched."""
read_async: Callable[[StreamState, Any], Any] = reader_of_chunks(is_async=True, clock=perf_counter_ns)
"""The same of an async stream."""


def is_exhausted(iterator: Any) -> bool:
    """Whether a generator has ended, as far as an iterator shows that."""
    frame = getattr(iterator, "gi_frame", getattr(iterator, "ag_frame", None))
    return frame is None


def is_running(generator: Any) -> bool:
    """Whether a generator is in the midst of making its next chunk."""
    return bool(getattr(generator, "gi_running", False) or getattr(generator, "ag_running", False))
