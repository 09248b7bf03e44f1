"""Requests that no hook of a client library sees: over httpx2, aiohttp, requests, urllib3 and boto3."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import aiohttp
import httpx2
import openai
import pytest
import requests
import urllib3
import yarl
from benchmarks.overhead import bytecodes
from google import genai

from support.bytecodes import count
from tachograph import instrument, uninstrument
from tachograph.instrument.wire import AUTHORITIES, SITES
from tachograph.instrument.wire_aiohttp import site_of
from tachograph.tape import TAPE
from tachograph.testing import Recording, recording
from tachograph_demo.simulators import Answer, RateLimited, ServedUsage, Simulators

USAGE = ServedUsage(prompt=11, completion=3)
ASKED: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "Hello"}]}
STREAMED: dict[str, Any] = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture
def seen(simulators: Simulators) -> Iterator[Recording]:
    """What is recorded while the wire to the simulators is watched."""
    with recording() as caught:
        instrument(wire_hosts=[simulators.openai.root_url.removeprefix("http://")], providers={"127.0.0.1": "openai"})
        try:
            yield caught
        finally:
            TAPE.drain()
            uninstrument()


def answer(simulators: Simulators, count: int = 1, **more: Any) -> str:
    """Have the simulator answer; returns where chat completions are asked for."""
    simulators.openai.script(*(Answer(text="One two three four", usage=USAGE, **more) for _ in range(count)))
    return f"{simulators.openai.url}/chat/completions"


# Each library, each way to read, gives the same bytes as without us, and one call


def httpx_read(url: str, body: Any) -> list[bytes]:
    with httpx2.Client(verify=False) as client:
        return [client.post(url, json=body).content]


def httpx_iter_bytes(url: str, body: Any) -> list[bytes]:
    with httpx2.Client(verify=False) as client, client.stream("POST", url, json=body) as response:
        return list(response.iter_bytes())


def httpx_iter_raw(url: str, body: Any) -> list[bytes]:
    with httpx2.Client(verify=False) as client, client.stream("POST", url, json=body) as response:
        return list(response.iter_raw(7))


def httpx_async(url: str, body: Any) -> list[bytes]:
    async def read() -> list[bytes]:
        async with httpx2.AsyncClient(verify=False) as client, client.stream("POST", url, json=body) as response:
            return [line.encode() async for line in response.aiter_lines()]

    return asyncio.run(read())


def requests_content(url: str, body: Any) -> list[bytes]:
    return [requests.post(url, json=body, timeout=10).content]


def requests_iter_content(url: str, body: Any) -> list[bytes]:
    with requests.post(url, json=body, stream=True, timeout=10) as response:
        return list(response.iter_content(7))


def requests_iter_lines(url: str, body: Any) -> list[bytes]:
    with requests.post(url, json=body, stream=True, timeout=10) as response:
        return list(response.iter_lines())


def urllib3_data(url: str, body: Any) -> list[bytes]:
    return [urllib3.PoolManager().request("POST", url, json=body).data]


def urllib3_read(url: str, body: Any) -> list[bytes]:
    response = urllib3.PoolManager().request("POST", url, json=body, preload_content=False)
    return list(iter(lambda: response.read(7), b""))


def urllib3_read1(url: str, body: Any) -> list[bytes]:
    response = urllib3.PoolManager().request("POST", url, json=body, preload_content=False)
    return [b"".join(iter(response.read1, b""))]


def urllib3_stream(url: str, body: Any) -> list[bytes]:
    response = urllib3.PoolManager().request("POST", url, json=body, preload_content=False)
    return list(response.stream(7))


def aiohttp_by(read: Callable[[aiohttp.ClientResponse], Any]) -> Callable[[str, Any], list[bytes]]:
    async def ask(url: str, body: Any) -> list[bytes]:
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
            found = read(response)
            return [piece async for piece in found] if hasattr(found, "__aiter__") else [await found]

    return lambda url, body: asyncio.run(ask(url, body))


WAYS = {
    "httpx2 read": httpx_read,
    "httpx2 iter_bytes": httpx_iter_bytes,
    "httpx2 iter_raw": httpx_iter_raw,
    "httpx2 async": httpx_async,
    "requests content": requests_content,
    "requests iter_content": requests_iter_content,
    "requests iter_lines": requests_iter_lines,
    "urllib3 data": urllib3_data,
    "urllib3 read": urllib3_read,
    "urllib3 read1": urllib3_read1,
    "urllib3 stream": urllib3_stream,
    "aiohttp read": aiohttp_by(lambda response: response.read()),
    "aiohttp json": aiohttp_by(lambda response: response.text()),
    "aiohttp lines": aiohttp_by(lambda response: response.content),
    "aiohttp iter_any": aiohttp_by(lambda response: response.content.iter_any()),
    "aiohttp iter_chunked": aiohttp_by(lambda response: response.content.iter_chunked(7)),
}


def joined(pieces: list[Any]) -> bytes:
    return b"".join(piece.encode() if isinstance(piece, str) else piece for piece in pieces)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["whole", "streamed"])
def test_a_request_on_the_wire_is_one_call_and_its_bytes_stay_the_same(
    seen: Recording, simulators: Simulators, way: str, body: dict[str, Any]
) -> None:
    url = answer(simulators)
    pieces = WAYS[way](url, body)
    (call,) = seen.llm_calls
    assert (call.provider, call.model, call.outcome, call.stream) == ("openai", "gpt-5", "success", "stream" in body)
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (11, 3)
    assert call.cost is not None
    assert call.cost.nano_usd
    assert [(attempt.status, attempt.outcome) for attempt in call.attempts] == [(200, "success")]
    sent = joined(pieces)
    assert sent.count(b"three") == 1
    if "7" in way or way in ("httpx2 iter_raw", "requests iter_content", "urllib3 read"):
        assert {len(piece) for piece in pieces[:-1]} <= set(range(8))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", [ASKED, STREAMED], ids=["whole", "streamed"])
def test_a_refused_request_is_one_failed_call(
    seen: Recording, simulators: Simulators, way: str, body: dict[str, Any]
) -> None:
    simulators.openai.script(RateLimited(retry_after=0.3))
    pieces = WAYS[way](f"{simulators.openai.url}/chat/completions", body)
    assert b"error" in joined(pieces)
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("rate_limited", "rate_limit")
    assert [(attempt.status, attempt.error_type) for attempt in call.attempts] == [(429, "rate_limit")]
    assert call.attempts[0].retry_after_seconds == 0.3


@pytest.mark.parametrize("way", [way for way in WAYS if "read1" not in way])
@pytest.mark.parametrize("ending", ["eof", "drop", "reset"])
def test_a_stream_that_breaks_off_is_no_success_and_raises_what_it_raises_without_us(
    seen: Recording, simulators: Simulators, way: str, ending: Any
) -> None:
    url = answer(simulators, 2, ending=ending, cut_after=1)
    raised = outcome_of(WAYS[way], url)
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("error", "connection")
    uninstrument()
    assert outcome_of(WAYS[way], url) == raised


def outcome_of(way: Callable[[str, Any], list[bytes]], url: str) -> str:
    try:
        way(url, STREAMED)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the same
        return type(error).__qualname__
    return "nothing"


def test_a_host_that_refuses_connections_is_a_failed_call_of_each_library(seen: Recording) -> None:
    instrument(wire_hosts=["127.0.0.1"])
    for way in ("httpx2 read", "requests content", "urllib3 data", "aiohttp read"):
        with pytest.raises(Exception, match=r"(?i)connect|refused"):
            WAYS[way]("http://127.0.0.1:9/v1/chat/completions", ASKED)
    TAPE.drain()
    assert [(call.outcome, call.error_type) for call in seen.llm_calls] == [("error", "connection")] * 4
    assert [len(call.attempts) for call in seen.llm_calls] == [1, 1, 4, 1]  # urllib3 tries three more times by itself


def test_a_stream_that_the_application_leaves_is_cancelled(seen: Recording, simulators: Simulators) -> None:
    url = answer(simulators, 3)
    with httpx2.Client(verify=False) as client, client.stream("POST", url, json=STREAMED) as response:
        next(response.iter_lines())
    next(requests.post(url, json=STREAMED, stream=True, timeout=10).iter_content(10))

    async def leave() -> None:
        async with aiohttp.ClientSession() as session, session.post(url, json=STREAMED) as response:
            await response.content.readline()

    asyncio.run(leave())
    gc.collect()
    TAPE.drain()
    assert [call.outcome for call in seen.llm_calls] == ["cancelled"] * 3


def test_the_openai_client_over_a_watched_wire_is_one_call_with_its_retries(
    seen: Recording, simulators: Simulators
) -> None:
    simulators.openai.script(RateLimited(retry_after=0.01), Answer(text="Yes.", usage=USAGE))
    client = openai.OpenAI(base_url=simulators.openai.url, api_key="any")
    client.chat.completions.create(**ASKED)
    (call,) = seen.llm_calls
    assert [attempt.outcome for attempt in call.attempts] == ["rate_limited", "success"]


def test_retries_of_urllib3_are_attempts_of_one_call(seen: Recording, simulators: Simulators) -> None:
    simulators.openai.script(RateLimited(retry_after=0.01), Answer(text="Yes.", usage=USAGE))
    retries = urllib3.Retry(2, status_forcelist=[429], allowed_methods=None, respect_retry_after_header=False)
    url = f"{simulators.openai.url}/chat/completions"
    urllib3.PoolManager().request("POST", url, json=ASKED, retries=retries)
    (call,) = seen.llm_calls
    assert call.outcome == "success"
    assert [attempt.outcome for attempt in call.attempts] == ["rate_limited", "success"]


def test_nothing_is_seen_where_the_wire_is_not_watched(simulators: Simulators) -> None:
    url = answer(simulators, 4)
    with recording() as caught:
        instrument("openai", wire_hosts=["127.0.0.1"])
        try:
            for way in ("httpx2 read", "requests content", "urllib3 data", "aiohttp read"):
                WAYS[way](url, ASKED)
            TAPE.drain()
            assert not caught.llm_calls
        finally:
            uninstrument()


def test_another_path_of_a_known_host_and_another_host_are_nobodys_calls(seen: Recording) -> None:
    ask(httpx2.Response(200, json={"data": []}), "GET", "https://api.mistral.ai/v1/models", None)
    ask(httpx2.Response(200, json={}), "POST", "https://example.com/v1/chat/completions", ASKED)
    TAPE.drain()
    assert not seen.llm_calls
    assert SITES["example.com"] is None


# Each vendor's language, by its own host


def ask(answered: httpx2.Response, method: str, url: str, body: Any) -> httpx2.Response:
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answered)) as client:
        return client.request(method, url, json=body)


def chunks(*each: Any) -> httpx2.Response:
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in each)
    return httpx2.Response(200, text=text, headers={"content-type": "text/event-stream"})


def lines(*each: Any) -> httpx2.Response:
    text = "".join(f"{json.dumps(line)}\n" for line in each)
    return httpx2.Response(200, text=text, headers={"content-type": "application/x-ndjson"})


CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes"}}
CHAT = {"id": "1", "choices": [CHOICE], "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}}
GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "Yes"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 3, "totalTokenCount": 14},
}
CLAUDE = {
    "id": "m", "type": "message", "role": "assistant", "content": [{"type": "text", "text": "Yes"}],
    "stop_reason": "end_turn", "usage": {"input_tokens": 11, "output_tokens": 3},
}  # fmt: skip
CLAUDE_EVENTS = (
    {"type": "message_start", "message": {**CLAUDE, "usage": {"input_tokens": 11, "output_tokens": 1}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
)
COHERE_2 = {"billed_units": {"input_tokens": 11, "output_tokens": 3}, "tokens": {"input_tokens": 99}}
OLLAMA = {"model": "llama3.2", "done": True, "done_reason": "stop", "prompt_eval_count": 11, "eval_count": 3}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Yes"}]}}, "stopReason": "end_turn",
    "usage": {"inputTokens": 5, "cacheReadInputTokens": 6, "outputTokens": 3, "totalTokens": 14},
}  # fmt: skip
RESPONSE = {
    "id": "r", "status": "completed", "output": [],
    "usage": {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
}  # fmt: skip
NOVA = {"stopReason": "end_turn", "usage": {"inputTokens": 11, "outputTokens": 3}}
TITAN = {"inputTextTokenCount": 11, "results": [{"tokenCount": 3, "completionReason": "FINISH"}]}
BEDROCK = "https://bedrock-runtime.us-east-1.amazonaws.com/model"
LANGUAGES: dict[str, tuple[str, dict[str, Any], str, httpx2.Response]] = {
    "mistral": ("https://api.mistral.ai/v1/chat/completions", ASKED, "gpt-5", httpx2.Response(200, json=CHAT)),
    "x-ai": ("https://api.x.ai/v1/responses", ASKED, "gpt-5", httpx2.Response(200, json=RESPONSE)),
    "azure": (
        "https://a.openai.azure.com/openai/deployments/mine/chat/completions?api-version=1",
        {"messages": []}, "mine", httpx2.Response(200, json=CHAT),
    ),
    "groq": (
        "https://api.groq.com/openai/v1/chat/completions", {**ASKED, "stream": True}, "gpt-5",
        chunks({"id": "1", "choices": [{"delta": {"content": "Yes"}, "finish_reason": None}]},
               {"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": CHAT["usage"]}}),
    ),
    "anthropic": ("https://api.anthropic.com/v1/messages", ASKED, "gpt-5", httpx2.Response(200, json=CLAUDE)),
    "anthropic stream": (
        "https://api.anthropic.com/v1/messages", {**ASKED, "stream": True}, "gpt-5", chunks(*CLAUDE_EVENTS)
    ),
    "vertex": (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic/models/"
        "claude-opus-4-8:rawPredict", {"messages": []}, "claude-opus-4-8", httpx2.Response(200, json=CLAUDE),
    ),
    "sambanova": ("https://api.sambanova.ai/v1/chat/completions", ASKED, "gpt-5", httpx2.Response(200, json=CHAT)),
    "openai by a gateway": (
        "https://gateway.ai.cloudflare.com/v1/account/name/openai/chat/completions", ASKED, "gpt-5",
        httpx2.Response(200, json=CHAT),
    ),
    "vertex mistral": (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/mistralai/models/"
        "mistral-small-2503:streamRawPredict", {"messages": []}, "mistral-small-2503",
        chunks({"id": "1", "choices": [{"delta": {"content": "Yes"}, "finish_reason": None}]},
               {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": CHAT["usage"]}),
    ),
    "vertex ai21": (
        "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/ai21/models/"
        "jamba-1.5-mini:rawPredict", {"messages": []}, "jamba-1.5-mini", httpx2.Response(200, json=CHAT),
    ),
    "gemini": (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
        {"contents": []}, "gemini-2.5-flash", httpx2.Response(200, json=GEMINI),
    ),
    "gemini stream": (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        {"contents": []}, "gemini-2.5-flash", chunks(GEMINI),
    ),
    "gemini list": (
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        {"contents": []}, "gemini-2.5-flash", httpx2.Response(200, json=[GEMINI]),
    ),
    "cohere": (
        "https://api.cohere.com/v2/chat", ASKED, "gpt-5",
        httpx2.Response(200, json={"id": "1", "finish_reason": "COMPLETE", "usage": COHERE_2}),
    ),
    "cohere stream": (
        "https://api.cohere.com/v2/chat", {**ASKED, "stream": True}, "gpt-5",
        chunks({"type": "message-start", "id": "1"}, {"type": "content-delta"},
               {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE_2}}),
    ),
    "cohere 1": (
        "https://api.cohere.com/v1/chat", {"model": "gpt-5", "message": "Hi", "stream": True}, "gpt-5",
        lines({"event_type": "text-generation", "text": "Yes"},
              {"event_type": "stream-end", "finish_reason": "COMPLETE", "response": {"meta": COHERE_2}}),
    ),
    "ollama": ("http://localhost:11434/api/chat", {**ASKED, "stream": False}, "gpt-5",
               httpx2.Response(200, json=OLLAMA)),
    "ollama stream": ("http://localhost:11434/api/chat", ASKED, "gpt-5",
                      lines({"model": "llama3.2", "message": {"content": "Yes"}, "done": False}, OLLAMA)),
    "bedrock": (f"{BEDROCK}/amazon.nova-pro-v1%3A0/converse", {"messages": []}, "amazon.nova-pro-v1:0",
                httpx2.Response(200, json=CONVERSE)),
    "bedrock nova": (f"{BEDROCK}/amazon.nova-pro-v1%3A0/invoke", {"messages": []}, "amazon.nova-pro-v1:0",
                     httpx2.Response(200, json=NOVA)),
    "bedrock titan": (f"{BEDROCK}/amazon.titan-text-express-v1/invoke", {"inputText": "Hi"},
                      "amazon.titan-text-express-v1", httpx2.Response(200, json=TITAN)),
    "bedrock claude": (f"{BEDROCK}/anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke", {"messages": []},
                       "anthropic.claude-sonnet-4-5-20250929-v1:0", httpx2.Response(200, json=CLAUDE)),
}  # fmt: skip


@pytest.mark.parametrize("name", LANGUAGES)
def test_each_vendors_language_is_read(seen: Recording, name: str) -> None:
    url, body, model, answered = LANGUAGES[name]
    ask(answered, "POST", url, body)
    TAPE.drain()
    (call,) = seen.llm_calls
    assert (call.provider, call.model, call.outcome) == (name.partition(" ")[0], model, "success")
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (11, 3)


# boto3


def frame(kind: str, payload: Any, message: str = "event") -> bytes:
    """One event as Amazon frames it."""
    named = ((":event-type" if message == "event" else ":exception-type", kind), (":message-type", message))
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in named
    )
    data = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(data), len(headers))
    body = prelude + struct.pack("!I", crc32(prelude)) + headers + data
    return body + struct.pack("!I", crc32(body))


def chunk_of(event: Any) -> bytes:
    return frame("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode()})


CLAUDE_MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
CONVERSED = (
    frame("messageStart", {"role": "assistant"})
    + frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Yes"}})
    + frame("messageStop", {"stopReason": "end_turn"})
    + frame("metadata", {"usage": CONVERSE["usage"], "metrics": {"latencyMs": 5}})
)
FAILED = frame("messageStart", {"role": "assistant"}) + frame(
    "throttlingException", {"message": "Too many"}, "exception"
)


class Loopback:
    """Answers requests in order, whatever they ask for, on loopback."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, bytes | list[bytes]]] = []
        self.encoding: str | None = None
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                status, kind, body = loopback.answers.pop(0)
                self.send_response(status)
                self.send_header("content-type", kind)
                if loopback.encoding is not None:
                    self.send_header("content-encoding", loopback.encoding)
                if isinstance(body, list):
                    self.send_header("transfer-encoding", "chunked")
                else:
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                for piece in [*body, b""] if isinstance(body, list) else ():
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                if isinstance(body, bytes):
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def client(self) -> Any:
        boto3 = pytest.importorskip("boto3", reason="the client is under test: pip install boto3")
        config = pytest.importorskip("botocore.config").Config(retries={"total_max_attempts": 2, "mode": "standard"})
        return boto3.client(
            "bedrock-runtime", endpoint_url=self.url, region_name="us-east-1", config=config,
            aws_access_key_id="any", aws_secret_access_key="any",
        )  # fmt: skip


