"""Nothing of ours that fails reaches the application: an exception is raised at every function entry, over every API.

For each way to use a client: the answer without us, then with us and an exception at the first entry of ours, at the
second, and so on, until there are no more. An ordinary exception, a RecursionError and a MemoryError change nothing.
A KeyboardInterrupt is the application's, and it gets it.

`make test` raises one kind at every fourth entry, beginning with another for each of four APIs, as most of what is
entered is the same for all; `make inject` raises each kind at each entry, and with no thread to be had
for the drain, so that reading, pricing and counting run on the application's thread, too.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import httpx2
import mcp
import openai
import pytest
from google import genai
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from openai.resources.realtime.realtime import RealtimeConnection
from opentelemetry import context

from support.injection import Injection, injecting
from tachograph import instrument, labels, uninstrument
from tachograph.instrument.gemini_generation import GENERATING
from tachograph.instrument.mcp import ASKED
from tachograph.instrument.watch import WATCH
from tachograph.records import ENGINE_CALL, ENGINE_MCP
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording

EVERYTHING = os.environ.get("TACHOGRAPH_TEST_INJECT") == "all"


class Injected(Exception):
    """A failure of ours."""


KINDS: tuple[Callable[[], BaseException], ...] = (Injected, RecursionError, MemoryError, KeyboardInterrupt)

MESSAGES: Any = [{"role": "user", "content": "hello"}]
USAGE = {"prompt_tokens": 120, "completion_tokens": 5, "total_tokens": 125}
WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
RESPONSE = {
    "id": "r1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-5",
    "output": [
        {
            "id": "m1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "hi", "annotations": []}],
        }
    ],
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12,
    },
}
BATCH = {"id": "b1", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "f1", "created_at": 1}
BATCH |= {"completion_window": "24h", "status": "in_progress"}
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5",
    "content": [{"type": "text", "text": "ab"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 7},
}
MESSAGE_BATCH = {
    "id": "mb",
    "type": "message_batch",
    "processing_status": "ended",
    "created_at": "2026-01-01T00:00:00Z",
}
MESSAGE_BATCH |= {
    "expires_at": "2026-01-02T00:00:00Z",
    "results_url": "http://127.0.0.1/v1/messages/batches/mb/results",
}
MESSAGE_BATCH |= {"request_counts": dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)}
GENERATED = {
    "candidates": [{"content": {"parts": [{"text": "ab"}], "role": "model"}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8},
    "modelVersion": "gemini-3",
}


def _chunk(content: str = "", finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-5",
        "choices": [choice],
        **fields,
    }


CHUNKS = [*(_chunk(f"w{number} ") for number in range(4)), _chunk(finish="stop"), _chunk(choices=[], usage=USAGE)]
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 7},
    },
    {"type": "message_stop"},
]
RESPONSE_EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "in_progress", "output": []}},
    {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "m1", "output_index": 0, "content_index": 0}
    | {"delta": "hi", "logprobs": []},
    {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
]


def _sse(events: list[dict[str, Any]], *, named: bool = False) -> list[bytes]:
    return [
        ((f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\n\n").encode() for event in events
    ]


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that comes in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def _respond(request: httpx2.Request) -> httpx2.Response:
    path, content = request.url.path, request.content.decode("latin-1")
    if "x-fail" in request.headers:
        error = {"error": {"message": "slow", "type": "rate"}}
        return httpx2.Response(429, json=error, headers={"retry-after-ms": "1"})
    streams = '"stream":true' in content.replace(" ", "") or "streamGenerate" in path
    if streams:
        chunks = CHUNKS if "include_usage" in content else CHUNKS[:-1]
        pieces = {
            "/v1/chat/completions": [*_sse(chunks), b"data: [DONE]\n\n"],
            "/v1/responses": _sse(RESPONSE_EVENTS, named=True),
            "/v1/messages": _sse(EVENTS, named=True),
        }.get(path, _sse([GENERATED, GENERATED]))
        return httpx2.Response(200, stream=Body(pieces), headers={"content-type": "text/event-stream"})
    if path.endswith("/results"):
        line = json.dumps({"custom_id": "a", "result": {"type": "succeeded", "message": MESSAGE}}) + "\n"
        return httpx2.Response(200, stream=Body([line.encode()]), headers={"content-type": "application/x-jsonl"})
    if path == "/v1/audio/speech":
        return httpx2.Response(200, content=b"sound", headers={"content-type": "audio/mpeg"})
    for part, answer in ANSWERS.items():
        if part in path:
            return httpx2.Response(200, json=answer)
    raise AssertionError(path)


ANSWERS: dict[str, Any] = {
    "/chat/completions": WHOLE,
    "/responses": RESPONSE,
    "/embeddings": {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    },
    "/images/generations": {
        "created": 1,
        "data": [{"b64_json": "aa"}],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    },
    "/audio/transcriptions": {"text": "hi", "usage": {"type": "duration", "seconds": 3}},
    "/messages/batches": MESSAGE_BATCH,
    "/batches": BATCH,
    "/messages": MESSAGE,
    ":batchEmbedContents": {"embeddings": [{"values": [0.5]}]},
    ":generateContent": GENERATED,
}


async def _respond_async(request: httpx2.Request) -> httpx2.Response:
    await request.aread()
    if request.url.path == "/mcp":
        return _respond_mcp(request)
    return _respond(request)


def _respond_mcp(request: httpx2.Request) -> httpx2.Response:
    """A server of streamable HTTP, as little as will do."""
    if request.method != "POST":
        return httpx2.Response(405)
    asked = json.loads(request.content)
    if "id" not in asked:
        return httpx2.Response(202)
    result: dict[str, Any] = {"content": [{"type": "text", "text": "sun"}]}
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        result = {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "w", "version": "1"},
        }
    elif asked["method"] == "tools/list":
        result = {"tools": [{"name": "forecast", "inputSchema": {"type": "object"}}]}
    return httpx2.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": result})


class Socket:
    """The other side of a Realtime connection."""

    def __init__(self) -> None:
        response = {**RESPONSE, "object": "realtime.response", "output": []}
        self.events = [
            {"type": "session.created", "event_id": "e", "session": {"type": "realtime", "model": "gpt-realtime"}},
            {"type": "response.created", "event_id": "e", "response": {**response, "status": "in_progress"}},
            {"type": "response.output_text.delta", "event_id": "e", "response_id": "r1", "item_id": "i", "delta": "a"}
            | {"output_index": 0, "content_index": 0},
            {"type": "response.done", "event_id": "e", "response": response},
        ]

    def recv(self, decode: bool | None = None) -> bytes:
        """The next event."""
        return json.dumps(self.events.pop(0)).encode()


_sync = httpx2.Client(transport=httpx2.MockTransport(_respond))
_async = httpx2.AsyncClient(transport=httpx2.MockTransport(_respond_async))
_of_openai: Any = {"api_key": "k", "base_url": "http://127.0.0.1/v1", "max_retries": 1}
_of_anthropic: Any = {"api_key": "k", "base_url": "http://127.0.0.1", "max_retries": 1}
OPENAI = openai.OpenAI(http_client=_sync, **_of_openai)
ASYNC_OPENAI = openai.AsyncOpenAI(http_client=_async, **_of_openai)
ANTHROPIC = anthropic.Anthropic(http_client=_sync, **_of_anthropic)
ASYNC_ANTHROPIC = anthropic.AsyncAnthropic(http_client=_async, **_of_anthropic)
GENAI = genai.Client(
    api_key="k",
    http_options=genai.types.HttpOptions(
        base_url="http://127.0.0.1",
        httpx_client=_sync,
        httpx_async_client=_async,  # type: ignore[arg-type]
    ),
)
SERVER = MCPServer("weather")


@SERVER.tool()
def forecast(city: str) -> str:
    """The weather."""
    return f"sun in {city}"


USES: dict[str, Callable[[], Any]] = {}
"""Ways to use a client; each returns what the application gets."""


def use(function: Callable[[], Any]) -> Callable[[], Any]:
    """Name a way to use a client."""
    USES[function.__name__] = function
    return function


def _text(chunks: list[Any]) -> str:
    return "".join((chunk.choices[0].delta.content or "") if chunk.choices else "U" for chunk in chunks)


@use
def chat() -> Any:
    return OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES).model_dump()


@use
def chat_stream() -> Any:
    return _text(list(OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)))


@use
def chat_stream_with_usage() -> Any:
    options: Any = {"include_usage": True}
    return _text(
        list(OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True, stream_options=options))
    )


@use
def chat_stream_broken_off() -> Any:
    stream = OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    first = next(iter(stream)).choices[0].delta.content
    stream.close()
    return first


@use
def chat_stream_dropped() -> Any:
    first = next(iter(OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True))).id
    gc.collect(1)  # it is a cycle
    return first


@use
def chat_as_bytes() -> Any:
    with OPENAI.chat.completions.with_streaming_response.create(
        model="gpt-5", messages=MESSAGES, stream=True
    ) as response:
        return b"".join(response.iter_bytes())


@use
def chat_raw() -> Any:
    response = OPENAI.chat.completions.with_raw_response.create(model="gpt-5", messages=MESSAGES)
    return response.status_code, response.parse().choices[0].message.content


@use
def chat_raw_stream() -> Any:
    response: Any = OPENAI.chat.completions.with_raw_response.create(model="gpt-5", messages=MESSAGES, stream=True)
    return _text(list(response.parse()))


@use
def chat_refused() -> Any:
    try:
        OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES, extra_headers={"x-fail": "429"})
    except openai.RateLimitError as error:
        return error.status_code


@use
def responses() -> Any:
    return OPENAI.responses.create(model="gpt-5", input="hello").output_text


@use
def responses_stream() -> Any:
    return [event.type for event in OPENAI.responses.create(model="gpt-5", input="hello", stream=True)]


@use
def embeddings() -> Any:
    return OPENAI.embeddings.create(model="text-embedding-3-small", input="x").data[0].embedding


@use
def images() -> Any:
    return OPENAI.images.generate(model="gpt-image-1", prompt="x").created


@use
def speech() -> Any:
    return OPENAI.audio.speech.create(model="tts-1", voice="alloy", input="hello").read()


@use
def transcription() -> Any:
    return OPENAI.audio.transcriptions.create(model="whisper-1", file=("a.mp3", b"sound")).text


@use
def batches() -> Any:
    made = OPENAI.batches.create(input_file_id="f1", endpoint="/v1/chat/completions", completion_window="24h")
    return OPENAI.batches.retrieve(made.id).status


@use
def realtime() -> Any:
    connection = RealtimeConnection(Socket())  # type: ignore[arg-type]
    return [connection.recv().type for _ in range(4)]


@use
def messages() -> Any:
    return ANTHROPIC.messages.create(model="claude-sonnet-5", max_tokens=9, messages=MESSAGES).model_dump()


@use
def messages_stream() -> Any:
    with ANTHROPIC.messages.stream(model="claude-sonnet-5", max_tokens=9, messages=MESSAGES) as stream:
        return "".join(stream.text_stream)


@use
def message_batches() -> Any:
    batch = ANTHROPIC.messages.batches.retrieve("mb")
    return batch.id, [result.custom_id for result in ANTHROPIC.messages.batches.results(batch.id)]


@use
def generate() -> Any:
    return GENAI.models.generate_content(model="gemini-3", contents="hi").text


@use
def generate_stream() -> Any:
    return [chunk.text for chunk in GENAI.models.generate_content_stream(model="gemini-3", contents="hi")]


@use
def gemini_chat() -> Any:
    talk = GENAI.chats.create(model="gemini-3")
    return talk.send_message("hi").text, [chunk.text for chunk in talk.send_message_stream("and?")]


@use
def gemini_embeddings() -> Any:
    return GENAI.models.embed_content(model="gemini-embedding-001", contents="x").embeddings is not None


@use
async def async_chat() -> Any:
    return (await ASYNC_OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES)).model_dump()


@use
async def async_chat_stream() -> Any:
    stream = await ASYNC_OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    return _text([chunk async for chunk in stream])


@use
async def async_chat_stream_broken_off() -> Any:
    stream = await ASYNC_OPENAI.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    first = (await anext(aiter(stream))).id
    await stream.close()
    return first


@use
async def async_messages_stream() -> Any:
    async with ASYNC_ANTHROPIC.messages.stream(model="claude-sonnet-5", max_tokens=9, messages=MESSAGES) as stream:
        return (await stream.get_final_message()).model_dump()


@use
async def async_generate() -> Any:
    return (await GENAI.aio.models.generate_content(model="gemini-3", contents="hi")).text


@use
async def async_generate_stream() -> Any:
    return [c.text async for c in await GENAI.aio.models.generate_content_stream(model="gemini-3", contents="hi")]


@use
async def mcp_in_process() -> Any:
    async with mcp.Client(SERVER) as client:
        return (await client.call_tool("forecast", {"city": "Ulm"})).model_dump()


@use
async def mcp_over_http() -> Any:
    async with (
        streamable_http_client("http://127.0.0.1/mcp", http_client=_async) as streams,
        mcp.ClientSession(streams[0], streams[1]) as session,
    ):
        await session.initialize()
        tools = await session.list_tools()
        return tools.tools[0].name, (await session.call_tool("forecast", {"city": "Ulm"})).content[0].model_dump()


def _run(function: Callable[[], Any]) -> Any:
    return asyncio.run(function()) if inspect.iscoroutinefunction(function) else function()


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


@pytest.fixture
def seen() -> Iterator[Recording]:
    """Everything is watched, and our failures are counted and dropped, as in production."""
    with recording(strict=False) as caught, labels(team="search"):
        instrument(include_usage="always")
        try:
            yield caught
        finally:
            TAPE.drain()
            uninstrument()


def _without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no drain thread start: records are delivered by the thread that puts them down."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "tachograph-drain":
            raise RuntimeError("can't start new thread")
        start(self)

    TAPE.stop()
    TAPE._reset()
    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("has_thread", [True, False] if EVERYTHING else [True])
@pytest.mark.parametrize("name", USES)
def test_a_failure_at_any_entry_of_ours_changes_nothing_for_the_application(
    name: str, has_thread: bool, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    function = USES[name]
    wanted = [_run(function) for _ in range(2)][-1]
    seen: Recording = request.getfixturevalue("seen")
    if not has_thread:
        _without_a_thread(monkeypatch)
    for _ in range(3):  # what happens once, happens now
        assert _run(function) == wanted
    watched = _count(seen, function)
    assert watched, "this way to use the client is not watched"
    noticed: list[str] = []
    first, step = (1, 1) if EVERYTHING else (1 + list(USES).index(name) % 4, 4)
    for number in range(first, 10_000, step):
        kinds = KINDS if EVERYTHING else (KINDS[number // step % len(KINDS)],)
        for make in kinds:
            injection = Injection(number, make)
            said = _injected(function, injection, wanted)
            if said:
                noticed.append(f"{make.__name__} at {injection.place}: {said}")  # type: ignore[attr-defined]
        if not injection.place:
            break
    assert not noticed, "\n".join(sorted(set(noticed)))
    assert _count(seen, function) == watched, "a failure that is over changes what is recorded"


def _count(seen: Recording, function: Callable[[], Any]) -> int:
    gc.collect()  # a stream of a run before, whose end a failure has taken away, ends when it is collected
    before = len(seen.calls)
    _run(function)
    return len(seen.calls) - before


def _injected(function: Callable[[], Any], injection: Injection, wanted: Any) -> str:
    """What the application notices; "" for nothing."""
    error: BaseException | None = None
    got, around = None, context.get_current()
    try:
        with injecting(injection):
            got = _run(function)
    except BaseException as raised:  # noqa: BLE001 - what the application would see
        error = raised
    left = ""
    for variable in (WATCH, GENERATING, ASKED, ENGINE_CALL, ENGINE_MCP):
        if variable.get():  # type: ignore[attr-defined]
            variable.set(None)  # type: ignore[attr-defined]
            left = f"{variable.name} is left behind"  # type: ignore[attr-defined]
    if context.get_current() is not around:
        context.attach(around)
        left = "a span is left current"
    if left and injection.make is not KeyboardInterrupt:
        return left
    if injection.make is KeyboardInterrupt and injection.place:
        return "" if _holds_interrupt(error) or injection.unraisable else f"swallowed: {error!r}, {got!r}"
    if error is not None:
        return f"{type(error).__name__}: {error}"
    return "" if got == wanted else f"answers {got!r}"


def _holds_interrupt(error: BaseException | None) -> bool:
    """Whether a KeyboardInterrupt is what the application gets, or what led to it: anyio puts it into groups."""
    if error is None or isinstance(error, KeyboardInterrupt):
        return error is not None
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return any(map(_holds_interrupt, (*inner, error.__context__)))
