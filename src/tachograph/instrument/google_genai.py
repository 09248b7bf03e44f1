"""Watching the google-genai client (2.x and 3.x).

One `generate_content` may send several requests: automatic function calling and continuation do, and return the usage
of the last one only. So the public method is the call, and the private one under it (`_generate_content`), which sends
one request, is a hop whose tokens are added. From 3.6 on a chat runs the functions itself, with one `generate_content`
for each request: there the chat's message is the call. Tools run between hops, outside of the watch. Streams are lazy:
nothing is sent, and no call begins, before the first `next`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Final

import msgspec
from opentelemetry import context

from tachograph.instrument import gemini_live, hosts, settled, stainless
from tachograph.instrument.bodies import state_of
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.streams import StreamState, read, read_async
from tachograph.instrument.watch import WATCH, Watch
from tachograph.instrument.wrap import watched, watched_async
from tachograph.records import ENGINE_CALL, LLMCall
from tachograph.records.content import keep
from tachograph.records.keys import key_hint
from tachograph.signals.spans import enter, leave
from tachograph.tape.guard import call_wrapper, generate, unhooked
from tachograph.vendors.api import Api
from tachograph.vendors.fields import pick, plain
from tachograph.vendors.gemini.apis import BATCHES, FETCH_INTERACTION, GENERATE, INTERACT, PLAIN
from tachograph.vendors.gemini.generation import Generation, Hop

GENERATING: ContextVar[GenerationWatch | None] = ContextVar("tachograph_generation", default=None)
"""The `generate_content` that is under way here, tools of its included."""


def install() -> None:
    """Hook the client, now or once it is imported."""
    after_import("google.genai.models", _hook_models)
    after_import("google.genai.chats", _hook_chats)
    after_import("google.genai.batches", _hook_batches)
    gemini_live.install()
    after_import("google.genai._api_client", _hook_requests)
    after_import("google.genai._gaos.interactions", _hook_interactions)
    after_import("google.genai._gaos.utils.eventstreaming", _hook_events)
    stainless.install("google.genai._interactions", _interaction_request, name="google_genai")  # 2.x


class GenerationWatch(Watch):
    """One `generate_content`; its record begins with its first request, or when it is read.

    Attributes:
        start: Begins the record.
        reader_of_hops: Reads the answers of its requests.
        answers: Whole answers of its requests, not yet read.
        tails: The last chunks of its requests, not yet read, each with the hop that they belong to.
        stream: How far the answer has come, where it streams.
        is_inside: Whether `GENERATING`, and the span, are those of this call here.
        config: What the application asked for beside the contents.
    """

    start: Callable[[], LLMCall] | None = None
    config: Any = None
    reader_of_hops: Generation = msgspec.field(default_factory=Generation)
    answers: list[Any] = msgspec.field(default_factory=list)
    tails: list[tuple[Hop, Any]] = msgspec.field(default_factory=list)
    stream: StreamState | None = None
    is_inside: bool = False
    before: Any = None

    def begin_now(self) -> None:
        """Begin the record, where it has not begun."""
        if self.call is None:
            assert self.start is not None
            self.call = self.start()
            if self.is_inside:
                enter(self.call)

    def sending(self, url: Any) -> Any:
        """A request goes out."""
        self.begin_now()
        return super().sending(url)

    def go_inside(self) -> None:
        """From here on the library works for this call: it sends requests and runs tools."""
        if not self.is_inside:
            self.before = GENERATING.get()
            GENERATING.set(self)
            self.is_inside = True
            if self.call is not None:
                enter(self.call)

    def come_out(self) -> None:
        """The application is at work again."""
        if self.is_inside:
            self.is_inside = False
            GENERATING.set(self.before)  # not reset(): a generator may be closed in another context
            if self.call is not None:
                leave(self.call)

    def came_out(self, keep: Any) -> tuple[Any, bool]:
        """A chunk has come, and goes to the application.

        Returns:
            What keeps the next chunks of this request, and whether the library may run tools while it makes them.
        """
        self.come_out()
        stream = self.stream
        keep = keep if stream is None or stream.tail is not None else stream.keep_last()
        return keep, bool(pick(self.config, "tools"))

    def hop_answered(self, answer: Any) -> None:
        """A request that does not stream is done."""
        self.answers.append(answer)
        self._request_ended()
        tokens, before = GENERATE.tokens(answer), self.call.tokens
        if tokens is not None and before is not None:
            tokens = (tokens[0] or 0) + (before[0] or 0), (tokens[1] or 0) + (before[1] or 0)
        self.call.tokens = tokens or before

    def next_hop(self) -> Hop:
        """A streamed request is about to be sent."""
        return self.reader_of_hops.hop()

    def note(self, hop: Hop, chunk: Any) -> bool:
        """One of the first chunks of a streamed request; says whether there has been content."""
        reader = self.reader_of_hops
        if hop.feed(chunk) and not reader.started:
            reader.start(self.call)
        return reader.started

    def hop_ended(self) -> None:
        """A streamed request's answer is whole: its attempt ends, if it has not yet."""
        self._request_ended()
        self._keep_tail()

    def hop_failed(self) -> None:
        """Reading a streamed answer has failed; the library may ask again."""
        self._keep_tail()

    def _request_ended(self) -> None:
        if self.sent and not self.sent[-1].ended_ns:
            self.sent[-1].ended_ns = perf_counter_ns()

    def _keep_tail(self) -> None:
        stream = self.stream
        if stream is not None:
            if stream.tail is not None and self.reader_of_hops.hops:
                self.tails.append((self.reader_of_hops.hops[-1], stream.tail))
                stream.tail = None
            self.go_inside()

    def failed(self, error: BaseException) -> None:
        """As for any call, with the tokens of the hops that went well."""
        if self.call is not None or self.stream is None:
            self.begin_now()
            super().failed(error)

    def stream_ended(self) -> None:
        """The last chunk has been read."""
        self.begin_now()
        if self.stream is not None:
            self.stream.ended()

    def stream_interrupted(self, error: BaseException) -> None:
        """Reading the chunks has ended before the last one."""
        self.begin_now()
        if self.stream is not None:
            self.stream.interrupted(error)

    # Read when the record is delivered

    def read_hops(self) -> None:
        """What the requests' answers say."""
        answers, self.answers = self.answers, []
        for answer in answers:
            self.reader_of_hops.hop().feed(answer)
        tails, self.tails = self.tails, []
        for hop, tail in tails:
            for chunk in tail:
                hop.feed(chunk)

    def read_failure(self) -> None:
        """How the call failed."""
        self.read_requests()
        self.read_hops()
        self.reader_of_hops.fill(self.call)
        self.end_failed()

    def whole_answer(self) -> Any:
        """What reads the answers."""
        self.read_hops()
        return self.reader_of_hops


