"""Watching the google-genai client (2.x and 3.x).

One `generate_content` may send several requests: automatic function calling and continuation do, and return the usage
of the last one only. So the public method is the call, and the private one under it (`_generate_content`), which sends
one request, is a hop whose tokens are added. Tools run between hops, outside of the watch. Streams are lazy: nothing
is sent, and no call begins, before the first `next`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache, partial
from time import perf_counter_ns
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from tachograph.errors import BudgetExceededError
from tachograph.instrument import endings, hosts, settled, stainless
from tachograph.instrument.bodies import state_of
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked, missing
from tachograph.instrument.streams import StreamState, read, read_async
from tachograph.instrument.watch import WATCH, Watch
from tachograph.instrument.wrap import watched, watched_async
from tachograph.records import ENGINE_CALL, LLMCall
from tachograph.records.content import keep
from tachograph.signals.spans import enter, leave
from tachograph.vendors.api import Api
from tachograph.vendors.fields import pick, plain
from tachograph.vendors.gemini.apis import FETCH_INTERACTION, GENERATE, INTERACT, PLAIN
from tachograph.vendors.gemini.generation import Generation
from tachograph.vendors.loose import loads

GENERATING: ContextVar[GenerationWatch | None] = ContextVar("tachograph_generation", default=None)
"""The `generate_content` that is under way here, tools of its included."""


def install() -> None:
    """Hook the client, now or once it is imported."""
    after_import("google.genai.models", _hook_models)
    after_import("google.genai._api_client", _hook_requests)
    after_import("google.genai._gaos.interactions", _hook_interactions)
    after_import("google.genai._gaos.utils.eventstreaming", _hook_events)
    stainless.install("google.genai._interactions", _interaction_request, name="google_genai")  # 2.x


class GenerationWatch(Watch):
    """One `generate_content`; its record begins with its first request, or when `call` is first asked for.

    Attributes:
        reader_of_hops: Reads the answers of its requests.
        stream: How far the answer has come, where it streams.
        is_inside: Whether `GENERATING`, and the span, are those of this call here.
    """

    __slots__ = ("_before", "_begin", "is_begun", "is_inside", "reader_of_hops", "stream")

    def __init__(self, begin: Callable[[], LLMCall]) -> None:
        self._begin = begin
        self.api = GENERATE
        self.subject = None
        self.host = None
        self.state = None
        self.hides_usage = self.is_raw = self.follows_body = self.uses_aiohttp = self.is_begun = self.is_inside = False
        self.body = None
        self.reader_of_hops = Generation()
        self.stream: StreamState | None = None
        self._before: GenerationWatch | None = None

    def __getattr__(self, name: str) -> Any:
        """`call`, while there is none."""
        if name != "call":
            raise AttributeError(name)
        call = self.call = self._begin()
        self.is_begun = True
        if self.is_inside:
            enter(call)
        return call

    def go_inside(self) -> None:
        """From here on the library works for this call: it sends requests and runs tools."""
        if not self.is_inside:
            self._before = GENERATING.get()
            GENERATING.set(self)
            self.is_inside = True
            if self.is_begun:
                enter(self.call)

    def come_out(self) -> None:
        """The application is at work again."""
        self.is_inside = False
        GENERATING.set(self._before)  # not reset(): a generator may be closed in another context
        if self.is_begun:
            leave(self.call)

    def hop_answered(self, answer: Any) -> None:
        """A request that does not stream is done."""
        try:
            self.reader_of_hops.hop().feed(answer)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
            settled.recorder().failed("instrument", error)
        self.hop_ended()

    def hop_ended(self) -> None:
        """A request's answer is read: its attempt ends, if it has not yet."""
        attempts = self.call.attempts
        if attempts:
            attempts[-1].end("success")
        if self.stream is not None:
            self.stream.read_tail()
            self.go_inside()

    def hop_failed(self) -> None:
        """Reading a streamed answer has failed; the library may ask again."""
        if self.stream is not None:
            self.stream.read_tail()
            self.go_inside()

    def failed(self, error: BaseException) -> None:
        """As for any call, with the tokens of the hops that went well."""
        try:
            self.reader_of_hops.fill(self.call)
        except Exception as own:  # noqa: BLE001
            settled.recorder().failed("instrument", own)
        super().failed(error)


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
        asks=keywords if api.counts_usage else None,
        is_watched=True,
        takes_other_model=not stream,
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
    return _place(str(pick(options, "base_url") or ""))


@lru_cache(maxsize=64)
def _place(url: str) -> tuple[str, int | None]:
    place = urlsplit(url)
    return place.hostname or "", place.port or hosts.DEFAULT_PORTS.get(place.scheme)


def _uses_aiohttp(models: Any) -> bool:
    use = getattr(getattr(models, "_api_client", None), "_use_aiohttp", None)
    return bool(use()) if use is not None else False


def _generation(models: Any, keywords: dict[str, Any], *, stream: bool = False, is_async: bool) -> GenerationWatch:
    watch = GenerationWatch(partial(_start, models, GENERATE, keywords, stream=stream))
    watch.uses_aiohttp = is_async and _uses_aiohttp(models)
    if not stream:
        _ = watch.call  # it begins now
    return watch


