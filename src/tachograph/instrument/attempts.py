"""Attempts: each request that a watched call sends, seen where every client library sends them.

One wrapper around `send` of httpx2's (and httpx's) clients sees the retries that the libraries make without telling
anyone, for sync and async, whatever the library. Nothing happens when no watched call is under way here (23 ns).
google-genai's async client over aiohttp does not pass there, so aiohttp's own one place is hooked for it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from tachograph.instrument import bodies
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import patch
from tachograph.instrument.streams import StreamState
from tachograph.instrument.watch import WATCH, Watch, no_body

READABLE_ERROR_BYTES = 64 * 1024
"""An unread error body of at most this stated length is read to tell a spent quota from a rate limit."""


def install() -> None:
    """Hook httpx2 and httpx, now or once they are imported."""
    after_import("httpx2", _hook)
    after_import("httpx", _hook)  # the same module when `httpx2.alias_httpx()` was called: patched once
    after_import("aiohttp.client", _hook_aiohttp)


def _hook(library: ModuleType) -> None:
    patch(library.Client, "send", lambda original: _send(original, library))
    patch(library.AsyncClient, "send", lambda original: _send_async(original, library))


def _hook_aiohttp(module: ModuleType) -> None:
    patch(module.ClientSession, "_request", _request_aiohttp)


def _send(original: Any, library: Any) -> Any:
    def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        watch = WATCH.get()
        if watch is None:
            return original(self, request, *args, **kwargs)
        attempt = watch.begin_attempt(request.url.host, request.url.port)
        if attempt is None:
            return original(self, request, *args, **kwargs)
        try:
            response = original(self, request, *args, **kwargs)
        except BaseException as error:
            watch.attempt_failed(attempt, error)
            raise
        if response.status_code == 429 and _should_read(response):
            with suppress(Exception):  # the library meets the same failure, if it reads the body
                response.read()
        _answered(watch, attempt, response, library, is_async=False)
        return response

    return send


def _send_async(original: Any, library: Any) -> Any:
    async def send(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        watch = WATCH.get()
        if watch is None:
            return await original(self, request, *args, **kwargs)
        attempt = watch.begin_attempt(request.url.host, request.url.port)
        if attempt is None:
            return await original(self, request, *args, **kwargs)
        try:
            response = await original(self, request, *args, **kwargs)
        except BaseException as error:
            watch.attempt_failed(attempt, error)
            raise
        if response.status_code == 429 and _should_read(response):
            with suppress(Exception):
                await response.aread()
        _answered(watch, attempt, response, library, is_async=True)
        return response

    return send


def _request_aiohttp(original: Any) -> Any:
    async def _request(self: Any, method: str, url: Any, **kwargs: Any) -> Any:
        watch = WATCH.get()
        if watch is None or not watch.uses_aiohttp:
            return await original(self, method, url, **kwargs)
        place = urlsplit(str(url))
        attempt = watch.begin_attempt(place.hostname, place.port)
        if attempt is None:
            return await original(self, method, url, **kwargs)
        try:
            response = await original(self, method, url, **kwargs)
        except BaseException as error:
            watch.attempt_failed(attempt, error)
            raise
        watch.answered(attempt, response.status, response.headers, no_body)
        return response

    return _request


def _should_read(response: Any) -> bool:
    """Whether an unread 429 says in its body what it is, and is short enough to ask."""
    if response.is_closed:
        return False
    length = response.headers.get("content-length", "")
    return length.isdigit() and int(length) <= READABLE_ERROR_BYTES


def _answered(watch: Watch, attempt: Any, response: Any, library: Any, *, is_async: bool) -> None:
    status = response.status_code
    if status >= 400:
        watch.answered(attempt, status, response.headers, lambda: error_body(response))
        return
    watch.answered(attempt, status, response.headers, no_body)
    if response.is_closed and not (watch.call.stream and _is_mocked_stream(watch, response)):
        if watch.is_raw:
            watch.body = response
        attempt.end("success")
        return
    if not watch.follows_body:
        return
    watch.state = state = StreamState(watch, watch.reader())
    bodies.watch_body(response, state, library, is_async=is_async)


def _is_mocked_stream(watch: Watch, response: Any) -> bool:
    """Whether events are still to be read from a response that counts as read: one made with its whole content."""
    return (
        watch.follows_body
        and watch.api.chunks is not None
        and "event-stream" in response.headers.get("content-type", "")
    )


def error_body(response: Any) -> Any:
    """The body of an error as JSON, where it has been read; else None."""
    try:
        return json.loads(response.content) if response.is_closed else None
    except Exception:  # noqa: BLE001 - an error body can be anything
        return None
