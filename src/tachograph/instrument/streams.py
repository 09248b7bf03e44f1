"""One record per stream, whatever happens to it.

A stream's answer is under way when the client library returns. From then on two things tell us how it goes:

- the library's own generator of chunks, which we put a generator around (`read`, `read_async`): chunks, the end, an
  exception. Any reader of the library uses it: iteration, helpers, context managers;
- the HTTP response's body, which we put an object around (`bodies.py`): closing, being collected, and, when the
  application reads the bytes itself, the bytes.

Both hold one `StreamState`, which finishes the record once. Endings that can come from the garbage collector go
through the reaper. A stream ends at its last chunk, not when somebody gets round to closing it.

What counts stands in the first chunks and in the last ones. So once the first content has come, a chunk costs a
timestamp and a place among the last few (18 instructions, 0.08 us), and those are read when the stream has ended.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from tachograph.instrument import endings, reaper
from tachograph.instrument.settled import recorder
from tachograph.records.content import keep

if TYPE_CHECKING:
    from tachograph.instrument.watch import Watch
    from tachograph.records.outcomes import Outcome
    from tachograph.vendors.api import ChunkReader


class StreamState:
    """How far one streamed answer has come.

    Attributes:
        last_ns: When the last chunk came (the headers, before the first); monotonic.
        generator: The library's generator while it is being read; None when nobody has begun, or bytes are read.
        has_end_marker: Whether the vendor said that nothing follows, by a marker that is no chunk (`[DONE]`).
        reads_bytes: Whether the application reads the body itself.
        body: The iterator of the body that the generator reads.
        tail: The last chunks, not yet read; None while each is read as it comes.
    """

    __slots__ = ("_unpack", "body", "generator", "has_end_marker", "last_ns", "reader", "reads_bytes", "tail", "watch")

    def __init__(self, watch: Watch, reader: ChunkReader) -> None:
        self.watch = watch
        self.reader = reader
        self.last_ns = perf_counter_ns()
        self.generator: Any = None
        self.body: Any = None
        self.reads_bytes = False
        self.has_end_marker = False
        self.tail: deque[Any] | None = None
        self._unpack: Callable[[Any], Any] | None = None
        reaper.ensure()

    def __enter__(self) -> StreamState:
        """The chunks are being read from now on; however that ends is this stream's ending."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.ended()
        elif isinstance(error, GeneratorExit):
            self.dropped()
        else:
            self.failed(error)

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Pickling a response leaves us out."""
        return type(None), ()

    def chunk(self, chunk: Any) -> bool:
        """One piece of the answer; True when the application must not see it."""
        self.last_ns = perf_counter_ns()
        return self._feed(chunk) and self.watch.hides_usage

    def _feed(self, chunk: Any) -> bool:
        try:
            return self.reader.feed(chunk, self.watch.call)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
            recorder().failed("instrument", error)
            return False

    def keep_last(self, unpack: Callable[[Any], Any] | None = None) -> Callable[[Any], None]:
        """From now on only the last chunks are of interest: returns what takes each, as `unpack` can read it."""
        self._unpack = unpack
        self.tail = deque(maxlen=self.reader.tail)
        return self.tail.append

    def ended(self) -> None:
        """The stream has ended. Without the vendor's word that the answer is whole, it was cut."""
        self.reader.is_complete = self.reader.is_complete or self.has_end_marker
        self._finish("success", cut=True)

    def closed_by_library(self) -> None:
        """The library closes the response while it makes a chunk: at the end of the bytes, or before, at a word of the
        vendor's that nothing follows (`[DONE]`), which it keeps to itself."""
        self.has_end_marker = not is_exhausted(self.body)

    def failed(self, error: BaseException) -> None:
        """Reading ended with an exception that the application sees."""
        try:
            outcome, _ = endings.ending_of(self.watch.api.vendor, error)
        except Exception as own:  # noqa: BLE001
            recorder().failed("instrument", own)
            outcome = "error"
        if outcome == "cancelled":
            self._finish("cancelled")
        else:
            self._fill()
            self.watch.failed(error)

    def closed(self) -> None:
        """The application closed the stream before its end."""
        self._finish("cancelled")

    def dropped(self) -> None:
        """As `closed`, told by something that the garbage collector may have called."""
        if not self.watch.call.is_finished:
            reaper.later(self.closed)

    def _finish(self, otherwise: Outcome, *, cut: bool = False) -> None:
        call, reader = self.watch.call, self.reader
        if call.is_finished:
            return
        self._fill()
        try:
            error_type = reader.error_type
            if error_type is None and cut and not reader.is_complete:
                error_type = "connection"  # the libraries raise nothing here
            if error_type is not None:
                endings.correct_last_attempt(call, endings.outcome_of(error_type), error_type)
                call.finish(endings.outcome_of(error_type), error_type, ended_ns=self.last_ns)
            else:
                call.finish("success" if reader.is_complete else otherwise, ended_ns=self.last_ns)
        except Exception as error:  # noqa: BLE001
            recorder().failed("instrument", error)

    def read_tail(self) -> None:
        """Read the last chunks now, for they are the last of something."""
        tail, self.tail = self.tail, None
        for chunk in list(tail or ()):
            self._feed(chunk if self._unpack is None else self._unpack(chunk))

    def _fill(self) -> None:
        try:
            self.read_tail()
            self.reader.fill(self.watch.call)
            keep(self.watch.call, "output", self.reader.content)
        except Exception as error:  # noqa: BLE001
            recorder().failed("instrument", error)


