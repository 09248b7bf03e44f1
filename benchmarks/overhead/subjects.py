"""The calls that are measured: each SDK's real code, over a transport that answers from memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

PROMPT = "Say something about the weather in one sentence."
TEXT = "It is raining in Bergen, and it will go on raining until Thursday."


def _openai_body() -> bytes:
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1790000000,
            "model": "gpt-5-mini",
            "service_tier": "default",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": TEXT},
                    "logprobs": None,
                }
            ],
            "usage": {
                "prompt_tokens": 120,
                "completion_tokens": 20,
                "total_tokens": 140,
                "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 0},
            },
        }
    ).encode()


def _openai_stream(chunks: int) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000, "model": "gpt-5-mini"}
    lines = []
    for index in range(chunks):
        delta: dict[str, Any] = {"content": f"word{index} "}
        if not index:
            delta["role"] = "assistant"
        lines.append({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None})
    lines.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None})
    usage = {"prompt_tokens": 120, "completion_tokens": chunks, "total_tokens": 120 + chunks}
    lines.append({**head, "choices": [], "usage": usage})
    return ("".join(f"data: {json.dumps(line)}\n\n" for line in lines) + "data: [DONE]\n\n").encode()


def _anthropic_body() -> bytes:
    return json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [{"type": "text", "text": TEXT}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {
                "input_tokens": 56,
                "cache_read_input_tokens": 64,
                "cache_creation_input_tokens": 0,
                "output_tokens": 20,
                "service_tier": "standard",
            },
        }
    ).encode()


def _anthropic_stream(chunks: int) -> bytes:
    usage = {"input_tokens": 120, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    events += [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f"word{index} "}}
        for index in range(chunks)
    ]
    events += [
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": chunks},
        },
        {"type": "message_stop"},
    ]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def _gemini_body() -> bytes:
    return json.dumps(
        {
            "candidates": [
                {"content": {"parts": [{"text": TEXT}], "role": "model"}, "finishReason": "STOP", "index": 0}
            ],
            "usageMetadata": {
                "promptTokenCount": 120,
                "candidatesTokenCount": 20,
                "totalTokenCount": 148,
                "thoughtsTokenCount": 8,
                "cachedContentTokenCount": 64,
            },
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r1",
        }
    ).encode()


def _transport(body: bytes, kind: str, library: Any = httpx2) -> Any:
    class Body(library.SyncByteStream):
        """A body that comes in pieces of a socket's usual size."""

        def __iter__(self) -> Iterator[bytes]:
            for start in range(0, len(body), 16_384):
                yield body[start : start + 16_384]

    def answer(request: Any) -> Any:
        headers = {"content-type": kind, "request-id": "req_1"}
        if kind == SSE:  # unread, as off the wire; with `content` it would count as read before anybody reads it
            return library.Response(200, stream=Body(), headers=headers)
        return library.Response(200, content=body, headers=headers)

    return library.MockTransport(answer)


def _client_over(make: Callable[..., Any], body: bytes, kind: str, **options: Any) -> Any:
    """One of the SDKs' clients over a transport that answers from memory; older SDKs know httpx alone."""
    http_client = "AsyncClient" if make.__name__.startswith("Async") else "Client"
    try:
        return make(api_key="k", http_client=getattr(httpx2, http_client)(transport=_transport(body, kind)), **options)
    except TypeError:
        import httpx

        over = getattr(httpx, http_client)(transport=_transport(body, kind, httpx))
        return make(api_key="k", http_client=over, **options)


JSON, SSE = "application/json", "text/event-stream"