@pytest.fixture
def bedrock() -> Iterator[Loopback]:
    server = Loopback()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def seen_bedrock(bedrock: Loopback) -> Iterator[Recording]:
    with recording() as caught:
        instrument(wire_hosts=["127.0.0.1"], providers={"127.0.0.1": "bedrock"})
        try:
            yield caught
        finally:
            TAPE.drain()
            uninstrument()


JSON, EVENTS = "application/json", "application/vnd.amazon.eventstream"
TURNS = [{"role": "user", "content": [{"text": "Hello"}]}]


def body_of(event: Any) -> dict[str, Any]:
    return json.loads(event["chunk"]["bytes"])  # type: ignore[no-any-return]


@pytest.mark.parametrize("operation", ["converse", "converse_stream", "invoke_model", "invoke_stream"])
def test_each_call_of_boto3_to_bedrock_is_seen_once(seen_bedrock: Recording, bedrock: Loopback, operation: str) -> None:
    client = bedrock.client()
    throttled = json.dumps({"message": "Too many requests"}).encode()
    bedrock.answers.append((429, JSON, throttled))
    if operation == "converse":
        bedrock.answers.append((200, JSON, json.dumps(CONVERSE).encode()))
        answer = client.converse(modelId=CLAUDE_MODEL, messages=TURNS)
        assert answer["usage"]["outputTokens"] == 3
    elif operation == "converse_stream":
        bedrock.answers.append((200, EVENTS, CONVERSED))
        events = list(client.converse_stream(modelId=CLAUDE_MODEL, messages=TURNS)["stream"])
        assert [next(iter(event)) for event in events][-2:] == ["messageStop", "metadata"]
    elif operation == "invoke_model":
        bedrock.answers.append((200, JSON, json.dumps(CLAUDE).encode()))
        answer = client.invoke_model(modelId=CLAUDE_MODEL, body=json.dumps({"messages": []}))
        assert json.loads(answer["body"].read())["id"] == "m"
    else:
        bedrock.answers.append((200, EVENTS, b"".join(map(chunk_of, CLAUDE_EVENTS))))
        answer = client.invoke_model_with_response_stream(modelId=CLAUDE_MODEL, body=json.dumps({"messages": []}))
        assert [body_of(event) for event in answer["body"]] == list(CLAUDE_EVENTS)
    gc.collect()
    TAPE.drain()
    (call,) = seen_bedrock.llm_calls
    assert (call.provider, call.model, call.outcome) == ("bedrock", CLAUDE_MODEL, "success")
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens) == (11, 3)
    assert call.cost is not None
    assert call.cost.nano_usd
    assert [attempt.outcome for attempt in call.attempts] == ["rate_limited", "success"]


