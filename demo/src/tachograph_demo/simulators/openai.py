"""OpenAI's wire format: chat completions and the routing of everything else (also under Azure's paths).

Source: the openai 3.54 SDK's types and recorded exchanges, read on 2026-11-23.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import billing, openai_media, openai_responses, seeded
from .operation import Filled, Operation, Piece, Rendered, json_bytes, without_none
from .script import AskedRequest, Failure, RateLimits, StreamError
from .served import Served
from .server import Request
from .usage import ServedUsage
from .vendor import Vendor

_FAILURES: dict[str, tuple[int, str, str | None, str]] = {
    # class: status, type, code, message
    "RateLimited": (429, "requests", "rate_limit_exceeded", "Rate limit reached. Please try again later."),
    "QuotaExhausted": (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "BillingProblem": (429, "billing_not_active", "billing_not_active", "Your account is not active."),
    "Unauthorized": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-****."),
    "InvalidKey": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-****."),
    "Forbidden": (403, "invalid_request_error", "unsupported_country_region_territory", "Not supported."),
    "BadRequest": (400, "invalid_request_error", None, "Invalid value for 'temperature'."),
    "ContextTooLong": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens.",
    ),
    "ContentPolicy": (
        400,
        "invalid_request_error",
        "content_policy_violation",
        "Your request was rejected as a result of our safety system.",
    ),
    "ModelNotFound": (404, "invalid_request_error", "model_not_found", "The model does not exist."),
    "RequestTimeout": (408, "timeout", None, "The request timed out."),
    "Conflict": (409, "conflict_error", None, "Conflict."),
    "TooLarge": (413, "invalid_request_error", None, "Request entity too large."),
    "Unprocessable": (422, "invalid_request_error", None, "Unprocessable entity."),
    "ServerError": (500, "server_error", None, "The server had an error while processing your request."),
    "Overloaded": (503, "server_error", None, "The engine is currently overloaded, please try again later."),
    "GatewayTimeout": (504, "server_error", None, "Gateway timeout."),
}
_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}


class OpenAISimulator(Vendor):
    """Chat completions, responses, embeddings, images, audio, moderations, batches; also Azure's paths."""

    name = "openai"

    def __init__(self, served: Served, seed: int, run: Callable[[Any], Any]) -> None:
        super().__init__(served, seed, run)
        self._stored: openai_responses.Stored = {}
        self.bill = billing.Bill(self.name, served)
        self.forget.extend((self.bill.clear, self._stored.clear))

    @property
    def url(self) -> str:
        return f"{self.root_url}/v1"

    @property
    def azure_url(self) -> str:
        """`azure_endpoint` of `AzureOpenAI`."""
        return self.root_url

    def _route(self, request: Request, body: object) -> Operation | None:
        path = request.path
        azure = re.fullmatch(r"/openai/(?:deployments/(?P<model>[^/]+)|v1)(?P<rest>/.*)", path)
        deployment = azure["model"] if azure else None
        rest = azure["rest"] if azure else re.sub(r"^(/openai)?/v1(?=/)", "", path)
        fields = body if isinstance(body, dict) else {}
        model = str(fields.get("model") or deployment or "")
        if rest == "/chat/completions" and request.method == "POST":
            return _chat_operation(model, fields)
        report = billing.route_openai(request.method, rest, billing.query_pairs(request.raw_query), self.bill)
        if report is not None:
            return report
        return openai_responses.route(request.method, rest, model, fields, self._stored) or openai_media.route(
            request.method, rest, model, body
        )

    def failure(self, failure: Failure, operation: Operation, request_id: str) -> tuple[int, dict[str, str], Any]:
        status, kind, code, message = _FAILURES[type(failure).__name__]
        error = {
            "message": failure.message or message,
            "type": kind,
            "param": None,
            "code": failure.code or code,
        }
        return status, {}, {"error": error}

    def _stream_error(self, error: StreamError, operation: Operation, filled: Filled) -> bytes:
        code = {"rate_limit": "rate_limit_exceeded"}.get(error.kind, error.kind)
        if error.shape == "response.failed":
            return openai_responses.failed_event(filled, code, error.message)
        if error.shape == "flat":
            event = {
                "type": "error",
                "code": code,
                "message": error.message,
                "param": None,
                "sequence_number": 99,
            }
            return b"event: error\n" + sse(event)
        return sse({"error": {"message": error.message, "type": code, "param": None, "code": code}})

    def _headers(self, asked: AskedRequest, limits: RateLimits | None) -> dict[str, str]:
        headers = {
            "x-request-id": seeded.identifier(asked.seed, "req_", 32),
            "openai-processing-ms": "12",
            "openai-version": "2020-10-01",
        }
        if limits is not None:
            for what in ("requests", "tokens"):
                for kind in ("limit", "remaining", "reset"):
                    value = getattr(limits, f"{what}_{kind}")
                    if value is not None:
                        headers[f"x-ratelimit-{kind}-{what}"] = value
        return headers

    def _key(self, request: Request) -> str | None:
        bearer = request.headers.get("authorization", "")
        return request.headers.get("api-key") or bearer.removeprefix("Bearer ")


