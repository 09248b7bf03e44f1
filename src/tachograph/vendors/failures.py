"""Categories of failure: what a vendor's table looks like, and how one is read.

A table is data. It is asked with whatever is at hand: the HTTP status, headers and parsed body of an answer, or the
exception an SDK raised (recognised by the names of its classes, so that no SDK is imported here), or the words of a
failure that raised nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tachograph.records.outcomes import ErrorType
from tachograph.vendors.fields import pick, text
from tachograph.vendors.retry_after import retry_after_seconds

RETRYABLE: Final[frozenset[ErrorType]] = frozenset({"rate_limit", "server_error", "timeout", "connection"})
"""What another try may get right."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, categorised.

    Attributes:
        error_type: The category.
        retryable: Whether another try may succeed.
        status: HTTP status, or None when no answer came.
        code: The vendor's own word for it (`insufficient_quota`, `overloaded_error`, `RESOURCE_EXHAUSTED`), if any.
        message: The vendor's own sentence.
        request_id: The vendor's id of the request.
        retry_after_seconds: What the server asked to wait.
    """

    error_type: ErrorType
    retryable: bool
    status: int | None = None
    code: str | None = None
    message: str = ""
    request_id: str | None = None
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """The words of an error body, as far as it has any."""

    code: str | None = None
    kind: str | None = None
    message: str = ""
    raw: Any = None


@dataclass(frozen=True, slots=True)
class FailureTable:
    """One vendor's categories. Earlier fields win over later ones.

    Attributes:
        codes: Exact words (`code`, `type` or `status` in the body) that say it all, whatever the status.
        phrases: Parts of messages, in lower case, where the vendor gives no word.
        refine: A look at the whole body, for what neither shows.
        classes: Names of exception classes that say more than their status does.
        statuses: HTTP statuses; a missing 4xx is `invalid_request`, a missing 5xx `server_error`.
        kinds: Words too general to win over a status; they decide when there is none (in a stream).
    """

    codes: Mapping[str, ErrorType]
    phrases: tuple[tuple[str, ErrorType], ...] = ()
    refine: Callable[[ErrorReport, int | None], ErrorType | None] | None = None
    classes: Mapping[str, ErrorType] = field(default_factory=dict)
    statuses: Mapping[int, ErrorType] = field(default_factory=dict)
    kinds: Mapping[str, ErrorType] = field(default_factory=dict)
    request_id_header: str = ""


STATUSES: Final[dict[int, ErrorType]] = {
    401: "auth",
    402: "quota",
    403: "auth",
    407: "auth",
    408: "timeout",
    429: "rate_limit",
    499: "connection",
}
"""What every vendor means by these."""

_TRANSPORT: Final[dict[str, ErrorType]] = {
    # httpx, httpx2, aiohttp, anyio, sockets, google-auth: none of them need be installed to be known by name
    "APITimeoutError": "timeout",
    "TimeoutException": "timeout",
    "TimeoutError": "timeout",
    "APIConnectionError": "connection",
    "TransportError": "connection",
    "StreamError": "connection",
    "ServerTimeoutError": "timeout",
    "aiohttp.ClientError": "connection",
    "NewConnectionError": "connection",  # urllib3 makes it a kind of time-out
    "urllib3.HTTPError": "connection",
    "http.HTTPException": "connection",
    "NoResponseError": "connection",
    "ConnectionError": "connection",
    "gaierror": "connection",
    "SSLError": "connection",
    "BrokenResourceError": "connection",
    "GoogleAuthError": "auth",
    "JSONDecodeError": "server_error",
    "DecodingError": "server_error",
    "APIResponseValidationError": "server_error",
    "UnicodeDecodeError": "server_error",
    "ResponseValidationError": "server_error",
    "ValueError": "invalid_request",  # raised before anything was sent: the SDK refuses the arguments
    "TypeError": "invalid_request",
}


_CAUSES_AT_MOST: Final = 8


def read_body(body: Any) -> ErrorReport:
    """The words of an error body: a vendor's nested error, a flat one, a list of one, a plain text, or JSON as text."""
    if isinstance(body, (bytes, bytearray, str)):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return ErrorReport(message=body if isinstance(body, str) else bytes(body).decode("utf-8", "replace"))
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    error = pick(body, "error")
    if isinstance(error, str):
        return ErrorReport(message=error, raw=body)
    if error is None:
        error = body
    code = pick(error, "code")
    kind = text(error, "type") or text(error, "status")
    details = pick(error, "details")
    if isinstance(details, Mapping):  # anthropic's finer word
        code = text(details, "error_code") or code
    return ErrorReport(
        str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else None,
        kind,
        text(error, "message") or text(error, "detail") or "",
        body,
    )