class ChatWatch(GenerationWatch):
    """One message of a chat. Its record begins with its first request; a message that sends none is no call.

    Attributes:
        contents: The conversation, which the chat makes longer from request to request: tells its requests from those
            of tools.
        model: What is asked.
    """

    contents: Any = None
    model: Any = None

    def takes(self, models: Any, keywords: dict[str, Any], *, stream: bool, is_async: bool) -> bool:
        """Whether this `generate_content` is one of the message's requests."""
        contents = keywords.get("contents")
        if self.start is not None:
            if contents is not self.contents:
                return False
            keywords["model"] = self.model  # a budget may have chosen another one
            return True
        self.uses_aiohttp = is_async and _uses_aiohttp(models)
        self.start = partial(_start, models, GENERATE, keywords, stream=stream)
        if not stream:
            self.begin_now()
        self.contents, self.config, self.model = contents, keywords.get("config"), keywords.get("model")
        return True

    def failed(self, error: BaseException) -> None:
        """As for any call, where a request was made."""
        if self.call is not None:
            super().failed(error)

    def stream_ended(self) -> None:
        """The last chunk has been read."""
        if self.start is not None:
            super().stream_ended()

    def stream_interrupted(self, error: BaseException) -> None:
        """Reading the chunks has ended before the last one."""
        if self.start is not None:
            super().stream_interrupted(error)


