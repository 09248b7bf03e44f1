"""Scenarios after public reports of wrong numbers: each serves what a vendor, a host or a proxy was seen to send.

Expected costs are written out as arithmetic: tokens times dollars for a million, and fees.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

from benchmarks.truth.scenarios import USAGE, About, Scenario
from tachograph_demo.simulators import Answer, Item, Raw, ServedUsage, ToolCall

_CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def _json(body: Any, **headers: str) -> Raw:
    return Raw(body=json.dumps(body).encode(), content_type="application/json", headers=headers)


def _chat(model: str, usage: dict[str, Any], **headers: str) -> Raw:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    body = {"id": "c1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    return _json(body, **headers)


def _piece(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {**_CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def _stream(*pieces: dict[str, Any], is_marked: bool = True) -> Raw:
    lines = [f"data: {json.dumps(piece)}\n\n" for piece in pieces]
    if is_marked:
        lines.append("data: [DONE]\n\n")
    return Raw(body="".join(lines).encode(), content_type="text/event-stream")


def _message(model: str, usage: dict[str, Any]) -> Raw:
    return _json(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": "hi"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }
    )


def _generated(model: str, usage: dict[str, Any], queries: list[str] | None = None) -> Raw:
    candidate: dict[str, Any] = {
        "content": {"role": "model", "parts": [{"text": "hi"}]},
        "finishReason": "STOP",
        "index": 0,
    }
    if queries:
        candidate["groundingMetadata"] = {"webSearchQueries": queries}
    return _json({"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r"})


def _at(host: str, model: str, stream: bool = False) -> dict[str, Any]:
    return {"host": host, "model": model, "stream": stream}


_PLAIN = {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196}
_READ = {"input_tokens": 194, "output_tokens": 2}


def dialects() -> list[Scenario]:
    """Where compatible hosts put what OpenAI puts elsewhere."""
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    cases: list[tuple[str, str, dict[str, Any], dict[str, Any], Item]] = [
        (
            "xAI",
            "xAI leaves reasoning out of the completion",
            {"input_tokens": 10_120, "output_tokens": 1499 + 2809, "reasoning": 2809},
            _at("api.x.ai", "grok-4"),
            _chat(
                "grok-4",
                {
                    "prompt_tokens": 10_120,
                    "completion_tokens": 1499,
                    "total_tokens": 14_428,
                    "completion_tokens_details": {"reasoning_tokens": 2809},
                },
            ),
        ),
        (
            "Gemini's OpenAI endpoint",
            "Gemini's OpenAI endpoint leaves thoughts out of the completion",
            {"input_tokens": 758, "output_tokens": 1725 - 758},
            _at("generativelanguage.googleapis.com", "gemini-2.5-pro"),
            _chat("gemini-2.5-pro", {"prompt_tokens": 758, "completion_tokens": 102, "total_tokens": 1725}),
        ),
        (
            "DeepSeek",
            "DeepSeek reports cached tokens beside the prompt",
            {"input_tokens": 1000, "cache_read": 900},
            _at("api.deepseek.com", "deepseek-chat"),
            _chat(
                "deepseek-chat",
                {
                    "prompt_tokens": 1000,
                    "completion_tokens": 10,
                    "total_tokens": 1010,
                    "prompt_cache_hit_tokens": 900,
                    "prompt_cache_miss_tokens": 100,
                },
            ),
        ),
        (
            "Moonshot",
            "Moonshot reports cached tokens beside the prompt",
            {"cache_read": 900, "cost_usd": (100 * 0.6 + 900 * 0.15 + 10 * 2.5) / 1e6},
            _at("api.moonshot.ai", "kimi-k2-0905-preview"),
            _chat(
                "kimi-k2-0905-preview",
                {"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010, "cached_tokens": 900},
            ),
        ),
        (
            "Moonshot, streamed",
            "Moonshot reports usage inside the last choice",
            _READ,
            _at("api.moonshot.ai", "m", stream=True),
            _stream(
                _piece("a"),
                {**_CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": _PLAIN}]},
            ),
        ),
        (
            "Groq, streamed",
            "Groq reports usage in a field of its own",
            _READ,
            _at("api.groq.com", "m", stream=True),
            _stream(_piece("a"), _piece("", "stop", x_groq={"usage": _PLAIN})),
        ),
        (
            "relay",
            "a relay reports zeros after the true report",
            _READ,
            _at("relay.example.com", "m", stream=True),
            _stream(_piece("a"), _piece("", "stop", usage=_PLAIN), {**_CHUNK, "choices": [], "usage": zeros}),
        ),
        (
            "one side",
            "a host reports the prompt and the total alone",
            {"input_tokens": 12, "output_tokens": 5},
            _at("host.example.com", "m"),
            _chat("m", {"prompt_tokens": 12, "total_tokens": 17}),
        ),
        (
            "contradiction",
            "prompt and completion are not the total, and that is said",
            {"usage_mismatch": 1},
            _at("host.example.com", "m"),
            _chat("m", {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 700}),
        ),
    ]
    return [
        Scenario(f"dialect {name}", "dialects", title, "openai_at", truth, at, {"openai": [answer]})
        for name, title, truth, at, answer in cases
    ]


def _at_hosts() -> list[Scenario]:
    cases: list[tuple[str, str, dict[str, Any], dict[str, Any], Item]] = [
        (
            "OpenRouter",
            "OpenRouter states what the call cost",
            {"cost_usd": 0.0095},
            _at("openrouter.ai", "some/model"),
            _chat("some/model", {**_PLAIN, "cost": 0.0095}),
        ),
        (
            "xAI",
            "xAI states what the call cost, in ticks",
            {"cost_usd": 0.0123},
            _at("api.x.ai", "grok-4"),
            _chat("grok-4", {**_PLAIN, "cost_in_usd_ticks": 123_000_000}),
        ),
        (
            "LiteLLM's proxy",
            "a proxy states the cost in a header",
            {"cost_usd": 0.0031},
            _at("proxy.example.com", "gpt-5"),
            _chat("gpt-5", _PLAIN, **{"x-litellm-response-cost": "0.0031"}),
        ),
        (
            "a gateway's cache",
            "a gateway's cache answers, and nothing is billed",
            {"cost_usd": 0.0},
            _at("gateway.ai.cloudflare.com", "gpt-5"),
            _chat("gpt-5", _PLAIN, **{"cf-aig-cache-status": "HIT"}),
        ),
    ]
    return [
        Scenario(f"stated by {name}", "money", title, "openai_at", truth, at, {"openai": [answer]})
        for name, title, truth, at, answer in cases
    ]


def money() -> list[Scenario]:
    """What vendors bill by, beside tokens at the standard price."""
    opus = "claude-opus-5"
    hop = ServedUsage(prompt=100_000, completion=100)
    calling = [ToolCall("weather", {"city": "Bergen"})]
    thousand = {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100}
    written = {"input_tokens": 1000, "output_tokens": 1000}
    sent = {"model": opus}
    return [
        *_at_hosts(),
        Scenario(
            "fast mode",
            "money",
            "anthropic served in fast mode, at twice the price",
            "anthropic_messages",
            {"cost_usd": (1000 * 10 + 1000 * 50) / 1e6},
            sent,
            {"anthropic": [_message(opus, {**written, "speed": "fast"})]},
        ),
        Scenario(
            "residency",
            "money",
            "anthropic, inference in the US: a tenth more",
            "anthropic_messages",
            {"cost_usd": (1000 * 5.5 + 1000 * 27.5) / 1e6},
            sent,
            {"anthropic": [_message(opus, {**written, "inference_geo": "us"})]},
        ),
        Scenario(
            "grounding, each query",
            "money",
            "gemini 3 bills each search once: two of three are the same",
            "gemini_content",
            {"cost_usd": (1000 * 1.5 + 100 * 9) / 1e6 + 2 * 0.014},
            {"model": "gemini-3.5-flash"},
            {"gemini": [_generated("gemini-3.5-flash", thousand, ["a", "b", "a"])]},
        ),
        Scenario(
            "grounding, each prompt",
            "money",
            "gemini 2.5 bills a grounded prompt once",
            "gemini_content",
            {"cost_usd": (1000 * 0.3 + 100 * 2.5) / 1e6 + 0.035},
            {"model": "gemini-2.5-flash"},
            {"gemini": [_generated("gemini-2.5-flash", thousand, ["a", "b"])]},
        ),
        Scenario(
            "tier of each request",
            "money",
            "gemini: three requests of 100k tokens are not one of 300k",
            "gemini_functions",
            {"calls": 1, "input_tokens": 300_000, "cost_usd": (300_000 * 1.25 + 300 * 10) / 1e6},
            {"model": "gemini-2.5-pro"},
            {"gemini": [*[Answer(tool_calls=calling, usage=hop)] * 2, Answer(text="rain", usage=hop)]},
        ),
        Scenario(
            "tier of each message",
            "money",
            "an anthropic batch of two messages of 120k tokens is not one of 240k",
            "anthropic_batch",
            {"input_tokens": 240_000, "cost_usd": (240_000 * 1.5 + 200 * 7.5) / 1e6},
            {"batch": "msgbatch_of_long_messages"},
            answers={
                "anthropic": [Answer(model="claude-sonnet-4-5", usage=ServedUsage(prompt=120_000, completion=100))] * 2
            },
            reads_again=True,
        ),
        Scenario(
            "chat with a function",
            "fetched later",
            "a gemini chat calls a function by itself: two requests for one message",
            "gemini_chat",
            {"calls": 1, "requests": 2, "input_tokens": 240, "output_tokens": 60},
            answers={"gemini": [Answer(tool_calls=calling, usage=USAGE), Answer(text="rain", usage=USAGE)]},
        ),
        Scenario(
            "local server",
            "money",
            "a model on this machine is not billed as its hosted namesake",
            "openai_local",
            {"unpriced": "1 unpriced"},
            {"model": "deepseek-r1"},
            {"openai": [Answer(usage=USAGE)]},
        ),
        Scenario(
            "aborted stream",
            "money",
            "a stream closed before it reported usage costs at least its prompt",
            "openai_closed_early",
            {"cost_usd": About(4 * 1.25e-6, 40 * 1.25e-6)},
            answers={"openai": [Answer(usage=USAGE, text="one two three four five six seven eight", pieces=8)]},
        ),
    ]


def names() -> list[Scenario]:
    """What the name of a model, a host or an item decides about its price."""
    at = {"model": "claude-haiku-4-5", "usage": {"input_tokens": 100, "output_tokens": 10}}
    cases: list[tuple[str, str, str, dict[str, Any], dict[str, Any], str, Item]] = [
        (
            "fine-tuned",
            "a fine-tuned model has prices of its own",
            "openai_chat",
            {"cost_usd": (194 * 0.8 + 2 * 3.2) / 1e6},
            {"model": "ft:gpt-4.1-mini-2025-04-14:acme::AbC1"},
            "openai",
            _chat("ft:gpt-4.1-mini-2025-04-14:acme::AbC1", _PLAIN),
        ),
        (
            "free variant",
            "OpenRouter's free variant costs nothing, and the answer leaves `:free` out",
            "openai_at",
            {"cost_usd": 0.0, "quality": "priced"},
            _at("openrouter.ai", "deepseek/deepseek-chat-v3-0324:free"),
            "openai",
            _chat("deepseek/deepseek-chat-v3-0324", _PLAIN),
        ),
        (
            "vLLM",
            "vLLM on its port here is not billed by OpenAI",
            "openai_local",
            {"unpriced": "1 unpriced"},
            {"model": "gpt-4o", "port": 8000},
            "openai",
            _chat("gpt-4o", _PLAIN),
        ),
        (
            "unknown server tool",
            "anthropic bills a tool that no price is known of",
            "anthropic_messages",
            {"input_tokens": 100, "quality": "estimated"},
            {"model": at["model"]},
            "anthropic",
            _message("claude-haiku-4-5", {**at["usage"], "server_tool_use": {"teleport_requests": 2}}),
        ),
        (
            "unknown region",
            "anthropic served where no price is known of",
            "anthropic_messages",
            {"input_tokens": 100, "quality": "estimated"},
            {"model": "claude-opus-5"},
            "anthropic",
            _message("claude-opus-5", {**at["usage"], "inference_geo": "moon"}),
        ),
    ]
    return [
        Scenario(f"name {name}", "money", title, action, truth, arguments, {vendor: [answer]})
        for name, title, action, truth, arguments, vendor, answer in cases
    ]


def aborted() -> list[Scenario]:
    """Streams that the application or the network ends."""
    told = {"promptTokenCount": 120, "candidatesTokenCount": 30, "totalTokenCount": 150}
    piece = {"content": {"role": "model", "parts": [{"text": "hi"}]}, "index": 0}
    events = [
        {"candidates": [piece], "modelVersion": "gemini-2.5-flash", "responseId": "r", "usageMetadata": told},
        {
            "candidates": [{**piece, "finishReason": "STOP"}],
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r",
            "usageMetadata": dict.fromkeys(told, 0),
        },
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    long = Answer(usage=USAGE, text="one two three four five six seven eight", pieces=8)
    return [
        Scenario(
            "aborted responses stream",
            "money",
            "a Responses stream closed before it reported usage costs at least its prompt",
            "responses_closed_early",
            {"calls": 1, "outcome": "cancelled", "quality": "estimated", "cost_usd": About(4 * 1.25e-6, 400 * 1.25e-6)},
            answers={"openai": [long]},
        ),
        Scenario(
            "cut stream",
            "money",
            "anthropic: what a cut stream reported before it broke off is an estimate",
            "anthropic_stream",
            {"input_tokens": 120, "quality": "estimated"},
            answers={"anthropic": [Answer(usage=USAGE, ending="eof", cut_after=2)]},
        ),
        Scenario(
            "later zeros",
            "dialects",
            "a relay of gemini reports zeros after the true report",
            "gemini_stream",
            {"input_tokens": 120, "output_tokens": 30, "cost_usd": (120 * 0.3 + 30 * 2.5) / 1e6},
            answers={"gemini": [Raw(body=body, content_type="text/event-stream")]},
        ),
    ]


def wire() -> list[Scenario]:
    """Requests without a vendor's client."""
    deepseek = "https://api.deepseek.com/chat/completions"
    plain = _chat("deepseek-chat", _PLAIN)
    read = {"calls": 1, "provider": "deepseek", **_READ}
    squeezed = Raw(
        body=gzip.compress(plain.body), content_type="application/json", headers={"content-encoding": "gzip"}
    )
    asked = {"url": deepseek, "model": "deepseek-chat"}
    return [
        Scenario("wire", "wire", "a request by HTTP alone", "wire_chat", read, asked, {"openai": [plain]}),
        Scenario(
            "wire compressed",
            "wire",
            "a compressed answer, whose body the application reads as it was sent",
            "wire_chat",
            read,
            {**asked, "raw": True},
            {"openai": [squeezed]},
        ),
    ]


