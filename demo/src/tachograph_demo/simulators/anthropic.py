"""Anthropic's wire format: messages (and beta), count_tokens, batches and models.

Source: the anthropic 2.12 SDK's types and recorded exchanges, read on 2026-11-23.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from . import billing, seeded
from .operation import Filled, Operation, Piece, Rendered, json_bytes, without_none
from .script import AskedRequest, Failure, RateLimits, StreamError
from .served import Served
from .server import Request
from .usage import ServedUsage
from .vendor import Vendor

_FAILURES: dict[str, tuple[int, str, str]] = {
    # class: status, type, message
    "RateLimited": (429, "rate_limit_error", "This request would exceed your rate limit."),
    "QuotaExhausted": (429, "rate_limit_error", "You have reached your specified API usage limits."),
    "BillingProblem": (402, "billing_error", "Your credit balance is too low to access the API."),
    "Unauthorized": (401, "authentication_error", "invalid x-api-key"),
    "InvalidKey": (401, "authentication_error", "invalid x-api-key"),
    "Forbidden": (403, "permission_error", "Your API key does not have permission to use this resource."),
    "BadRequest": (400, "invalid_request_error", "max_tokens: Input should be greater than or equal to 1"),
    "ContextTooLong": (400, "invalid_request_error", "prompt is too long: 250000 tokens > 200000 maximum"),
    "ContentPolicy": (400, "invalid_request_error", "Output blocked by content filtering policy"),
    "ModelNotFound": (404, "not_found_error", "model: unknown"),
    "RequestTimeout": (408, "timeout_error", "Request timed out."),
    "Conflict": (409, "invalid_request_error", "Conflict."),
    "TooLarge": (413, "request_too_large", "Request exceeds the maximum size"),
    "Unprocessable": (422, "invalid_request_error", "Unprocessable entity."),
    "ServerError": (500, "api_error", "Internal server error"),
    "Overloaded": (529, "overloaded_error", "Overloaded"),
    "GatewayTimeout": (504, "timeout_error", "Gateway timeout."),
}
_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "blocked_prompt": "refusal",
    "pause": "pause_turn",
    "context_window": "model_context_window_exceeded",
}
_STREAM_ERRORS = {
    "server_error": "api_error",
    "overloaded": "overloaded_error",
    "rate_limit": "rate_limit_error",
    "invalid_request": "invalid_request_error",
}


class AnthropicSimulator(Vendor):
    """Messages, count_tokens, message batches and models."""

    name = "anthropic"

    def __init__(self, served: Served, seed: int, run: Callable[[Any], Any]) -> None:
        super().__init__(served, seed, run)
        self.bill = billing.Bill(self.name, served)
        self.forget.append(self.bill.clear)

    @property
    def url(self) -> str:
        return self.root_url

    def _route(self, request: Request, body: object) -> Operation | None:
        path = request.path
        fields = body if isinstance(body, dict) else {}
        model = str(fields.get("model", ""))
        if request.method == "POST" and path == "/v1/messages":
            return _messages_operation(model, fields)
        if request.method == "POST" and path == "/v1/messages/count_tokens":
            return Operation(
                name="count_tokens",
                model=model,
                whole=_count_tokens,
                prompt=_prompt(fields),
                produces_text=False,
            )
        if request.method == "GET" and path == "/v1/models":
            return Operation(name="models", model="", is_scripted=False, whole=_models)
        batch = re.fullmatch(r"/v1/messages/batches/([^/]+)(/results)?", path)
        if request.method == "GET" and batch:
            if batch[2] is None:
                return Operation(name="batch", model="", is_scripted=False, whole=self._batch)
            return Operation(name="batch_results", model="claude-haiku-4-5", whole=_batch_results, prompt=(path * 40,))
        return billing.route_anthropic(request.method, path, billing.query_pairs(request.raw_query), self.bill)

    def _batch(self, filled: Filled) -> Rendered:
        path = filled.asked.path
        body = {
            "id": path.rsplit("/", 1)[1],
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": {"processing": 0, "succeeded": 2, "errored": 1, "canceled": 0, "expired": 0},
            "created_at": "2026-11-23T00:00:00Z",
            "ended_at": "2026-11-23T01:00:00Z",
            "expires_at": "2026-11-24T00:00:00Z",
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{self.root_url}{path}/results",
        }
        return Rendered(body=json_bytes(body), usage=None)

    def failure(self, failure: Failure, operation: Operation, request_id: str) -> tuple[int, dict[str, str], Any]:
        name = type(failure).__name__
        status, kind, message = _FAILURES[name]
        error: dict[str, Any] = {"type": kind, "message": failure.message or message}
        code = failure.code or ("enforced_spend_limit_reached" if name == "QuotaExhausted" else None)
        if code:
            error["details"] = {"error_code": code}
        return status, {"request-id": request_id}, {"type": "error", "error": error, "request_id": request_id}

    def _stream_error(self, error: StreamError, operation: Operation, filled: Filled) -> bytes:
        body = {"type": _STREAM_ERRORS[error.kind], "message": error.message}
        return _event("error", error=body, request_id=filled.id("req_"))

    def _headers(self, asked: AskedRequest, limits: RateLimits | None) -> dict[str, str]:
        headers = {
            "request-id": seeded.identifier(asked.seed, "req_"),
            "anthropic-organization-id": "00000000-0000-0000-0000-000000000000",
        }
        if limits is not None:
            for what in ("requests", "tokens", "input_tokens", "output_tokens"):
                for kind in ("limit", "remaining", "reset"):
                    value = getattr(limits, f"{what}_{kind}")
                    if value is not None:
                        headers[f"anthropic-ratelimit-{what.replace('_', '-')}-{kind}"] = value
        return headers

    def _key(self, request: Request) -> str | None:
        return request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")


def _prompt(body: dict[str, Any]) -> tuple[Any, ...]:
    return (body.get("system"), body.get("messages"), body.get("tools"))


def _cache_lifetime(value: object) -> str | None:
    """`5m` or `1h` if anything in the request is marked for the cache."""
    if isinstance(value, dict):
        mark = value.get("cache_control")
        if isinstance(mark, dict):
            return str(mark.get("ttl") or "5m")
        return next((found for inner in value.values() if (found := _cache_lifetime(inner))), None)
    if isinstance(value, list):
        return next((found for inner in value if (found := _cache_lifetime(inner))), None)
    return None


def _messages_operation(model: str, body: dict[str, Any]) -> Operation:
    choice = body.get("tool_choice") or {}
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return Operation(
        name="messages",
        model=model,
        whole=_whole,
        stream=_pieces if body.get("stream") else None,
        prompt=_prompt(body),
        messages=body.get("messages", ()),
        prefix=[body.get("system"), body.get("tools")],
        cache_lifetime=_cache_lifetime([body.get("system"), body.get("tools"), body.get("messages"), body]),
        tools={t["name"]: t.get("input_schema") or {} for t in body.get("tools", ()) if "name" in t},
        must_call_tool=choice.get("name", "") or choice.get("type") == "any",
        output_schema=form.get("schema") if form.get("type") == "json_schema" else None,
        wants_reasoning=(body.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
    )


def messages_usage(usage: ServedUsage) -> dict[str, Any]:
    """Anthropic's own counting: input_tokens is what no cache had to do with."""
    server_tools = None
    if usage.web_searches or usage.web_fetches:
        server_tools = {"web_search_requests": usage.web_searches, "web_fetch_requests": usage.web_fetches}
    return without_none(
        {
            "input_tokens": usage.prompt - usage.cache_read - usage.cache_write,
            "cache_creation_input_tokens": usage.cache_write,
            "cache_read_input_tokens": usage.cache_read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": usage.cache_write_5m,
                "ephemeral_1h_input_tokens": usage.cache_write_1h,
            },
            "output_tokens": usage.completion,
            "output_tokens_details": {"thinking_tokens": usage.reasoning} if usage.reasoning else None,
            "server_tool_use": server_tools,
            "service_tier": usage.service_tier or "standard",
            "speed": usage.speed,
            **usage.extra,
        }
    )


