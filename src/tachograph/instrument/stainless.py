"""What the openai and anthropic clients have in common: both are made by the same generator.

`SyncAPIClient.request` and its async twin carry every request: `create`, `parse`, `stream`, raw and streaming
responses, tool runners and the subclasses for clouds, also of clients made before we came. `Stream.__stream__` makes
every streamed chunk. The sync and the async wrapper differ only in what they await.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tachograph.instrument import hosts
from tachograph.instrument.active_config import recorder
from tachograph.instrument.bodies import HIDES_USAGE
from tachograph.instrument.imports import after_import
from tachograph.instrument.kinds import Kind, kept, template_of
from tachograph.instrument.patches import SWITCH, patch_overrides
from tachograph.instrument.report import hook
from tachograph.instrument.scope import SCOPE
from tachograph.instrument.streams import StreamState, read, read_async
from tachograph.instrument.watch import WATCH, Watch, is_under_way
from tachograph.records import ENGINE_CALL
from tachograph.records.content import keep
from tachograph.records.keys import key_hint
from tachograph.signals.spans import enter
from tachograph.tape.guard import call_wrapper, generate, reader_without_usage
from tachograph.vendors.api import Api, RequestFacts

if TYPE_CHECKING:
    from tachograph.recorder import Recorder

RAW_HEADER = "X-Stainless-Raw-Response"
_engine_here: Final = ENGINE_CALL.get
_watch_here: Final = WATCH.get
_scope_here: Final = SCOPE.get

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


def is_raw(headers: object) -> bool:
    """Whether the headers of a request say that the application asked for the response itself."""
    return isinstance(headers, dict) and RAW_HEADER in headers


def with_body(options: Any, body: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A copy of the request that sends this body, and the body: the application's own stays as it is."""
    copy = options.model_copy() if hasattr(options, "model_copy") else options.copy()
    copy.json_data = body
    return copy, body


def _with_file(body: dict[str, Any], files: Any) -> dict[str, Any]:
    """The body with the file that is sent beside it: what a transcription costs depends on nothing else."""
    found = dict(files).get("file")
    return body if found is None else {**body, "file": found}


class RequestedApi(NamedTuple):
    """What a request of a client asks for.

    Attributes:
        api: Which API.
        provider: The label where the client's host is not known.
        amend: Has what a stream costs sent with it.
        stored_id: Of the stored answer that is fetched, which may come from another host.
    """

    api: Api
    provider: str
    amend: Amend | None = None
    stored_id: str | None = None


Find = Callable[[Any, Any], RequestedApi | None]
"""Finds what a request of a client asks for; None: it is not watched."""


def _new_kind(kinds: dict[Any, Any], sink: Recorder, client: Any, options: Any, find: Find) -> Kind | None:
    """Found once, since reading a URL takes long; None where the request is not watched."""
    asked = find(client, options)
    if asked is None:
        return None
    url, key, api = client.base_url, getattr(client, "api_key", None), asked.api
    place = hosts.place_of(url, asked.provider)
    template = template_of(sink, api, place, key)
    template.response_id = asked.stored_id
    host = None if asked.stored_id else place.host
    kind = Kind(api, template, key, sink.looks_at_requests(api.operation), url, host, asked.amend)
    return kept(kinds, (id(url), type(client), options.method, options.url), kind)


def _body_of(options: Any) -> dict[str, Any]:
    data = options.json_data
    body: dict[str, Any] = data if isinstance(data, dict) else {}
    return {**body, **options.extra_json} if options.extra_json else body


def begin(client: Any, options: Any, *, find: Find) -> Watch | None:
    """The watch of one request, or None when it is not watched, or another watch stands for it."""
    if not SWITCH.on or _engine_here() is not None:
        return None
    sink, url = recorder(), client.base_url
    kinds = sink.kinds
    kind = kinds.get((id(url), type(client), options.method, options.url)) or _new_kind(
        kinds, sink, client, options, find
    )
    if kind is None or ((outer := _watch_here()) is not None and is_under_way(outer, kind.api, options)):
        return None
    api = kind.api
    body: Any = options.json_data
    if type(body) is not dict or options.extra_json:
        body = _body_of(options)
    facts = api.facts(body)
    scope = _scope_here()
    if scope is not None and (again := scope.again(api, kind.template.provider, facts.model, body)) is not None:
        again.subject = options
        _amend(again, kind, facts, body, client)
        return again
    call = kind.template.__copy__()
    call.model, call.message_count, call.stream = facts.model, facts.message_count, facts.stream
    call.request = facts.settings
    key = getattr(client, "api_key", None)
    if key is not kind.key:
        call.api_key_hint = key_hint(key)
    looks = kind.looks or call.stream
    sink.begin_llm_call(call, _asks(api, options, body) if looks else None, True)
    try:
        watch = Watch(call, api, options, kind.host)
        if scope is not None:
            scope.begin(watch, facts.model, body)
        headers = options.headers
        if headers and is_raw(headers):
            watch.is_raw = True
        if looks:
            _look_further(watch, kind, facts, body, client)
    except Exception:
        call.withdraw()
        raise
    return watch


def _asks(api: Api, options: Any, body: dict[str, Any]) -> dict[str, Any] | None:
    """What the request may cost depends on this; None where it costs nothing."""
    if not api.costs:
        return None
    return _with_file(body, options.files) if options.files else body


def _look_further(watch: Watch, kind: Kind, facts: RequestFacts, body: dict[str, Any], client: object) -> None:
    """What most requests do not need: changes to what is sent, and keeping what is said."""
    body = _amend(watch, kind, facts, body, client)
    keep(watch.call, "input", partial(watch.api.input_content, body))
    enter(watch.call)  # a stream's span is current while its request is sent; another's is already


def _amend(watch: Watch, kind: Kind, facts: RequestFacts, body: dict[str, Any], client: object) -> dict[str, Any]:
    """Have the request sent as the watch changed it; returns its body."""
    if watch.call.model != facts.model:
        watch.subject, body = with_body(watch.subject, {**body, "model": watch.call.model})
    if facts.stream and kind.amend is not None:
        kind.amend(watch, body, client)
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
    return call_wrapper(
        original,
        {WATCH: "watch"},
        begin=begin,
        done=Watch.answered_whole,
        failed=Watch.failed,
        is_async=is_async,
        signature="self, cast_to, options, *args, **keywords",
        begins="self, options",
        watched="self, cast_to, watch.subject, *args, **keywords",
    )


request_hook = partial(_wrapper, is_async=False)
"""The hook for sync clients."""
async_request_hook = partial(_wrapper, is_async=True)
"""The hook for async clients."""
