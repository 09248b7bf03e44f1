"""The tables of categories, row by row, from what an answer holds; test_provoked_categories.py meets them for real."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph.vendors.anthropic.errors import anthropic_finish_failure
from tachograph.vendors.errors import failure_of
from tachograph.vendors.gemini.errors import gemini_response_failure
from tachograph.vendors.openai.errors import openai_event_failure, openai_finish_failure, openai_response_failure


def openai(code: str | None, kind: str = "invalid_request_error", message: str = "no") -> dict[str, Any]:
    return {"error": {"code": code, "type": kind, "message": message, "param": None}}


def anthropic(kind: str, message: str = "no", code: str | None = None) -> dict[str, Any]:
    return {
        "type": "error",
        "error": {"type": kind, "message": message, **({"details": {"error_code": code}} if code else {})},
    }


def gemini(status: str, *details: dict[str, Any], message: str = "no") -> dict[str, Any]:
    return {"error": {"code": 0, "status": status, "message": message, "details": list(details)}}


def quota(quota_id: str, value: str = "50") -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": quota_id, "quotaValue": value}],
    }


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46.5s"}
BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
ROWS: list[tuple[str, int, Any, str, bool]] = [
    ("openai", 401, openai("invalid_api_key"), "auth", False),
    ("openai", 403, openai("unsupported_country_region_territory"), "auth", False),
    ("openai", 429, openai("rate_limit_exceeded", "requests"), "rate_limit", True),
    ("openai", 429, openai(None), "rate_limit", True),
    ("openai", 429, openai("insufficient_quota", "insufficient_quota"), "quota", False),
    ("openai", 429, openai(None, "insufficient_quota"), "quota", False),
    ("openai", 429, openai(None, "tokens", "Request too large for gpt-4o in x on tokens per min"), "quota", False),
    ("openai", 402, {"error": "Insufficient Balance"}, "quota", False),
    ("openai", 402, {}, "quota", False),
    ("openai", 400, openai("context_length_exceeded"), "invalid_request", False),
    ("openai", 400, openai("content_policy_violation"), "content_filter", False),
    ("openai", 400, openai("content_filter"), "content_filter", False),
    (
        "openai",
        400,
        {"error": {"code": None, "message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        "content_filter",
        False,
    ),
    ("openai", 404, openai("model_not_found"), "invalid_request", False),
    ("openai", 408, {}, "timeout", True),
    ("openai", 409, openai(None), "invalid_request", False),
    ("openai", 413, "<html>too large</html>", "invalid_request", False),
    ("openai", 422, {"detail": "no"}, "invalid_request", False),
    ("openai", 500, openai(None, "server_error"), "server_error", True),
    ("openai", 501, {}, "server_error", False),
    ("openai", 503, openai("slow_down"), "server_error", True),
    ("anthropic", 401, anthropic("authentication_error"), "auth", False),
    ("anthropic", 403, anthropic("permission_error"), "auth", False),
    ("anthropic", 403, anthropic("permission_error", code="organization_on_hold"), "auth", False),
    ("anthropic", 402, anthropic("billing_error"), "quota", False),
    ("anthropic", 429, anthropic("rate_limit_error"), "rate_limit", True),
    ("anthropic", 429, anthropic("rate_limit_error", code="ramp_limit_exceeded"), "rate_limit", True),
    ("anthropic", 429, anthropic("rate_limit_error", code="enforced_spend_limit_reached"), "quota", False),
    ("anthropic", 429, anthropic("rate_limit_error", code="contract_spend_limit_reached"), "quota", False),
    (
        "anthropic",
        400,
        anthropic("invalid_request_error", "Your credit balance is too low to access"),
        "quota",
        False,
    ),
    ("anthropic", 400, anthropic("invalid_request_error", "prompt is too long: 9 > 8"), "invalid_request", False),
    (
        "anthropic",
        400,
        anthropic("invalid_request_error", "Output blocked by content filtering policy"),
        "content_filter",
        False,
    ),
    ("anthropic", 404, anthropic("not_found_error"), "invalid_request", False),
    ("anthropic", 413, anthropic("request_too_large"), "invalid_request", False),
    ("anthropic", 408, anthropic("timeout_error"), "timeout", True),
    ("anthropic", 500, anthropic("api_error"), "server_error", True),
    ("anthropic", 504, anthropic("timeout_error"), "server_error", True),
    ("anthropic", 529, anthropic("overloaded_error"), "server_error", True),
    ("anthropic", 200, anthropic("overloaded_error"), "server_error", True),
    ("anthropic", 200, anthropic("rate_limit_error"), "rate_limit", True),
    ("anthropic", 200, anthropic("something_new"), "server_error", True),
    ("gemini", 401, gemini("UNAUTHENTICATED"), "auth", False),
    ("gemini", 403, gemini("PERMISSION_DENIED"), "auth", False),
    ("gemini", 400, gemini("INVALID_ARGUMENT", BAD_KEY), "auth", False),
    ("gemini", 400, gemini("INVALID_ARGUMENT", message="API key not valid. Pass one."), "auth", False),
    ("gemini", 400, gemini("INVALID_ARGUMENT"), "invalid_request", False),
    ("gemini", 400, gemini("FAILED_PRECONDITION"), "invalid_request", False),
    ("gemini", 404, gemini("NOT_FOUND"), "invalid_request", False),
    (
        "gemini",
        429,
        gemini("RESOURCE_EXHAUSTED", RETRY_INFO, quota("GenerateRequestsPerMinutePerProject")),
        "rate_limit",
        True,
    ),
    (
        "gemini",
        429,
        gemini("RESOURCE_EXHAUSTED", RETRY_INFO, quota("GenerateRequestsPerDayPerProject")),
        "quota",
        False,
    ),
    ("gemini", 429, gemini("RESOURCE_EXHAUSTED", quota("GenerateRequestsPerMinute", "0")), "quota", False),
    ("gemini", 500, gemini("INTERNAL"), "server_error", True),
    ("gemini", 503, [gemini("UNAVAILABLE")], "server_error", True),
    ("gemini", 504, gemini("DEADLINE_EXCEEDED"), "timeout", True),
]


@pytest.mark.parametrize(("vendor", "status", "body", "category", "retryable"), ROWS)
def test_an_answer_has_its_category(vendor: str, status: int, body: Any, category: str, retryable: bool) -> None:
    failure = failure_of(vendor, status=status, headers={}, body=body)
    assert (failure.error_type, failure.retryable) == (category, retryable)


def test_what_the_server_says_about_retrying_wins_but_not_over_quota() -> None:
    no, yes = {"x-should-retry": "false"}, {"x-should-retry": "true"}
    assert not failure_of("openai", status=500, headers=no).retryable
    assert failure_of("openai", status=409, headers=yes).retryable
    assert not failure_of("openai", status=429, headers=yes, body=openai("insufficient_quota")).retryable


def test_gemini_says_how_long_to_wait_in_the_body() -> None:
    failure = failure_of("gemini", status=429, body=gemini("RESOURCE_EXHAUSTED", RETRY_INFO))
    assert failure.retry_after_seconds == 46.5


@pytest.mark.parametrize(
    ("kind", "category"),
    [
        (TimeoutError, "timeout"),
        (ConnectionResetError, "connection"),
        (BrokenPipeError, "connection"),
        (ValueError, "invalid_request"),
        (RuntimeError, "unknown"),
    ],
)
def test_exceptions_without_an_answer_are_known_by_their_class(kind: type[Exception], category: str) -> None:
    for vendor in ("openai", "anthropic", "gemini"):
        assert failure_of(vendor, error=kind("x")).error_type == category


def test_aiohttp_and_httpx2_are_known_without_being_imported() -> None:
    import aiohttp
    import httpx2

    for error, category in (
        (aiohttp.ServerDisconnectedError(), "connection"),
        (aiohttp.ClientPayloadError(), "connection"),
        (aiohttp.ConnectionTimeoutError(), "timeout"),
        (httpx2.ReadTimeout("x"), "timeout"),
        (httpx2.RemoteProtocolError("x"), "connection"),
        (httpx2.ConnectError("x"), "connection"),
    ):
        assert failure_of("gemini", error=error).error_type == category


@pytest.mark.parametrize(
    ("response", "category"),
    [
        ({"status": "completed"}, None),
        ({"status": "failed", "error": {"code": "server_error", "message": "x"}}, "server_error"),
        ({"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "x"}}, "rate_limit"),
        ({"status": "failed", "error": {"code": "bio_policy", "message": "x"}}, "content_filter"),
        ({"status": "failed", "error": {"code": "invalid_prompt", "message": "x"}}, "invalid_request"),
        ({"status": "failed", "error": None}, "server_error"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, None),
    ],
)
def test_a_response_that_failed_without_raising_has_its_category(response: dict[str, Any], category: str) -> None:
    failure = openai_response_failure(response)
    assert (failure.error_type if failure else None) == category
    event = {"type": f"response.{response['status']}", "response": response}
    failure = openai_event_failure(event)
    assert (failure.error_type if failure else None) == category


def test_other_failures_that_raise_nothing() -> None:
    flat = openai_event_failure({"type": "error", "code": "rate_limit_exceeded", "message": "slow"})
    assert flat is not None
    assert flat.error_type == "rate_limit"
    for failure in (
        openai_finish_failure("content_filter"),
        anthropic_finish_failure("refusal"),
        gemini_response_failure({"prompt_feedback": {"block_reason": "SAFETY"}, "candidates": None}),
        gemini_response_failure({"candidates": [{"finish_reason": "PROHIBITED_CONTENT"}]}),
    ):
        assert failure is not None
        assert (failure.error_type, failure.retryable) == ("content_filter", False)
    assert openai_finish_failure("length") is None
    assert anthropic_finish_failure("model_context_window_exceeded") is None
    assert gemini_response_failure({"candidates": [{"finish_reason": "MAX_TOKENS"}]}) is None