def _plain(models: Any, keywords: dict[str, Any], *, api: Api, is_async: bool) -> Watch:
    watch = Watch(_start(models, api, keywords), api, None)
    watch.follows_body = False
    watch.uses_aiohttp = is_async and _uses_aiohttp(models)
    return watch


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
        asks=body if api.counts_usage else None,
        is_watched=True,
        takes_other_model=False,
    )
    call.api = api.name
    call.request = facts.settings
    keep(call, "input", lambda: api.input_content(request))
    watch = Watch(call, api, None)
    watch.is_raw = True  # read from the body: the answer may be a model, or the response itself
    return watch


def _interaction_request(client: Any, options: Any) -> Watch | None:
    """google-genai 2.x: interactions are a generated client inside; every request of it passes here. Never raises."""
    try:
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
    except BudgetExceededError:
        raise  # the user asked for this: budgets.guard = "all"
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        settled.recorder().failed("instrument", error)
        return None
    return watch


# What is done with whole answers


def _generated(watch: Any, answer: Any) -> None:
    watch.answer(watch.reader_of_hops)


def _answered(watch: Watch, answer: Any) -> None:
    if watch.call.attempts:
        watch.call.attempts[-1].end("success")
    watch.answer(answer)


def _interacted(watch: Watch, answer: Any) -> None:
    watch.answer(loads(watch.body.content) if watch.body is not None else answer)


# The public methods: calls


