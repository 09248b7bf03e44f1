"""The errors that our providers raise, one class per category, each with the vendor's own exception as its cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from tachograph.errors import TachographError
from tachograph.records.outcomes import ErrorType
from tachograph.vendors.failures import Failure

if TYPE_CHECKING:
    from tachograph.llm.types import Response
    from tachograph.records.llm_call import LLMCall


class ProviderError(TachographError):
    """A call to an LLM provider failed for good: no retry was left, or none could help.

    Attributes:
        provider, model: The labels of the call.
        category: One of `tachograph.records.ERROR_TYPES`.
        status: HTTP status of the last answer, or None when none came.
        request_id: The vendor's id of the last request, for its support.
        code: The vendor's own word (`insufficient_quota`, `overloaded_error`, ...), if it gave one.
        retryable: Whether trying again later can help.
        retry_after_seconds: What the server asked to wait, if it did.
        response: What came before it failed (text so far, usage), or None.
        call: The finished record.
    """

    category: ClassVar[ErrorType] = "unknown"

    def __init__(
        self,
        failure: Failure,
        *,
        provider: str,
        model: str,
        call: LLMCall | None = None,
        response: Response | None = None,
        message: str | None = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self.status = failure.status
        self.request_id = failure.request_id
        self.code = failure.code
        self.retryable = failure.retryable
        self.retry_after_seconds = failure.retry_after_seconds
        self.call = call
        self.response = response
        said = (failure.message if message is None else message).strip() or "no message"
        answer = [f"HTTP {failure.status}"] if failure.status is not None else []
        answer += [failure.code] if failure.code else []
        what = f"{provider}/{model}: {self.category}" + (f" ({', '.join(answer)})" if answer else "") + f": {said}"
        super().__init__(what, do=_ADVICE.get(self.category))

    def __str__(self) -> str:
        return f"{self.what.rstrip('.')}. {self.do}" if self.do else self.what

    def __reduce__(self) -> tuple[Any, ...]:
        """For worker processes: without the record, the response and the cause, which cannot travel."""
        failure = Failure(
            self.category, self.retryable, self.status, self.code, "", self.request_id, self.retry_after_seconds
        )
        return _rebuild, (type(self), failure, self.provider, self.model, self.what)


def _rebuild(kind: type[ProviderError], failure: Failure, provider: str, model: str, what: str) -> ProviderError:
    error = kind(failure, provider=provider, model=model)
    error.what = what
    return error


class AuthenticationError(ProviderError):
    """The key is missing, wrong, or not allowed to do this."""

    category = "auth"


class RateLimitError(ProviderError):
    """The provider's rate limit was met, and stayed met through all retries."""

    category = "rate_limit"


class QuotaError(ProviderError):
    """The provider refuses until the account is paid, a limit is raised, or a day ends: a short wait does not help."""

    category = "quota"


class InvalidRequestError(ProviderError):
    """The request itself is wrong: a parameter, an unknown model, too long a context."""

    category = "invalid_request"


class ContentFilterError(ProviderError):
    """The prompt or the answer was blocked, or the model refused; `response` holds what came."""

    category = "content_filter"


class ServerError(ProviderError):
    """The provider failed, is overloaded, or answered what cannot be read."""

    category = "server_error"


class ProviderTimeoutError(ProviderError):
    """No answer in time: a request's timeout, or the deadline of the whole call."""

    category = "timeout"


class ProviderConnectionError(ProviderError):
    """The provider could not be reached, or the connection broke; a stream that was cut short among them."""

    category = "connection"


class UnknownProviderError(ProviderError):
    """A failure of a kind that no table has."""

    category = "unknown"


_ADVICE: Final[dict[ErrorType, str]] = {
    "auth": "Check the API key and what it may do",
    "quota": "Check the provider's billing and usage limits",
    "rate_limit": "Send less, or wait longer",
    "connection": "Check the network, proxies and the base URL",
}

ERROR_CLASSES: Final[dict[ErrorType, type[ProviderError]]] = {
    kind.category: kind
    for kind in (
        AuthenticationError,
        RateLimitError,
        QuotaError,
        InvalidRequestError,
        ContentFilterError,
        ServerError,
        ProviderTimeoutError,
        ProviderConnectionError,
        UnknownProviderError,
    )
}
