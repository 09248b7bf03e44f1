"""The table of categories, each row provoked against the simulators through the real SDKs."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from support.exhaustive import part
from support.ways import VENDORS, Way
from tachograph.llm.errors import ERROR_CLASSES, ProviderError
from tachograph.llm.retry import NO_RETRIES
from tachograph.records import outcome_of
from tachograph.testing import Recording
from tachograph_demo.simulators import (
    Answer,
    BadRequest,
    BillingProblem,
    Conflict,
    ContentPolicy,
    ContextTooLong,
    Disconnect,
    Forbidden,
    GatewayTimeout,
    Hang,
    InvalidKey,
    ModelNotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Raw,
    RequestTimeout,
    Reset,
    ServerError,
    Simulators,
    StreamError,
    TooLarge,
    Unauthorized,
    Unprocessable,
    malformed,
)


@dataclass(frozen=True)
class Row:
    """What a vendor does, and what it is called."""

    name: str
    item: Any
    category: str
    status: int | dict[str, int] | None
    retryable: bool = False
    modes: tuple[bool, ...] = (False, True)
    only: tuple[str, ...] = ("openai", "anthropic", "gemini")
    api: str | None = None


STREAMED, WHOLE = (True,), (False,)
ROWS = [
    Row("unauthorized", Unauthorized(), "auth", 401),
    Row("invalid key", InvalidKey(), "auth", {"openai": 401, "anthropic": 401, "gemini": 400}),
    Row("forbidden", Forbidden(), "auth", 403),
    Row("rate limited", RateLimited(retry_after=0.2), "rate_limit", 429, True),
    Row("quota", QuotaExhausted(), "quota", 429),
    Row("billing", BillingProblem(), "quota", {"openai": 429, "anthropic": 402}, only=("openai", "anthropic")),
    Row("bad request", BadRequest(), "invalid_request", 400),
    Row("context too long", ContextTooLong(), "invalid_request", 400),
    Row("model not found", ModelNotFound(), "invalid_request", 404),
    Row("conflict", Conflict(), "invalid_request", 409),
    Row("too large", TooLarge(), "invalid_request", 413),
    Row("unprocessable", Unprocessable(), "invalid_request", 422),
    Row("content policy", ContentPolicy(), "content_filter", 400, only=("openai", "anthropic")),
    Row("request timeout", RequestTimeout(), "timeout", 408, True),
    Row("server error", ServerError(), "server_error", 500, True),
    Row("bad gateway", ServerError(status=502), "server_error", 502, True),
    Row("overloaded", Overloaded(), "server_error", {"openai": 503, "anthropic": 529, "gemini": 503}, True),
    Row("gateway timeout", GatewayTimeout(), "server_error", 504, True, only=("openai", "anthropic")),
    Row("deadline at the server", GatewayTimeout(), "timeout", 504, True, only=("gemini",)),
    Row("hang", Hang(), "timeout", None, True),
    Row("hang after headers", Hang(after_headers=True), "timeout", None, True),
    Row("reset", Reset(), "connection", None, True),
    Row("reset after headers", Reset(after_headers=True), "connection", None, True),
    Row("disconnect", Disconnect(), "connection", None, True),
    Row("a page of HTML with 200", Raw(), "server_error", None, True, modes=WHOLE),
    Row("an empty answer with 200", Raw(body=b"{}", content_type="application/json"), "server_error", 200, True, WHOLE),
    Row("a page of HTML with 502", Raw(status=502), "server_error", 502, True),
    Row("JSON that stops", malformed(), "server_error", None, True, modes=WHOLE),
    Row("the filter ends the answer", Answer(text="begun", finish="content_filter"), "content_filter", 200),
    Row("a refusal", Answer(text="", finish="refusal"), "content_filter", 200, only=("anthropic",)),
    Row("a blocked prompt", Answer(finish="blocked_prompt"), "content_filter", 200, only=("gemini",)),
    Row("an error event", Answer(ending=StreamError()), "server_error", None, True, STREAMED),
    Row("overloaded in a stream", Answer(ending=StreamError(kind="overloaded")), "server_error", None, True, STREAMED),
    Row("rate limit in a stream", Answer(ending=StreamError(kind="rate_limit")), "rate_limit", None, True, STREAMED),
    Row(
        "invalid in a stream",
        Answer(ending=StreamError(kind="invalid_request")),
        "invalid_request",
        None,
        False,
        STREAMED,
    ),
    Row(
        "response.failed",
        Answer(ending=StreamError(shape="response.failed")),
        "server_error",
        None,
        True,
        STREAMED,
        ("openai",),
        "responses",
    ),
    Row(
        "a flat error event",
        Answer(ending=StreamError(shape="flat")),
        "server_error",
        None,
        True,
        STREAMED,
        ("openai",),
        "responses",
    ),
    Row("a stream that just ends", Answer(text="a b c d", pieces=4, ending="eof"), "connection", 200, True, STREAMED),
    Row("a stream dropped", Answer(text="a b c d", pieces=4, ending="drop"), "connection", None, True, STREAMED),
    Row("a stream reset", Answer(text="a b c d", pieces=4, ending="reset"), "connection", None, True, STREAMED),
    Row("a stream that hangs", Answer(text="a b c d", pieces=4, ending="hang"), "timeout", None, True, STREAMED),
]
CASES = [
    (row, Way(vendor, is_async, is_stream, options))
    for row in ROWS
    for vendor, options in VENDORS
    if vendor in row.only and row.api in (None, options.get("api"))
    for is_stream in row.modes
    for is_async in (False, True)
]


def name(case: tuple[Row, Way]) -> str:
    return f"{case[0].name}-{case[1]}"


@pytest.mark.parametrize("case", part(CASES, *CASES[::5]), ids=name)
def test_a_row_of_the_table(case: tuple[Row, Way], simulators: Simulators, seen: Recording) -> None:
    row, way = case
    getattr(simulators, way.vendor).script(row.item)
    provider = way.provider(simulators, retry=NO_RETRIES, timeout_seconds=0.3 if "hang" in row.name else 20.0)

    with pytest.raises(ProviderError) as caught:
        way.ask(provider)

    error = caught.value
    status = row.status[way.vendor] if isinstance(row.status, dict) else row.status
    assert (type(error), error.category, error.retryable) == (
        ERROR_CLASSES[error.category],
        row.category,
        row.retryable,
    )
    if status is not None:
        assert error.status == status
    (call,) = seen.llm_calls
    outcome = outcome_of(error.category)
    assert (call.outcome, call.error_type, call.error) == (outcome, row.category, error)
    (attempt,) = call.attempts
    assert (attempt.outcome, attempt.error_type) == (outcome, row.category)
    assert attempt.ended_ns
    assert error.call is call
    labels = {"provider": way.vendor, "model": way.model}
    assert seen.value("llm_provider_errors_total", error_type=row.category, **labels) == 1
    assert seen.value("llm_provider_errors_total", **labels) == 1
    assert seen.value("llm_provider_request_seconds_count", outcome=outcome, **labels) == 1


def test_a_refused_connection(simulators: Simulators, seen: Recording) -> None:
    for vendor, options in VENDORS:
        for is_async in (False, True):
            way = Way(vendor, is_async, False, options)
            with pytest.raises(ProviderError) as caught:
                way.ask(way.provider(simulators, retry=NO_RETRIES, base_url="http://127.0.0.1:9/v1"))
            assert (caught.value.category, caught.value.retryable) == ("connection", True)
            assert seen.llm_calls[-1].attempts[0].status is None
            assert "refused" in str(caught.value) or "attempts failed" in str(caught.value)
            assert str(caught.value).endswith(". Check the network, proxies and the base URL")


def test_an_answer_cut_by_its_length_is_no_error(way: Way, simulators: Simulators, seen: Recording) -> None:
    getattr(simulators, way.vendor).script(Answer(text="begun", finish="length"))
    response = way.ask(way.provider(simulators))
    assert (response.text, response.finish_reason) == ("begun", "length")
    assert seen.llm_calls[0].outcome == "success"


def test_the_error_carries_what_support_will_ask_for(simulators: Simulators, seen: Recording) -> None:
    simulators.anthropic.script(Overloaded())
    way = Way("anthropic", False, False)
    with pytest.raises(ProviderError) as caught:
        way.ask(way.provider(simulators, retry=NO_RETRIES))
    error = caught.value
    assert error.request_id is not None
    assert error.request_id.startswith("req_")
    assert error.code == "overloaded_error"
    assert type(error.__cause__).__name__ == "OverloadedError"
    assert seen.llm_calls[0].attempts[0].request_id == error.request_id
    assert str(error).startswith("anthropic/claude-haiku-4-5: server_error (HTTP 529, overloaded_error): ")


def test_an_error_travels_between_processes(simulators: Simulators, seen: Recording) -> None:
    simulators.openai.script(RateLimited(retry_after=0.2))
    way = Way("openai", False, False)
    with pytest.raises(ProviderError) as caught:
        way.ask(way.provider(simulators, retry=NO_RETRIES))
    arrived = pickle.loads(pickle.dumps(caught.value))
    assert type(arrived) is type(caught.value)
    for name in ("provider", "model", "category", "status", "code", "request_id", "retryable", "retry_after_seconds"):
        assert getattr(arrived, name) == getattr(caught.value, name)
    assert str(arrived) == str(caught.value)
