"""What the openai and anthropic clients have in common: both are made by the same generator.

`SyncAPIClient.request` and its async twin carry every request: `create`, `parse`, `stream`, raw and streaming
responses, tool runners and the subclasses for clouds, also of clients made before we came. `Stream.__stream__` makes
every streamed chunk. The sync and the async wrapper differ only in what they await.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tachograph.instrument import active_config, hosts
from tachograph.instrument.active_config import recorder
from tachograph.instrument.bodies import HIDES_USAGE
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch_overrides
from tachograph.instrument.report import hook
from tachograph.instrument.scope import SCOPE
from tachograph.instrument.streams import StreamState, read, read_async
from tachograph.instrument.watch import WATCH, Watch, is_under_way
from tachograph.records import ENGINE_CALL, LLMCall
from tachograph.records.content import keep
from tachograph.records.keys import key_hint
from tachograph.settings.instrument import InstrumentSettings
from tachograph.signals.spans import enter, leave
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


class _Kind(msgspec.Struct, frozen=True):
    """What the calls of one client to one API have in common.

    Attributes:
        made_by: The base URL, the settings and the recorder; others make another.
        template: A call that never begins: each call is a copy of it.
        costs: Whether asking may cost something.
    """

    made_by: tuple[Any, InstrumentSettings, Recorder]
    template: LLMCall
    costs: bool


_kinds: dict[tuple[int, type, Api], _Kind] = {}
_MOST_KINDS: Final = 256


def _kind_of(client: Any, api: Api, fallback: Callable[[type], str]) -> _Kind:
    """Found once for each base URL and API, since reading a URL takes long."""
    url = client.base_url
    made_by = url, active_config.settings, recorder()
    key = id(url), type(client), api  # with the URL kept, no other object gets its id
    kind = _kinds.get(key)
    if kind is None or kind.made_by != made_by:
        host, port, provider, dialect = hosts.place_of(url, fallback(type(client)))
        template = LLMCall(made_by[-1], provider, "", api.operation)
        template.api, template.counts_usage = api.name, api.counts_usage
        template.server_address, template.server_port, template.dialect = host, port, dialect
        if kind is not None or len(_kinds) >= _MOST_KINDS:
            _kinds.clear()  # no recorder of former settings is kept
        kind = _kinds[key] = _Kind(made_by, template, api.costs)
    return kind


def forget_kinds() -> None:
    """Keep the recorders of earlier calls no longer."""
    _kinds.clear()


def _body_of(options: Any) -> dict[str, Any]:
    data = options.json_data
    body: dict[str, Any] = data if isinstance(data, dict) else {}
    return {**body, **options.extra_json} if options.extra_json else body


def watch_of(
    client: Any, options: Any, api: Api, fallback: Callable[[type], str], ask_for_usage: Amend | None = None
) -> Watch | None:
    """The watch of one request, or None when it is not watched, or another watch stands for it.

    Args:
        client: Which client.
        options: The request.
        api: What it asks of.
        fallback: The provider's label by the client's class, where its host is not known.
        ask_for_usage: Has a stream's usage sent.
    """
    outer = _watch_here()
    if not SWITCH.on or _engine_here() is not None or (outer is not None and is_under_way(outer, api, options)):
        return None
    body: Any = options.json_data
    if type(body) is not dict or options.extra_json:
        body = _body_of(options)
    facts = api.facts(body)
    kind = _kind_of(client, api, fallback)
    scope = _scope_here()
    if scope is not None:
        again = scope.again(api, kind.template.provider, facts.model, body)
        if again is not None:
            again.subject = options
            _amend(again, facts, body, client, ask_for_usage)
            return again
    call = kind.template.__copy__()
    call.attempts = []
    call.model, call.message_count, call.stream = facts.model, facts.message_count, facts.stream
    call.request = facts.settings
    call.api_key_hint = key_hint(getattr(client, "api_key", None))  # a cloud's client may have none
    asks = body if not options.files else _with_file(body, options.files)
    kind.made_by[-1].begin_llm_call(call, asks if kind.costs else None, True)
    try:
        watch = Watch(call, api, options, call.server_address)
        if scope is not None:
            scope.begin(watch, facts.model, body)
        if options.headers and is_raw(options):
            watch.is_raw = True
        if call.stream or call.model != facts.model or call.sink.content.keeps:
            _look_further(watch, facts, body, client, ask_for_usage)
        if call.span is not None:
            enter(call)  # a stream's span is current while its request is sent
    except Exception:
        call.withdraw()
        raise
    return watch


def _look_further(
    watch: Watch, facts: RequestFacts, body: dict[str, Any], client: object, ask_for_usage: Amend | None
) -> None:
    """What most requests do not need: changes to what is sent, and keeping what is said."""
    body = _amend(watch, facts, body, client, ask_for_usage)
    if watch.call.sink.content.keeps:
        keep(watch.call, "input", partial(watch.api.input_content, body))


def _amend(
    watch: Watch, facts: RequestFacts, body: dict[str, Any], client: object, ask_for_usage: Amend | None
) -> dict[str, Any]:
    """Have the request sent as the watch changed it; returns its body."""
    if watch.call.model != facts.model:
        watch.subject, body = with_body(watch.subject, {**body, "model": watch.call.model})
    if facts.stream and ask_for_usage is not None:
        ask_for_usage(watch, body, client)
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
    if watch.state is None:
        watch.answered_whole(answer)  # its span is current no longer
    elif watch.call.span is not None:
        leave(watch.call)  # a call that goes on in its stream is current only while its request is sent


def _failed(watch: Watch, error: BaseException) -> None:
    if watch.call.span is not None:
        leave(watch.call)
    watch.failed(error)
