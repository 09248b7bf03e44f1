"""What happens to one delivery: it succeeds, or fails with a reason and, where it is worth it, a time to try again."""

from __future__ import annotations

import email.utils
import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tachograph.urls import split
from tachograph.version import __version__

MAX_ANSWER: Final = 16_384
MAX_SAID: Final = 300
MAX_RETRY_AFTER: Final = 3600.0
RETRIED: Final = frozenset({408, 425, 429})
"""Client errors after which a later try can succeed. Source: RFC 9110, RFC 6585; the vendors' pages name 429."""


class DeliveryError(Exception):
    """A notification was not delivered.

    Attributes:
        is_temporary: Whether the same may succeed later; otherwise a person has to change something first.
        retry_after_seconds: What the receiver asked for.
    """

    def __init__(self, reason: str, *, is_temporary: bool, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.is_temporary = is_temporary
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Post:
    """One HTTP request with a JSON body."""

    url: str = field(repr=False)
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would hand the secret to another server."""

    def redirect_request(self, *args: object, **kwargs: object) -> None:
        return None


def send(post: Post, timeout: float) -> str:
    """Send one request; returns what the receiver answered.

    Raises:
        DeliveryError: The receiver did not accept it, or could not be reached.
    """
    host = split(post.url).hostname or "?"
    try:
        request = urllib.request.Request(
            post.url,
            data=json.dumps(post.body, ensure_ascii=False).encode(),
            headers={
                "Content-Type": "application/json; charset=utf-8",
                "User-Agent": f"tachograph/{__version__}",
                **post.headers,
            },
            method="POST",
        )
        opener = urllib.request.build_opener(_NoRedirects)
        with opener.open(request, timeout=timeout) as answer:
            return _said(answer, timeout)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(host, error, timeout) from None
    except urllib.error.URLError as error:
        raise DeliveryError(f"{host}: {_why(error.reason)}", is_temporary=True) from None
    except (OSError, http.client.HTTPException) as error:
        raise DeliveryError(f"{host}: {_why(error)}", is_temporary=True) from None
    except ValueError:  # the URL; what it is must not be said
        raise DeliveryError("the address is not an http or https URL", is_temporary=False) from None


def _refused(host: str, error: urllib.error.HTTPError, timeout: float) -> DeliveryError:
    try:
        said = " ".join(_said(error, timeout).split())[:MAX_SAID]
    except (OSError, http.client.HTTPException):
        said = ""
    reason = f"{host} answered {error.code} {http.client.responses.get(error.code, '')}".rstrip()
    if error.code in RETRIED or error.code >= 500:
        after = retry_after(error.headers.get("Retry-After"), time.time())
        return DeliveryError(f"{reason}: {said}" if said else reason, is_temporary=True, retry_after_seconds=after)
    return DeliveryError(f"{reason}: {said}" if said else reason, is_temporary=False)


def _said(answer: Any, timeout: float) -> str:  # noqa: ANN401 - an answer of urllib, or its error
    """The beginning of an answer, read for no longer than the time-out."""
    deadline = time.monotonic() + timeout
    found = b""
    while len(found) < MAX_ANSWER and time.monotonic() < deadline:
        part = answer.read1(4096) if hasattr(answer, "read1") else answer.read(4096)
        if not part:
            break
        found += part
    return found.decode("utf-8", "replace")


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or as a date; None where it says nothing."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    try:
        at = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(at - now, 0.0), MAX_RETRY_AFTER)


def _why(error: object) -> str:
    """The reason in words; never the text of an error that could hold the address."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, ConnectionError | http.client.HTTPException):
        return "the connection broke"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
