"""Failures of the simulators, as the vendors' real SDKs see them."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors as genai_errors

from support.asking import (
    ASK,
    CLAUDE,
    FULL,
    MESSAGES,
    Asked,
    anthropic_client,
    ask_anthropic,
    ask_anthropic_stream,
    ask_gemini,
    ask_gemini_stream,
    ask_openai,
    ask_openai_stream,
    gemini_client,
    openai_client,
)
from tachograph_demo.simulators import (
    Answer,
    BadRequest,
    BillingProblem,
    Conflict,
    ContentPolicy,
    ContextTooLong,
    Disconnect,
    Failure,
    Forbidden,
    Gate,
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

FAILURES: dict[str, tuple[Failure, type[Exception], type[Exception], int]] = {
    "rate limit": (RateLimited(), openai.RateLimitError, anthropic.RateLimitError, 429),
    "quota": (QuotaExhausted(), openai.RateLimitError, anthropic.RateLimitError, 429),
    "unauthorized": (Unauthorized(), openai.AuthenticationError, anthropic.AuthenticationError, 401),
    "forbidden": (Forbidden(), openai.PermissionDeniedError, anthropic.PermissionDeniedError, 403),
    "bad request": (BadRequest(), openai.BadRequestError, anthropic.BadRequestError, 400),
    "context": (ContextTooLong(), openai.BadRequestError, anthropic.BadRequestError, 400),
    "policy": (ContentPolicy(), openai.BadRequestError, anthropic.BadRequestError, 400),
    "model": (ModelNotFound(), openai.NotFoundError, anthropic.NotFoundError, 404),
    "timeout": (RequestTimeout(), openai.APIStatusError, anthropic.APIStatusError, 408),
    "conflict": (Conflict(), openai.ConflictError, anthropic.ConflictError, 409),
    "too large": (TooLarge(), openai.APIStatusError, anthropic.APIStatusError, 413),
    "unprocessable": (
        Unprocessable(),
        openai.UnprocessableEntityError,
        anthropic.UnprocessableEntityError,
        422,
    ),
    "server": (ServerError(), openai.InternalServerError, anthropic.InternalServerError, 500),
    "bad gateway": (ServerError(status=502), openai.InternalServerError, anthropic.InternalServerError, 502),
    "gateway timeout": (GatewayTimeout(), openai.InternalServerError, anthropic.InternalServerError, 504),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_the_exceptions_that_the_sdks_raise(simulators: Simulators, name: str) -> None:
    failure, openai_error, anthropic_error, status = FAILURES[name]
    for vendor in simulators.vendors:
        vendor.script(failure)
    with pytest.raises(openai_error) as from_openai:
        ask_openai(simulators)
    with pytest.raises(anthropic_error) as from_anthropic:
        ask_anthropic(simulators)
    with pytest.raises(genai_errors.APIError) as from_gemini:
        ask_gemini(simulators)
    assert from_openai.value.status_code == status  # type: ignore[attr-defined]
    assert from_anthropic.value.status_code == status  # type: ignore[attr-defined]
    assert from_gemini.value.code == status
    assert [e.status for e in simulators.served] == [status] * 3
    assert not any(e.is_success for e in simulators.served)


def test_vendors_say_quota_overload_and_bad_keys_each_in_their_own_way(simulators: Simulators) -> None:
    for vendor in simulators.vendors:
        vendor.script(QuotaExhausted(), Overloaded(), InvalidKey())
    with pytest.raises(openai.RateLimitError) as quota:
        ask_openai(simulators)
    assert quota.value.code == "insufficient_quota"
    with pytest.raises(openai.InternalServerError) as overloaded:
        ask_openai(simulators)
    assert overloaded.value.status_code == 503
    with pytest.raises(openai.AuthenticationError):
        ask_openai(simulators)

    with pytest.raises(anthropic.RateLimitError) as spend:
        ask_anthropic(simulators)
    assert spend.value.error_code == "enforced_spend_limit_reached"
    with pytest.raises(anthropic.InternalServerError) as overloaded_529:
        ask_anthropic(simulators)
    assert (type(overloaded_529.value).__name__, overloaded_529.value.status_code) == ("OverloadedError", 529)
    simulators.anthropic.clear()
    simulators.anthropic.script(BillingProblem())
    with pytest.raises(anthropic.APIStatusError) as billing:
        ask_anthropic(simulators)
    assert billing.value.status_code == 402

    with pytest.raises(genai_errors.ClientError) as per_day:
        ask_gemini(simulators)
    assert "PerDay" in json.dumps(per_day.value.details)
    with pytest.raises(genai_errors.ServerError):
        ask_gemini(simulators)
    with pytest.raises(genai_errors.ClientError) as key:
        ask_gemini(simulators)
    assert (key.value.code, "API_KEY_INVALID" in json.dumps(key.value.details)) == (400, True)


def test_only_accepted_keys_are_let_in(simulators: Simulators) -> None:
    for vendor in simulators.vendors:
        vendor.accepted_keys = {"another"}
    try:
        with pytest.raises(openai.AuthenticationError):
            ask_openai(simulators)
        with pytest.raises(anthropic.AuthenticationError):
            ask_anthropic(simulators)
        with pytest.raises(genai_errors.ClientError):
            ask_gemini(simulators)
        for vendor in simulators.vendors:
            vendor.accepted_keys = {"key"}
        assert ask_openai(simulators).text
        assert ask_anthropic(simulators).text
        assert ask_gemini(simulators).text
    finally:
        for vendor in simulators.vendors:
            vendor.accepted_keys = None


def test_retry_after_takes_every_form(simulators: Simulators) -> None:
    forms: list[Any] = ["seconds", "milliseconds", "date"]
    headers = []
    for form in forms:
        simulators.openai.script(RateLimited(retry_after=2, retry_after_form=form))
        with pytest.raises(openai.RateLimitError) as raised:
            ask_openai(simulators)
        headers.append(raised.value.response.headers)
    assert headers[0]["retry-after"] == "2"
    assert headers[1]["retry-after-ms"] == "2000"
    assert "GMT" in headers[2]["retry-after"]
    simulators.gemini.script(RateLimited(retry_after=0.25, retry_after_form="retry_info"))
    with pytest.raises(genai_errors.ClientError) as quota:
        ask_gemini(simulators)
    assert '"retryDelay": "0.25s"' in json.dumps(quota.value.details)


def test_gap_is_what_the_client_waited_between_attempts(simulators: Simulators) -> None:
    simulators.openai.script(RateLimited(retry_after=0.1), RateLimited(retry_after=0.2))
    client = openai_client(simulators, max_retries=2)
    began = time.monotonic()
    client.chat.completions.create(model="gpt-5", messages=MESSAGES)
    elapsed = time.monotonic() - began
    first, second, third = simulators.served
    assert [e.attempt for e in (first, second, third)] == [1, 2, 3]
    assert first.gap_seconds is None
    assert second.gap_seconds is not None
    assert third.gap_seconds is not None
    assert second.gap_seconds >= 0.1
    assert third.gap_seconds >= 0.2
    assert second.gap_seconds + third.gap_seconds <= elapsed
    assert second.ended is not None
    assert third.gap_seconds == third.started - second.ended


@pytest.mark.parametrize("api", [name for name in ASK if "stream" not in name and name != "interactions"])
@pytest.mark.parametrize("fault", [Reset(), Reset(after_headers=True), Disconnect(), malformed(), Raw(), "refused"])
def test_broken_answers_break_the_call(simulators: Simulators, api: str, fault: Any) -> None:
    vendor, ask = ASK[api]
    simulator = getattr(simulators, vendor)
    if fault == "refused":
        simulator.vanish()
    else:
        simulator.script(fault)
    try:
        with pytest.raises(Exception):  # noqa: B017, PT011  # each SDK has its own
            ask(simulators)
    finally:
        if fault == "refused":
            simulator.come_back()
    assert ask(simulators).text


@pytest.mark.parametrize("after_headers", [False, True])
def test_hanging_answers_end_with_the_clients_patience(simulators: Simulators, after_headers: bool) -> None:
    for vendor in simulators.vendors:
        vendor.script(Hang(after_headers=after_headers))
    with pytest.raises(openai.APITimeoutError):
        openai_client(simulators, timeout=0.2).chat.completions.create(model="gpt-5", messages=MESSAGES)
    with pytest.raises(anthropic.APITimeoutError):
        anthropic_client(simulators, timeout=0.2).messages.create(model=CLAUDE, max_tokens=9, messages=MESSAGES)
    gemini = gemini_client(simulators, timeout=200)
    with pytest.raises(Exception, match="timed out"):
        gemini.models.generate_content(model="gemini-2.5-pro", contents="x")
    assert [e.client_gone for e in simulators.served.wait(3)] == [True] * 3


@pytest.mark.parametrize("api", [name for name in ASK if "stream" in name])
@pytest.mark.parametrize("ending", ["eof", "drop", "reset"])
def test_cut_streams_never_tell_the_full_usage(simulators: Simulators, api: str, ending: Any) -> None:
    vendor, ask = ASK[api]
    answer = Answer(text="one two three four", pieces=4, usage=FULL, ending=ending, cut_after=2)
    getattr(simulators, vendor).script(answer)
    try:
        asked: Asked | None = ask(simulators)
    except Exception:  # noqa: BLE001  # what is raised differs by SDK and ending
        asked = None
    if ending in ("drop", "reset"):
        assert asked is None
    (exchange,) = simulators.served.wait(1)
    assert (exchange.pieces_sent, exchange.is_complete, exchange.is_success) == (2, False, False)
    assert exchange.usage != FULL
    assert exchange.full_usage == FULL


def test_errors_inside_streams_look_like_the_vendors(simulators: Simulators) -> None:
    for vendor in simulators.vendors:
        vendor.script(Answer(text="one two", pieces=2, ending=StreamError(kind="overloaded", message="too much")))
    with pytest.raises(openai.APIError, match="too much") as from_openai:
        ask_openai_stream(simulators)
    assert not isinstance(from_openai.value, openai.APIStatusError)
    with pytest.raises(anthropic.APIStatusError) as from_anthropic:
        ask_anthropic_stream(simulators)
    assert (from_anthropic.value.status_code, from_anthropic.value.type) == (200, "overloaded_error")
    with pytest.raises(genai_errors.ServerError, match="too much"):
        ask_gemini_stream(simulators)


def test_responses_streams_can_fail_without_an_exception(simulators: Simulators) -> None:
    simulators.openai.script(
        Answer(ending=StreamError(shape="response.failed")),
        Answer(ending=StreamError(shape="flat")),
        Answer(finish="length"),
    )
    client = openai_client(simulators)
    last = [list(client.responses.create(model="gpt-5", input="x", stream=True))[-1].type for _ in range(3)]
    assert last == ["response.failed", "error", "response.incomplete"]


def test_gates_hold_an_answer_until_they_open(simulators: Simulators) -> None:
    gate = Gate()
    simulators.openai.script(Answer(text="one two three", pieces=3, gate=gate, gate_after=1))
    stream = iter(openai_client(simulators).chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True))
    read = [next(stream), next(stream)]
    gate.wait_reached()
    assert "".join(c.choices[0].delta.content or "" for c in read) == "one "
    assert simulators.served[0].ended is None
    gate.open()
    rest = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    assert rest == "two three"
    assert simulators.served[0].is_complete


def test_a_closed_stream_is_a_client_gone(simulators: Simulators) -> None:
    gate = Gate()
    simulators.openai.script(Answer(text="one two three", pieces=3, gate=gate, gate_after=1))
    stream = openai_client(simulators).chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
    next(iter(stream))
    gate.wait_reached()
    stream.close()
    (exchange,) = simulators.served.wait(1)
    assert (exchange.client_gone, exchange.is_complete, exchange.pieces_sent) == (True, False, 1)


def test_a_retry_after_date_lies_ahead(simulators: Simulators) -> None:
    simulators.anthropic.script(RateLimited(retry_after=30, retry_after_form="date"))
    with pytest.raises(anthropic.RateLimitError) as raised:
        ask_anthropic(simulators)
    told = parsedate_to_datetime(raised.value.response.headers["retry-after"])
    ahead = (told - datetime.now(UTC)).total_seconds()
    assert 15 <= ahead <= 31
