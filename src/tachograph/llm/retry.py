"""When to try again, and how long to wait before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tachograph.vendors.failures import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Retries of one call.

    What does not end by waiting (auth, invalid request, quota, content filter) is never tried again, nor a stream that
    has shown content.

    Attributes:
        attempts: Requests at most, the first included. 1 switches retries off.
        first_backoff_seconds: The longest wait after the first failure; it doubles with each further one.
        longest_backoff_seconds: Where doubling ends. The wait is drawn evenly between 0 and that ("full jitter").
        longest_retry_after_seconds: A server that asks for a longer wait than this is not waited for: the call fails
            at once, and the error says what was asked.
    """

    attempts: int = 4
    first_backoff_seconds: float = 0.5
    longest_backoff_seconds: float = 8.0
    longest_retry_after_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"RetryPolicy.attempts must be 1 or more, got {self.attempts}")
        for name in ("first_backoff_seconds", "longest_backoff_seconds", "longest_retry_after_seconds"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"RetryPolicy.{name} must be 0 or more, got {getattr(self, name)}")

    def wait_seconds(self, failure: Failure, attempt: int, random: Callable[[], float]) -> float | None:
        """Seconds to wait after this attempt's failure, or None to give up.

        Args:
            attempt: Its number, from 1.
            random: Draws from [0, 1).
        """
        if attempt >= self.attempts or not failure.retryable:
            return None
        asked = failure.retry_after_seconds
        if asked is not None:
            return asked if asked <= self.longest_retry_after_seconds else None
        longest = self.first_backoff_seconds * 2.0 ** min(attempt - 1, 30)
        return random() * min(longest, self.longest_backoff_seconds)


NO_RETRIES = RetryPolicy(attempts=1)