# Beginning


def _start(models: Any, api: Api, keywords: dict[str, Any], *, stream: bool = False) -> LLMCall:
    facts = api.facts(keywords)
    host, port = _address(models)
    provider = hosts.chosen(host, settled.settings.providers) or "gemini"
    call = settled.recorder().start_llm_call(
        provider,
        facts.model,
        api.operation,
        message_count=facts.message_count,
        stream=stream,
        asks=keywords if api.costs else None,
        is_watched=True,
        takes_other_model=not stream,
        key_hint=key_hint(getattr(getattr(models, "_api_client", None), "api_key", None)),
    )
    if call.model != facts.model:
        keywords["model"] = call.model
    call.api = api.name
    call.counts_usage = api.counts_usage
    call.server_address, call.server_port = host, port
    call.request = facts.settings
    keep(call, "input", lambda: api.input_content(keywords))
    return call


def _address(models: Any) -> tuple[str, int | None]:
    options = getattr(getattr(models, "_api_client", None), "_http_options", None)
    return hosts.address_of(str(pick(options, "base_url") or ""))


def _uses_aiohttp(models: Any) -> bool:
    use = getattr(getattr(models, "_api_client", None), "_use_aiohttp", None)
    return bool(use()) if use is not None else False


def _generation(
    models: Any, keywords: dict[str, Any], *, stream: bool = False, is_async: bool
) -> GenerationWatch | None:
    message = GENERATING.get()
    if type(message) is ChatWatch and message.takes(models, keywords, stream=stream, is_async=is_async):
        return None
    watch = GenerationWatch(
        None,  # type: ignore[arg-type]  # begins with its first request
        GENERATE,
        follows_body=False,
        uses_aiohttp=is_async and _uses_aiohttp(models),
        start=partial(_start, models, GENERATE, keywords, stream=stream),
        config=keywords.get("config"),
    )
    if not stream:
        watch.begin_now()
    return watch


def _message(chat: Any, args: Any, keywords: dict[str, Any]) -> ChatWatch | None:
    """The watch of a chat's message; it is inside, for the chat's method runs until the answer is whole."""
    if not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    return ChatWatch(None, GENERATE, follows_body=False, is_inside=True)  # type: ignore[arg-type]


def _streamed(watch: GenerationWatch | None) -> GenerationWatch | None:
    if watch is not None:
        watch.stream = StreamState(watch, watch.reader_of_hops)
        watch.stream.rest = watch.read_hops
    return watch


def _begin_stream(models: Any, keywords: dict[str, Any], *, is_async: bool) -> GenerationWatch | None:
    if not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    return _streamed(_generation(models, keywords, stream=True, is_async=is_async))


def _begin_message_stream(chat: Any, keywords: dict[str, Any]) -> GenerationWatch | None:
    if not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    return _streamed(ChatWatch(None, GENERATE, follows_body=False))  # type: ignore[arg-type]


def _plain(models: Any, keywords: dict[str, Any], *, api: Api, is_async: bool) -> Watch:
    return Watch(
        _start(models, api, keywords),
        api,
        follows_body=False,
        uses_aiohttp=is_async and _uses_aiohttp(models),
    )


def _interaction(interactions: Any, keywords: dict[str, Any], *, api: Api) -> Watch:
    asked = keywords.get("request") or keywords
    body = pick(asked, "body") or asked
    fields = plain(body)
    request: dict[str, Any] = fields if type(fields) is dict else {}
    facts = api.facts(request)
    call = settled.recorder().start_llm_call(
        "gemini",
        facts.model,
        api.operation,
        message_count=facts.message_count,
        stream=facts.stream,
        asks=body if api.costs else None,
        is_watched=True,
        takes_other_model=False,
    )
    call.api = api.name
    call.request = facts.settings
    keep(call, "input", lambda: api.input_content(request))
    return Watch(call, api, is_raw=True)  # read from the body: the answer may be a model, or the response itself


