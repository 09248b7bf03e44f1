"""How Bedrock's Converse and InvokeModel are read, whole and streamed.

InvokeModel carries each model's own language. Claude's is Anthropic's; of the others the tokens are read where they
stand. Source: docs.aws.amazon.com/bedrock/latest/APIReference (Converse, ConverseStream, InvokeModel),
docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html; 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from tachograph.records import LLMCall, Usage
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.anthropic.apis import MESSAGES
from tachograph.vendors.api import TAIL, Api, RequestFacts, WholeAnswer, count_of, settings_of
from tachograph.vendors.bedrock.errors import failure_of_event
from tachograph.vendors.fields import count, dig, items, pick, plain, text, wholes
from tachograph.vendors.openai.usage import read_usage as read_openai_usage
from tachograph.vendors.usage import Reading, billed_fields, bounded

_SETTINGS: Final = {
    "maxTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "stopSequences": "stop_sequences",
}
_COUNTS: Final = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
_KNOWN: Final = frozenset(
    (*_COUNTS, "totalTokens", "cacheDetails", "cacheReadInputTokenCount", "cacheWriteInputTokenCount")
)
_LIFETIMES: Final[dict[str | None, str]] = {"5m": "cache_write_5m", "1h": "cache_write_1h"}
_FAILED: Final[dict[str | None, ErrorType]] = {
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "malformed_model_output": "server_error",
    "malformed_tool_use": "server_error",
}
"""Stop reasons that are failures."""


def facts(body: Mapping[str, Any]) -> RequestFacts:
    """A request of Converse: the model is in the path."""
    settings = settings_of(body.get("inferenceConfig"), _SETTINGS)
    tier = text(body.get("serviceTier"), "type")
    if tier is not None:
        settings["service_tier"] = tier
    return RequestFacts("unknown", count_of(body.get("messages")), False, settings or None)


def invoke_facts(body: Mapping[str, Any]) -> RequestFacts:
    """A request of InvokeModel."""
    return RequestFacts("unknown", count_of(said(body)), False, None)


def said(body: Mapping[str, Any]) -> Any:
    """What the model was asked."""
    return next((body[name] for name in ("messages", "prompt", "inputText", "texts") if body.get(name)), None)


def read_usage(report: object) -> Reading:
    """The `usage` of Converse: `inputTokens` leaves cached and cache-written tokens out; here they are in."""
    if report is None:
        return Reading()
    said = [pick(report, name) for name in _COUNTS]
    counts = wholes(said)
    fresh, output, read, written = counts
    read = count(report, "cacheReadInputTokenCount") if read is None else read
    written = count(report, "cacheWriteInputTokenCount") if written is None else written
    usage = Usage(None if fresh is None else fresh + (read or 0) + (written or 0), output)
    if read:
        usage.details["cache_read"] = read
    if written:
        usage.details["cache_write"] = written
    for part in items(report, "cacheDetails"):
        ours = _LIFETIMES.get(text(part, "ttl"))
        if ours and (tokens := count(part, "inputTokens")):
            usage.details[ours] = tokens
    fields = plain(report)
    unknown = billed_fields(fields, _KNOWN) if type(fields) is dict else ()
    return bounded(Reading(usage, unknown=unknown), said, counts)


def read_converse(call: LLMCall, answer: object) -> ErrorType | None:
    """A whole answer of Converse."""
    call.finish_reason = text(answer, "stopReason")
    call.service_tier = text(pick(answer, "serviceTier"), "type") or call.service_tier
    read_usage(pick(answer, "usage")).put(call)
    return _FAILED.get(call.finish_reason)


def converse_content(answer: object) -> object:
    """What the model said."""
    return [said for part in items(dig(answer, "output", "message"), "content") if (said := text(part, "text"))]


class ConverseEvents(WholeAnswer):
    """Reads a streamed answer of Converse: the stop reason, then a last event with the usage."""

    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.stop_reason: str | None = None
        self.metadata: Any = None

    def feed(self, event: object, call: LLMCall) -> bool:
        """Note one event."""
        kind = text(event, "kind")
        if pick(event, "is_failure"):
            self.error_type = failure_of_event(kind)
        elif kind == "contentBlockDelta" or kind == "contentBlockStart":
            if not self.started:
                self.start(call)
        elif kind == "messageStop":
            self.stop_reason = text(event, "stopReason")
            self.is_complete = True
        elif kind == "metadata":
            self.metadata = event
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the events said into the record."""
        call.finish_reason = self.stop_reason
        call.service_tier = text(pick(self.metadata, "serviceTier"), "type") or call.service_tier
        read_usage(pick(self.metadata, "usage")).put(call)
        self.error_type = self.error_type or _FAILED.get(self.stop_reason)


