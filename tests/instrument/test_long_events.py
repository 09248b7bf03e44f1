"""An event of 20 MB through real clients: the application's bytes are its own, and each is looked at once."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest

from instrument.test_wire import CHAT, CONVERSE, Loopback, frame
from support.watching import watched_loopback
from tachograph.instrument.splitting import Frames, Lines
from tachograph.tape import TAPE
from tachograph.testing import Recording

MB = 1024 * 1024
BODY = {"model": "m", "messages": [{"role": "user", "content": "?"}], "stream": True}
USAGE = {"choices": [], "usage": CHAT["usage"]}


def event(content: str, finish: str | None = None) -> bytes:
    chunk = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def answer(size: int) -> bytes:
    """A chat whose second event is of this size."""
    last = b"data: " + json.dumps(USAGE).encode() + b"\n\ndata: [DONE]\n\n"
    return event("a") + event("x" * size) + event("", "stop") + last


Ask = Callable[[str, int], Iterator[bytes]]


def with_requests(url: str, piece: int) -> Iterator[bytes]:
    requests = pytest.importorskip("requests")
    with requests.post(url, json=BODY, stream=True, timeout=60) as response:
        yield from response.iter_content(piece)


def with_urllib3(url: str, piece: int) -> Iterator[bytes]:
    urllib3 = pytest.importorskip("urllib3")
    with urllib3.PoolManager() as pool:
        response = pool.request("POST", url, json=BODY, preload_content=False)
        yield from response.stream(piece)
        response.release_conn()


def with_httpx2(url: str, piece: int) -> Iterator[bytes]:
    with httpx2.Client(timeout=60) as client, client.stream("POST", url, json=BODY) as response:
        yield from response.iter_bytes(piece)


def with_aiohttp(url: str, piece: int) -> Iterator[bytes]:
    aiohttp = pytest.importorskip("aiohttp")

    async def read() -> list[bytes]:
        async with aiohttp.ClientSession() as session, session.post(url, json=BODY) as response:
            return [part async for part in response.content.iter_chunked(piece)]

    yield from asyncio.run(read())


@pytest.fixture
def server() -> Iterator[Loopback]:
    running = Loopback()
    yield running
    running.server.shutdown()
    running.server.server_close()


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each feeding of a splitter got."""
    sizes: list[int] = []
    for owner in (Lines, Frames):

        def feed(self: Any, data: bytes, whole: Any = owner.feed) -> Any:
            sizes.append(len(data))
            return whole(self, data)

        monkeypatch.setattr(owner, "feed", feed)
    return sizes


def check(seen: Recording) -> None:
    TAPE.drain()
    (call,) = seen.llm_calls
    assert (call.outcome, call.usage and (call.usage.input_tokens, call.usage.output_tokens)) == ("success", (11, 3))
    assert seen.value("tachograph_telemetry_errors_total") == 0


@pytest.mark.parametrize("ask", [with_requests, with_urllib3, with_httpx2, with_aiohttp])
@pytest.mark.parametrize(("size", "piece"), [(20 * MB, MB), (20_000, 1)], ids=["20 MB", "20 kB byte by byte"])
def test_each_byte_of_a_long_event_is_the_applications_and_is_looked_at_once(
    server: Loopback, looked_at: list[int], ask: Ask, size: int, piece: int
) -> None:
    body = answer(size)
    server.answers.append((200, "text/event-stream", body))
    digest = hashlib.sha256()
    with watched_loopback() as seen:
        for part in ask(f"{server.url}/v1/chat/completions", piece):
            digest.update(part)
        check(seen)
    assert digest.digest() == hashlib.sha256(body).digest()
    assert len(body) <= sum(looked_at) <= len(body) + 2  # the end of what is left over is one byte of ours


def test_so_is_each_byte_of_a_long_frame_of_amazons(server: Loopback, looked_at: list[int]) -> None:
    pytest.importorskip("boto3")
    text = "x" * (15 * MB)
    body = (
        frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})
        + frame("messageStop", {"stopReason": "end_turn"})
        + frame("metadata", {"usage": CONVERSE["usage"], "metrics": {"latencyMs": 5}})
    )
    server.answers.append((200, "application/vnd.amazon.eventstream", body))
    with watched_loopback() as seen:
        asked = [{"role": "user", "content": [{"text": "?"}]}]
        events = list(server.client().converse_stream(modelId="m", messages=asked)["stream"])
        assert events[0]["contentBlockDelta"]["delta"]["text"] == text
        TAPE.drain()
        (call,) = seen.llm_calls
    assert call.outcome == "success"
    assert call.usage is not None
    assert sum(looked_at) == len(body)


def test_a_long_message_of_a_websocket_is_the_applications() -> None:
    serve = pytest.importorskip("websockets.sync.server").serve
    delta = json.dumps({"type": "response.output_audio.delta", "response_id": "r", "delta": "x" * (20 * MB)})
    usage = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
    done = json.dumps({"type": "response.done", "response": {"id": "r", "status": "completed", "usage": usage}})

    def talk(connection: Any) -> None:
        connection.recv()
        for message in (json.dumps({"type": "response.created", "response": {"id": "r"}}), delta, done):
            connection.send(message)

    with serve(talk, "127.0.0.1", 0) as running, watched_loopback() as seen:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        port = running.socket.getsockname()[1]
        client = openai.OpenAI(
            api_key="k", base_url=f"http://127.0.0.1:{port}", websocket_base_url=f"ws://127.0.0.1:{port}"
        )
        with client.realtime.connect(model="gpt-realtime", websocket_connection_options={"max_size": None}) as talking:
            talking.response.create()
            got = [talking.recv_bytes() for _ in range(3)]
        running.shutdown()
        check(seen)
    assert got[1].decode() == delta
