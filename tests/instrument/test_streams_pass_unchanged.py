"""A watched stream is, for the application and its event loop, the stream that the library makes."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from tachograph import instrument, uninstrument
from tachograph.instrument.bodies import Follower
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording

ASKED: Any = [{"role": "user", "content": "hello"}]
USAGE = {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196}
HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
USAGE_CHUNK = {**HEAD, "choices": [], "usage": USAGE}
HEADERS = {"content-type": "text/event-stream"}


def chunk(content: str, finish: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]}


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """Events as they come off the wire, in pieces that end anywhere."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.data = b"".join(
            (f"event: {event['type']}\n" if "type" in event else "").encode()
            + f"data: {json.dumps(event)}\n\n".encode()
            for event in events
        )
        self.data += b"data: [DONE]\n\n" if "type" not in events[0] else b""

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), 50):
            yield self.data[start : start + 50]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            await asyncio.sleep(0)
            yield piece

    async def aclose(self) -> None:
        await asyncio.sleep(0)  # as closing a connection does


class Server:
    """Answers every request with the same events and keeps what was asked."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.events = events
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(json.loads(request.content))
        return httpx2.Response(200, stream=Body(*self.events), headers=HEADERS)

    def openai(self, base_url: str) -> openai.OpenAI:
        http = httpx2.Client(transport=httpx2.MockTransport(self))
        return openai.OpenAI(api_key="any", base_url=base_url, http_client=http)


@pytest.fixture
def chat() -> Server:
    return Server(chunk("a"), chunk("b", "stop"), USAGE_CHUNK)


# Asynchronous streams that are left half read


def errors_of_the_loop(program: Any) -> list[dict[str, Any]]:
    """What an event loop reports while a program runs and while the loop ends, without what it reports bare.

    httpx2 closes a generator of its own inside another, so an ending loop may report `Response.aiter_bytes` with or
    without us.
    """
    errors: list[dict[str, Any]] = []

    def note(loop: object, context: dict[str, Any]) -> None:
        if not getattr(context.get("asyncgen"), "__qualname__", "").startswith("Response.aiter_"):
            errors.append(context)

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(note)
        await program()
        gc.collect()
        for _ in range(20):
            await asyncio.sleep(0)

    gc.collect()  # clients that earlier tests left close themselves in the loop that runs when they are collected
    asyncio.run(run())  # its end closes every generator that the loop has begun
    return errors


@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "kept until the loop ends"])
@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
def test_the_loop_reports_nothing_of_a_stream_that_is_left_half_read(seen: Recording, api: str, kept: bool) -> None:
    held: list[Any] = []
    response = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "in_progress", "output": []}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
    events: dict[str, list[dict[str, Any]]] = {
        "chat": [chunk("a"), chunk("b"), chunk("c")],
        "responses": [{"type": "response.created", "sequence_number": n, "response": response} for n in range(3)],
        "messages": [
            {"type": "message_start", "message": {**message, "usage": {"input_tokens": 1, "output_tokens": 1}}},
            *[{"type": "ping"}] * 3,
        ],
    }
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(Server(*events[api])))
    gpt = openai.AsyncOpenAI(api_key="any", base_url="http://127.0.0.1/v1", http_client=http)
    claude = anthropic.AsyncAnthropic(api_key="any", base_url="http://127.0.0.1", http_client=http)

    async def ask() -> Any:
        if api == "chat":
            return await gpt.chat.completions.create(model="m", messages=ASKED, stream=True)
        if api == "responses":
            return await gpt.responses.create(model="m", input="hello", stream=True)
        return await claude.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True)

    async def leave() -> None:
        for _ in range(5):
            stream = await ask()
            if kept:
                held.append(stream)
            async for _ in stream:
                break
            del stream
            await asyncio.sleep(0)

    assert errors_of_the_loop(leave) == []
    held.clear()


# The chunk of usage that we asked for


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.openai.com/v1",
        "https://eu.api.openai.com/v1",
        "https://acme.openai.azure.com/openai/v1",
        "https://api.groq.com/openai/v1",
    ],
)
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_usage_is_asked_for_and_its_chunk_is_hidden(seen: Recording, chat: Server, base_url: str, api: str) -> None:
    client = chat.openai(base_url)
    if api == "chat":
        read: list[Any] = list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    else:
        read = list(client.completions.create(model="m", prompt="hello", stream=True))
    assert chat.asked[0]["stream_options"] == {"include_usage": True}
    assert len(read) == 2
    assert seen.value("llm_provider_tokens_total") == 196


@pytest.mark.parametrize("host", ["gateway.example.com", "acme.openai.azure.com"])
@pytest.mark.parametrize(("version", "is_asked"), [("2024-10-21", True), ("preview", True), ("2024-02-01", False)])
def test_an_azure_client_asks_by_its_version(
    seen: Recording, chat: Server, host: str, version: str, is_asked: bool
) -> None:
    http = httpx2.Client(transport=httpx2.MockTransport(chat))
    client = openai.AzureOpenAI(api_key="any", azure_endpoint=f"https://{host}", api_version=version, http_client=http)
    list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    assert ("stream_options" in chat.asked[0]) is is_asked  # the older version refuses it


@pytest.mark.parametrize(
    ("base_url", "more"),
    [
        ("https://api.mistral.ai/v1", {}),
        ("https://acme.services.ai.azure.com/models", {}),
        ("https://acme.openai.azure.com/openai/v1", {"data_sources": [{"type": "azure_search"}]}),
    ],
    ids=["Mistral", "models on Azure", "on your data"],
)
def test_a_server_that_refuses_the_option_is_not_asked(
    seen: Recording, chat: Server, base_url: str, more: dict[str, Any]
) -> None:
    client = chat.openai(base_url)
    read = list(client.chat.completions.create(model="m", messages=ASKED, stream=True, extra_body=more))
    assert "stream_options" not in chat.asked[0]
    assert len(read) == 3
    assert seen.value("llm_provider_tokens_total") == 196


def test_a_chunk_that_the_application_asked_for_in_extra_body_is_the_applications(
    seen: Recording, chat: Server
) -> None:
    client = chat.openai("https://api.openai.com/v1")
    asked = {"stream_options": {"include_usage": True}}
    read = list(client.chat.completions.create(model="m", messages=ASKED, stream=True, extra_body=asked))
    assert [each.usage is not None for each in read] == [False, False, True]
    assert seen.value("llm_provider_tokens_total") == 196


def test_a_host_that_always_sends_usage_is_not_asked_and_nothing_is_hidden(seen: Recording, chat: Server) -> None:
    client = chat.openai("https://openrouter.ai/api/v1")
    read = list(client.chat.completions.create(model="m", messages=ASKED, stream=True))
    assert "stream_options" not in chat.asked[0]
    assert [each.usage is not None for each in read] == [False, False, True]
    assert seen.value("llm_provider_tokens_total") == 196


@pytest.mark.parametrize("more", [{"citations": ["https://example.com"]}, {"choices": None}], ids=["more", "not []"])
def test_a_chunk_that_says_more_than_usage_is_shown(seen: Recording, more: dict[str, Any]) -> None:
    server = Server(chunk("a"), chunk("b", "stop"), {**USAGE_CHUNK, **more})
    client = server.openai("https://api.openai.com/v1")
    assert len(list(client.chat.completions.create(model="m", messages=ASKED, stream=True))) == 3
    assert seen.value("llm_provider_tokens_total") == 196


def test_a_raw_response_that_is_parsed_asks_for_usage_like_any_other(seen: Recording, chat: Server) -> None:
    raw = chat.openai("https://api.openai.com/v1").chat.completions.with_raw_response
    assert len(list(raw.create(model="m", messages=ASKED, stream=True).parse())) == 2
    assert seen.value("llm_provider_tokens_total") == 196


def test_a_raw_response_whose_bytes_are_read_does_not_show_the_event_either(seen: Recording, chat: Server) -> None:
    client = chat.openai("https://api.openai.com/v1")
    raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED, stream=True)
    assert raw.http_response.read() == Body(*chat.events[:2]).data
    assert seen.value("llm_provider_tokens_total") == 196


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("name", ["shown", "_is_hidden"])
def test_no_byte_is_lost_where_looking_for_that_event_fails(
    chat: Server, monkeypatch: pytest.MonkeyPatch, name: str, at: int
) -> None:
    calls, real = count(), getattr(Follower, name)

    def failing(follower: Follower, data: bytes) -> Any:
        if next(calls) == at:
            raise MemoryError
        return real(follower, data)

    monkeypatch.setattr(Follower, name, failing)
    with recording(strict=False):
        instrument()
        client = chat.openai("https://api.openai.com/v1")
        raw = client.chat.completions.with_raw_response.create(model="m", messages=ASKED, stream=True)
        read = raw.http_response.read()
        TAPE.drain()
        uninstrument()
    assert read in (Body(*chat.events).data, Body(*chat.events[:2]).data)


def test_a_streaming_response_is_not_asked(seen: Recording, chat: Server) -> None:
    client = chat.openai("https://api.openai.com/v1")
    with client.chat.completions.with_streaming_response.create(model="m", messages=ASKED, stream=True) as response:
        assert response.read() == Body(*chat.events).data
    assert "stream_options" not in chat.asked[0]


@pytest.mark.parametrize("place", ["an argument", "extra_body"])
def test_other_options_of_a_stream_are_sent_beside_the_question_for_usage(
    seen: Recording, chat: Server, place: str
) -> None:
    client = chat.openai("https://api.openai.com/v1")
    chosen: Any = {"stream_options": {"include_obfuscation": False}}
    asked: Any = chosen if place == "an argument" else {"extra_body": chosen}
    assert len(list(client.chat.completions.create(model="m", messages=ASKED, stream=True, **asked))) == 2
    assert chat.asked[0]["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert chosen == {"stream_options": {"include_obfuscation": False}}  # the application's own stays as it is
    assert seen.value("llm_provider_tokens_total") == 196


def test_an_application_that_refuses_usage_is_not_asked_for_it(seen: Recording, chat: Server) -> None:
    refused: Any = {"stream_options": {"include_usage": False}}
    client = chat.openai("https://api.openai.com/v1")
    assert len(list(client.chat.completions.create(model="m", messages=ASKED, stream=True, **refused))) == 3
    assert chat.asked[0]["stream_options"] == {"include_usage": False}
