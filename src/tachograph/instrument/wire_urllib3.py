"""Requests over urllib3 (and so over requests and botocore) to known hosts that no client library's hook watches.

`HTTPConnectionPool.urlopen` is the call: it tries again and follows redirects by calling itself. `_make_request` below
it is one attempt. A response's body is read by `read`, `read1` and `read_chunked`; all else that urllib3 and requests
offer goes there. So the response gets a subclass of its own class which reports to us what they return and raise.
"""

from __future__ import annotations

from functools import lru_cache
from inspect import signature
from types import ModuleType
from typing import Any, Final

from tachograph.instrument.hosts import DEFAULT_PORTS
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.scope import SCOPE, WireScope
from tachograph.instrument.watch import WATCH
from tachograph.instrument.wire import SITES, Site, WireRequest, WireWatch, begin, send_wrapper
from tachograph.instrument.wire_bodies import ReadBody, WireFollower
from tachograph.tape.guard import generate, generate_class


def install() -> None:
    """Hook urllib3, now or once it is imported."""
    after_import("urllib3.connectionpool", _hook)


def _hook(module: ModuleType) -> None:
    pool = getattr(module, "HTTPConnectionPool", None)
    attempt = getattr(pool, "_make_request", None)
    if attempt is None or "response_conn" not in signature(attempt).parameters:  # 1.x: it returns no response of ours
        missing("urllib3", "HTTPConnectionPool._make_request", "requests of urllib3, requests and boto3 are not seen")
        return
    names: dict[str, Any] = {"current": WATCH.get, "sites": SITES}
    patch(
        pool,
        "_make_request",
        lambda original: generate(
            _ATTEMPT, "_make_request", original=original, send_watched=_send_watched(original), **names
        ),
    )
    patch(
        pool,
        "urlopen",
        lambda original: generate(
            _CALL,
            "urlopen",
            original=original,
            WireScope=WireScope,
            scope_here=SCOPE.get,
            set_scope=SCOPE.set,
            reset_scope=SCOPE.reset,
            **names,
        ),
    )
    hooked("urllib3", "HTTPConnectionPool.urlopen")


_CALL: Final = """
    def urlopen(self, method, url, *args, **keywords):
        site = None
        guard pass: site = None if current() is not None else sites[self.host]
        if site is None:
            return original(self, method, url, *args, **keywords)
        scope = None
        guard pass: scope = WireScope() if scope_here() is None else None
        if scope is None:
            return original(self, method, url, *args, **keywords)
        token = set_scope(scope)
        try:
            return original(self, method, url, *args, **keywords)
        finally:
            reset_scope(token)
            guard pass: scope.close()
"""


_ATTEMPT: Final = """
    def _make_request(self, conn, method, url, *args, **keywords):
        site = None
        guard pass: site = None if current() is not None else sites[self.host]
        if site is None:
            return original(self, conn, method, url, *args, **keywords)
        return send_watched(site, self, conn, method, url, *args, **keywords)
"""


def _send_watched(original: object) -> Any:
    return send_wrapper(
        original,
        _begin,
        _answered,
        is_async=False,
        signature="site, self, conn, method, url, *args, **keywords",
        begins="site, self, method, url, args, keywords",
        plain="self, conn, method, url, *args, **keywords",
    )


def _begin(site: Site, pool: Any, method: str, url: str, args: Any, keywords: dict[str, Any]) -> WireWatch | None:
    scheme, port = getattr(pool, "scheme", None) or "http", pool.port
    path = url.partition("://")[2].partition("/")[2] if "://" in url else url.lstrip("/")
    whole = f"{scheme}://{site.host}:{port}/{path}"
    body = keywords.get("body", args[0] if args else None)
    headers = keywords.get("headers", args[1] if len(args) > 1 else None)
    port = port or DEFAULT_PORTS.get(scheme)
    return begin(site, WireRequest("urllib3", method, f"/{path}", port, whole, headers, lambda: body))


def _answered(watch: WireWatch, response: Any) -> None:
    body = getattr(response, "_body", None)
    if body is not None and not hasattr(body, "read"):  # preloaded
        watch.answered_with(response.status, response.headers, read=ReadBody(body))
        return
    watch.answered_with(response.status, response.headers)
    if watch.follower is None:
        return
    response._tachograph = watch.follower
    watch.follower.begin()
    response.__class__ = _class(type(response))  # type: ignore[arg-type]  # a class is hashable


_RESPONSE: Final = """
    class HTTPResponse(Base):
        def read(self, *args, **keywords):
            try:
                data = Base.read(self, *args, **keywords)
            except BaseException as error:
                guard pass: self._tachograph.interrupted(error)
                raise
            guard pass: took(self, data, args, keywords, True)
            return data

        def read1(self, *args, **keywords):
            try:
                data = Base.read1(self, *args, **keywords)
            except BaseException as error:
                guard pass: self._tachograph.interrupted(error)
                raise
            guard pass: took(self, data, args, keywords, False)
            return data

        def read_chunked(self, *args, **keywords):
            try:
                for data in Base.read_chunked(self, *args, **keywords):
                    guard pass: fed(self, data, args, keywords)
                    yield data
            except GeneratorExit:
                guard pass: self._tachograph.closed()
                raise  # which closes the response
            except BaseException as error:
                guard pass: self._tachograph.interrupted(error)
                raise
            guard pass: self._tachograph.ended()

        def close(self):
            guard pass: self._tachograph.closed()
            return Base.close(self)

        def release_conn(self):
            guard pass: released(self)
            return Base.release_conn(self)
"""


@lru_cache(maxsize=8)
def _class(base: type[Any]) -> type[Any]:
    made = generate_class(_RESPONSE, "HTTPResponse", Base=base, took=_took, fed=_fed, released=_released)
    made.__name__, made.__qualname__, made.__module__ = base.__name__, base.__qualname__, base.__module__
    return made


def _fed(response: Any, data: bytes, args: Any, keywords: dict[str, Any]) -> None:
    """The application got a piece: decoded, unless it asked for it as it was sent."""
    follower: WireFollower = response._tachograph
    if follower.encoding:
        decodes = keywords.get("decode_content", args[1] if len(args) > 1 else None)
        if response.decode_content if decodes is None else decodes:
            follower.encoding = ""
    follower.feed(data)


def _took(response: Any, data: bytes, args: Any, keywords: dict[str, Any], reads_all: bool) -> None:
    """The application got a piece, and perhaps the last one."""
    amount = keywords.get("amt", args[0] if args else None)
    if data:
        _fed(response, data, args, keywords)
    is_last = (amount is None or amount < 0) if reads_all else False
    if is_last or (not data and amount != 0) or (response.isclosed() and not _holds_more(response)):
        response._tachograph.ended()


def _holds_more(response: object) -> bool:
    """Whether something that was read from the network is not yet the application's."""
    decoder = getattr(response, "_decoder", None)
    return len(getattr(response, "_decoded_buffer", ())) > 0 or bool(getattr(decoder, "has_unconsumed_tail", False))


def _released(response: Any) -> None:
    """The connection goes back to its pool, perhaps with an unread body."""
    if response._connection is not None and not response.isclosed():
        response._tachograph.closed()
