"""Requests over aiohttp to known hosts that no client library's hook watches.

Everything that an application reads of a body comes out of one method of the response's `StreamReader`, by pieces. So
the reader gets a subclass of its own class which reports each piece to us; what it returns and raises stays the same.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Any, Final

from tachograph.instrument.wire import SITES, Site, WireRequest, WireWatch, begin, send_wrapper, site_of_url
from tachograph.instrument.wire_bodies import ReadBody
from tachograph.tape.guard import generate_class


def site_of(session: Any, url: Any) -> Site | None:
    """What is known of the host of a request: one look-up, without parsing a URL that is text."""
    if type(url) is str and session._base_url is None:
        return site_of_url(url)
    host = _whole(session, url).raw_host
    return None if host is None else SITES[host]


def _whole(session: Any, url: Any) -> Any:
    return session._build_url(url)


def request_hook(original: object) -> Any:
    """What sends a request to a known host."""
    return send_wrapper(
        original,
        _begin,
        _answered,
        is_async=True,
        signature="site, self, method, url, *args, **keywords",
        begins="site, self, method, url, keywords",
        plain="self, method, url, *args, **keywords",
    )


def _begin(site: Site, session: Any, method: str, given: object, keywords: dict[str, Any]) -> WireWatch | None:
    url = _whole(session, given)
    body = keywords.get("json")

    def content() -> Any:
        return keywords.get("data") if body is None else body

    headers = {**session.headers, **dict(keywords.get("headers") or ())}
    return begin(site, WireRequest("aiohttp", method, url.raw_path, url.port, url, headers, content))


def _answered(watch: WireWatch, response: Any) -> None:
    content = response.content
    buffer = getattr(content, "_buffer", None)
    if buffer is None or (content.is_eof() and not buffer):
        watch.answered_with(response.status, response.headers, read=ReadBody(None))
        return
    watch.answered_with(response.status, response.headers, is_decoded=True)
    assert watch.follower is not None
    watch.follower.begin()
    observed = _Buffer(buffer)
    observed.follower = watch.follower
    content._buffer = observed
    content.__class__ = _class(type(content))  # type: ignore[arg-type]  # a class is hashable


_BUFFER: Final = """
    class Buffer(deque):
        '''What a reader holds and the application has not read; also what shows that it will never be read.'''

        follower = None
        error = None

        def __del__(self):
            guard pass: self.follower.closed()
"""
_Buffer: Final = generate_class(_BUFFER, "Buffer", deque=deque)

_READER: Final = """
    class StreamReader(Base):
        __slots__ = ()

        def _read_nowait_chunk(self, *args):
            data = Base._read_nowait_chunk(self, *args)
            guard pass: took(self, data)
            return data

        def feed_eof(self):
            Base.feed_eof(self)
            guard pass: came_to_its_end(self)

        def set_exception(self, error, *args, **keywords):
            guard pass: failed(self, error)
            Base.set_exception(self, error, *args, **keywords)

        async def _wait(self, *args):
            try:
                return await Base._wait(self, *args)
            except BaseException as error:
                guard pass: note_error(self, error)
                raise
"""


@lru_cache(maxsize=8)
def _class(base: type[Any]) -> type[Any]:
    made = generate_class(
        _READER,
        "StreamReader",
        Base=base,
        took=_took,
        came_to_its_end=_came_to_its_end,
        failed=_failed,
        note_error=_note_error,
    )
    made.__name__, made.__qualname__, made.__module__ = base.__name__, base.__qualname__, base.__module__
    return made


def _took(reader: Any, data: bytes) -> None:
    """The application got a piece."""
    buffer = reader._buffer
    buffer.error = None
    buffer.follower.feed(data)
    if reader._eof and not buffer:
        buffer.follower.ended()


def _came_to_its_end(reader: Any) -> None:
    """The last piece has come from the network; the application may have to read it still."""
    if not reader._buffer:
        reader._buffer.follower.ended()


def _note_error(reader: Any, error: BaseException) -> None:
    """Waiting for a piece failed: the stream's end only if the application closes it then."""
    reader._buffer.error = error


def _failed(reader: Any, error: Any) -> None:
    """Reads raise this from now on; closing a response does so, too."""
    buffer = reader._buffer
    if str(error) != "Connection closed":
        buffer.follower.interrupted(error if isinstance(error, BaseException) else error())
    elif buffer.error is not None:
        buffer.follower.interrupted(buffer.error)
    else:
        buffer.follower.closed()