def test_what_boto3_raises_is_a_failure_of_the_call(seen_bedrock: Recording, bedrock: Loopback) -> None:
    client = bedrock.client()
    bedrock.answers.append((400, JSON, json.dumps({"message": "No such model"}).encode()))
    with pytest.raises(Exception, match="No such model"):
        client.converse(modelId=CLAUDE_MODEL, messages=TURNS)
    bedrock.answers.append((200, EVENTS, FAILED))
    with pytest.raises(Exception, match="Too many"):
        list(client.converse_stream(modelId=CLAUDE_MODEL, messages=TURNS)["stream"])
    gc.collect()
    TAPE.drain()
    kinds = [(call.outcome, call.error_type) for call in seen_bedrock.llm_calls]
    assert kinds == [("error", "invalid_request"), ("rate_limited", "rate_limit")]


# Streams without a request for usage


def test_a_stream_without_usage_is_not_asked_for_it_and_costs_its_prompt_at_least(
    seen: Recording, simulators: Simulators
) -> None:
    body = httpx2.post(answer(simulators), json={**ASKED, "stream": True}).text
    assert '"usage":{' not in body.replace(" ", "")
    (call,) = seen.llm_calls
    assert (call.outcome, call.usage) == ("success", None)
    assert call.cost is not None
    assert call.cost.quality == "estimated"
    assert call.cost.nano_usd
    assert "reported no usage: only its prompt" in call.cost.detail
    assert seen.value("llm_calls_usage_missing_total", provider="openai", model="gpt-5") == 1


