"""A failure is categorised from whatever is known of it: status, headers, body, exception, or an answer's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from tachograph.records.outcomes import ErrorType
from tachograph.vendors.errors import failure_of
from tachograph.vendors.failures import (
    ErrorReport,
    Failure,
    FailureTable,
    categorise,
    pick_header,
    read_body,
    unreadable,
)
from tachograph.vendors.openai.errors import (
    openai_body_failure,
    openai_chat_failure,
    openai_event_failure,
    openai_failure,
    openai_finish_failure,
    openai_response_failure,
)

# The words of a body


@pytest.mark.parametrize(
    ("body", "code", "kind", "message"),
    [
        ({"error": {"code": "c", "type": "t", "message": "m"}}, "c", "t", "m"),
        ({"code": "c", "type": "t", "message": "m"}, "c", "t", "m"),
        ({"error": {"status": "s", "message": "m"}}, None, "s", "m"),
        ({"error": {"type": "t", "status": "s"}}, None, "t", ""),
        ({"error": {"detail": "d"}}, None, None, "d"),
        ({"error": {"message": "m", "detail": "d"}}, None, None, "m"),
        ({"error": {"message": "", "detail": "d"}}, None, None, "d"),
        ({"error": {"code": 429}}, "429", None, ""),
        ({"error": {"code": True}}, None, None, ""),
        ({"error": {"code": 4.5}}, None, None, ""),
        ({"error": {"code": None}}, None, None, ""),
        ({"error": {"code": "c", "details": {"error_code": "finer"}}}, "finer", None, ""),
        ({"error": {"code": "c", "details": {"other": "x"}}}, "c", None, ""),
        ({"error": {"code": "c", "details": [{"error_code": "x"}]}}, "c", None, ""),
        ({"error": None, "code": "c"}, "c", None, ""),
        ({"error": "no"}, None, None, "no"),
        ({}, None, None, ""),
    ],
)
def test_the_words_of_an_error_body_are_found_wherever_it_has_them(
    body: dict[str, Any], code: str | None, kind: str | None, message: str
) -> None:
    report = ErrorReport(code, kind, message, body)
    assert read_body(body) == read_body([body]) == report
    assert read_body(json.dumps(body)) == read_body(json.dumps([body]).encode()) == report
    assert read_body(bytearray(json.dumps(body).encode())) == report


@pytest.mark.parametrize("body", [None, 7, 7.5, [], [{"error": "a"}, {"error": "b"}]])
def test_a_body_that_is_no_error_has_no_words(body: Any) -> None:
    assert read_body(body) == ErrorReport(raw=body)
    assert read_body(json.dumps(body)) == ErrorReport(raw=body)


def test_a_body_that_is_no_json_is_the_message() -> None:
    assert (
        read_body("<html>") == read_body(b"<html>") == read_body(bytearray(b"<html>")) == ErrorReport(message="<html>")
    )
    assert read_body("ä ü".encode()) == ErrorReport(message="ä ü")
    assert read_body(b"a\xffb") == ErrorReport(message="a�b")
    assert read_body("[" * 100_000).message == "[" * 100_000
    assert read_body("") == ErrorReport()


def test_an_error_as_a_model_reads_like_one_in_json() -> None:
    body = SimpleNamespace(error=SimpleNamespace(code="c", type="t", message="m"))
    assert read_body(body) == ErrorReport("c", "t", "m", body)


# What wins over what


def refine(said: ErrorReport, status: int | None) -> ErrorType | None:
    return "content_filter" if isinstance(said.raw, dict) and said.raw.get("blocked", 0) == status else None


class OfTheVendor(Exception):
    """An exception that the table names."""


class Below(OfTheVendor):
    """One that it names by its base."""


class Refused(Exception):
    """As SDKs raise it: with a status, a body and an answer."""

    def __init__(self, words: str = "words", **facts: Any) -> None:
        super().__init__(words)
        self.__dict__.update(facts)


TABLE = FailureTable(
    codes={"exact": "quota", "typed": "auth"},
    phrases=(("too large for", "quota"), ("too large", "timeout")),
    refine=refine,
    classes={"OfTheVendor": "content_filter", "TimeoutError": "auth"},
    statuses={429: "rate_limit", 503: "timeout", 200: "auth"},
    kinds={"general": "server_error", "vague": "rate_limit"},
    request_id_header="x-id",
)


def body(code: Any = None, kind: Any = None, message: str = "", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "type": kind, "message": message}, **more}


@pytest.mark.parametrize(
    ("status", "said", "error", "category"),
    [
        # exact words, the code's before the kind's
        (429, body("exact", "typed", "too large"), None, "quota"),
        (429, body("typed", "exact", "too large"), None, "auth"),
        (429, body("other", "typed", "too large"), None, "auth"),
        # phrases, in their order and in any case
        (429, body("other", "other", "TOO LARGE for x", blocked=429), None, "quota"),
        (429, body("other", "other", "Too Large", blocked=429), None, "timeout"),
        (None, None, ValueError("too large"), "timeout"),
        (None, body(message="other"), ValueError("too large"), "invalid_request"),
        # a look at the whole body
        (429, body(blocked=429), None, "content_filter"),
        (429, body(blocked=428), None, "rate_limit"),
        # the vendor's classes win over a status, others do not
        (429, None, OfTheVendor(), "content_filter"),
        (429, None, Below(), "content_filter"),
        (429, None, ConnectionError(), "rate_limit"),
        (400, None, ConnectionError(), "invalid_request"),
        (399, None, ConnectionError(), "connection"),
        (200, None, ConnectionError(), "connection"),
        (None, None, ConnectionError(), "connection"),
        (None, None, TimeoutError(), "auth"),
        # statuses
        (429, None, None, "rate_limit"),
        (503, body("general"), None, "timeout"),
        (400, None, None, "invalid_request"),
        (499, None, None, "invalid_request"),
        (500, None, None, "server_error"),
        (599, None, None, "server_error"),
        (200, None, None, "unknown"),
        # words that are too general to win over a status, the kind's before the code's
        (None, body("vague", "general"), None, "server_error"),
        (None, body("vague", "other"), None, "rate_limit"),
        (200, body("vague"), None, "rate_limit"),
        (399, body("vague"), None, "rate_limit"),
        (400, body("vague"), None, "invalid_request"),
        (None, body("other", "other"), None, "unknown"),
        (None, None, RuntimeError("x"), "unknown"),
        (None, None, None, "unknown"),
    ],
)
def test_what_says_more_wins(status: int | None, said: Any, error: BaseException | None, category: str) -> None:
    assert categorise(TABLE, status=status, body=said, error=error).error_type == category


@pytest.mark.parametrize(
    ("kind", "module", "category"),
    [
        ("APITimeoutError", "openai", "timeout"),
        ("TimeoutException", "httpx", "timeout"),
        ("APIConnectionError", "openai", "connection"),
        ("TransportError", "httpx", "connection"),
        ("StreamError", "httpx", "connection"),
        ("ServerTimeoutError", "aiohttp.client_exceptions", "timeout"),
        ("ClientError", "aiohttp.client_exceptions", "connection"),
        ("ClientError", "elsewhere", "unknown"),
        ("HTTPError", "urllib3.exceptions", "connection"),
        ("HTTPException", "http.client", "connection"),
        ("HTTPException", "fastapi", "unknown"),
        ("GoogleAuthError", "google.auth.exceptions", "auth"),
        ("ResponseValidationError", "mistralai", "server_error"),
    ],
)
def test_an_exception_is_known_by_its_class_and_the_package_it_is_from(kind: str, module: str, category: str) -> None:
    made = type(kind, (Exception,), {"__module__": module})
    below = type("Below", (made,), {"__module__": "elsewhere"})
    for error in (made("x"), below("x")):
        assert categorise(FailureTable({}), error=error).error_type == category


# The whole failure


def test_a_failure_has_what_the_answer_says() -> None:
    headers = {"x-id": "r-1", "retry-after": "7"}
    assert categorise(TABLE, status=429, headers=headers, body=body("slow", "general", "wait")) == Failure(
        "rate_limit", True, 429, "slow", "wait", "r-1", 7.0
    )
    assert categorise(TABLE, status=400, body=body(400, "general", "no")) == Failure(
        "invalid_request", False, 400, "general", "no"
    )
    assert categorise(TABLE, status=400, body=body("400", None, "no")) == Failure(
        "invalid_request", False, 400, None, "no"
    )
    assert categorise(TABLE, status=500, body="<html>") == Failure("server_error", True, 500, message="<html>")
    assert categorise(TABLE) == Failure("unknown", False)


def test_what_is_not_given_is_read_off_the_exception() -> None:
    response = SimpleNamespace(status_code=429, headers={"x-id": "r-1", "retry-after": "7"})
    error = Refused(status_code=429, body=body("slow", None, "wait"), response=response)
    failure = Failure("rate_limit", True, 429, "slow", "wait", "r-1", 7.0)
    assert categorise(TABLE, error=error) == failure
    given = categorise(TABLE, status=503, headers={"x-id": "r-2"}, body=body("other", None, "m"), error=error)
    assert given == Failure("timeout", True, 503, "other", "m", "r-2")
    assert categorise(TABLE, error=Refused(request_id="r-3")) == Failure("unknown", False, None, None, "words", "r-3")
    assert categorise(TABLE, error=Refused(details=body("slow", None, "wait"))).message == "wait"
    both = Refused(body=body(message="body"), details=body(message="details"))
    assert categorise(TABLE, error=both).message == "body"


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({"status_code": 418}, 418),
        ({"code": 418}, 418),
        ({"response": SimpleNamespace(status_code=418)}, 418),
        ({"status_code": 418, "code": 419}, 418),
        ({"code": 418, "response": SimpleNamespace(status_code=419)}, 418),
        ({"status_code": "418", "code": 419}, 419),
        ({"status_code": 100}, 100),
        ({"status_code": 599}, 599),
        ({"status_code": 99}, None),
        ({"status_code": 600}, None),
        ({"code": "c"}, None),
        ({}, None),
    ],
)
def test_the_status_of_an_exception_is_one_of_http(facts: dict[str, Any], status: int | None) -> None:
    assert categorise(TABLE, error=Refused(**facts)).status == status


@pytest.mark.parametrize(
    ("category", "status", "should", "retryable"),
    [
        *((code, None, None, code in ("rate", "slow")) for code in ("rate", "filter", "request", "quota", "auth")),
        ("rate", 429, "false", False),
        ("rate", 429, "true", True),
        ("rate", 429, "maybe", True),
        ("request", 409, "true", True),
        ("filter", 400, "true", True),
        ("quota", 429, "true", False),
        ("auth", 401, "true", False),
        ("server", 500, None, True),
        ("server", 501, None, False),
        ("server", 502, None, True),
        ("server", 501, "true", True),
    ],
)
def test_what_may_be_tried_again(category: str, status: int | None, should: str | None, retryable: bool) -> None:
    codes: dict[str, ErrorType] = {
        "rate": "rate_limit",
        "filter": "content_filter",
        "request": "invalid_request",
        "quota": "quota",
        "auth": "auth",
        "server": "server_error",
    }
    headers = {} if should is None else {"x-should-retry": should}
    failure = categorise(FailureTable(codes), status=status, headers=headers, body=body(category))
    assert (failure.error_type, failure.retryable) == (codes[category], retryable)


def caused(*words: str) -> BaseException:
    """An exception with these causes, the outermost first."""
    error: BaseException | None = None
    for each in reversed(words):
        outer = RuntimeError(each)
        outer.__cause__ = error
        error = outer
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("Connection error.", "refused"), "Connection error: refused"),
        (("Connection error.", "middle", "refused"), "Connection error: refused"),
        (("Connection error", "refused"), "Connection error: refused"),
        (("refused by x", "refused"), "refused by x"),
        (("Connection error.", ""), "Connection error."),
        (("alone.",), "alone."),
        (("HTTP X", "refused"), "HTTP X: refused"),
        (("HTTP X...", "refused"), "HTTP X: refused"),
        (("", "refused"), ": refused"),
        (tuple("abcdefghi"), "a: i"),
        (tuple("abcdefghij"), "a: i"),
    ],
)
def test_an_exception_is_told_with_its_root(words: tuple[str, ...], message: str) -> None:
    assert categorise(TABLE, error=caused(*words)).message == message


class Headers(Mapping[str, str]):
    """As HTTP libraries have them."""

    def __getitem__(self, name: str) -> str:
        return {"x-id": "r-1"}[name.lower()]

    def __iter__(self) -> Any:
        return iter(["X-Id"])

    def __len__(self) -> int:
        return 1


def test_a_header_is_read_where_there_are_any() -> None:
    assert pick_header({"x-id": "r-1"}, "x-id") == pick_header(Headers(), "x-id") == "r-1"
    for headers, name in (
        *(({"x-id": 7}, "x-id"), ({"x-id": "r-1"}, "x"), ({}, "x-id")),
        *((None, "x-id"), ([("x-id", "r-1")], "x-id"), (7, "x")),
    ):
        assert pick_header(headers, name) is None


def test_an_answer_that_is_none_is_an_error_of_the_server() -> None:
    assert unreadable({}) == Failure(
        "server_error", True, 200, "unreadable_answer", "The answer is no answer of this API (dict)"
    )


# Vendors by their names


def test_a_failure_is_read_by_its_vendors_table_and_others_by_openais() -> None:
    facts: dict[str, Any] = {"status": 429, "headers": {"x-request-id": "o", "request-id": "a"}}
    for vendor, request_id in (("openai", "o"), ("mistral", "o"), ("anthropic", "a")):
        failure = failure_of(vendor, **facts, body={"error": {"type": "t", "message": "m"}})
        assert failure == Failure("rate_limit", True, 429, "t", "m", request_id)
    assert failure_of("openai", error=Refused(status_code=401)).error_type == "auth"
    assert failure_of("bedrock", status=429, body={"__type": "ThrottlingException"}).error_type == "rate_limit"


# OpenAI's


def test_azure_says_it_one_level_deeper_in_every_form_of_its_answer() -> None:
    error = {"code": "bad", "message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}
    failure = Failure("content_filter", False, 400, "bad", "m")
    for said in ({"error": error}, json.dumps({"error": error}), json.dumps({"error": error}).encode(), error):
        assert openai_failure(status=400, body=said) == failure
    assert openai_failure(error=Refused(status_code=400, body=error)) == failure  # the SDK keeps what is in `error`
    for inner in ("Other", "", None, {}, ["x"]):
        for place in (inner, {"code": inner}):
            other = {"error": {"code": "bad", "message": "m", "innererror": place}}
            assert openai_failure(status=404, body=other) == Failure("invalid_request", False, 404, "bad", "m")


def test_an_answer_of_openai_is_told_whole() -> None:
    headers = {"x-request-id": "r-1", "retry-after-ms": "1500"}
    said = body("slow", "requests", "wait")
    failure = Failure("rate_limit", True, 429, "slow", "wait", "r-1", 1.5)
    assert openai_failure(status=429, headers=headers, body=said) == failure
    error = Refused(status_code=429, response=SimpleNamespace(headers=headers), body=said)
    assert openai_failure(error=error) == failure


def test_an_error_event_of_a_kind_that_nobody_knows_is_the_servers() -> None:
    import httpx2

    request = httpx2.Request("POST", "https://h/v1")
    error = openai.APIError("boom", request, body={"message": "boom", "code": "odd"})
    assert openai_failure(error=error) == Failure("server_error", True, None, "odd", "boom")
    assert openai_failure(error=error, status=200).error_type == "unknown"
    known = openai.APIError("boom", request, body={"message": "boom", "code": "insufficient_quota"})
    assert openai_failure(error=known).error_type == "quota"
    assert openai_failure(error=RuntimeError("boom")) == Failure("unknown", False, message="boom")


FILTERED = Failure("content_filter", False, 200, "content_filter", "The answer was cut by the content filter")
ENDED = Failure("server_error", True, 200, "error", "The provider ended the answer with an error")
BROKEN = Failure("server_error", True, None, "odd", "boom")
NO_ANSWER = Failure("server_error", True, 200, "unreadable_answer", "The answer is no answer of this API (dict)")
SLOW = Failure("rate_limit", True, None, "rate_limit_exceeded", "wait")
SAID = {"code": "rate_limit_exceeded", "message": "wait"}


@pytest.mark.parametrize(
    ("response", "failure"),
    [
        ({"status": "completed"}, None),
        ({"status": "completed", "error": SAID}, None),
        ({"status": "failed", "error": SAID}, SLOW),
        ({"status": "failed", "error": {"code": "odd", "message": "boom"}}, BROKEN),
        ({"status": "failed"}, Failure("server_error", True)),
        ({"error": SAID}, SLOW),
        ({}, NO_ANSWER),
        ({"usage": {}}, None),
        ({"output": []}, None),
        ({"output": ()}, None),
        ({"output": "text"}, NO_ANSWER),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, FILTERED),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, None),
        ({"status": "incomplete"}, None),
        ({"status": "completed", "incomplete_details": {"reason": "content_filter"}}, None),
    ],
)
def test_a_response_says_whether_it_failed(response: dict[str, Any], failure: Failure | None) -> None:
    assert openai_response_failure(response) == failure
    for kind in ("response.failed", "response.incomplete"):
        assert openai_event_failure({"type": kind, "response": response}) == failure
    assert openai_event_failure({"type": "response.completed", "response": response}) is None


@pytest.mark.parametrize(
    ("event", "failure"),
    [
        ({"type": "error", **SAID}, SLOW),
        ({"type": "error", "error": SAID}, SLOW),
        ({"type": "error", "code": "odd", "message": "boom"}, BROKEN),
        (
            {"type": "error", "error": {"type": "tokens", "message": "wait"}},
            Failure("rate_limit", True, None, "tokens", "wait"),
        ),
        ({"type": "error", "error": SAID, "code": "invalid_api_key"}, SLOW),
        ({"type": "response.created"}, None),
        ({}, None),
    ],
)
def test_an_event_says_whether_the_stream_failed(event: dict[str, Any], failure: Failure | None) -> None:
    assert openai_event_failure(event) == failure


@pytest.mark.parametrize(
    ("reason", "failure"),
    [("content_filter", FILTERED), ("error", ENDED), ("stop", None), ("length", None), (None, None)],
)
def test_a_finish_reason_says_whether_a_chat_failed(reason: str | None, failure: Failure | None) -> None:
    assert openai_finish_failure(reason) == failure
    assert openai_chat_failure({"choices": [{"finish_reason": reason}, {"finish_reason": "error"}]}) == failure


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ({"error": SAID}, SLOW),
        ({"error": SAID, "choices": [{"finish_reason": "stop"}]}, SLOW),
        ({"choices": [{"error": SAID, "finish_reason": "error"}]}, SLOW),
        ({"choices": [{"error": "", "finish_reason": "stop"}]}, None),
        ({"error": "", "choices": [{"error": SAID}]}, SLOW),
        ({"error": "Insufficient Balance"}, Failure("quota", False, None, None, "Insufficient Balance")),
        ({"choices": []}, NO_ANSWER),
        ({}, NO_ANSWER),
        ({"choices": [{}]}, None),
    ],
)
def test_a_chat_says_whether_it_failed(answer: dict[str, Any], failure: Failure | None) -> None:
    assert openai_chat_failure(answer) == failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ("boom", Failure("server_error", True, None, None, "boom")),
        ("insufficient balance", Failure("quota", False, None, None, "insufficient balance")),
        ({"code": 429, "message": "wait"}, Failure("rate_limit", True, 429, None, "wait")),
        ({"code": 400, "message": "m"}, Failure("invalid_request", False, 400, None, "m")),
        ({"code": 599, "message": "m"}, Failure("server_error", True, 599, None, "m")),
        ({"code": 399, "message": "m"}, Failure("server_error", True, None, None, "m")),
        ({"code": 600, "message": "m"}, Failure("server_error", True, None, None, "m")),
        ({"code": "odd", "type": "requests", "message": "m"}, Failure("rate_limit", True, None, "odd", "m")),
        ({"code": "error", "type": "error", "message": "error"}, Failure("server_error", True)),
        ({"code": "error", "type": "tokens"}, Failure("rate_limit", True, None, "tokens")),
        (
            {"code": 502, "type": "overloaded_error", "message": "m"},
            Failure("server_error", True, 502, "overloaded_error", "m"),
        ),
        (None, Failure("server_error", True)),
        (SimpleNamespace(code="odd", message="boom"), BROKEN),
        (SimpleNamespace(code=429, message="wait"), Failure("rate_limit", True, 429, None, "wait")),
    ],
)
def test_an_error_in_a_good_answer_is_told_whole(error: Any, failure: Failure) -> None:
    assert openai_body_failure(error) == failure