class Subjects:
    """Ready clients and one callable per subject.

    Args:
        openai_module: A wrapper's module that stands for `openai`, when the peer is one.
        tools_module: Has `tool_client` and `tool_server` where the peer is an MCP library of its own.
    """

    def __init__(self, openai_module: Any = None, tools_module: Any = None) -> None:
        import anthropic
        import openai as stock
        from google import genai

        openai = openai_module or stock
        self._openai, self._anthropic, self._genai = openai, anthropic, genai
        self.loop = asyncio.new_event_loop()
        self._tools = tools_module
        self._keep: list[Any] = []

    def sync(self, name: str) -> Callable[[], Any]:
        """`openai`, `anthropic`, `gemini`: one whole call."""
        messages: Any = [{"role": "user", "content": PROMPT}]
        if name == "openai":
            client = _client_over(self._openai.OpenAI, _openai_body(), JSON, base_url="http://bench/v1")
            return lambda: client.chat.completions.create(model="gpt-5-mini", messages=messages)
        if name == "anthropic":
            client = _client_over(self._anthropic.Anthropic, _anthropic_body(), JSON, base_url="http://bench")
            return lambda: client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages)
        client = self._genai.Client(
            api_key="k",
            http_options={
                "base_url": "http://bench",
                "httpx_client": httpx2.Client(transport=_transport(_gemini_body(), JSON)),
            },
        )
        self._keep.append(client)
        return lambda: client.models.generate_content(model="gemini-2.5-flash", contents=PROMPT)

    def with_model(self) -> Callable[[str], Any]:
        """One whole OpenAI call to a model of one's choice."""
        messages: Any = [{"role": "user", "content": PROMPT}]
        client = _client_over(self._openai.OpenAI, _openai_body(), JSON, base_url="http://bench/v1")
        return lambda model: client.chat.completions.create(model=model, messages=messages)

    def asynchronous(self, name: str) -> Callable[[], Any]:
        """The same as coroutines; returns the coroutine function."""
        messages: Any = [{"role": "user", "content": PROMPT}]
        if name == "openai":
            client = _client_over(self._openai.AsyncOpenAI, _openai_body(), JSON, base_url="http://bench/v1")
            return lambda: client.chat.completions.create(model="gpt-5-mini", messages=messages)
        if name == "anthropic":
            client = _client_over(self._anthropic.AsyncAnthropic, _anthropic_body(), JSON, base_url="http://bench")
            return lambda: client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages)
        client = self._genai.Client(
            api_key="k",
            http_options={
                "base_url": "http://bench",
                "httpx_async_client": httpx2.AsyncClient(transport=_transport(_gemini_body(), JSON)),
            },
        )
        self._keep.append(client)
        return lambda: client.aio.models.generate_content(model="gemini-2.5-flash", contents=PROMPT)

    def stream(self, name: str, chunks: int) -> Callable[[], Any]:
        """One whole stream of so many chunks."""
        messages: Any = [{"role": "user", "content": PROMPT}]
        if name == "openai":
            client = _client_over(self._openai.OpenAI, _openai_stream(chunks), SSE, base_url="http://bench/v1")

            def run_openai() -> None:
                for _ in client.chat.completions.create(
                    model="gpt-5-mini", messages=messages, stream=True, stream_options={"include_usage": True}
                ):
                    pass

            return run_openai
        client = _client_over(self._anthropic.Anthropic, _anthropic_stream(chunks), SSE, base_url="http://bench")

        def run_anthropic() -> None:
            for _ in client.messages.create(model="claude-haiku-4-5", max_tokens=100, messages=messages, stream=True):
                pass

        return run_anthropic

    def tool(self) -> Callable[[], Any]:
        """One MCP tool call to a server in this process, over the JSON-RPC path."""

        def add(a: int, b: int) -> int:
            return a + b

        def make() -> Any:
            if self._tools:
                return self._tools.tool_client(self._tools.tool_server([add]))
            from mcp import Client
            from mcp.server.mcpserver import MCPServer

            server = MCPServer("bench")
            server.tool()(add)
            return Client(server, mode="legacy")

        async def begin() -> Any:
            client = make()
            await client.__aenter__()
            await client.list_tools()
            return client

        client = self.loop.run_until_complete(begin())
        return lambda: client.call_tool("add", {"a": 1, "b": 2})