def read(state: StreamState, chunks: Generator[Any, None, None] | Iterator[Any]) -> Iterator[Any]:
    """The library's chunks, watched."""
    state.generator = chunks
    hide, reader = state.chunk, state.reader
    try:
        with state:
            for chunk in chunks:
                if hide(chunk):
                    continue
                yield chunk
                if reader.tail and reader.started:
                    break
            else:
                return
            keep, now = state.keep_last(), perf_counter_ns
            if not state.watch.hides_usage:
                for chunk in chunks:
                    state.last_ns = now()
                    keep(chunk)
                    yield chunk
            else:
                for chunk in chunks:
                    state.last_ns = now()
                    try:
                        if chunk.choices:
                            keep(chunk)
                        elif hide(chunk):
                            continue
                    except AttributeError:  # not one of the chunks that carry nothing but usage
                        keep(chunk)
                    yield chunk
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
        state.generator = None  # no cycle from the response to itself


def read_async(state: StreamState, chunks: AsyncGenerator[Any, None] | AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """The library's chunks, watched.

    An event loop closes each asynchronous generator that is dropped or left at its end, by a hook that the generator
    takes up at its first step. The library's has that hook, as it has without us. Ours must not: the loop would close
    both at once, and one of the two fails (`aclose(): asynchronous generator is already running`). So the first step
    of ours, which waits for nothing, is taken here, without hooks.
    """
    reading = _read_async(state, chunks)
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        reading.asend(None).send(None)
    except StopIteration:
        return reading  # it stands at its first yield
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return reading


async def _read_async(
    state: StreamState, chunks: AsyncGenerator[Any, None] | AsyncIterator[Any]
) -> AsyncGenerator[Any, None]:
    """What `read_async` starts. Dropped or closed, it waits for nothing: the loop closes the library's generator."""
    state.generator = chunks
    hide, reader = state.chunk, state.reader
    try:
        with state:
            yield None  # the first step
            async for chunk in chunks:
                if hide(chunk):
                    continue
                yield chunk
                if reader.tail and reader.started:
                    break
            else:
                return
            keep, now = state.keep_last(), perf_counter_ns
            if not state.watch.hides_usage:
                async for chunk in chunks:
                    state.last_ns = now()
                    keep(chunk)
                    yield chunk
            else:
                async for chunk in chunks:
                    state.last_ns = now()
                    try:
                        if chunk.choices:
                            keep(chunk)
                        elif hide(chunk):
                            continue
                    except AttributeError:  # not one of the chunks that carry nothing but usage
                        keep(chunk)
                    yield chunk
    finally:
        state.generator = None


def is_exhausted(iterator: Any) -> bool:
    """Whether a generator has ended, as far as an iterator shows that."""
    frame = getattr(iterator, "gi_frame", getattr(iterator, "ag_frame", None))
    return frame is None


def is_running(generator: Any) -> bool:
    """Whether a generator is in the midst of making its next chunk."""
    return bool(getattr(generator, "gi_running", False) or getattr(generator, "ag_running", False))
