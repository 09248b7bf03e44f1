"""What the openai and anthropic clients have in common: both are made by the same generator.

`SyncAPIClient.request` and its async twin carry every request: `create`, `parse`, `stream`, raw and streaming
responses, tool runners and the subclasses for clouds, also of clients made before we came. `Stream.__stream__` makes
every streamed chunk. The sync and the async wrapper differ only in what they await.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import hosts
from tachograph.instrument.active_config import recorder
from tachograph.instrument.bodies import HIDES_USAGE
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch_overrides
from tachograph.instrument.report import hook
from tachograph.instrument.scope import SCOPE
from tachograph.instrument.streams import StreamState, read, read_async
from tachograph.instrument.watch import WATCH, Watch, is_under_way
from tachograph.records import ENGINE_CALL
from tachograph.records.content import keep
from tachograph.records.keys import key_hint
from tachograph.signals.spans import enter, leave
from tachograph.tape.guard import call_wrapper, generate, reader_without_usage
from tachograph.vendors.api import Api

RAW_HEADER = "X-Stainless-Raw-Response"
_scope_here = SCOPE.get

Begin = Callable[[Any, Any], Watch | None]
"""Makes the watch of one request of a client, or None when it is not to be watched."""

Amend = Callable[[Watch, Any, Any], None]
"""Takes the watch of a request, its body and its client."""


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
            made = partial(make, begin=begin)
            if hook(library, module, owner_name, "request", made, "no calls of this kind of client are seen"):
                patch_overrides(getattr(module, owner_name), "request", made)

    def hook_streams(module: ModuleType) -> None:
        for owner_name, make in (("Stream", stream_hook), ("AsyncStream", async_stream_hook)):
            hook(library, module, owner_name, "__stream__", make, "streamed answers are followed as bytes")

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


def _with_file(body: dict[str, Any], files: Any) -> dict[str, Any]:
    """The body with the file that is sent beside it: what a transcription costs depends on nothing else."""
    found = dict(files).get("file")
    return body if found is None else {**body, "file": found}


def watch_of(
    client: Any, options: Any, api: Api, fallback: Callable[[type], str], amend: Amend | None = None
) -> Watch | None:
    """The watch of one request, or None when another one stands for it.

    Args:
        client: Which client.
        options: The request.
        api: What it asks of.
        fallback: The provider's label by the client's class, where its host is not known.
        amend: Does what is special to this API, before the input is kept.
    """
    if ENGINE_CALL.get() is not None or is_under_way(api, options):
        return None
    data = options.json_data
    body: Any = data if isinstance(data, dict) else {}
    if options.extra_json:
        body = {**body, **options.extra_json}
    host, port, provider, dialect = hosts.place_of(client, fallback)
    facts = api.facts(body)
    model = facts.model
    scope = _scope_here()
    if scope is not None:
        again = scope.again(api, provider, model, body)
        if again is not None:
            again.subject = options
            _amend(again, model, body, client, amend)
            return again
    call = recorder().start_llm_call(
        provider,
        model,
        api.operation,
        message_count=facts.message_count,
        stream=facts.stream,
        asks=(_with_file(body, options.files) if options.files else body) if api.costs else None,
        is_watched=True,
        key_hint=key_hint(getattr(client, "api_key", None)),  # a cloud's client may have none
    )
    try:
        call.api = api.name
        call.counts_usage = api.counts_usage
        call.server_address, call.server_port = host, port
        call.request = facts.settings
        call.dialect = dialect
        watch = Watch(call, api, options, host)
        if options.headers and is_raw(options):
            watch.is_raw = True
        if scope is not None:
            scope.begin(watch, model, body)
        if call.model != model:
            body = _amend(watch, model, body, client, amend)
        elif amend is not None:
            amend(watch, body, client)
        if call.sink.content.keeps:
            keep(call, "input", partial(api.input_content, body))
    except Exception:
        call.withdraw()
        raise
    return watch


def _amend(watch: Watch, model: str, body: dict[str, Any], client: object, amend: Amend | None) -> dict[str, Any]:
    """Have the request sent as the watch changed it; returns its body."""
    if watch.call.model != model:
        watch.subject, body = with_body(watch.subject, {**body, "model": watch.call.model})
    if amend is not None:
        amend(watch, body, client)
    return body


_STREAM: Final = """
    def __stream__(self):
        state = getattr(self.response, "_tachograph", None)
        if type(state) is StreamState:
            return read(state, original(self))
        return original(self) if state is not HIDES_USAGE else read_without_usage(original(self))
"""


def stream_hook(original: object, *, is_async: bool = False) -> Any:
    """Put our generator around the library's, where the stream is a watched one."""
    return generate(
        _STREAM,
        "__stream__",
        original=original,
        read=read_async if is_async else read,
        read_without_usage=reader_without_usage(is_async=is_async),
        StreamState=StreamState,
        HIDES_USAGE=HIDES_USAGE,
    )


async_stream_hook = partial(stream_hook, is_async=True)
"""The same for async streams."""


def _wrapper(original: object, *, begin: Begin, is_async: bool) -> Any:
    """Watch every request for which `begin` returns a watch."""

    def begin_watch(client: object, options: object) -> Watch | None:
        watch = begin(client, options) if SWITCH.on else None
        if watch is not None and watch.call.span is not None:
            enter(watch.call)  # a stream's span is current while its request is sent
        return watch

    return call_wrapper(
        original,
        {WATCH: "watch"},
        begin=begin_watch,
        done=_answered,
        failed=_failed,
        is_async=is_async,
        signature="self, cast_to, options, *args, **keywords",
        begins="self, options",
        watched="self, cast_to, watch.subject, *args, **keywords",
    )


request_hook = partial(_wrapper, is_async=False)
"""The hook for sync clients."""
async_request_hook = partial(_wrapper, is_async=True)
"""The hook for async clients."""


def _answered(watch: Watch, answer: object) -> None:
    if watch.call.span is not None:
        leave(watch.call)  # a call that goes on in its stream is current only while its request is sent
    if watch.state is None:
        watch.answered_whole(answer)


def _failed(watch: Watch, error: BaseException) -> None:
    if watch.call.span is not None:
        leave(watch.call)
    watch.failed(error)