# Whose key pays

KEY = "sk-secret-secret-abcd"


@pytest.mark.parametrize(
    ("headers", "query", "hint"),
    [
        ({"Authorization": f"Bearer {KEY}"}, "", "...abcd"),
        ({"X-Api-Key": KEY}, "", "...abcd"),
        ({"api-key": KEY}, "", "...abcd"),
        ({"x-goog-api-key": KEY}, "", "...abcd"),
        ({}, f"?key={KEY}", "...abcd"),
        ({"Authorization": "Bearer ya29.a-token-of-an-hour"}, "", ""),
        ({"Authorization": f"Basic {KEY}"}, "", ""),
        ({}, "", ""),
    ],
)
def test_the_key_of_a_request_is_told_by_its_last_characters(
    seen: Recording, simulators: Simulators, headers: dict[str, str], query: str, hint: str
) -> None:
    url = answer(simulators, 3) + query
    httpx2.post(url, json=ASKED, headers=headers)
    requests.post(url, json=ASKED, headers=headers, timeout=10)

    async def ask() -> None:
        given = list(headers.items())  # aiohttp takes pairs, too
        async with aiohttp.ClientSession() as session, session.post(url, json=ASKED, headers=given) as response:
            await response.read()

    asyncio.run(ask())
    assert [call.api_key_hint for call in seen.llm_calls] == [hint] * 3


