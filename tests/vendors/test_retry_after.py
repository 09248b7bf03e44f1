"""What a server asks to wait, in all its forms."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tachograph.vendors.retry_after import retry_after_seconds

NOW = 1_795_442_400.0  # Mon, 23 Nov 2026 14:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"Retry-After": "0.3"}, 0.3),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "Mon, 23 Nov 2026 14:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 23 Nov 2026 13:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e300"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Fri, 99 Foo 2026 99:99:99 GMT"}, None),
        ({"retry-after": "Mon, 23 Nov 2099 14:00:00 GMT"}, None),
        ({"retry-after": "2678400"}, 2_678_400.0),
        ({"retry-after": "2678401"}, None),
        ({"retry-after": "Thu, 24 Dec 2026 14:00:00 GMT"}, 2_678_400.0),
        ({"retry-after": "Thu, 24 Dec 2026 14:00:01 GMT"}, None),
        ({"retry-after-ms": "-1", "retry-after": "7"}, None),
        ({"retry-after-ms": "2678400000"}, 2_678_400.0),
        ({"retry-after-ms": "2678400001"}, None),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"RETRY-AFTER-MS": "250"}, 0.25),
        ({7: "x", "Retry-After": "7"}, 7.0),
    ],
)
def test_headers(headers: dict[Any, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers, now_unix=NOW) == seconds


def test_a_date_is_measured_against_the_servers_own_clock() -> None:
    headers = {"retry-after": "Mon, 23 Nov 2026 14:00:30 GMT", "date": "Mon, 23 Nov 2026 14:00:20 GMT"}
    assert retry_after_seconds(headers) == 10.0


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("46s", 46.0), ("1.5s", 1.5), ({"seconds": 2, "nanos": 500_000_000}, 2.5), ("x", None), ("-1s", None), (3, None)],
)
def test_retry_info(delay: Any, seconds: float | None) -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    assert retry_after_seconds({}, {"error": {"details": [detail]}}) == seconds
    assert retry_after_seconds(None, [{"error": {"details": [detail]}}]) == seconds


INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "46s"}
OTHER = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "retryDelay": "5s"}


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        ([OTHER, INFO], 46.0),
        ([{}, {"retryDelay": "5s"}, INFO], 46.0),
        ([{**INFO, "retryDelay": None}, INFO], 46.0),
        ([{**INFO, "retryDelay": "xs"}, INFO], 46.0),
        ([{**INFO, "retryDelay": "46"}], None),
        ([INFO, {**INFO, "retryDelay": "5s"}], 46.0),
        ([{**INFO, "retryDelay": "-1s"}, INFO], None),
        ([{**INFO, "retryDelay": "2678400s"}], 2_678_400.0),
        ([{**INFO, "retryDelay": "2678401s"}], None),
        ([{**INFO, "retryDelay": {"seconds": 2}}], 2.0),
        ([{**INFO, "retryDelay": {"nanos": 1}}], 1e-9),
        ([{**INFO, "retryDelay": {}}], 0.0),
        ([OTHER], None),
        ([], None),
        (None, None),
    ],
)
def test_the_first_retry_info_that_can_be_read_counts(details: Any, seconds: float | None) -> None:
    for body in ({"error": {"details": details}}, {"details": details}, {"error": "text", "details": details}):
        assert retry_after_seconds(None, body) == retry_after_seconds({}, [body]) == seconds
        assert retry_after_seconds({"retry-after": "soon"}, body, now_unix=NOW) == seconds
        assert retry_after_seconds({"retry-after": "2678401"}, body) == seconds
        assert retry_after_seconds({"retry-after": "7"}, body) == 7.0
        assert retry_after_seconds(None, [body, body]) is retry_after_seconds(None, "text") is None


def test_a_date_of_a_server_without_a_clock_is_measured_against_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    for date in ({}, {"date": "no date"}, {"date": ""}):
        assert retry_after_seconds({"retry-after": "Mon, 23 Nov 2026 14:00:30 GMT", **date}) == 30.0
    later = {"retry-after": "Mon, 23 Nov 2026 14:00:30 GMT", "date": "Mon, 23 Nov 2026 14:00:20 GMT"}
    assert retry_after_seconds(later, now_unix=NOW) == 30.0


class Headers:
    """Headers as HTTP libraries have them: names in any case, several values for one."""

    def get(self, name: str) -> str | None:
        return {"retry-after": "7"}.get(name)

    def items(self) -> list[tuple[str, str]]:
        return [("Retry-After-Ms", "250")]

    def multi_items(self) -> list[tuple[str, str]]:
        return self.items()


def test_headers_that_take_names_in_any_case_are_asked_once() -> None:
    assert retry_after_seconds(Headers()) == 7.0


@pytest.mark.parametrize("odd", [None, 7, "x", [], object(), {"retry-after": 7}])
def test_odd_headers_say_nothing(odd: Any) -> None:
    assert retry_after_seconds(odd) is None
