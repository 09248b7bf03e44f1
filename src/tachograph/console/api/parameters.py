"""Reads the parameters of Prometheus' HTTP API, with its messages for what cannot be read."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from starlette.requests import Request

from tachograph.console.promql import PromQLSyntaxError

MAX_FORM = 1024 * 1024
# https://github.com/prometheus/prometheus/blob/main/web/api/v1/api.go (checked 2026-11-23).
MIN_TIME = "-292273086-05-16T16:47:06Z"
MAX_TIME = "292277025-08-18T07:12:54.999999999Z"
_FAR_PAST, _FAR_FUTURE = -(1 << 53), 1 << 53
_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)


class Parameters:
    """Parameters of one request, from the URL and from a form body together."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    @classmethod
    async def of(cls, request: Request) -> Parameters:
        """Read a request's parameters.

        Raises:
            PromQLSyntaxError: The form is too large.
        """
        pairs: list[tuple[str, str]] = []
        if request.method == "POST":
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_FORM:
                    raise PromQLSyntaxError(
                        f"error parsing form values: http: request body larger than {MAX_FORM} bytes"
                    )
            pairs += parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10_000)
        pairs += request.query_params.multi_items()
        return cls(pairs)

    def get(self, name: str) -> str:
        """Return the first value of a parameter, or ""."""
        return next((v for k, v in self._pairs if k == name), "")

    def pairs(self) -> list[tuple[str, str]]:
        """Return all parameters as they came."""
        return list(self._pairs)

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return [v for k, v in self._pairs if k == name]

    def optional_time(self, name: str, default: int) -> int:
        """Return a time in milliseconds, or the default when it is not given.

        Raises:
            PromQLSyntaxError: It is neither seconds nor RFC 3339.
        """
        text = self.get(name)
        if not text:
            return default
        try:
            return parse_time(text)
        except ValueError as error:
            raise PromQLSyntaxError(f"invalid parameter \"{name}\": Invalid time value for '{name}': {error}") from None

    def time(self, name: str) -> int:
        """Return a time in milliseconds that has to be given.

        Raises:
            PromQLSyntaxError: It is neither seconds nor RFC 3339.
        """
        try:
            return parse_time(self.get(name))
        except ValueError as error:
            raise PromQLSyntaxError(f'invalid parameter "{name}": {error}') from None

    def duration(self, name: str, default: int = 0) -> int:
        """Return a length in milliseconds.

        Raises:
            PromQLSyntaxError: It is neither seconds nor a duration.
        """
        text = self.get(name)
        if not text and default:
            return default
        try:
            return parse_duration(text)
        except ValueError as error:
            raise PromQLSyntaxError(f'invalid parameter "{name}": {error}') from None

    def limit(self) -> int:
        """Return `limit`; 0 means none.

        Raises:
            PromQLSyntaxError: It is not a number, or negative.
        """
        text = self.get("limit")
        if not text:
            return 0
        try:
            limit = int(text)
        except ValueError:
            raise PromQLSyntaxError(
                f'invalid parameter "limit": strconv.Atoi: parsing "{text}": invalid syntax'
            ) from None
        if limit < 0:
            raise PromQLSyntaxError('invalid parameter "limit": limit must be non-negative')
        return limit


def parse_time(text: str) -> int:
    """Read seconds since 1970 or RFC 3339 as milliseconds.

    Raises:
        ValueError: It is neither.
    """
    if text == MIN_TIME:
        return _FAR_PAST
    if text == MAX_TIME:
        return _FAR_FUTURE
    try:
        seconds = float(text) if "_" not in text else math.nan
    except ValueError:
        seconds = math.nan
    if math.isfinite(seconds):
        return max(_FAR_PAST, min(_FAR_FUTURE, round(seconds * 1000)))
    found = _RFC3339.fullmatch(text)
    if found:
        day, clock, fraction, zone = found.groups()
        try:
            stamp = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}").astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError(f'cannot parse "{text}" to a valid timestamp') from None
        whole = round((stamp - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1000
        return whole + int(float(fraction or 0) * 1000)
    raise ValueError(f'cannot parse "{text}" to a valid timestamp')


def parse_duration(text: str) -> int:
    """Read seconds or `1h30m` as milliseconds.

    Raises:
        ValueError: It is neither, or too long.
    """
    try:
        seconds = float(text) if "_" not in text else math.nan
    except ValueError:
        seconds = math.nan
    if math.isfinite(seconds):
        if abs(seconds) > 9_223_372_036:
            raise ValueError(f'cannot parse "{text}" to a valid duration. It overflows int64')
        return int(seconds * 1000)
    found = _DURATION.fullmatch(text)
    if text and found and any(found.groups()):
        parts = zip(found.groups(), ("y", "w", "d", "h", "m", "s", "ms"), strict=True)
        return sum(int(n) * _UNITS[u] for n, u in parts if n)
    raise ValueError(f'cannot parse "{text}" to a valid duration')
