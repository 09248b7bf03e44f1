"""Requests over lm15, DSPy's own engine, to known hosts. It sends HTTP over sockets of its own.

A transport's method makes the response; its body comes out of one iterator, which gets ours around it.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any, Final

from tachograph.instrument.hosts import DEFAULT_PORTS
from tachograph.instrument.imports import after_import
from tachograph.instrument.report import hook
from tachograph.instrument.watch import WATCH
from tachograph.instrument.wire import WireRequest, WireWatch, begin, send_wrapper, site_of_url
from tachograph.instrument.wire_bodies import WireFollower
from tachograph.tape.guard import generate
from tachograph.urls import split

PACKAGES: Final = ("dspy._vendor.lm15", "lm15")


def install() -> None:
    """Hook its transports, now or once they are imported."""
    for package in PACKAGES:
        after_import(f"{package}.transports._sync", partial(_hook, package, "StdlibTransport", "stream"))
        after_import(f"{package}.transports._async", partial(_hook, package, "StdlibAsyncTransport", "_do_stream"))


def _hook(package: str, owner: str, name: str, module: ModuleType) -> None:
    hook(package, module, owner, name, partial(_send, is_async=name != "stream"), "its calls are not seen")


_BODY: Final = """
    class Body:
        def __init__(self, chunks, follower):
            self.chunks = chunks
            self.follower = follower

        def ITER(self):
            return self

        ASYNC def NEXT(self):
            try:
                data = AWAIT self.chunks.NEXT()
            except STOP:
                guard pass: self.follower.ended()
                raise
            except BaseException as error:
                guard pass: self.follower.interrupted(error)
                raise
            guard pass: self.follower.feed(data)
            return data

        def __del__(self):
            guard pass: self.follower.closed()
"""


def _send(original: object, *, is_async: bool) -> Any:
    body = _BODY.replace("ITER", "__aiter__" if is_async else "__iter__")
    body = body.replace("NEXT", "__anext__" if is_async else "__next__")
    body = body.replace("STOP", "StopAsyncIteration" if is_async else "StopIteration")
    made = generate(body, "Body", is_async=is_async)
    return send_wrapper(
        original, _begin, partial(_answered, made), is_async=is_async, signature="self, request", begins="request"
    )


def _begin(request: Any) -> WireWatch | None:
    site = None if WATCH.get() is not None else site_of_url(request.url)
    if site is None:
        return None
    url = split(request.url)
    port = url.port or DEFAULT_PORTS.get(url.scheme)
    headers, body = dict(request.headers), request.body
    return begin(site, WireRequest("lm15", request.method, url.path, port, request.url, headers, lambda: body))


def _answered(make: Any, watch: WireWatch, response: Any) -> None:
    headers = {name.lower(): value for name, value in response.headers}
    watch.answered_with(response.status, headers, is_decoded=True)
    follower: WireFollower | None = watch.follower
    if follower is not None:
        follower.begin()
        response._chunks = make(response._chunks, follower)
