"""What the console asks: its own store, or a real Prometheus."""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tachograph.console.promql import PromQLError, PromQLSyntaxError, PromQLTimeout, Result
from tachograph.console.promql.labels import labels_of
from tachograph.errors import TachographError
from tachograph.urls import body_of_refusal, split

logger = logging.getLogger("tachograph.console")

MAX_ANSWER = 64 * 1024 * 1024


class Querier(Protocol):
    """Evaluates queries; times in milliseconds."""

    def instant(self, query: str, at: int, *, timeout: float | None = None) -> Result:
        """Evaluate at one time."""
        ...

    def range(self, query: str, start: int, end: int, step: int, *, timeout: float | None = None) -> Result:
        """Evaluate at every step."""
        ...


class Prometheus:
    """A real Prometheus, asked over HTTP.

    Args:
        url: Its root.
        ours: Names of the alerts that the console would evaluate; empty: any rule of the Prometheus counts.
        timeout: Longest wait for an answer, in seconds.

    Raises:
        TachographError: The URL is not http or https.
    """

    def __init__(self, url: str, ours: frozenset[str] = frozenset(), *, timeout: float = 30.0) -> None:
        parts = split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TachographError(
                f"{url!r} is not the address of a Prometheus",
                where="--prometheus",
                do="Give an address such as http://127.0.0.1:9090.",
            )
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._asking = threading.Lock()
        self._ours = ours
        self._loaded: frozenset[str] = frozenset()
        self._rules_known_until = 0.0
        self.answered = False
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())

    def forward(self, path: str, pairs: list[tuple[str, str]], *, post: bool = False) -> tuple[int, str, bytes]:
        """Send a request on; returns status, content type and body.

        Raises:
            PromQLError: The Prometheus does not answer.
        """
        encoded = urllib.parse.urlencode(pairs)
        url = f"{self.url}{path}" + ("" if post or not encoded else f"?{encoded}")
        request = urllib.request.Request(url, data=encoded.encode() if post else None)
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                body = response.read(MAX_ANSWER + 1)
                if len(body) > MAX_ANSWER:
                    raise PromQLError(f"the answer of {self.url} is larger than {MAX_ANSWER} bytes")
                return response.status, response.headers.get("Content-Type", "application/json"), body
        except urllib.error.HTTPError as error:
            kind = error.headers.get("Content-Type", "application/json")
            return error.code, kind, body_of_refusal(error, MAX_ANSWER)
        except TimeoutError:
            raise PromQLTimeout(f"{self.url} did not answer within {self.timeout:g}s") from None
        except (OSError, http.client.HTTPException) as error:
            raise PromQLError(f"cannot reach the Prometheus at {self.url}: {getattr(error, 'reason', error)}") from None

    def has_rules(self) -> bool:
        """Return whether it evaluates alerts of ours; asked at most every half minute.

        Rules about other things say nothing about calls: with these alone, ours are evaluated from here. While it does
        not answer, what it said last holds; `answered` says whether it ever did.
        """
        with self._asking:  # a caller waits for the answer while another asks
            if time.monotonic() >= self._rules_known_until:
                try:
                    _, _, body = self.forward("/api/v1/rules", [])
                    groups = json.loads(body)["data"]["groups"]
                    names = frozenset(rule["name"] for group in groups for rule in group["rules"])
                    self._loaded = names & self._ours if self._ours else names
                    self.answered = True
                except (PromQLError, ValueError, KeyError, TypeError) as error:
                    logger.debug("the Prometheus at %s does not say whether it has rules: %s", self.url, error)
                self._rules_known_until = time.monotonic() + 30
            return bool(self._loaded)

    def missing(self) -> list[str]:
        """Alerts of ours that it does not evaluate, though it evaluates others of them."""
        return sorted(self._ours - self._loaded) if self.has_rules() else []

    def instant(self, query: str, at: int, *, timeout: float | None = None) -> Result:
        """Evaluate at one time."""
        return self._ask("/api/v1/query", [("query", query), ("time", f"{at / 1000:.3f}")])

    def range(self, query: str, start: int, end: int, step: int, *, timeout: float | None = None) -> Result:
        """Evaluate at every step."""
        span = [("start", f"{start / 1000:.3f}"), ("end", f"{end / 1000:.3f}"), ("step", f"{step / 1000:.3f}")]
        return self._ask("/api/v1/query_range", [("query", query), *span])

    def _ask(self, path: str, pairs: list[tuple[str, str]]) -> Result:
        status, _, body = self.forward(path, pairs, post=True)
        try:
            answer = json.loads(body)
            if answer.get("status") == "success":
                return _result(answer["data"])
            message, kind = str(answer.get("error", f"HTTP {status}")), answer.get("errorType")
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError):
            raise PromQLError(f"{self.url} gave no Prometheus answer (HTTP {status})") from None
        raise (PromQLSyntaxError if kind == "bad_data" else PromQLError)(message)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **kwargs: object) -> None:
        """Follow nothing: the address was given, and no other is meant."""


def _result(data: dict[str, Any]) -> Result:
    kind = str(data["resultType"])
    value = data["result"]
    if kind == "string":
        return Result("string", text=value[1], time=round(value[0] * 1000))
    if kind == "scalar":
        return Result("scalar", [((), _times([value]), _values([value]))], time=round(value[0] * 1000))
    rows = []
    for one in value:
        points = one["values"] if "values" in one else [one["value"]]
        rows.append((labels_of(one["metric"]), _times(points), _values(points)))
    at = int(rows[0][1][0]) if kind == "vector" and rows else 0
    return Result(kind, rows, time=at)


def _times(points: list[list[Any]]) -> npt.NDArray[np.int64]:
    return np.asarray([round(p[0] * 1000) for p in points], dtype=np.int64)


def _values(points: list[list[Any]]) -> npt.NDArray[np.float64]:
    return np.asarray([float(p[1]) for p in points], dtype=np.float64)


__all__ = ["Prometheus", "Querier"]
