"""A limiter on our side: so many requests and tokens a minute, for each provider and model.

Off unless given to a provider. Waiting here, before a request is sent, costs less than a 429 and its wait.
"""

from __future__ import annotations

import logging
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from tachograph.files import move_up
from tachograph.llm.types import Image, Reasoning, Request, Text, ToolRequest, ToolResult

if TYPE_CHECKING:
    from tachograph.llm.fleet_rates import FleetRates, Part

logger = logging.getLogger("tachograph")


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


class _SharedBucket(_Bucket):
    """The same bucket for all processes of a host: its state is a small file, locked for the moment of each change.

    A process that is killed gives up the lock; what it took stays taken.
    """

    __slots__ = ("_path",)

    def __init__(self, per_minute: float, now: float, path: Path) -> None:
        super().__init__(per_minute, now)
        self._path = path
        os.close(self._open())

    def _open(self) -> int:
        return move_up(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Read the state, and write what became of it. Opened each time: a lock belongs to an opening, and forks share.

        A file that can no longer be used leaves this process the state that it last saw.
        """
        import fcntl

        fd = None
        try:
            fd = self._open()
            fcntl.flock(fd, fcntl.LOCK_EX)
            state = os.pread(fd, _STATE.size, 0)
            if len(state) == _STATE.size:
                self.level, self.refilled = _STATE.unpack(state)
        except OSError as error:
            logger.debug("tachograph: the limiter's file %s cannot be read: %s", self._path, error)
        try:
            yield
        finally:
            if fd is not None:
                with suppress(OSError):
                    os.pwrite(fd, _STATE.pack(self.level, self.refilled), 0)
                os.close(fd)

    def take(self, amount: float, now: float) -> float:
        with self._locked():
            if self.refilled > now:  # the host was started again, and its clock with it
                self.refilled = now
            return super().take(amount, now)

    def give_back(self, amount: float) -> None:
        with self._locked():
            super().give_back(amount)


_STATE: Final = struct.Struct("=dd")


class _LeasedBucket(_Bucket):
    """A bucket of the part of a fleet's limit that this process has leased; empty at first, unless it was unused."""

    __slots__ = ("part",)

    def __init__(self, part: Part, now: float) -> None:
        super().__init__(part.granted, now)
        self.part = part
        if not part.is_fresh:
            self.level = 0.0

    def follow(self, now: float) -> None:
        """The part has changed: what was saved up beyond it is gone."""
        self.level = min(self.part.granted, self.level + (now - self.refilled) * self.limit / 60.0)
        self.refilled = now
        self.limit = self.part.granted

    def take(self, amount: float, now: float) -> float:
        self.part.asked += amount
        if self.limit > 0:
            return super().take(amount, now)
        self.level -= amount  # others hold all of it until their next look
        self.refilled = now
        return _NEXT_LOOK_SECONDS + -self.level * 60.0 / self.part.least


_NEXT_LOOK_SECONDS: Final = 2.0


class Limiter:
    """Requests and tokens a minute, for each provider and model; share one between the providers it should bind.

    Args:
        requests_per_minute: None: no limit.
        tokens_per_minute: Prompt and completion together; None: no limit. A request takes an estimate (a token for 4
            characters, 1000 for an image, and `max_tokens`), corrected when its usage is known.
        shared: A directory through which processes of this host share the limits (not on Windows): those that name
            the same one. A file that cannot be used is logged, and the process then keeps to the limits alone.
        fleet: A PostgreSQL database through which processes of all hosts share the limits: each leases a part, and
            calls never wait for the database, but for the first for each model.
        clock: Seconds, monotonic, the same in all processes that share.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        shared: str | Path | None = None,
        fleet: str | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        for name, value in (("requests_per_minute", requests_per_minute), ("tokens_per_minute", tokens_per_minute)):
            if value is not None and not value > 0:
                raise ValueError(f"Limiter.{name} must be above 0, got {value}")
        if shared is not None and fleet is not None:
            raise ValueError("Limiter: give shared (one host) or fleet (all hosts), not both")
        self.requests_per_minute = requests_per_minute
        self.tokens_per_minute = tokens_per_minute
        self._shared = None if shared is None else Path(shared)
        self._clock = clock
        self._rates = None if fleet is None else _fleet_rates(fleet, self._follow)
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

    def close(self) -> None:
        """Give back what is leased of a fleet's limits; the end of the process does it too."""
        if self._rates is not None:
            self._rates.close()

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
            bucket = self._buckets[key] = self._make(key, limit, now)
        return bucket

    def _follow(self, part: Part) -> None:
        now = self._clock()
        for bucket in list(self._buckets.values()):
            if isinstance(bucket, _LeasedBucket) and bucket.part is part:
                with self._lock:
                    bucket.follow(now)

    def _make(self, key: tuple[str, str, str], limit: float, now: float) -> _Bucket:
        if self._rates is not None:
            return _LeasedBucket(self._rates.part("/".join(key), limit), now)
        if self._shared is not None:
            name = blake2b("\0".join(key).encode("utf-8", "replace"), digest_size=8).hexdigest()
            try:
                self._shared.mkdir(parents=True, exist_ok=True, mode=0o700)
                return _SharedBucket(limit, now, self._shared / f"{name}.bucket")
            except OSError as error:
                logger.warning(
                    "tachograph: the limiter's directory %s cannot be used (%s): this process keeps to the limits "
                    "alone. Give it space and write permission.",
                    self._shared,
                    error,
                )
        return _Bucket(limit, now)


def _fleet_rates(url: str, changed: Callable[[Part], None]) -> FleetRates:
    from tachograph.llm.fleet_rates import FleetRates

    return FleetRates(url, changed)


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