# InvokeModel: each model's own language

_PROMPT: Final = ("inputTextTokenCount", "prompt_token_count", "prompt_tokens", "inputTokenCount", "inputTokens")
_ANSWER: Final = ("tokenCount", "generation_token_count", "completion_tokens", "outputTokenCount", "outputTokens")
_REASONS: Final = ("stop_reason", "stopReason", "completionReason", "finish_reason")


def read_invoked(call: LLMCall, answer: object) -> ErrorType | None:
    """A whole answer of a model: Nova, Titan, Llama, Mistral, Cohere, AI21, gpt-oss."""
    report = pick(answer, "usage")
    result = next(items(answer, "results"), None) or next(items(answer, "choices"), None)
    call.finish_reason = next(
        (reason for place in (answer, result) for name in _REASONS if (reason := text(place, name))), None
    )
    if report is not None and count(report, "inputTokens") is not None:
        read_usage(report).put(call)
    elif report is not None:
        read_openai_usage(report).put(call)
    else:
        usage = Usage(_first(answer, result, _PROMPT), _first(answer, result, _ANSWER))
        if usage.is_reported:
            call.usage = usage
    return None


_METRICS: Final = {
    "inputTokens": "inputTokenCount",
    "outputTokens": "outputTokenCount",
    "cacheReadInputTokens": "cacheReadInputTokenCount",
    "cacheWriteInputTokens": "cacheWriteInputTokenCount",
}
"""What Bedrock's own counts at the end of a stream are called, by the words of Converse."""


def _first(answer: object, result: object, names: tuple[str, ...]) -> int | None:
    return next((tokens for at in (answer, result) for name in names if (tokens := count(at, name)) is not None), None)


class InvokedEvents(WholeAnswer):
    """Reads a streamed answer of a model: the last event carries Bedrock's own counts."""

    tail = TAIL

    def __init__(self) -> None:
        super().__init__()
        self.metrics: Any = None
        self.reason: str | None = None

    def feed(self, event: object, call: LLMCall) -> bool:
        """Note one event."""
        if pick(event, "is_failure"):
            self.error_type = failure_of_event(text(event, "kind"))
            return False
        fields = plain(event)
        metrics = fields.get("amazon-bedrock-invocationMetrics") if type(fields) is dict else None
        choice = next(items(event, "choices"), None)
        for place in (event, choice, pick(event, "messageStop")):
            for name in _REASONS:
                self.reason = text(place, name) or self.reason
        if metrics is not None:
            self.metrics = metrics
            self.is_complete = True
        elif not self.started:
            self.start(call)
        return False

    def fill(self, call: LLMCall) -> None:
        """Put what the last event said into the record."""
        call.finish_reason = self.reason
        if self.metrics is None:
            return
        read_usage({name: pick(self.metrics, sent) for name, sent in _METRICS.items()}).put(call)


CONVERSE: Final = Api(
    "bedrock",
    "converse",
    "chat",
    read_converse,
    ConverseEvents,
    facts=facts,
    input_content=said,
    output_content=converse_content,
)
_INVOKE: Final = Api(
    "bedrock", "invoke_model", "chat", read_invoked, InvokedEvents, facts=invoke_facts, input_content=said
)
_CLAUDE: Final = replace(MESSAGES, vendor="bedrock")
_ENDS: Final = {"converse": False, "converse-stream": True, "invoke": False, "invoke-with-response-stream": True}


def route(path: str) -> tuple[Api, str, bool] | None:
    """The API behind a path `/model/{id}/converse`, the model, and whether the answer streams."""
    start, _, end = path.rpartition("/")
    stream = _ENDS.get(end)
    before, found, model = start.partition("/model/")
    if stream is None or not found or before:
        return None
    if end.startswith("converse"):
        return CONVERSE, model, stream
    api = _CLAUDE if "anthropic." in model else _INVOKE
    if "embed" in model:
        api = replace(_INVOKE, operation="embeddings")
    return api, model, stream
