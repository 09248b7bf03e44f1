"""Claude on Amazon Bedrock: whole answers, and streams in Amazon's binary frames."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from typing import Any
from zlib import crc32

import anthropic
import httpx2
import pytest

from tachograph.testing import Recording

pytest.importorskip("botocore", reason="Amazon's signatures and frames need it: pip install boto3")

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
ASKED: Any = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
USAGE = {"input_tokens": 20, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 0, "output_tokens": 1}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
    "content": [], "stop_reason": None, "stop_sequence": None, "usage": USAGE,
}  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]


def frame(event: dict[str, Any]) -> bytes:
    """One event as Amazon frames it: lengths, headers, JSON with the event in base64, checksums."""
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode()
    headers = b""
    for name, value in ((":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")):
        headers += struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return body + struct.pack("!I", crc32(body))


def answer(request: httpx2.Request) -> httpx2.Response:
    """What Bedrock answers: a stream where one was asked for."""
    if "stream" in request.url.path:
        kind = {"content-type": "application/vnd.amazon.eventstream"}
        return httpx2.Response(200, stream=httpx2.ByteStream(b"".join(map(frame, EVENTS))), headers=kind)
    whole = {"stop_reason": "end_turn", "usage": {**USAGE, "output_tokens": 7}}
    return httpx2.Response(200, json={**MESSAGE, "content": [{"type": "text", "text": "Hi"}], **whole})


def client(kind: Any, http_client: Any) -> Any:
    return kind(
        aws_access_key="any", aws_secret_key="any", aws_region="us-east-1", max_retries=0,
        http_client=http_client(transport=httpx2.MockTransport(answer)),
    )  # fmt: skip


def check(seen: Recording) -> None:
    (call,) = seen.llm_calls
    assert (call.provider, call.model, call.outcome) == ("bedrock", MODEL, "success")
    assert call.usage is not None
    assert (call.usage.input_tokens, call.usage.output_tokens, call.usage.details) == (120, 7, {"cache_read": 100})
    assert call.cost is not None
    assert call.cost.nano_usd


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_to_bedrock_has_its_tokens_and_its_price(seen: Recording, stream: bool) -> None:
    result = client(anthropic.AnthropicBedrock, httpx2.Client).messages.create(**ASKED, stream=stream)
    if stream:
        assert len(list(result)) == len(EVENTS)
    check(seen)


@pytest.mark.parametrize("stream", [False, True])
def test_so_has_an_async_one(seen: Recording, stream: bool) -> None:
    async def ask() -> None:
        bedrock = client(anthropic.AsyncAnthropicBedrock, httpx2.AsyncClient)
        result = await bedrock.messages.create(**ASKED, stream=stream)
        if stream:
            assert len([event async for event in result]) == len(EVENTS)

    asyncio.run(ask())
    check(seen)


@pytest.mark.parametrize("size", [1, 7, 100, None], ids=["a byte", "7 bytes", "100 bytes", "as it comes"])
def test_frames_that_the_application_reads_itself_are_read(seen: Recording, size: int | None) -> None:
    bedrock = client(anthropic.AnthropicBedrock, httpx2.Client)
    with bedrock.messages.with_streaming_response.create(**ASKED, stream=True) as response:
        data = b"".join(response.iter_bytes(size) if size else response.http_response.iter_raw())
    assert data == b"".join(map(frame, EVENTS))
    check(seen)


def test_frames_that_an_async_application_reads_itself_are_read(seen: Recording) -> None:
    async def ask() -> None:
        bedrock = client(anthropic.AsyncAnthropicBedrock, httpx2.AsyncClient)
        async with bedrock.messages.with_streaming_response.create(**ASKED, stream=True) as response:
            assert b"".join([data async for data in response.iter_bytes()]) == b"".join(map(frame, EVENTS))

    asyncio.run(ask())
    check(seen)


def test_a_cut_in_the_midst_of_the_frames_is_a_failed_call_with_what_was_counted(seen: Recording) -> None:
    cut = b"".join(map(frame, EVENTS))[:700]

    def answer_cut(request: httpx2.Request) -> httpx2.Response:
        kind = {"content-type": "application/vnd.amazon.eventstream"}
        return httpx2.Response(200, stream=httpx2.ByteStream(cut), headers=kind)

    over = httpx2.Client(transport=httpx2.MockTransport(answer_cut))
    bedrock = anthropic.AnthropicBedrock(
        aws_access_key="any", aws_secret_key="any", aws_region="us-east-1", max_retries=0, http_client=over
    )
    with bedrock.messages.with_streaming_response.create(**ASKED, stream=True) as response:
        assert response.read() == cut
    (call,) = seen.llm_calls
    assert (call.outcome, call.error_type) == ("error", "connection")
    assert call.usage is not None
    assert call.usage.input_tokens == 120


def test_bytes_that_are_no_frames_leave_one_record(seen: Recording) -> None:
    def answer_otherwise(request: httpx2.Request) -> httpx2.Response:
        kind = {"content-type": "application/vnd.amazon.eventstream"}
        return httpx2.Response(200, stream=httpx2.ByteStream(b"<html>no frames</html>" * 9), headers=kind)

    over = httpx2.Client(transport=httpx2.MockTransport(answer_otherwise))
    bedrock = anthropic.AnthropicBedrock(
        aws_access_key="any", aws_secret_key="any", aws_region="us-east-1", max_retries=0, http_client=over
    )
    with bedrock.messages.with_streaming_response.create(**ASKED, stream=True) as response:
        response.read()
    (call,) = seen.llm_calls
    assert (call.outcome, call.usage) == ("error", None)
    assert seen.value("tachograph_telemetry_errors_total") == 0
