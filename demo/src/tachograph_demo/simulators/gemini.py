"""Gemini's wire format: generateContent and its relatives, on the Developer API's and Vertex AI's paths.

Source: the google-genai 3.4 SDK's types and recorded exchanges, read on 2026-11-23.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from . import gemini_interactions, seeded
from .gemini_usage import usage_metadata
from .operation import Filled, Operation, Piece, Rendered, json_bytes, without_none
from .script import AskedRequest, Failure, RateLimits, StreamError
from .server import Request
from .usage import ServedUsage
from .vendor import Vendor

_FAILURES: dict[str, tuple[int, str, str]] = {
    # class: code, status, message
    "RateLimited": (429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
    "QuotaExhausted": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan."),
    "BillingProblem": (400, "FAILED_PRECONDITION", "Please enable billing on your project."),
    "Unauthorized": (401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
    "InvalidKey": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "Forbidden": (403, "PERMISSION_DENIED", "The caller does not have permission"),
    "BadRequest": (400, "INVALID_ARGUMENT", "Invalid value at 'generation_config.temperature'."),
    "ContextTooLong": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1250000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "ContentPolicy": (
        400,
        "INVALID_ARGUMENT",
        "The prompt could not be submitted: it violates the content policy.",
    ),
    "ModelNotFound": (404, "NOT_FOUND", "models/unknown is not found for API version v1."),
    "RequestTimeout": (408, "DEADLINE_EXCEEDED", "The request timed out."),
    "Conflict": (409, "ABORTED", "Conflict."),
    "TooLarge": (413, "INVALID_ARGUMENT", "Request payload size exceeds the limit."),
    "Unprocessable": (422, "INVALID_ARGUMENT", "Unprocessable entity."),
    "ServerError": (500, "INTERNAL", "An internal error has occurred."),
    "Overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "GatewayTimeout": (504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
}
_STREAM_ERRORS = {
    "server_error": "ServerError",
    "overloaded": "Overloaded",
    "rate_limit": "RateLimited",
    "invalid_request": "BadRequest",
}
_FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}


class GeminiSimulator(Vendor):
    """generateContent, streams, embeddings, countTokens, images and interactions."""

    name = "gemini"

    @property
    def url(self) -> str:
        return self.root_url

    @property
    def live_url(self) -> str:
        """Base URL of Live sessions. The SDK insists on TLS: patch its client's `_websocket_base_url` and
        `_websocket_ssl_ctx` to use this."""
        return self.root_url.replace("http://", "ws://")

    def _route(self, request: Request, body: object) -> Operation | None:
        fields = body if isinstance(body, dict) else {}
        path = re.sub(r"^/(v1beta1|v1beta|v1alpha|v1)(?=/)", "", request.path)
        is_vertex = path.startswith("/projects/") or "/publishers/" in path
        interactions = gemini_interactions.route(request.method, path, fields)
        if interactions is not None:
            return interactions
        if request.method == "GET" and path == "/models":
            return Operation(name="models", model="", is_scripted=False, whole=_models)
        found = re.fullmatch(r".*/(?:models|tunedModels|endpoints)/([^/:]+):(\w+)", path)
        if request.method != "POST" or not found:
            return None
        model, verb = found[1], found[2]
        if verb in ("generateContent", "streamGenerateContent"):
            return _generate_operation(model, fields, is_stream=verb.startswith("stream"), is_vertex=is_vertex)
        simple: dict[str, tuple[str, Callable[[Filled], Rendered]]] = {
            "batchEmbedContents": ("embeddings", _batch_embed),
            "embedContent": ("embeddings", _embed),
            "countTokens": ("count_tokens", _count_tokens),
        }
        if verb in simple:
            name, whole = simple[verb]
            return Operation(name=name, model=model, whole=whole, prompt=(fields,), produces_text=False)
        if verb == "predict":
            is_image = "imagen" in model or "image" in model
            return Operation(
                name="images" if is_image else "embeddings",
                model=model,
                whole=_predict_image if is_image else _predict_embedding,
                prompt=(fields.get("instances"),),
                produces_text=False,
            )
        return None

    def failure(self, failure: Failure, operation: Operation, request_id: str) -> tuple[int, dict[str, str], Any]:
        name = type(failure).__name__
        code, status, message = _FAILURES[name]
        details: list[dict[str, Any]] = []
        if name == "InvalidKey":
            details.append(_error_info("API_KEY_INVALID"))
        if name in ("RateLimited", "QuotaExhausted"):
            period = "PerMinute" if name == "RateLimited" else "PerDay"
            details.append(
                {
                    "@type": "type.googleapis.com/google.rpc.QuotaFailure",
                    "violations": [
                        {
                            "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
                            "quotaId": failure.code or f"GenerateRequests{period}PerProjectPerModel",
                            "quotaDimensions": {"model": operation.model, "location": "global"},
                            "quotaValue": "10",
                        }
                    ],
                }
            )
        if failure.retry_after is not None and failure.retry_after_form == "retry_info":
            details.append(
                {
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": f"{failure.retry_after:g}s",
                }
            )
        code = failure.status or code
        if name == "InvalidKey" and operation.name.startswith("interactions"):
            code, status = 401, "UNAUTHENTICATED"
        error = {"code": code, "message": failure.message or message, "status": status}
        if details:
            error["details"] = details
        return code, {}, {"error": error}

    def _stream_error(self, error: StreamError, operation: Operation, filled: Filled) -> bytes:
        code, status, _ = _FAILURES[_STREAM_ERRORS[error.kind]]
        if operation.name == "interactions":
            return gemini_interactions.error_event(status, error.message)
        return _sse({"error": {"code": code, "message": error.message, "status": status}})

    def _headers(self, asked: AskedRequest, limits: RateLimits | None) -> dict[str, str]:
        return {"server": "scaffolding on HTTPServer2", "x-content-type-options": "nosniff"}

    def _key(self, request: Request) -> str | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return request.headers.get("x-goog-api-key") or request.query.get("key") or bearer


def _error_info(reason: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }


def _sse(value: object) -> bytes:
    return b"data: " + json_bytes(value) + b"\r\n\r\n"


def _generate_operation(model: str, body: dict[str, Any], is_stream: bool, is_vertex: bool) -> Operation:
    config = body.get("generationConfig") or {}
    tools = {
        # google-genai 3.4 sends the field's name as it is in Python
        declared["name"]: declared.get("parametersJsonSchema")
        or declared.get("parameters_json_schema")
        or declared.get("parameters")
        or {}
        for tool in body.get("tools", ())
        for declared in tool.get("functionDeclarations", ())
    }
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    schema = config.get("responseJsonSchema") or config.get("responseSchema")

    def whole(filled: Filled) -> Rendered:
        response = _response(filled, _parts(filled), is_last=True, is_vertex=is_vertex)
        reported = filled.usage if filled.answer.report_usage else None
        return Rendered(body=json_bytes(response), usage=reported, response_id=response["responseId"])

    return Operation(
        name="generate_content",
        model=model,
        whole=whole,
        stream=(lambda filled: _pieces(filled, is_vertex)) if is_stream else None,
        prompt=(body.get("systemInstruction"), body.get("contents"), body.get("tools")),
        messages=body.get("contents") or (),
        prefix=[body.get("systemInstruction"), body.get("tools")] if body.get("systemInstruction") else None,
        is_cached_by_itself=True,
        tools=tools,
        must_call_tool=calling.get("mode") == "ANY",
        output_schema=schema,
        wants_reasoning=bool(thinking.get("thinkingBudget") or thinking.get("thinkingLevel")),
    )


def _parts(filled: Filled) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if filled.reasoning:
        parts.append({"text": filled.reasoning, "thought": True})
    if filled.text:
        parts.append({"text": filled.text})
    parts.extend(_call_parts(filled))
    return parts


def _call_parts(filled: Filled) -> list[dict[str, Any]]:
    return [
        {"functionCall": without_none({"id": call.id, "name": call.name, "args": call.arguments})}
        for call in filled.tool_calls
    ]


def _response(
    filled: Filled,
    parts: list[dict[str, Any]],
    is_last: bool,
    is_vertex: bool,
    usage: ServedUsage | None = None,
) -> dict[str, Any]:
    response: dict[str, Any] = {
        "modelVersion": filled.model,
        "responseId": filled.id("", 23),
    }
    if filled.answer.report_usage:
        response["usageMetadata"] = usage_metadata(usage or filled.usage, is_vertex)
    if filled.finish == "blocked_prompt":
        reason = filled.answer.safety_reason
        response["promptFeedback"] = {"blockReason": reason, "safetyRatings": [_rating(blocked=True)]}
        return response
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    if is_last:
        is_safety = filled.finish in ("content_filter", "refusal")
        candidate["finishReason"] = filled.answer.safety_reason if is_safety else _FINISH.get(filled.finish, "STOP")
        if is_safety:
            candidate["safetyRatings"] = [_rating(blocked=True)]
    response["candidates"] = [candidate]
    return response


def _rating(blocked: bool) -> dict[str, Any]:
    return {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": blocked}


def _pieces(filled: Filled, is_vertex: bool) -> Iterable[Piece]:
    """Chunks whose usage is the running total of the request, complete in the last one."""
    groups: list[list[dict[str, Any]]] = [[{"text": t, "thought": True}] for t in filled.reasoning_pieces()]
    groups.extend([{"text": t}] for t in filled.text_pieces())
    groups.extend([part] for part in _call_parts(filled))
    usage = filled.usage
    for number, parts in enumerate(groups, start=1):
        is_last = number == len(groups)
        running = usage
        if not is_last:
            visible = (usage.completion - usage.reasoning) * number // len(groups)
            running = replace(usage, completion=visible + usage.reasoning)
        response = _response(filled, parts, is_last, is_vertex, running)
        yield Piece(data=_sse(response), is_content=True, usage=running if filled.answer.report_usage else None)
    if not groups:
        response = _response(filled, [], True, is_vertex)
        yield Piece(data=_sse(response), usage=usage if filled.answer.report_usage else None)


def _vector(filled: Filled) -> list[float]:
    return [round(((filled.asked.seed >> shift) & 255) / 255, 4) for shift in range(0, 64, 8)]


def _batch_embed(filled: Filled) -> Rendered:
    requests = filled.body.get("requests") or [{}]
    body = {
        "embeddings": [{"values": _vector(filled)} for _ in requests],
        "usageMetadata": {"promptTokenCount": filled.usage.prompt},
    }
    return Rendered(body=json_bytes(body), usage=filled.usage)


def _embed(filled: Filled) -> Rendered:
    body = {
        "embedding": {"values": _vector(filled)},
        "usageMetadata": {"promptTokenCount": filled.usage.prompt, "totalTokenCount": filled.usage.prompt},
    }
    return Rendered(body=json_bytes(body), usage=filled.usage)


def _predict_embedding(filled: Filled) -> Rendered:
    instances = filled.body.get("instances") or [{}]
    counts = [seeded.prompt_tokens(instance) for instance in instances]
    predictions = [
        {"embeddings": {"values": _vector(filled), "statistics": {"token_count": count, "truncated": False}}}
        for count in counts
    ]
    characters = sum(4 * count for count in counts)
    body = {"predictions": predictions, "metadata": {"billableCharacterCount": characters}}
    return Rendered(body=json_bytes(body), usage=replace(filled.usage, prompt=sum(counts)))


def _predict_image(filled: Filled) -> Rendered:
    count = int((filled.body.get("parameters") or {}).get("sampleCount") or 1)
    prediction = {"mimeType": "image/png", "bytesBase64Encoded": seeded.TINY_PNG}
    return Rendered(body=json_bytes({"predictions": [prediction] * count}), usage=None)


def _count_tokens(filled: Filled) -> Rendered:
    tokens = filled.usage.prompt
    body = {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}
    return Rendered(body=json_bytes(body), usage=None)


def _models(filled: Filled) -> Rendered:
    names = ("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite")
    data = [{"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]} for name in names]
    return Rendered(body=json_bytes({"models": data}), usage=None)
