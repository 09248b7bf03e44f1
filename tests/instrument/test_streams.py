"""Long streams, of which only the first chunks and the last few are read: what counts is true wherever it stands."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
import trio

from support.bytecodes import count
from tachograph.instrument import bodies
from tachograph.testing import Recording

ASKED: Any = [{"role": "user", "content": "hello"}]
WORDS = 30
USAGE = {"prompt_tokens": 120, "completion_tokens": WORDS, "total_tokens": 120 + WORDS}


class Body(httpx2.SyncByteStream):
    """Events as they come off the wire."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events

    def __iter__(self) -> Iterator[bytes]:
        for event in self.events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            yield f"{name}data: {json.dumps(event)}\n\n".encode()


def chunk(content: str = "", finish: str | None = None, **fields: Any) -> dict[str, Any]:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-5-2025"}
    choice = {"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}
    return {**head, "choices": [choice], **fields}


SAID = [chunk(f"word{number} ") for number in range(WORDS)]
ENDINGS: dict[str, list[dict[str, Any]]] = {
    "as OpenAI": [chunk(finish="stop"), {**chunk(), "choices": [], "usage": USAGE}],
    "usage beside the finish": [chunk(finish="stop", usage=USAGE)],
    "something after the finish": [chunk(finish="stop", usage=USAGE), chunk(), chunk()],
    "usage before the finish": [chunk("last", usage=USAGE), chunk(finish="stop")],
}


@pytest.fixture
def openai_stream() -> Callable[..., openai.Stream[Any]]:
    def ask(events: list[dict[str, Any]], host: str = "127.0.0.1", **more: Any) -> openai.Stream[Any]:
        headers = {"content-type": "text/event-stream"}
        answer = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Body(events), headers=headers))
        client = openai.OpenAI(api_key="any", base_url=f"http://{host}/v1", http_client=httpx2.Client(transport=answer))
        return client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True, **more)

    return ask


@pytest.mark.parametrize("asked", [True, False], ids=["asked by the application", "asked by us"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_usage_is_found_wherever_the_last_chunks_carry_it(
    openai_stream: Callable[..., openai.Stream[Any]], seen: Recording, ending: str, asked: bool
) -> None:
    more = {"stream_options": {"include_usage": True}} if asked else {}
    read = [each.model_dump(exclude_unset=True) for each in openai_stream(SAID + ENDINGS[ending], **more)]
    hidden = 1 if ending == "as OpenAI" and not asked else 0
    assert read == (SAID + ENDINGS[ending])[: len(SAID + ENDINGS[ending]) - hidden]
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert (call.outcome, call.usage.input_tokens, call.usage.output_tokens) == ("success", 120, WORDS)
    assert (call.response_model, call.response_id) == ("gpt-5-2025", "c1")


def test_a_long_stream_that_is_left_keeps_what_the_last_chunk_said(
    openai_stream: Callable[..., openai.Stream[Any]], seen: Recording
) -> None:
    running = [chunk(f"word{n} ", usage={**USAGE, "completion_tokens": n}) for n in range(1, WORDS)]  # running totals
    stream = openai_stream(running)
    for number, _ in enumerate(stream, 1):
        if number == 20:
            break
    stream.close()
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert call.usage.output_tokens == 20


def test_a_long_stream_without_an_end_was_cut(
    openai_stream: Callable[..., openai.Stream[Any]], seen: Recording
) -> None:
    assert len(list(openai_stream(SAID))) == WORDS
    assert [(call.outcome, call.error_type) for call in seen.llm_calls] == [("error", "connection")]


def test_a_chunk_without_choices_at_all_passes(
    openai_stream: Callable[..., openai.Stream[Any]], seen: Recording
) -> None:
    odd = [*SAID, {"id": "c1", "object": "heartbeat"}, *ENDINGS["as OpenAI"]]
    assert len(list(openai_stream(odd))) == WORDS + 2
    assert [(call.outcome, call.finish_reason) for call in seen.llm_calls] == [("success", "stop")]


@pytest.mark.parametrize("raw", [False, True], ids=["events", "bytes"])
def test_a_long_message_counts_its_start_and_its_end(seen: Recording, raw: bool) -> None:
    start = {"input_tokens": 56, "output_tokens": 1, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 0}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": []}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": start}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"word{number} "}}
            for number in range(WORDS)
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": WORDS}},
        {"type": "message_stop"},
    ]
    headers = {"content-type": "text/event-stream"}
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Body(events), headers=headers))
    client = anthropic.Anthropic(
        api_key="any", base_url="http://127.0.0.1", http_client=httpx2.Client(transport=answer)
    )
    if raw:
        with client.messages.with_streaming_response.create(
            model="claude-opus-5", max_tokens=100, messages=ASKED, stream=True
        ) as response:
            assert len(list(response.iter_lines())) == 3 * len(events)
    else:
        stream = client.messages.create(model="claude-opus-5", max_tokens=100, messages=ASKED, stream=True)
        assert len(list(stream)) == len(events)
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert (call.outcome, call.finish_reason) == ("success", "end_turn")
    assert (call.usage.input_tokens, call.usage.output_tokens) == (120, WORDS)
    assert call.first_token_ns