def sse(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json_bytes(value) + b"\n\n"


def _chat_operation(model: str, body: dict[str, Any]) -> Operation:
    tools = {
        tool["function"]["name"]: tool["function"].get("parameters", {})
        for tool in body.get("tools", ())
        if tool.get("type") == "function"
    }
    choice = body.get("tool_choice")
    form = body.get("response_format") or {}
    messages = body.get("messages", [])
    system = [m for m in messages if m.get("role") in ("system", "developer")]
    return Operation(
        name="chat",
        model=model,
        whole=_chat_whole,
        stream=_chat_pieces if body.get("stream") else None,
        prompt=(messages, body.get("tools")),
        messages=[m for m in messages if m not in system],
        prefix=[system, body.get("tools")] if system else None,
        is_cached_by_itself=True,
        tools=tools,
        must_call_tool=choice["function"]["name"] if isinstance(choice, dict) else choice == "required",
        output_schema=form.get("json_schema", {}).get("schema") if form.get("type") == "json_schema" else None,
        wants_reasoning=body.get("reasoning_effort") not in (None, "none"),
    )


def chat_usage(usage: ServedUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "prompt_tokens_details": without_none(
            {
                "cached_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write or None,
                "audio_tokens": usage.audio_input,
                "image_tokens": usage.image_input or None,
            }
        ),
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
            "accepted_prediction_tokens": usage.accepted_prediction,
            "rejected_prediction_tokens": usage.rejected_prediction,
        },
        **usage.extra,
    }


def _chat_finish(filled: Filled) -> str:
    return _FINISH.get(filled.finish, "stop")


def _chat_whole(filled: Filled) -> Rendered:
    is_refused = filled.finish == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if is_refused else filled.text or None,
        "refusal": filled.text if is_refused else None,
        "annotations": [],
    }
    if filled.reasoning:
        message["reasoning_content"] = filled.reasoning
    if filled.tool_calls:
        message["tool_calls"] = [
            {
                "id": filled.call_id(i, "call_"),
                "type": "function",
                "function": {"name": call.name, "arguments": json_bytes(call.arguments).decode()},
            }
            for i, call in enumerate(filled.tool_calls)
        ]
    count = int(filled.body.get("n") or 1)
    body = {
        **_chunk_head(filled, "chat.completion"),
        "choices": [
            {"index": i, "message": message, "logprobs": None, "finish_reason": _chat_finish(filled)}
            for i in range(count)
        ],
    }
    reported = filled.usage if filled.answer.report_usage else None
    if reported is not None:
        body["usage"] = chat_usage(reported)
    return Rendered(body=json_bytes(body), usage=reported, response_id=body["id"])


def _chunk_head(filled: Filled, kind: str) -> dict[str, Any]:
    return {
        "id": filled.id("chatcmpl-", 29),
        "object": kind,
        "created": filled.created,
        "model": filled.model,
        "service_tier": filled.usage.service_tier or "default",
        "system_fingerprint": "fp_simulated",
    }


def _chat_pieces(filled: Filled) -> Iterable[Piece]:
    """Chunks as OpenAI sends them: usage only when it was asked for, in a last chunk without choices."""
    wants_usage = bool((filled.body.get("stream_options") or {}).get("include_usage"))
    head = _chunk_head(filled, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None, is_content: bool = False) -> Piece:
        body = {
            **head,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
        }
        if wants_usage:
            body["usage"] = None
        return Piece(data=sse(body), is_content=is_content)

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for text in filled.reasoning_pieces():
        yield chunk({"reasoning_content": text}, is_content=True)
    content = "refusal" if filled.finish == "refusal" else "content"
    for text in filled.text_pieces():
        yield chunk({content: text}, is_content=True)
    for index, call in enumerate(filled.tool_calls):
        start = {
            "index": index,
            "id": filled.call_id(index, "call_"),
            "type": "function",
            "function": {"name": call.name, "arguments": ""},
        }
        yield chunk({"tool_calls": [start]}, is_content=True)
        for text in seeded.split_text(json_bytes(call.arguments).decode(), None):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": text}}]}, is_content=True)
    yield chunk({}, finish=_chat_finish(filled))
    if wants_usage and filled.answer.report_usage:
        yield Piece(data=sse({**head, "choices": [], "usage": chat_usage(filled.usage)}), usage=filled.usage)
    yield Piece(data=b"data: [DONE]\n\n")
