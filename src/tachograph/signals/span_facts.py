"""What a finished record says on its span: attributes, events, status. Data only; `spans.py` puts it on a span."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from operator import attrgetter, itemgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from tachograph.records.content import SENTINELS
from tachograph.records.projection import Projection, error_text, project
from tachograph.records.redact import redact
from tachograph.records.run import FIELDS as RUN_FIELDS
from tachograph.signals import semconv as s

if TYPE_CHECKING:
    from tachograph.records import LLMCall, ToolCall

Attributes = dict[str, Any]
EventFacts = tuple[str, int, Attributes]
"""Name, UTC nanoseconds, attributes."""

LLM_SPAN: Final = "llm.complete"
TOOL_SPAN: Final = "mcp.tool.execute"
ATTEMPT_EVENT: Final = "llm.attempt"
RATE_LIMIT_WAIT_EVENT: Final = "llm.rate_limit_wait"
RETRY_WAIT_EVENT: Final = "llm.retry_wait"
LIMITER_WAIT_EVENT: Final = "llm.limiter_wait"


def llm_base(call: LLMCall) -> Attributes:
    """What is known of a call before it begins, the same for all calls of one provider, model and operation."""
    return {
        "provider": call.provider,
        "model": call.model,
        s.OPERATION_NAME: call.operation,
        s.PROVIDER_NAME: s.provider_name(call.provider, None),
        s.REQUEST_MODEL: call.model,
    }


def llm_attributes(call: LLMCall) -> Attributes:
    """Everything known about a finished LLM call, by the contract's names and by OpenTelemetry's."""
    facts = projected(project(call))
    facts["prompt_length"] = call.message_count
    if call.server_address:
        facts[s.PROVIDER_NAME] = s.provider_name(call.provider, call.server_address)
        facts[s.SERVER_ADDRESS] = call.server_address
        if call.server_port:
            facts[s.SERVER_PORT] = call.server_port
    settings = call.settings()
    if settings:
        for name, value in settings.items():
            if value is not None and type(value).__name__ not in SENTINELS:
                facts[s.REQUEST_PREFIX + name] = _plain(value)
    if call.content:
        _add_content(facts, call.content, input=s.INPUT_MESSAGES, output=s.OUTPUT_MESSAGES)
    return facts


def tool_attributes(call: ToolCall) -> Attributes:
    """Everything known about a finished tool call, by the contract's names and by OpenTelemetry's."""
    facts = projected(project(call))
    facts[s.MCP_METHOD_NAME] = "tools/call"
    facts["arg_count"] = call.argument_count
    if call.attributes:
        for name, value in call.attributes.items():
            if value is not None:
                facts[name] = _plain(value)
    if call.content:
        _add_content(facts, call.content, arguments=s.TOOL_CALL_ARGUMENTS, result=s.TOOL_CALL_RESULT)
    return facts


def projected(row: Projection) -> Attributes:
    """The attributes that a projection gives, beside what the span itself says: its ids, its times, its parent.

    `console/ingest/otlp/traces.py` reads them back.
    """
    facts = _of_llm_call(row) if row.kind == "llm" else _of_tool_call(row)
    if row.outcome != "success":
        facts[s.OUTCOME] = row.outcome
    if row.parent_id is not None:
        facts[s.PARENT_CALL_ID] = row.parent_id.hex()
    if row.api_key_hint is not None:
        facts[s.API_KEY_HINT] = row.api_key_hint
    if row.labels:
        for key, label in row.labels.items():
            facts[s.LABEL_PREFIX + key] = label
    if row.run_id is not None or row.session_id is not None or row.user_id is not None or row.agent is not None:
        for name, value in zip(RUN_NAMES, _run(row), strict=True):
            if value is not None:
                facts[name] = value
    return facts


RUN_NAMES: Final = (
    s.EXECUTION_ID,
    s.RUN_ID,
    s.PARENT_RUN_ID,
    s.AGENT_NAME,
    s.CONVERSATION_ID,
    s.USER_ID,
    s.AGENT_VERSION,
)
"""The attributes of a run, in the order of `records.run.FIELDS`."""
_run: Final = attrgetter(*RUN_FIELDS)


def _of_tool_call(row: Projection) -> Attributes:
    facts = {
        s.CALL_ID: row.id.hex(),
        s.OPERATION_NAME: row.operation,
        s.TOOL_NAME: row.model,
        "server_id": row.provider,
        "tool_name": row.model,
    }
    if row.response_id:
        facts[s.TOOL_CALL_ID] = row.response_id
    if row.error_type is not None:
        facts["error_kind"] = facts[s.ERROR_TYPE] = row.error_type
    return facts


_WORDS: Final = {
    "error_type": "error_type",
    s.ERROR_TYPE: "error_type",
    s.REQUEST_STREAM: "stream",
    s.USAGE_MISMATCH: "usage_mismatch",
    s.SPEED: "speed",
    s.REGION: "region",
    s.TRAFFIC_TYPE: "traffic_type",
    s.RESPONSE_MODEL: "response_model",
    s.RESPONSE_ID: "response_id",
    s.REQUEST_ID: "request_id",
}
"""The attributes of an LLM call that are a field of its projection, where that is not empty."""
_words_of: Final = attrgetter(*_WORDS.values())
_is_said: Final = itemgetter(1)
_LLM_FACTS: Final[tuple[tuple[str, Callable[[Projection], Any]], ...]] = (
    (s.RESPONSE_TIME_TO_FIRST_CHUNK, lambda row: None if row.ttft_us is None else row.ttft_us / 1e6),
    (s.RATE_LIMIT_WAIT, lambda row: row.wait_us / 1e6 if row.wait_us else None),
    (s.RETRY_WAIT, lambda row: row.retry_wait_us / 1e6 if row.retry_wait_us else None),
    (s.COUNTED, lambda row: None if row.counted else False),
    (s.USAGE_INPUT_TOKENS, lambda row: row.input_tokens),
    ("prompt_tokens", lambda row: row.input_tokens if row.outcome == "success" else None),
    (s.USAGE_OUTPUT_TOKENS, lambda row: row.output_tokens),
    ("completion_tokens", lambda row: row.output_tokens if row.outcome == "success" else None),
    (s.AUDIO_SECONDS, lambda row: row.audio_seconds),
    (s.STATED_COST_USD, lambda row: _usd(row.stated_cost_nusd)),
    (s.RESPONSE_FINISH_REASONS, lambda row: (row.finish_reason,) if row.finish_reason else None),
)
"""Those that are worked out of it."""
_COST_FACTS: Final[tuple[tuple[str, Callable[[Projection], Any]], ...]] = (
    (s.COST_QUALITY, lambda row: row.cost_quality),
    (s.COST_USD, lambda row: _usd(row.cost_nusd)),
    (s.PRICE_SOURCE, lambda row: row.price_source or None),
    (s.COST_DETAIL, lambda row: row.cost_detail or None),
    (s.LIST_COST_USD, lambda row: _usd(row.list_cost_nusd)),
)
"""Those of a call whose cost was worked out."""


def _usd(nano_usd: int | None) -> float | None:
    return None if nano_usd is None else nano_usd / 1e9


def _of_llm_call(row: Projection) -> Attributes:
    provider, model = row.provider, row.model
    facts: Attributes = {
        s.CALL_ID: row.id.hex(),
        s.OPERATION_NAME: row.operation,
        s.PROVIDER_NAME: s.PROVIDERS.get(provider, provider),
        s.REQUEST_MODEL: model,
        s.ATTEMPTS: row.attempts,
        "provider": provider,
        "model": model,
    }
    facts.update(filter(_is_said, zip(_WORDS, _words_of(row), strict=True)))
    for name, read in _LLM_FACTS if row.cost_quality is None else (*_LLM_FACTS, *_COST_FACTS):
        value = read(row)
        if value is not None:
            facts[name] = value
    for detail, tokens in (row.details or {}).items():
        facts[s.USAGE_DETAILS.get(detail) or s.DETAIL_PREFIX + detail] = tokens
    for tool, times in (row.tool_uses or {}).items():
        facts[s.TOOL_USE_PREFIX + tool] = times
    is_openai = provider in ("openai", "azure")  # OpenTelemetry names these two for OpenAI only
    if row.api:
        facts[s.OPENAI_API_TYPE if is_openai else s.API] = row.api
    if row.service_tier:
        facts[s.OPENAI_RESPONSE_SERVICE_TIER if is_openai else s.SERVICE_TIER] = row.service_tier
    return facts


BUDGET_STEP_EVENT: Final = "tachograph.budget.step"


def llm_events(call: LLMCall) -> list[EventFacts]:
    """Each attempt at its end, each wait at its end, and the exception, in the order in which they happened."""
    events = waits_and_attempts(call)
    for step in call.budget_steps:
        ended = call.started_unix_ns - call.started_ns + call.ended_ns
        facts: Attributes = {"budget": step.budget, "step": step.step * 100, "spent_usd": float(step.spent_usd)}
        events.append((BUDGET_STEP_EVENT, ended, {**facts, "limit_usd": float(step.limit_usd)}))
    if isinstance(call.error, BaseException) and call.outcome != "cancelled":
        ended = call.started_unix_ns - call.started_ns + call.ended_ns
        events.append(exception_event(call.error, ended, call.traceback, keeps_content=bool(call.content)))
    return events


def waits_and_attempts(call: LLMCall) -> list[EventFacts]:
    """Each attempt and each wait at its end."""
    offset = call.started_unix_ns - call.started_ns
    events: list[EventFacts] = []
    for attempt in call.attempts:
        if attempt.waited_before_ns:
            waited = {"seconds": attempt.waited_before_ns / 1e9, "limiter": "client"}
            events.append((LIMITER_WAIT_EVENT, offset + attempt.started_ns, waited))
        facts: Attributes = {
            "number": attempt.number,
            "outcome": attempt.outcome or "error",
            "seconds": (attempt.ended_ns - attempt.started_ns) / 1e9,
        }
        if attempt.status is not None:
            facts[s.HTTP_STATUS] = attempt.status
        if attempt.error_type is not None:
            facts["error_type"] = attempt.error_type
        if attempt.retry_after_seconds is not None:
            facts["retry_after_seconds"] = attempt.retry_after_seconds
        if attempt.request_id:
            facts["request_id"] = attempt.request_id
        events.append((ATTEMPT_EVENT, offset + attempt.ended_ns, facts))
        if attempt.waited_ns:
            name = RATE_LIMIT_WAIT_EVENT if attempt.outcome == "rate_limited" else RETRY_WAIT_EVENT
            ended = offset + attempt.ended_ns + attempt.waited_ns
            events.append((name, ended, {"seconds": attempt.waited_ns / 1e9, "after_attempt": attempt.number}))
    if call.unsent_wait_ns:
        waited = {"seconds": call.unsent_wait_ns / 1e9, "limiter": "client"}
        events.append((LIMITER_WAIT_EVENT, offset + call.ended_ns, waited))
    return events


def tool_events(call: ToolCall) -> list[EventFacts]:
    """The exception, or the error result."""
    error = call.error
    if error is None or call.outcome == "cancelled":
        return []
    ended = call.started_unix_ns + call.ended_ns - call.started_ns
    if isinstance(error, BaseException):
        return [exception_event(error, ended, call.traceback, keeps_content=bool(call.content))]
    return [("exception", ended, {s.EXCEPTION_TYPE: "ToolError", s.EXCEPTION_MESSAGE: error})]


def exception_event(
    error: BaseException, at_unix_ns: int, trace: TracebackType | None, *, keeps_content: bool = False
) -> EventFacts:
    """An exception as the OpenTelemetry SDK records it; without secrets, and without prompts unless content is kept.

    Args:
        error: The exception.
        at_unix_ns: When.
        trace: Its traceback where the call ended: the exception's own grows on its way through the application.
        keeps_content: Whether what was said is recorded.
    """
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    facts: Attributes = {
        s.EXCEPTION_TYPE: name,
        s.EXCEPTION_MESSAGE: redact(str(error), keeps_content=keeps_content),
        s.EXCEPTION_STACKTRACE: redact(
            "".join(traceback.format_exception(kind, error, trace, limit=-30)),
            keeps_content=keeps_content,
        ),
        s.EXCEPTION_ESCAPED: "True",
    }
    return "exception", at_unix_ns, facts


def failure(record: LLMCall | ToolCall) -> str | None:
    """The status description of a record that failed; None for one that did not (cancelled ones have not)."""
    if record.outcome in ("success", "cancelled", None):
        return None
    if isinstance(record.error, BaseException):
        return (error_text(record) or "")[:500]
    word = getattr(record, "error_type", None) or getattr(record, "error_kind", None)
    return str(word or record.outcome)


def _add_content(facts: Attributes, content: object, **names: str) -> None:
    if not isinstance(content, Mapping):
        return
    for key, name in names.items():
        value = content.get(key)
        if value is not None:
            facts[name] = str(value)


def _plain(value: object) -> object:
    """A value that OpenTelemetry takes: plain ones as they are, lists of plain ones as tuples, the rest as text."""
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(part, (str, bool, int, float)) for part in value):
        return tuple(value) if len({type(part) for part in value}) <= 1 else tuple(str(part) for part in value)
    return str(value)
