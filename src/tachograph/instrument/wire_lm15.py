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
from tachograph.instrument.wire import Site, WireRequest, WireWatch, begin, site_of_url
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


_SEND: Final = """
    ASYNC def stream(self, request):
        site = None
        guard pass: site = None if current() is not None else site_of(request.url)
        watch = None
        if site is not None:
            guard pass: watch = begin(site, request)
        if watch is None:
            return AWAIT original(self, request)
        token = set_variable(watch)
        try:
            response = AWAIT original(self, request)
        except BaseException as error:
            reset_variable(token)
            guard pass: watch.request_failed(error)
            raise
        reset_variable(token)
        guard pass: answered(watch, response, Body)
        return response
"""

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
    return generate(
        _SEND,
        "stream",
        is_async=is_async,
        original=original,
        current=WATCH.get,
        site_of=site_of_url,
        begin=_begin,
        answered=_answered,
        Body=generate(body, "Body", is_async=is_async),
        set_variable=WATCH.set,
        reset_variable=WATCH.reset,
    )


def _begin(site: Site, request: Any) -> WireWatch | None:
    url = split(request.url)
    port = url.port or DEFAULT_PORTS.get(url.scheme)
    headers, body = dict(request.headers), request.body
    return begin(site, WireRequest("lm15", request.method, url.path, port, request.url, headers, lambda: body))


def _answered(watch: WireWatch, response: Any, make: Any) -> None:
    headers = {name.lower(): value for name, value in response.headers}
    watch.answered_with(response.status, headers, is_decoded=True)
    follower: WireFollower | None = watch.follower
    if follower is not None:
        follower.begin()
        response._chunks = make(response._chunks, follower)