def categorise(
    table: FailureTable,
    *,
    status: int | None = None,
    headers: Any = None,
    body: object = None,
    error: BaseException | None = None,
) -> Failure:
    """Categorise one failure from what is known of it.

    Args:
        table: The vendor's.
        status, headers, body: Of the answer; what is not given is read off the exception.
        error: What the SDK raised, if it raised.
    """
    if error is not None:
        status = _status(error) if status is None else status
        headers = pick(pick(error, "response"), "headers") if headers is None else headers
        body = _body(error) if body is None else body
    said = read_body(body)
    error_type = _decide(table, said, status, error)
    retryable = error_type in RETRYABLE and status != 501
    should = pick_header(headers, "x-should-retry")
    if should == "false":
        retryable = False
    elif should == "true" and error_type not in ("quota", "auth"):
        retryable = True
    return Failure(
        error_type,
        retryable,
        status,
        said.code if said.code and not said.code.isdigit() else said.kind,
        said.message or (_words(error) if error is not None else ""),
        pick_header(headers, table.request_id_header) or text(error, "request_id"),
        retry_after_seconds(headers, said.raw),
    )


def _decide(table: FailureTable, said: ErrorReport, status: int | None, error: BaseException | None) -> ErrorType:
    for word in (said.code, said.kind):
        if word is not None and word in table.codes:
            return table.codes[word]
    message = (said.message or (str(error) if error is not None else "")).lower()
    for phrase, error_type in table.phrases:
        if phrase in message:
            return error_type
    if table.refine is not None:
        refined = table.refine(said, status)
        if refined is not None:
            return refined
    by_class = _by_class(table, error)
    if by_class is not None and (status is None or status < 400 or by_class[1]):
        return by_class[0]
    if status is not None and status >= 400:
        return table.statuses.get(status) or ("server_error" if status >= 500 else "invalid_request")
    for word in (said.kind, said.code):
        if word is not None and word in table.kinds:
            return table.kinds[word]
    return "unknown"


def _by_class(table: FailureTable, error: BaseException | None) -> tuple[ErrorType, bool] | None:
    """The category of the most telling class of an exception, and whether the vendor's own table named it."""
    if error is None:
        return None
    for kind in type(error).__mro__:
        name = kind.__name__
        if name in table.classes:
            return table.classes[name], True
        full = f"{kind.__module__.partition('.')[0]}.{name}"
        category = _TRANSPORT.get(full) or _TRANSPORT.get(name)
        if category is not None:
            return category, False
    return None


def _words(error: BaseException) -> str:
    """What an exception says, and what its root says: the SDKs' own "Connection error." names neither."""
    words, root = str(error), error
    for _ in range(_CAUSES_AT_MOST):
        root = root.__cause__ or root
    detail = str(root)
    return words if not detail or detail in words else f"{words.rstrip('.')}: {detail}"


def _status(error: BaseException) -> int | None:
    for value in (
        pick(error, "status_code"),
        pick(error, "code"),
        pick(pick(error, "response"), "status_code"),
    ):
        if type(value) is int and 100 <= value <= 599:
            return value
    return None


def _body(error: BaseException) -> object:
    body = pick(error, "body")
    return pick(error, "details") if body is None else body


def unreadable(answer: object) -> Failure:
    """An answer that is not what the vendor promises: an HTML page with status 200, JSON without what belongs in it."""
    kind = type(answer).__name__
    return Failure("server_error", True, 200, "unreadable_answer", f"The answer is no answer of this API ({kind})")


def pick_header(headers: Any, name: str) -> str | None:
    """A header's value by its name in lower case; None when absent, or when these are no headers."""
    try:
        value = headers.get(name)
    except (AttributeError, TypeError):
        return None
    return value if isinstance(value, str) else None
