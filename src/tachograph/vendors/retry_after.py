"""What a server asks to wait: Retry-After in all its forms, and Gemini's RetryInfo.

Sources: RFC 9110 section 10.2.3; `retry-after-ms` as the openai and anthropic SDKs read it; google.rpc.RetryInfo.
Checked 2026-11-23.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final

from tachograph.vendors.fields import count, items, pick, text

LONGEST_SECONDS: Final = 31 * 86400.0
"""Longer answers are taken for nonsense and dropped."""


def retry_after_seconds(
    headers: Mapping[str, str] | None, body: object = None, *, now_unix: float | None = None
) -> float | None:
    """Seconds the server asks to wait, or None when it does not say, or says nonsense.

    `retry-after-ms` wins over `retry-after` (seconds or a date), both over a RetryInfo in the body. A date in the past
    is 0.0. Dates are measured against the server's own `date` header when it sends one, so that clocks need not agree.

    Args:
        headers: Of the answer; names in any case.
        body: The parsed body of an error answer.
        now_unix: Seconds since the epoch, instead of the clock's.
    """
    milliseconds = _number(_header(headers, "retry-after-ms"))
    if milliseconds is not None:
        return _sensible(milliseconds / 1000.0)
    value = _header(headers, "retry-after")
    if value is not None:
        seconds = _number(value)
        if seconds is None:
            seconds = _until(value, _header(headers, "date"), now_unix)
        if seconds is not None and _sensible(seconds) is not None:
            return seconds
    return _retry_info(body)


def _header(headers: Any, name: str) -> str | None:
    try:
        value = headers.get(name)
        if value is None and not hasattr(headers, "multi_items"):  # a plain dict, perhaps with names as sent
            value = next((v for k, v in headers.items() if isinstance(k, str) and k.lower() == name), None)
    except (AttributeError, TypeError):
        return None
    return value if isinstance(value, str) else None


def _number(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _sensible(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0.0 <= seconds <= LONGEST_SECONDS else None


def _until(date: str, server_date: str | None, now_unix: float | None) -> float | None:
    when = _timestamp(date)
    if when is None:
        return None
    now = now_unix if now_unix is not None else _timestamp(server_date) or time.time()
    return max(0.0, when - now)


def _timestamp(date: str | None) -> float | None:
    if not date:
        return None
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_info(body: object) -> float | None:
    """google.rpc.RetryInfo: `{"error": {"details": [{"@type": ".../google.rpc.RetryInfo", "retryDelay": "46s"}]}}`."""
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping):
        return None
    error = pick(body, "error")
    for detail in items(error if isinstance(error, Mapping) else body, "details"):
        if not (text(detail, "@type") or "").endswith("RetryInfo"):
            continue
        delay = pick(detail, "retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            seconds = _number(delay[:-1])
            if seconds is not None:
                return _sensible(seconds)
        elif isinstance(delay, Mapping):
            return _sensible((count(delay, "seconds") or 0) + (count(delay, "nanos") or 0) / 1e9)
    return None