def test_an_interaction_tells_its_key(seen: Recording, simulators: Simulators) -> None:
    client = genai.Client(api_key=KEY, http_options={"base_url": simulators.gemini.url})
    with suppress(Exception):  # how it ends is not what counts here
        client.interactions.create(model="gemini-2.5-flash", input="Hello")
    assert [call.api_key_hint for call in seen.llm_calls] == ["...abcd"]


# What it costs where nothing is to be seen


def test_a_request_to_another_host_costs_one_look_up(seen: Recording) -> None:
    client = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json={})))
    request = client.build_request("POST", "https://example.com/v1/chat/completions", json=ASKED)
    client.send(request)  # it is new
    assert count(lambda: client.send(request)) <= 40  # 30 on 3.11
    pool = urllib3.HTTPConnectionPool("127.0.0.1", 9, retries=False)

    def refused() -> None:
        with suppress(urllib3.exceptions.HTTPError):
            pool.urlopen("POST", "/v1/chat/completions", body=b"{}")

    SITES["127.0.0.1"] = None
    assert count(refused) <= 90  # two hooks, 66 on 3.11
    assert not seen.llm_calls


@pytest.mark.parametrize("make", [str, yarl.URL])
def test_a_request_of_aiohttp_to_another_host_costs_one_look_up(seen: Recording, make: Callable[[str], Any]) -> None:
    SITES["127.0.0.1"] = None
    AUTHORITIES.clear()
    url = make("http://127.0.0.1:9/v1/chat/completions")

    async def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    async def refused() -> None:
        with suppress(aiohttp.ClientError):
            await session.post(url, json=ASKED)

    with asyncio.Runner() as runner:
        session = runner.run(open_session())
        runner.run(refused())  # it is new
        ask = lambda: runner.get_loop().run_until_complete(refused())  # noqa: E731
        assert count(ask) <= 85  # 70 on 3.11, some of them for each time that it waits
        in_yarl = bytecodes.count(ask, lambda code: "/yarl/" in code.co_filename)
        uninstrument()
        alone = bytecodes.count(ask, lambda code: "/yarl/" in code.co_filename)
        assert in_yarl <= alone + (0 if make is str else 40), "only aiohttp parses the URL"
        runner.run(session.close())
    assert not seen.llm_calls


@pytest.mark.parametrize("spelled", ["{host}", "USER:secret@{host}", "{host}?a=https://example.com/"])
def test_a_host_is_found_however_its_url_is_spelled(seen: Recording, simulators: Simulators, spelled: str) -> None:
    url = answer(simulators)
    host = simulators.openai.root_url.removeprefix("http://")
    found = site_of(SimpleNamespace(_base_url=None), f"HTTP://{spelled.format(host=host)}/v1/chat")
    assert found is not None
    assert found.host == "127.0.0.1"

    async def ask() -> bytes:
        path = "chat/completions?to=https://example.com/"
        async with (
            aiohttp.ClientSession(base_url=f"http://{host}/v1/") as session,
            session.post(path, json=ASKED) as response,
        ):
            return await response.read()

    assert asyncio.run(ask())
    TAPE.drain()
    assert [call.outcome for call in seen.llm_calls] == ["success"], url