def _interaction_request(client: Any, options: Any) -> Watch | None:
    """google-genai 2.x: interactions are a generated client inside; every request of it passes here."""
    path = options.url.partition("?")[0]
    create = options.method.lower() == "post" and path.endswith("interactions")
    fetch = options.method.lower() == "get" and "interactions/" in path
    outer = WATCH.get()
    if not (create or fetch) or ENGINE_CALL.get() is not None:
        return None
    if outer is not None and outer.subject is options:
        return None
    body = options.json_data if isinstance(options.json_data, dict) else {}
    watch = _interaction(client, body, api=INTERACT if create else FETCH_INTERACTION)
    watch.subject = options
    watch.is_raw = stainless.is_raw(options)
    return watch


# What is done with whole answers


def _answered(watch: Watch, answer: Any) -> None:
    if watch.sent and not watch.sent[-1].ended_ns:
        watch.sent[-1].ended_ns = perf_counter_ns()
    watch.answered_whole(answer)


# The public methods: calls


def _hook_models(module: ModuleType) -> None:
    makers: dict[str, tuple[Any, Any]] = {
        "generate_content": (
            partial(
                watched, begin=partial(_generation, is_async=False), done=Watch.answered_whole, variable=GENERATING
            ),
            partial(
                watched_async, begin=partial(_generation, is_async=True), done=Watch.answered_whole, variable=GENERATING
            ),
        ),
        "generate_content_stream": (
            partial(_generate_stream, begin=partial(_begin_stream, is_async=False)),
            partial(_generate_stream, begin=partial(_begin_stream, is_async=True), is_async=True),
        ),
        "_generate_content": (_hop, partial(_hop, is_async=True)),
        "_generate_content_stream": (_hop_stream, _hop_stream_async),
    }
    for name, api in PLAIN.items():
        makers[name] = (
            partial(watched, begin=partial(_plain, api=api, is_async=False), done=_answered),
            partial(watched_async, begin=partial(_plain, api=api, is_async=True), done=_answered),
        )
    for name, pair in makers.items():
        for owner_name, make in zip(("Models", "AsyncModels"), pair, strict=True):
            _patch(module, owner_name, name, make, "calls of it are not seen")


def _hook_chats(module: ModuleType) -> None:
    consequence = "each request of a message is a call of its own"
    for owner_name, is_async in (("Chat", False), ("AsyncChat", True)):
        whole = partial(_watched_message, is_async=is_async)
        _patch(module, owner_name, "send_message", whole, consequence)
        stream = partial(_generate_stream, is_async=is_async, begin=_begin_message_stream)
        _patch(module, owner_name, "send_message_stream", stream, consequence)


def _watched_message(original: Any, *, is_async: bool) -> Any:
    return call_wrapper(
        original,
        {GENERATING: "watch"},
        begin=_message,
        done=_message_answered,
        failed=_message_failed,
        is_async=is_async,
    )


def _message_answered(watch: ChatWatch, answer: Any) -> None:
    if watch.call is not None:
        leave(watch.call)
        watch.answered_whole(answer)


def _message_failed(watch: ChatWatch, error: BaseException) -> None:
    if watch.call is not None:
        leave(watch.call)
        watch.failed(error)


def _hook_batches(module: ModuleType) -> None:
    for name, api in BATCHES.items():
        for owner_name, make in (("Batches", watched), ("AsyncBatches", watched_async)):
            is_async = make is watched_async
            begin = partial(_plain, api=api, is_async=is_async)
            _patch(module, owner_name, name, partial(make, begin=begin, done=_answered), "batches are not seen")


def _hook_interactions(module: ModuleType) -> None:
    for name, api in (("create", INTERACT), ("get", FETCH_INTERACTION)):
        begin = partial(_interaction, api=api)
        _patch(
            module, "Interactions", name, partial(watched, begin=begin, done=Watch.answered_whole), "they are not seen"
        )
        make = partial(watched_async, begin=begin, done=Watch.answered_whole)
        _patch(module, "AsyncInteractions", name, make, "they are not seen")


