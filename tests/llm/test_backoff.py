"""How long a retry waits, with the largest number that could be drawn."""

from __future__ import annotations

import pytest

from tachograph.llm.retry import RetryPolicy
from tachograph.vendors.failures import Failure


def longest(policy: RetryPolicy, failure: Failure, attempts: int) -> list[float | None]:
    return [policy.wait_seconds(failure, attempt, lambda: 1.0) for attempt in range(1, attempts + 1)]


def test_waits_double_from_the_first_to_the_longest_and_end_with_the_last_attempt() -> None:
    policy = RetryPolicy(attempts=8, first_backoff_seconds=0.5, longest_backoff_seconds=8.0)
    failure = Failure("server_error", retryable=True)
    assert longest(policy, failure, 8) == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, None]
    assert policy.wait_seconds(failure, 3, lambda: 0.25) == 0.5


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.0), (60.0, 60.0), (60.001, None)])
def test_what_the_server_asks_for_is_waited_up_to_the_longest(asked: float, waited: float | None) -> None:
    failure = Failure("rate_limit", retryable=True, retry_after_seconds=asked)
    assert RetryPolicy().wait_seconds(failure, 1, lambda: 1.0) == waited