HOSTILE: dict[str, list[bytes]] = {
    "arrays without end": [b"data: " + b"[" * 200_000 + b"\n\n", b"data: [DONE]\n\n"],
    "objects without end": [b"data: " + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n\n"],
    "a picture in one line": [b'data: "', *[b"A" * 16_384] * 1_280, b'"\n\n'],
    "no UTF-8": [b"data: \xff\xfe\xfa{}\n\n", b"\xed\xa0\x80" * 10 + b"\n"],
}


@pytest.mark.timeout(30)  # joined again with each piece, a line of 20 MB takes longer on any machine
@pytest.mark.parametrize("kind", HOSTILE)
def test_bytes_that_cannot_be_read_pass_as_they_are_and_in_linear_time(seen: Recording, kind: str) -> None:
    class Pieces(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from HOSTILE[kind]

    headers = {"content-type": "text/event-stream"}
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Pieces(), headers=headers))
    client = openai.OpenAI(api_key="any", base_url="http://127.0.0.1/v1", http_client=httpx2.Client(transport=answer))

    def read() -> bytes:
        with client.chat.completions.with_streaming_response.create(
            model="gpt-5", messages=ASKED, stream=True
        ) as response:
            return b"".join(response.iter_bytes())

    assert read() == b"".join(HOSTILE[kind])
    is_whole = any(b"[DONE]" in data for data in HOSTILE[kind])  # the end marker says so, or nothing does
    assert [call.outcome for call in seen.llm_calls] == ["success" if is_whole else "error"]
    steps = count(read)
    assert steps < 100 * len(HOSTILE[kind]) + 10_000


class Scanned:
    """A pattern that counts the bytes that it looks through."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self.pattern = pattern
        self.bytes = 0

    def search(self, data: bytes) -> re.Match[bytes] | None:
        self.bytes += len(data)
        return self.pattern.search(data)

    def split(self, data: bytes) -> list[bytes]:
        self.bytes += len(data)
        return self.pattern.split(data)


SHORT = b"data: " + json.dumps(chunk("word ")).encode() + b"\n\n"
USAGE_EVENT = b"data: " + json.dumps({**chunk(""), "choices": [], "usage": USAGE}).encode() + b"\r\n\r\n"
LARGEST = 100_000
OPENAI = "http://api.openai.com/v1"


@pytest.mark.parametrize("size", [1, 7, 1024, 1_000_000])
@pytest.mark.parametrize("long", [30_000, LARGEST], ids=["held back", "shown as it comes"])
def test_an_event_of_any_length_in_any_pieces_is_shown_and_looked_through_once(
    seen: Recording, monkeypatch: pytest.MonkeyPatch, size: int, long: int
) -> None:
    event = b"data: " + json.dumps(chunk("A" * long)).encode() + b"\n: 1\n: 2\n\n"
    data = SHORT + event + SHORT + USAGE_EVENT + b"data: [DONE]\n\n"

    class Pieces(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from (data[at : at + size] for at in range(0, len(data), size))

    headers = {"content-type": "text/event-stream"}
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Pieces(), headers=headers))
    client = openai.OpenAI(api_key="any", base_url=OPENAI, http_client=httpx2.Client(transport=answer))
    scanned = Scanned(bodies._EVENT)
    monkeypatch.setattr(bodies, "_EVENT", scanned)
    raw = client.chat.completions.with_raw_response.create(model="gpt-5", messages=ASKED, stream=True)
    assert b"".join(raw.http_response.iter_bytes()) == data.replace(USAGE_EVENT, b"")
    assert scanned.bytes <= 5 * len(data)
    (call,) = seen.llm_calls
    assert call.usage is not None
    assert (call.outcome, call.usage.input_tokens) == ("success", 120)


@pytest.mark.parametrize(("deadline", "ending"), [(math.inf, ("cancelled", None)), (-math.inf, ("timeout", "timeout"))])
def test_a_stream_that_trio_cancels_is_given_up(
    seen: Recording, deadline: float, ending: tuple[str, str | None]
) -> None:
    scope = trio.CancelScope()

    class Slow(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield f"data: {json.dumps(chunk('a'))}\n\n".encode()
            scope.deadline = deadline
            if deadline == math.inf:
                scope.cancel()
            await trio.sleep_forever()

    async def ask() -> None:
        headers = {"content-type": "text/event-stream"}
        answer = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Slow(), headers=headers))
        over = httpx2.AsyncClient(transport=answer)
        client = openai.AsyncOpenAI(api_key="any", base_url="http://127.0.0.1/v1", http_client=over)
        with scope:
            async for _ in await client.chat.completions.create(model="gpt-5", messages=ASKED, stream=True):
                pass

    trio.run(ask)
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ending