def _patch(module: ModuleType, owner_name: str, name: str, make: Any, consequence: str) -> None:
    owner = getattr(module, owner_name, None)
    if owner is not None and patch(owner, name, make):
        hooked("google_genai", f"{owner_name}.{name}")
    else:
        missing("google_genai", f"{owner_name}.{name}", consequence)


_STREAM: Final = """
    def generate_content_stream(self, *args, **keywords):
        chunks = original(self, *args, **keywords)
        watch = None
        guard pass: watch = begin(self, keywords)
        return chunks if watch is None else read(watch, watch.stream, chunks)
"""

_ASYNC_STREAM: Final = """
    async def generate_content_stream(self, *args, **keywords):
        watch = None
        guard pass: watch = begin(self, keywords)
        if watch is None:
            return await original(self, *args, **keywords)
        token = set_variable(watch)
        try:
            chunks = await original(self, *args, **keywords)
        except BaseException as error:
            guard pass: watch.failed(error)
            raise
        finally:
            reset_variable(token)
        return read(watch, watch.stream, chunks)
"""

_READ: Final = """
    ASYNC def read(watch, state, chunks):
        # The chunks of all hops. The library works for this call at first, between hops, and where it runs tools.
        keep = None
        runs_tools = False
        around = get_context()
        guard pass: keep = state.keep_last()
        try:
            FIRST_STEP
            guard pass: state.begin(chunks)
            guard attach(around): watch.go_inside()
            ASYNC for chunk in chunks:
                state.last_ns = clock()
                if watch.is_inside:
                    guard put_back(watch.before); attach(around): keep, runs_tools = watch.came_out(keep)
                if keep is not None:
                    keep(chunk)
                yield chunk
                if runs_tools:
                    guard attach(around): watch.go_inside()
            guard attach(around): watch.stream_ended()
        except BaseException as error:
            guard attach(around): watch.stream_interrupted(error)
            raise
        finally:
            guard put_back(watch.before); attach(around): watch.come_out()
            state.generator = None
            CLOSE
"""

_HOP: Final = """
    ASYNC def _generate_content(self, *args, **keywords):
        watch = current()
        if watch is None:
            return AWAIT original(self, *args, **keywords)
        token = set_variable(watch)
        try:
            answer = AWAIT original(self, *args, **keywords)
        finally:
            reset_variable(token)
        guard pass: watch.hop_answered(answer)
        return answer
"""

_HOP_STREAM: Final = """
    def _generate_content_stream(self, *args, **keywords):
        watch = current()
        chunks = original(self, *args, **keywords)
        return chunks if watch is None else read(watch, chunks)
"""

_ASYNC_HOP_STREAM: Final = """
    async def _generate_content_stream(self, *args, **keywords):
        watch = current()
        if watch is None:
            return await original(self, *args, **keywords)
        token = set_variable(watch)
        try:
            chunks = await original(self, *args, **keywords)
        finally:
            reset_variable(token)
        return read(watch, chunks)
"""

_READ_HOP: Final = """
    ASYNC def read(watch, chunks):
        # The chunks of one request, which is sent when the first is asked for.
        hop = None
        guard pass: hop = watch.next_hop()
        chunks = ITER(chunks)
        try:
            FIRST_STEP
            before = current()
            set_variable(watch)
            try:
                chunk = AWAIT NEXT(chunks, None)
            finally:
                set_variable(before)  # not reset(): a generator may be closed in another context
            while chunk is not None:
                has_started = hop is None
                if hop is not None:
                    guard has_started = True: has_started = watch.note(hop, chunk)
                yield chunk
                if has_started:
                    break
                chunk = AWAIT NEXT(chunks, None)
            REST
            guard pass: watch.hop_ended()
        except Exception:
            guard pass: watch.hop_failed()
            raise
        finally:
            CLOSE
"""


