"""Requests over httpx2, httpx and aiohttp: attempts of watched calls, and calls by unwatched clients.

One wrapper around `send` of httpx2's (and httpx's) clients sees the retries that the client libraries make without
telling anyone, for sync and async, whatever the library. aiohttp has one such place, too. A request that belongs to no
watched call costs one look-up of its host; a known host makes it a call of its own (`wire.py`).
"""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import bodies, wire_aiohttp
from tachograph.instrument.hosts import DEFAULT_PORTS
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import patch
from tachograph.instrument.streams import StreamState
from tachograph.instrument.watch import WATCH
from tachograph.instrument.wire import SITES, WireRequest, WireWatch, begin, forget_sites, httpx_body, send_wrapper
from tachograph.tape.guard import generate

READABLE_ERROR_BYTES = 64 * 1024
"""An unread error body of at most this stated length is read where its status does not say what went wrong."""

_SAYS_MORE: Final = (400, 429)
"""A lost MCP session among refused requests; a spent quota among rate limits."""


def install() -> None:
    """Hook httpx2 and httpx, now or once they are imported."""
    forget_sites()
    after_import("httpx2", _hook)
    after_import("httpx", _hook)  # the same module when `httpx2.alias_httpx()` was called: patched once
    after_import("aiohttp.client", _hook_aiohttp)


_SEND: Final = """
    ASYNC def send(self, request, **keywords):
        watch = current()
        if watch is None:
            site = None
            guard pass: site = sites[request.url.host]
            if site is None:
                return AWAIT original(self, request, **keywords)
            return AWAIT send_watched(site, self, request, **keywords)
        guard sent = None: sent = watch.sending(request.url)
        try:
            response = AWAIT original(self, request, **keywords)
        except BaseException as error:
            if sent is not None:
                guard pass: watch.not_answered(sent, error)
            raise
        if watch.hides_usage:
            response._tachograph = HIDES_USAGE  # whatever fails from here on
        if sent is None:
            return response
        status = response.status_code
        if status in SAYS_MORE and not response.is_closed:
            try:
                if is_short(response):
                    AWAIT response.READ()
            except Exception:
                pass  # the library meets the same failure, if it reads the body
        guard pass: watch.answered(sent, status, response, response.is_closed) and follow(watch, sent, response)
        return response
"""

_REQUEST: Final = """
    ASYNC def _request(self, method, url, *args, **keywords):
        watch = current()
        if watch is None:
            site = None
            guard pass: site = site_of(self, url)
            if site is None:
                return AWAIT original(self, method, url, *args, **keywords)
            return AWAIT request_watched(site, self, method, url, *args, **keywords)
        if not watch.uses_aiohttp:
            return AWAIT original(self, method, url, *args, **keywords)
        sent = None
        guard pass: sent = watch.sending(url)
        if sent is None:
            return AWAIT original(self, method, url, *args, **keywords)
        try:
            response = AWAIT original(self, method, url, *args, **keywords)
        except BaseException as error:
            guard pass: watch.not_answered(sent, error)
            raise
        guard pass: watch.answered(sent, response.status, response)
        return response
"""


def _hook(library: ModuleType) -> None:
    patch(library.Client, "send", lambda original: _send(original, library, is_async=False))
    patch(library.AsyncClient, "send", lambda original: _send(original, library, is_async=True))


def _send(original: object, library: object, *, is_async: bool) -> Any:
    text = _SEND.replace("READ", "aread" if is_async else "read")
    follow = partial(_follow, library=library, is_async=is_async)
    names = {"original": original, "follow": follow, "is_short": _is_short}
    names |= {"HIDES_USAGE": bodies.HIDES_USAGE, "SAYS_MORE": _SAYS_MORE}
    watched = send_wrapper(
        original,
        _begin,
        partial(_answered_on_the_wire, library, is_async),
        is_async=is_async,
        signature="site, self, request, **keywords",
        begins="site, request",
        plain="self, request, **keywords",
    )
    return generate(text, "send", is_async=is_async, current=WATCH.get, sites=SITES, send_watched=watched, **names)


def _begin(site: Any, request: Any) -> WireWatch | None:
    url = request.url
    port = url.port or DEFAULT_PORTS.get(url.scheme)
    content = partial(httpx_body, request)
    return begin(site, WireRequest("httpx", request.method, url.path, port, url, request.headers, content))


def _answered_on_the_wire(library: Any, is_async: bool, watch: Any, response: Any) -> None:
    watch.answered_with(response.status_code, response.headers, read=response if response.is_closed else None)
    if watch.follower is not None:
        bodies.watch_body(response, watch.state, library, is_async=is_async, follower=watch.follower)


def _hook_aiohttp(module: ModuleType) -> None:
    patch(
        module.ClientSession,
        "_request",
        lambda original: generate(
            _REQUEST,
            "_request",
            is_async=True,
            original=original,
            current=WATCH.get,
            site_of=wire_aiohttp.site_of,
            request_watched=wire_aiohttp.request_hook(original),
        ),
    )


def _is_short(response: Any) -> bool:
    """Whether an unread error body is short enough to ask what it says."""
    length = response.headers.get("content-length", "")
    return length.isdigit() and int(length) <= READABLE_ERROR_BYTES


def _follow(watch: Any, sent: Any, response: Any, *, library: object, is_async: bool) -> None:
    """An answer that is no error has a body that is unread, or a stream's, which may be read."""
    if response.is_closed and not (watch.expects_events and _is_mocked_stream(response)):
        watch.body = response
        sent.ended_ns = perf_counter_ns()
        return
    if watch.notes_breaks and response.request.method == "POST":  # an idle stream of the server's breaks off at times
        bodies.note_breaks(response, partial(watch.not_answered, sent), library)
    if not watch.follows_body or (watch.host is not None and sent.url.host != watch.host):
        return  # the host as it was asked for: an application's transport may send the request elsewhere
    watch.state = state = StreamState(watch, watch.reader())
    bodies.watch_body(response, state, library, is_async=is_async)


def _is_mocked_stream(response: Any) -> bool:
    """Whether events are still to be read from a response that counts as read: one made with its whole content."""
    return "event-stream" in response.headers.get("content-type", "")
