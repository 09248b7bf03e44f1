"""What the openai and anthropic clients have in common: both are made by the same generator.

`SyncAPIClient.request` and its async twin carry every request: `create`, `parse`, `stream`, raw and streaming
responses, tool runners and the subclasses for clouds, also of clients made before we came. `Stream.__stream__` makes
every streamed chunk. The sync and the async wrapper differ only in what they await.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from tachograph.instrument.bodies import state_of
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch, patch_overrides
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.streams import read, read_async
from tachograph.instrument.watch import WATCH, Watch
from tachograph.signals.spans import enter, leave
from tachograph.vendors.loose import opened

RAW_HEADER = "X-Stainless-Raw-Response"

Begin = Callable[[Any, Any], Watch | None]
"""Makes the watch of one request of a client, or None when it is not to be watched. Never raises."""


def install(package: str, begin: Begin, *, name: str = "") -> None:
    """Hook a client library of this make, now or once it is imported.

    Args:
        package: Where its modules are.
        begin: Which of its requests are watched.
        name: Ours for it; the package's unless given.
    """
    library = name or package

    def hook_client(module: ModuleType) -> None:
        for owner_name, make in (("SyncAPIClient", request_hook), ("AsyncAPIClient", async_request_hook)):
            owner = getattr(module, owner_name, None)
            if owner is not None and patch(owner, "request", partial(make, begin=begin)):
                patch_overrides(owner, "request", partial(make, begin=begin))
                hooked(library, f"{owner_name}.request")
            else:
                missing(library, f"{owner_name}.request", "no calls of this kind of client are seen")

    def hook_streams(module: ModuleType) -> None:
        for owner_name, make in (("Stream", stream_hook), ("AsyncStream", async_stream_hook)):
            owner = getattr(module, owner_name, None)
            if owner is not None and patch(owner, "__stream__", make):
                hooked(library, f"{owner_name}.__stream__")
            else:
                missing(library, f"{owner_name}.__stream__", "streamed answers are followed as bytes")

    after_import(f"{package}._base_client", hook_client)
    after_import(f"{package}._streaming", hook_streams)


def is_raw(options: Any) -> bool:
    """Whether the application asked for the response itself."""
    headers = options.headers
    return bool(headers) and isinstance(headers, dict) and RAW_HEADER in headers


def with_body(options: Any, body: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A copy of the request that sends this body, and the body: the application's own stays as it is."""
    copy = options.model_copy() if hasattr(options, "model_copy") else options.copy()
    copy.json_data = body
    return copy, body


def stream_hook(original: Any) -> Any:
    """Put our generator around the library's, where the stream is a watched one."""

    def __stream__(self: Any) -> Any:
        state = state_of(self.response)
        return original(self) if state is None else read(state, original(self))

    return __stream__


def async_stream_hook(original: Any) -> Any:
    """The same for async streams."""

    def __stream__(self: Any) -> Any:
        state = state_of(self.response)
        return original(self) if state is None else read_async(state, original(self))

    return __stream__


def request_hook(original: Any, *, begin: Begin) -> Any:
    """Watch every request that `begin` wants watched."""

    def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        watch = begin(self, options) if SWITCH.on else None
        if watch is None:
            return original(self, cast_to, options, *args, **kwargs)
        token = WATCH.set(watch)
        has_span = watch.call.span is not None
        if has_span:
            enter(watch.call)  # a stream's span is current only here
        try:
            answer = original(self, cast_to, watch.subject, *args, **kwargs)
        except BaseException as error:
            watch.failed(error)
            raise
        finally:
            if has_span:
                leave(watch.call)
            WATCH.reset(token)
        if watch.is_raw:
            _answered_raw(watch, answer)
        elif watch.state is None:
            watch.answer(answer)
        return answer

    return request


def async_request_hook(original: Any, *, begin: Begin) -> Any:
    """The same for async clients."""

    async def request(self: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
        watch = begin(self, options) if SWITCH.on else None
        if watch is None:
            return await original(self, cast_to, options, *args, **kwargs)
        token = WATCH.set(watch)
        has_span = watch.call.span is not None
        if has_span:
            enter(watch.call)  # a stream's span is current only here
        try:
            answer = await original(self, cast_to, watch.subject, *args, **kwargs)
        except BaseException as error:
            watch.failed(error)
            raise
        finally:
            if has_span:
                leave(watch.call)
            WATCH.reset(token)
        if watch.is_raw:
            _answered_raw(watch, answer)
        elif watch.state is None:
            watch.answer(answer)
        return answer

    return request


def _answered_raw(watch: Watch, answer: Any) -> None:
    """The application asked for the response itself: a whole answer is read from its body."""
    if watch.state is not None:
        return
    if watch.body is not None:
        answer = opened(watch.body)
    watch.answer(answer)