def _hook_models(module: ModuleType) -> None:
    makers: dict[str, tuple[Any, Any]] = {
        "generate_content": (
            partial(watched, begin=partial(_generation, is_async=False), done=_generated, variable=GENERATING),
            partial(watched_async, begin=partial(_generation, is_async=True), done=_generated, variable=GENERATING),
        ),
        "generate_content_stream": (_generate_stream, _generate_stream_async),
        "_generate_content": (_hop, _hop_async),
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


def _hook_interactions(module: ModuleType) -> None:
    for name, api in (("create", INTERACT), ("get", FETCH_INTERACTION)):
        begin = partial(_interaction, api=api)
        _patch(module, "Interactions", name, partial(watched, begin=begin, done=_interacted), "they are not seen")
        make = partial(watched_async, begin=begin, done=_interacted)
        _patch(module, "AsyncInteractions", name, make, "they are not seen")


def _patch(module: ModuleType, owner_name: str, name: str, make: Any, consequence: str) -> None:
    owner = getattr(module, owner_name, None)
    if owner is not None and patch(owner, name, make):
        hooked("google_genai", f"{owner_name}.{name}")
    else:
        missing("google_genai", f"{owner_name}.{name}", consequence)


def _generate_stream(original: Any) -> Any:
    def generate_content_stream(self: Any, **keywords: Any) -> Any:
        chunks = original(self, **keywords)
        if not SWITCH.on or ENGINE_CALL.get() is not None:
            return chunks
        watch = _generation(self, keywords, stream=True, is_async=False)
        return _read(watch, StreamState(watch, watch.reader_of_hops), chunks, runs_tools=_has_tools(keywords))

    return generate_content_stream


def _generate_stream_async(original: Any) -> Any:
    async def generate_content_stream(self: Any, **keywords: Any) -> Any:
        if not SWITCH.on or ENGINE_CALL.get() is not None:
            return await original(self, **keywords)
        watch = _generation(self, keywords, stream=True, is_async=True)
        token = GENERATING.set(watch)
        try:
            chunks = await original(self, **keywords)
        except BaseException as error:
            if watch.is_begun:
                watch.failed(error)
            raise
        finally:
            GENERATING.reset(token)
        return _read_async(watch, StreamState(watch, watch.reader_of_hops), chunks, runs_tools=_has_tools(keywords))

    return generate_content_stream


def _has_tools(keywords: dict[str, Any]) -> bool:
    """Whether the library may run tools while it makes a chunk."""
    return bool(pick(keywords.get("config"), "tools"))


def _read(watch: GenerationWatch, state: StreamState, chunks: Any, *, runs_tools: bool) -> Iterator[Any]:
    """The chunks of all hops. The library is at work for this call at first, between hops, and where it runs tools."""
    watch.stream, state.generator = state, chunks
    keep, now = state.keep_last(), perf_counter_ns
    try:
        with state:
            watch.go_inside()
            for chunk in chunks:
                state.last_ns = now()
                if watch.is_inside:
                    watch.come_out()
                    if state.tail is None:  # another hop
                        keep = state.keep_last()
                keep(chunk)
                yield chunk
                if runs_tools:
                    watch.go_inside()
    finally:
        if watch.is_inside:
            watch.come_out()
        chunks.close()
        state.generator = None


async def _read_async(
    watch: GenerationWatch, state: StreamState, chunks: Any, *, runs_tools: bool
) -> AsyncIterator[Any]:
    """The same for async streams."""
    watch.stream, state.generator = state, chunks
    keep, now = state.keep_last(), perf_counter_ns
    try:
        with state:
            watch.go_inside()
            async for chunk in chunks:
                state.last_ns = now()
                if watch.is_inside:
                    watch.come_out()
                    if state.tail is None:  # another hop
                        keep = state.keep_last()
                keep(chunk)
                yield chunk
                if runs_tools:
                    watch.go_inside()
    finally:
        if watch.is_inside:
            watch.come_out()
        await chunks.aclose()
        state.generator = None


# The private methods: hops


def _hop(original: Any) -> Any:
    def _generate_content(self: Any, **keywords: Any) -> Any:
        watch = GENERATING.get()
        if watch is None:
            return original(self, **keywords)
        token = WATCH.set(watch)
        try:
            answer = original(self, **keywords)
        finally:
            WATCH.reset(token)
        watch.hop_answered(answer)
        return answer

    return _generate_content


def _hop_async(original: Any) -> Any:
    async def _generate_content(self: Any, **keywords: Any) -> Any:
        watch = GENERATING.get()
        if watch is None:
            return await original(self, **keywords)
        token = WATCH.set(watch)
        try:
            answer = await original(self, **keywords)
        finally:
            WATCH.reset(token)
        watch.hop_answered(answer)
        return answer

    return _generate_content


def _hop_stream(original: Any) -> Any:
    def _generate_content_stream(self: Any, **keywords: Any) -> Any:
        watch = GENERATING.get()
        chunks = original(self, **keywords)
        return chunks if watch is None else _read_hop(watch, chunks)

    return _generate_content_stream


def _hop_stream_async(original: Any) -> Any:
    async def _generate_content_stream(self: Any, **keywords: Any) -> Any:
        watch = GENERATING.get()
        if watch is None:
            return await original(self, **keywords)
        token = WATCH.set(watch)
        try:
            chunks = await original(self, **keywords)
        finally:
            WATCH.reset(token)
        return _read_hop_async(watch, chunks)

    return _generate_content_stream


def _read_hop(watch: GenerationWatch, chunks: Any) -> Iterator[Any]:
    """The chunks of one request, which is sent when the first is asked for."""
    reader = watch.reader_of_hops
    hop = reader.hop()
    try:
        before = WATCH.get()
        WATCH.set(watch)
        try:
            chunk = next(chunks, None)
        finally:
            WATCH.set(before)  # not reset(): a generator may be closed in another context
        while chunk is not None:
            _note(watch, hop, chunk)
            yield chunk
            if reader.started:
                break
            chunk = next(chunks, None)
        yield from chunks  # the last of them are read at the end
        watch.hop_ended()
    except Exception:
        watch.hop_failed()
        raise
    finally:
        chunks.close()


async def _read_hop_async(watch: GenerationWatch, chunks: Any) -> AsyncIterator[Any]:
    """The same for async streams."""
    reader = watch.reader_of_hops
    hop = reader.hop()
    chunks = aiter(chunks)
    try:
        before = WATCH.get()
        WATCH.set(watch)
        try:
            chunk = await anext(chunks, None)
        finally:
            WATCH.set(before)
        while chunk is not None:
            _note(watch, hop, chunk)
            yield chunk
            if reader.started:
                break
            chunk = await anext(chunks, None)
        async for chunk in chunks:
            yield chunk
        watch.hop_ended()
    except Exception:
        watch.hop_failed()
        raise
    finally:
        await chunks.aclose()


def _note(watch: GenerationWatch, hop: Any, chunk: Any) -> None:
    try:
        if hop.feed(chunk) and not watch.reader_of_hops.started:
            watch.reader_of_hops.start(watch.call)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        settled.recorder().failed("instrument", error)


# The HTTP layer: what an error body says


def _hook_requests(module: ModuleType) -> None:
    owner = module.BaseApiClient
    patch(owner, "_request_once", _request_once)
    patch(owner, "_async_request_once", _request_once_async)


def _request_once(original: Any) -> Any:
    def _request_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        except BaseException as error:
            _correct(error)
            raise

    return _request_once


def _request_once_async(original: Any) -> Any:
    async def _async_request_once(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await original(self, *args, **kwargs)
        except BaseException as error:
            _correct(error)
            raise

    return _async_request_once


def _correct(error: BaseException) -> None:
    watch = WATCH.get()
    if watch is None or not SWITCH.on:
        return
    try:
        outcome, error_type = endings.ending_of("gemini", error)
        endings.correct_last_attempt(watch.call, outcome, error_type)
    except Exception as own:  # noqa: BLE001
        settled.recorder().failed("instrument", own)


# Streams of interactions: a stack of its own, over httpx2


def _hook_events(module: ModuleType) -> None:
    patch(module.Stream, "__init__", partial(_event_stream, reader=read))
    patch(module.AsyncStream, "__init__", partial(_event_stream, reader=read_async))


def _event_stream(original: Any, *, reader: Any) -> Any:
    def __init__(self: Any, response: Any, *args: Any, **kwargs: Any) -> None:
        original(self, response, *args, **kwargs)
        state = state_of(response)
        if state is not None:
            self.generator = reader(state, self.generator)

    return __init__