def endings() -> list[Scenario]:
    """How an answer ended, where the status and the client say nothing."""
    at = _at("host.example.com", "m", stream=True)
    failed = {"calls": 1, "errors": 1, "outcome": "error"}
    return [
        Scenario(
            "ending [DONE] alone",
            "endings",
            "a stream ends with [DONE] and no finish reason: it is whole",
            "openai_at",
            {"calls": 1, "errors": 0, "outcome": "success"},
            at,
            {"openai": [_stream(_piece("a"), _piece("b"))]},
        ),
        Scenario(
            "ending error",
            "endings",
            "a stream's finish reason is `error`",
            "openai_at",
            failed,
            at,
            {"openai": [_stream(_piece("a"), _piece("", "error"))]},
        ),
        Scenario(
            "ending cut",
            "endings",
            "a stream's finish reasons are empty, and it is cut",
            "openai_at",
            failed,
            at,
            {"openai": [_stream(*[_piece("a", "")] * 3, is_marked=False)]},
        ),
        Scenario(
            "ending 200",
            "endings",
            "status 200 with an error for a body",
            "openai_at",
            failed,
            _at("openrouter.ai", "m"),
            {"openai": [_json({"error": {"message": "Provider returned error", "code": 502}})]},
        ),
        Scenario(
            "ending annotations",
            "endings",
            "six annotations follow the end, as content filters send them",
            "openai_at",
            {"outcome": "success", **_READ},
            at,
            {"openai": [_stream(*[_piece("a")] * 5, _piece("", "stop", usage=_PLAIN), *[_piece(None)] * 6)]},
        ),
    ]


def tools() -> list[Scenario]:
    """What an application asked of its tools, whatever the sessions under it did."""
    return [
        Scenario(
            "tool asks the user",
            "tools asked for",
            "a tool asks the user something in its midst: one call in two rounds",
            "tool_with_a_question",
            {"tool_calls": 1, "tool_errors": 0, "outcome": "success"},
        ),
        Scenario(
            "dead transport",
            "tools asked for",
            "the server exits between two calls",
            "tool_over_http",
            {"tool_calls": 2, "tool_errors": 1},
        ),
        Scenario(
            "failed connects",
            "tools asked for",
            "no server: three failed connects",
            "tool_refused",
            {"connects_failed": 3},
        ),
        Scenario(
            "connect given up",
            "tools asked for",
            "a server takes the connection and never answers: the application gives up",
            "tool_given_up",
            {"connects_given_up": 1},
        ),
    ]
