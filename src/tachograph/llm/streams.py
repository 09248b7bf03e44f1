"""Streams that a consumer reads: a blocking one and an awaiting one over the same program."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tachograph.llm.drivers import Closing, Program, aadvance, advance
from tachograph.llm.types import Completed, Response, StreamEvent


class _Reading:
    """What both streams know."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._has_begun = False
        self._has_ended = False
        self._response: Response | None = None

    @property
    def response(self) -> Response:
        """The whole answer, once the stream has been read to its end.

        Raises:
            RuntimeError: It has not.
        """
        if self._response is None:
            raise RuntimeError("The stream has not been read to its end, so there is no response yet")
        return self._response

    def _seen(self, event: StreamEvent) -> StreamEvent:
        if isinstance(event, Completed):
            self._response = event.response
        return event

    def __del__(self) -> None:
        # a consumer that dropped it half read: the program finishes its record as cancelled
        self._program.close()


class Stream(_Reading):
    """The events of one answer: deltas, then `Completed`. The request is sent when the first one is asked for."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamEvent:
        if self._has_ended:
            raise StopIteration
        self._has_begun = True
        try:
            return self._seen(advance(self._program))
        except BaseException:
            self._has_ended = True
            raise

    def text(self) -> str:
        """Read to the end; the answer's text."""
        for _ in self:
            continue
        return self.response.text

    def close(self) -> None:
        """Stop reading. The call is recorded as cancelled, unless the answer was complete."""
        if self._has_ended or not self._has_begun:
            self._has_ended = True
            return
        self._has_ended = True
        try:
            advance(self._program, Closing())
        except StopIteration:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream(_Reading):
    """`Stream`, for tasks."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if self._has_ended:
            raise StopAsyncIteration
        self._has_begun = True
        try:
            has_event, event = await aadvance(self._program)
        except BaseException:
            self._has_ended = True
            raise
        if not has_event:
            self._has_ended = True
            raise StopAsyncIteration
        return self._seen(event)

    async def text(self) -> str:
        """Read to the end; the answer's text."""
        async for _ in self:
            continue
        return self.response.text

    async def aclose(self) -> None:
        """Stop reading. The call is recorded as cancelled, unless the answer was complete."""
        if self._has_ended or not self._has_begun:
            self._has_ended = True
            return
        self._has_ended = True
        await aadvance(self._program, Closing())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
