"""A limiter on our side: so many requests and tokens a minute, for each provider and model.

Off unless given to a provider. Waiting here, before a request is sent, costs less than a 429 and its wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from tachograph.llm.types import Image, Reasoning, Request, Text, ToolRequest, ToolResult


class _Bucket:
    """A token bucket that may go below zero: what is owed is waited for. Full at first; refills evenly."""

    __slots__ = ("level", "limit", "refilled")

    def __init__(self, per_minute: float, now: float) -> None:
        self.limit = per_minute
        self.level = per_minute
        self.refilled = now

    def take(self, amount: float, now: float) -> float:
        """Take, and say how many seconds the taker must wait."""
        self.level = min(self.limit, self.level + (now - self.refilled) * self.limit / 60.0)
        self.refilled = now
        # a request above the whole limit may go when the bucket is full, or it would wait forever
        self.level -= amount
        owed = -self.level - max(0.0, amount - self.limit)
        return max(0.0, owed * 60.0 / self.limit)

    def give_back(self, amount: float) -> None:
        self.level = min(self.limit, self.level + amount)


class Limiter:
    """Requests and tokens a minute, for each provider and model; share one between the providers it should bind.

    Args:
        requests_per_minute: None: no limit.
        tokens_per_minute: Prompt and completion together; None: no limit. A request takes an estimate (a token for 4
            characters, 1000 for an image, and `max_tokens`), corrected when its usage is known.
        clock: Seconds, monotonic.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        for name, value in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if value is not None and not value > 0:
                raise ValueError(f"Limiter.{name} must be above 0, got {value}")
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str, str], _Bucket] = {}

    def reserve(self, provider: str, model: str, tokens: int) -> float:
        """Take a place for one request with about so many tokens; returns the seconds to wait before sending it."""
        with self._lock:
            now = self._clock()
            wait = 0.0
            for kind, limit, amount in self._kinds(tokens):
                wait = max(wait, self._bucket(provider, model, kind, limit, now).take(amount, now))
            return wait

    def cancel(self, provider: str, model: str, tokens: int) -> None:
        """Give the place back: the request was never sent."""
        with self._lock:
            for kind, limit, amount in self._kinds(tokens):
                self._bucket(provider, model, kind, limit, self._clock()).give_back(amount)

    def correct(self, provider: str, model: str, estimated: int, used: int) -> None:
        """Put the tokens that were used in the place of those estimated."""
        if self.tokens_per_minute is not None:
            with self._lock:
                bucket = self._bucket(provider, model, "tokens", self.tokens_per_minute, self._clock())
                bucket.give_back(estimated - used)

    def _kinds(self, tokens: int) -> list[tuple[str, float, float]]:
        kinds = []
        if self.requests_per_minute is not None:
            kinds.append(("requests", self.requests_per_minute, 1.0))
        if self.tokens_per_minute is not None:
            kinds.append(("tokens", self.tokens_per_minute, float(tokens)))
        return kinds

    def _bucket(self, provider: str, model: str, kind: str, limit: float, now: float) -> _Bucket:
        key = (provider, model, kind)
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(limit, now)
        return bucket


def estimate_tokens(request: Request) -> int:
    """About how many tokens a request will use, answer included. Rough on purpose: it is corrected afterwards."""
    characters = len(request.system or "")
    images = 0
    for message in request.conversation:
        for part in message.parts:
            if isinstance(part, (Text, Reasoning)):
                characters += len(part.text)
            elif isinstance(part, ToolRequest):
                characters += len(part.arguments_text) or 20 * len(part.arguments)
            elif isinstance(part, ToolResult):
                if isinstance(part.content, str):
                    characters += len(part.content)
                else:
                    images += sum(isinstance(inner, Image) for inner in part.content)
                    characters += sum(len(inner.text) for inner in part.content if isinstance(inner, Text))
            else:
                images += 1
    return characters // 4 + 1000 * images + (request.max_tokens or 0) + 1