def _blocks(filled: Filled) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if filled.reasoning:
        blocks.append({"type": "thinking", "thinking": filled.reasoning, "signature": filled.id("sig", 40)})
    if filled.text:
        blocks.append({"type": "text", "text": filled.text, "citations": None})
    for index, call in enumerate(filled.tool_calls):
        blocks.append(
            {
                "type": "tool_use",
                "id": filled.call_id(index, "toolu_"),
                "name": call.name,
                "input": call.arguments,
            }
        )
    return blocks


def _message(filled: Filled, blocks: list[dict[str, Any]], stop: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": filled.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": filled.model,
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _whole(filled: Filled) -> Rendered:
    body = _message(filled, _blocks(filled), _STOP[filled.finish], messages_usage(filled.usage))
    return Rendered(body=json_bytes(body), usage=filled.usage, response_id=body["id"])


def _event(kind: str, **fields: object) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + json_bytes({"type": kind, **fields}) + b"\n\n"


def _pieces(filled: Filled) -> Iterable[Piece]:
    """message_start with a placeholder for the output, blocks, then message_delta with the whole truth."""
    usage = filled.usage
    placeholder = ServedUsage(
        prompt=usage.prompt,
        completion=1,
        cache_read=usage.cache_read,
        cache_write_5m=usage.cache_write_5m,
        cache_write_1h=usage.cache_write_1h,
        service_tier=usage.service_tier,
        speed=usage.speed,
    )
    start = _message(filled, [], None, messages_usage(placeholder))
    yield Piece(data=_event("message_start", message=start), usage=placeholder)
    for index, block in enumerate(_blocks(filled)):
        if block["type"] == "thinking":
            empty: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": text} for text in filled.reasoning_pieces()]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif block["type"] == "text":
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": text} for text in filled.text_pieces()]
        else:
            empty = {**block, "input": {}}
            arguments = json_bytes(block["input"]).decode()
            deltas = [{"type": "input_json_delta", "partial_json": t} for t in seeded.split_text(arguments, None)]
        yield Piece(data=_event("content_block_start", index=index, content_block=empty))
        if index == 0:
            yield Piece(data=_event("ping"))
        for delta in deltas:
            yield Piece(data=_event("content_block_delta", index=index, delta=delta), is_content=True)
        yield Piece(data=_event("content_block_stop", index=index))
    told = messages_usage(usage)
    kept = (
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "output_tokens_details",
        "server_tool_use",
        *usage.extra,
    )
    stop = {"stop_reason": _STOP[filled.finish], "stop_sequence": None}
    final = {key: told[key] for key in kept if key in told}
    yield Piece(data=_event("message_delta", delta=stop, usage=final), usage=usage)
    yield Piece(data=_event("message_stop"))


def _count_tokens(filled: Filled) -> Rendered:
    return Rendered(body=json_bytes({"input_tokens": filled.usage.prompt}), usage=None)


def _models(filled: Filled) -> Rendered:
    names = ("claude-opus-4-7", "claude-sonnet-5", "claude-haiku-4-5")
    data = [{"type": "model", "id": name, "display_name": name, "created_at": "2025-10-01T00:00:00Z"} for name in names]
    body = {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return Rendered(body=json_bytes(body), usage=None)


def _batch_results(filled: Filled) -> Rendered:
    """Two successes and one error, one JSON object a line; the ledger counts both successes."""
    lines = []
    for index in range(2):
        message = _message(filled, _blocks(filled), "end_turn", messages_usage(filled.usage))
        message["id"] = filled.id(f"msg_{index}")
        message["usage"]["service_tier"] = "batch"
        lines.append({"custom_id": f"request-{index}", "result": {"type": "succeeded", "message": message}})
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too small"}}
    lines.append({"custom_id": "request-2", "result": {"type": "errored", "error": error}})
    return Rendered(
        body=b"".join(json_bytes(line) + b"\n" for line in lines),
        usage=filled.usage + filled.usage,
        headers={"content-type": "application/x-jsonl"},
    )
