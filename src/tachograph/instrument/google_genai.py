"""Watching the google-genai client (2.x and 3.x).

One `generate_content` may send several requests: automatic function calling and continuation do, and return the usage
of the last one only. So the public method is the call, and the private one under it (`_generate_content`), which sends
one request, is a hop whose tokens are added. From 3.6 on a chat runs the functions itself, with one `generate_content`
for each request: there the chat's message is the call. Tools run between hops, outside of the watch. Streams are lazy:
nothing is sent, and no call begins, before the first `next`.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import gemini_interactions, gemini_live
from tachograph.instrument.gemini_generation import (
    GENERATING,
    ChatWatch,
    GenerationWatch,
    start,
    uses_client_aiohttp,
)
from tachograph.instrument.gemini_streams import generate_stream, hop, hop_stream, hop_stream_async
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hook
from tachograph.instrument.streams import StreamState
from tachograph.instrument.watch import WATCH, Watch
from tachograph.instrument.wrap import watched, watched_async
from tachograph.records import ENGINE_CALL
from tachograph.signals.spans import leave
from tachograph.tape.guard import call_wrapper, generate
from tachograph.vendors.api import Api
from tachograph.vendors.gemini.apis import BATCHES, FETCH_VIDEO, GENERATE, PLAIN
from tachograph.vendors.gemini.generation import Generation


def install() -> None:
    """Hook the client, now or once it is imported."""
    after_import("google.genai.models", _hook_models)
    after_import("google.genai.chats", _hook_chats)
    after_import("google.genai.batches", _hook_batches)
    after_import("google.genai.operations", _hook_operations)
    gemini_live.install()
    after_import("google.genai._api_client", _hook_requests)
    gemini_interactions.install()


def _generation(models: object, keywords: dict[str, Any], *, is_async: bool) -> GenerationWatch | None:
    if GENERATING.get() is not None and _is_of_a_message(models, keywords, stream=False, is_async=is_async):
        return None
    uses_aiohttp = is_async and uses_client_aiohttp(models)
    return GenerationWatch(start(models, GENERATE, keywords), GENERATE, follows_body=False, uses_aiohttp=uses_aiohttp)


def _is_of_a_message(models: object, keywords: dict[str, Any], *, stream: bool, is_async: bool) -> bool:
    message = GENERATING.get()
    return type(message) is ChatWatch and message.takes(models, keywords, stream=stream, is_async=is_async)


def _message(chat: object, args: object, keywords: dict[str, Any]) -> ChatWatch | None:
    """The watch of a chat's message; it is inside, for the chat's method runs until the answer is whole."""
    if not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    return ChatWatch(None, GENERATE, follows_body=False, is_inside=True)  # type: ignore[arg-type]


def _streamed(watch: GenerationWatch) -> GenerationWatch:
    watch.reader_of_hops = Generation()
    watch.stream = StreamState(watch, watch.reader_of_hops)
    watch.stream.rest = watch.read_hops
    return watch


def _begin_stream(models: object, keywords: dict[str, Any], *, is_async: bool) -> GenerationWatch | None:
    if not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    if _is_of_a_message(models, keywords, stream=True, is_async=is_async):
        return None
    watch = GenerationWatch(
        None,  # type: ignore[arg-type]  # begins with its first request
        GENERATE,
        follows_body=False,
        uses_aiohttp=is_async and uses_client_aiohttp(models),
        start=partial(start, models, GENERATE, keywords, stream=True),
        config=keywords.get("config"),
    )
    return _streamed(watch)


def _begin_message_stream(chat: object, keywords: dict[str, Any]) -> GenerationWatch | None:
    if not SWITCH.on or ENGINE_CALL.get() is not None:
        return None
    return _streamed(ChatWatch(None, GENERATE, follows_body=False))  # type: ignore[arg-type]


def _plain(models: object, keywords: dict[str, Any], *, api: Api, is_async: bool) -> Watch:
    return Watch(
        start(models, api, keywords),
        api,
        follows_body=False,
        uses_aiohttp=is_async and uses_client_aiohttp(models),
    )


# What is done with whole answers


def _answered(watch: Watch, answer: object) -> None:
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
            partial(generate_stream, begin=partial(_begin_stream, is_async=False)),
            partial(generate_stream, begin=partial(_begin_stream, is_async=True), is_async=True),
        ),
        "_generate_content": (hop, partial(hop, is_async=True)),
        "_generate_content_stream": (hop_stream, hop_stream_async),
    }
    for name, api in PLAIN.items():
        makers[name] = (
            partial(watched, begin=partial(_plain, api=api, is_async=False), done=_answered),
            partial(watched_async, begin=partial(_plain, api=api, is_async=True), done=_answered),
        )
    for name, pair in makers.items():
        for owner_name, make in zip(("Models", "AsyncModels"), pair, strict=True):
            hook("google_genai", module, owner_name, name, make, "calls of it are not seen")


def _hook_chats(module: ModuleType) -> None:
    consequence = "each request of a message is a call of its own"
    for owner_name, is_async in (("Chat", False), ("AsyncChat", True)):
        whole = partial(_watched_message, is_async=is_async)
        hook("google_genai", module, owner_name, "send_message", whole, consequence)
        stream = partial(generate_stream, is_async=is_async, begin=_begin_message_stream)
        hook("google_genai", module, owner_name, "send_message_stream", stream, consequence)


def _watched_message(original: object, *, is_async: bool) -> object:
    return call_wrapper(
        original,
        {GENERATING: "watch"},
        begin=_message,
        done=_message_answered,
        failed=_message_failed,
        is_async=is_async,
    )


def _message_answered(watch: ChatWatch, answer: object) -> None:
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
            hook(
                "google_genai",
                module,
                owner_name,
                name,
                partial(make, begin=begin, done=_answered),
                "batches are not seen",
            )


def _hook_operations(module: ModuleType) -> None:
    for owner_name, make in (("Operations", watched), ("AsyncOperations", watched_async)):
        begin = partial(_plain, api=FETCH_VIDEO, is_async=make is watched_async)
        wrapper = partial(make, begin=begin, done=_answered)
        hook("google_genai", module, owner_name, "get", wrapper, "videos are not priced")


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


def _request_once(original: object, *, is_async: bool) -> Any:
    return generate(_ONCE, "request_once", is_async=is_async, original=original, correct=_correct)


def _correct(error: BaseException) -> None:
    """The exception that the library makes of an error answer says more than its status."""
    watch = WATCH.get()
    if watch is not None and SWITCH.on and watch.sent:
        watch.sent[-1].error = error
