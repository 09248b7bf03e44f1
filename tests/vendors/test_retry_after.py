"""What a server asks to wait, in all its forms."""

from __future__ import annotations

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
    ],
)
def test_headers(headers: dict[str, str], seconds: float | None) -> None:
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


@pytest.mark.parametrize("odd", [None, 7, "x", [], object(), {"retry-after": 7}])
def test_odd_headers_say_nothing(odd: Any) -> None:
    assert retry_after_seconds(odd) is None