def _async_words(text: str, *, is_async: bool) -> str:
    """The text with the iteration's words for sync or async."""
    words = {"ITER": "iter", "NEXT": "next", "REST": "yield from chunks"}
    words |= {"FIRST_STEP": "pass", "CLOSE": "chunks.close()"}
    if is_async:
        words = {"ITER": "aiter", "NEXT": "anext", "FIRST_STEP": "yield None", "CLOSE": "pass"}
        words["REST"] = "async for chunk in chunks:\n                yield chunk"
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


def _readers(text: str, *, chunks: int, **names: Any) -> tuple[Any, Any]:
    """The generator function for sync, and the one for async; `chunks`: which argument is the library's generator."""
    sync, asynchronous = (
        generate(_async_words(text, is_async=is_async), "read", is_async=is_async, **names)
        for is_async in (False, True)
    )
    return sync, unhooked(asynchronous, chunks=chunks)


_read, _read_async = _readers(
    _READ,
    chunks=2,
    clock=perf_counter_ns,
    put_back=GENERATING.set,
    get_context=context.get_current,
    attach=context.attach,
)
_read_hop, _read_hop_async = _readers(_READ_HOP, chunks=1, current=WATCH.get, set_variable=WATCH.set)


def _generate_stream(original: Any, *, begin: Any, is_async: bool = False) -> Any:
    """Watch a method that returns the chunks of one or more requests."""
    return generate(
        _ASYNC_STREAM if is_async else _STREAM,
        "generate_content_stream",
        original=original,
        begin=begin,
        read=_read_async if is_async else _read,
        set_variable=GENERATING.set,
        reset_variable=GENERATING.reset,
    )


def _hop(original: Any, *, is_async: bool = False) -> Any:
    return generate(
        _HOP,
        "_generate_content",
        is_async=is_async,
        original=original,
        current=GENERATING.get,
        set_variable=WATCH.set,
        reset_variable=WATCH.reset,
    )


def _hop_stream(original: Any) -> Any:
    return generate(_HOP_STREAM, "_generate_content_stream", original=original, current=GENERATING.get, read=_read_hop)


def _hop_stream_async(original: Any) -> Any:
    return generate(
        _ASYNC_HOP_STREAM,
        "_generate_content_stream",
        original=original,
        current=GENERATING.get,
        read=_read_hop_async,
        set_variable=WATCH.set,
        reset_variable=WATCH.reset,
    )


# The HTTP layer: what an error body says


_ONCE: Final = """
    ASYNC def request_once(self, *args, **keywords):
        try:
            return AWAIT original(self, *args, **keywords)
        except BaseException as error:
            guard pass: correct(error)
            raise
"""


def _hook_requests(module: ModuleType) -> None:
    owner = module.BaseApiClient
    for name, is_async in (("_request_once", False), ("_async_request_once", True)):
        patch(owner, name, partial(_request_once, is_async=is_async))


def _request_once(original: Any, *, is_async: bool) -> Any:
    return generate(_ONCE, "request_once", is_async=is_async, original=original, correct=_correct)


def _correct(error: BaseException) -> None:
    """The exception that the library makes of an error answer says more than its status."""
    watch = WATCH.get()
    if watch is not None and SWITCH.on and watch.sent:
        watch.sent[-1].error = error


# Streams of interactions: a stack of its own, over httpx2


_EVENTS: Final = """
    def __init__(self, response, *args, **keywords):
        original(self, response, *args, **keywords)
        state = None
        guard pass: state = state_of(response)
        if state is not None:
            self.generator = read(state, self.generator)
"""


def _hook_events(module: ModuleType) -> None:
    patch(module.Stream, "__init__", partial(_event_stream, reader=read))
    patch(module.AsyncStream, "__init__", partial(_event_stream, reader=read_async))


def _event_stream(original: Any, *, reader: Any) -> Any:
    return generate(_EVENTS, "__init__", original=original, read=reader, state_of=state_of)
