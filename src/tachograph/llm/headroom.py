"""How much of the provider's rate limits is left, from the headers of its answers, and when it will be gone.

`llm.answer_headers` hands over what answers say. OpenAI (and Azure) send
`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as durations (`6m0s`, `120ms`); Anthropic sends
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}`, resets as RFC 3339 times.
Gemini sends none. Sources: platform.openai.com/docs/guides/rate-limits, docs.anthropic.com/en/api/rate-limits,
2026-11-23. A header that is missing or absurd makes no gauge.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, time
from typing import TYPE_CHECKING, Final

from tachograph.llm.metrics.families import (
    RATE_LIMIT_EXHAUSTION,
    RATE_LIMIT_LIMIT,
    RATE_LIMIT_REMAINING,
    RATE_LIMIT_RESET,
)
from tachograph.signals.registry import Metrics

if TYPE_CHECKING:
    from tachograph.recorder import Recorder

_MEMORY_SECONDS: Final = 60.0
"""How long the present rate remembers: observations weigh half as much after 42 seconds."""
_MOST_STATES: Final = 4000
_MOST_UNREAD: Final = 1000
_LARGEST: Final = 1e12
_LONGEST_RESET: Final = 31 * 86400.0
_OPENAI: Final = {kind: kind for kind in ("requests", "tokens")}
_ANTHROPIC: Final = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input-tokens",
    "output_tokens": "output-tokens",
}
_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


@dataclass(slots=True, frozen=True)
class Allowance:
    """One kind of limit as one answer stated it; None where it stated nothing sensible.

    Attributes:
        kind: `requests`, `tokens`, `input_tokens` or `output_tokens`.
        reset_seconds: Until the limit is whole again.
    """

    kind: str
    limit: float | None
    remaining: float | None
    reset_seconds: float | None


def read_allowances(headers: Mapping[str, str], *, now_unix: float | None = None) -> list[Allowance]:
    """The limits that an answer's headers state."""
    found = []
    if headers.get("x-ratelimit-limit-requests") or headers.get("x-ratelimit-remaining-requests"):
        for kind, word in _OPENAI.items():
            found.append(
                _allowance(
                    kind,
                    headers.get(f"x-ratelimit-limit-{word}"),
                    headers.get(f"x-ratelimit-remaining-{word}"),
                    _duration(headers.get(f"x-ratelimit-reset-{word}")),
                )
            )
    elif headers.get("x-ratelimit-remaining-tokens") or headers.get("x-ratelimit-limit-tokens"):
        found.append(
            _allowance(
                "tokens",
                headers.get("x-ratelimit-limit-tokens"),
                headers.get("x-ratelimit-remaining-tokens"),
                _duration(headers.get("x-ratelimit-reset-tokens")),
            )
        )
    for kind, word in _ANTHROPIC.items():
        limit = headers.get(f"anthropic-ratelimit-{word}-limit")
        remaining = headers.get(f"anthropic-ratelimit-{word}-remaining")
        if limit or remaining:
            reset = _until(headers.get(f"anthropic-ratelimit-{word}-reset"), now_unix)
            found.append(_allowance(kind, limit, remaining, reset))
    return [one for one in found if one.limit is not None or one.remaining is not None]


class _State:
    """What is known of one provider, model and kind."""

    __slots__ = ("at", "drained", "elapsed", "limit", "remaining", "reset_at")

    def __init__(self) -> None:
        self.at = 0.0
        self.limit: float | None = None
        self.remaining: float | None = None
        self.reset_at: float | None = None
        self.drained = 0.0
        self.elapsed = 0.0

    def take(self, seen: Allowance, now: float) -> None:
        if seen.limit is not None:
            self.limit = seen.limit
        if seen.remaining is not None:
            if self.remaining is not None and now > self.at:
                fade = math.exp((self.at - now) / _MEMORY_SECONDS)
                self.drained = self.drained * fade + (self.remaining - seen.remaining)
                self.elapsed = self.elapsed * fade + (now - self.at)
            self.remaining = seen.remaining
            self.at = now
        self.reset_at = None if seen.reset_seconds is None else now + seen.reset_seconds

    def renew(self, now: float) -> None:
        """After the reset the limit is whole again, though no answer has said so yet."""
        if self.reset_at is not None and now >= self.reset_at and self.limit is not None:
            self.remaining, self.drained, self.elapsed = self.limit, 0.0, 0.0

    def exhaustion_seconds(self) -> float | None:
        """Seconds until nothing is left at the present rate; +Inf when it is not shrinking; None when unknown."""
        if self.remaining is None:
            return None
        if self.remaining <= 0.0:
            return 0.0
        if self.elapsed <= 0.0:
            return None
        return self.remaining * self.elapsed / self.drained if self.drained > 0.0 else math.inf


class Headroom:
    """Keeps the rate-limit gauges of `llm.metrics.families`.

    Between answers they go on: the reset counts down, and once it has passed the limit is taken to be whole.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._states: dict[tuple[str, str, str], _State] = {}
        self._latest: dict[tuple[str, str], tuple[float, Mapping[bytes, bytes]]] = {}
        metrics.before_collect(self.refresh)

    def keep(self, provider: str, model: str, raw: Mapping[bytes, bytes]) -> None:
        """Keep one answer's headers, as they came, until they are read: reading them takes longer than a call may."""
        if len(self._latest) < _MOST_UNREAD:  # names of models come from outside
            self._latest[provider, model] = monotonic(), raw

    def _read_latest(self) -> None:
        while self._latest:
            try:
                (provider, model), (then, raw) = self._latest.popitem()
            except KeyError:
                return  # another collection took it
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw.items()}
            self._take(provider, model, read_allowances(headers, now_unix=time() - (monotonic() - then)), then)

    def observe(self, provider: str, model: str, headers: Mapping[str, str] | None) -> None:
        """Take what one answer's headers say; names of headers in lower case unless the mapping ignores case."""
        if headers:
            self._take(provider, model, read_allowances(headers), monotonic())

    def _take(self, provider: str, model: str, allowances: list[Allowance], now: float) -> None:
        for seen in allowances:
            key = (provider, model, seen.kind)
            with self._lock:
                state = self._states.get(key)
                if state is None:
                    if len(self._states) >= _MOST_STATES:
                        continue  # names of models come from outside
                    state = self._states[key] = _State()
                state.take(seen, now)
            self._show(key, state, now)

    def refresh(self) -> None:
        """Bring the gauges to the present moment; each collection does."""
        self._read_latest()
        now = monotonic()
        with self._lock:
            states = list(self._states.items())
        for key, state in states:
            with self._lock:
                state.renew(now)
            self._show(key, state, now)

    def _show(self, key: tuple[str, str, str], state: _State, now: float) -> None:
        metrics = self._metrics
        reset = None if state.reset_at is None else max(0.0, state.reset_at - now)
        for family, value in (
            (RATE_LIMIT_LIMIT, state.limit),
            (RATE_LIMIT_REMAINING, state.remaining),
            (RATE_LIMIT_RESET, reset),
            (RATE_LIMIT_EXHAUSTION, state.exhaustion_seconds()),
        ):
            if value is not None:
                metrics.cell(family, *key).set(value)


def _allowance(kind: str, limit: object, remaining: object, reset_seconds: float | None) -> Allowance:
    most, left = _amount(limit), _amount(remaining)
    if most == 0.0:
        most = None  # a limit of nothing would have refused the request
    if most is not None and left is not None and left > most:
        left = None
    return Allowance(kind, most, left, reset_seconds)


def _amount(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= _LARGEST else None


def _duration(text: object) -> float | None:
    if not isinstance(text, str) or not text:
        return None
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        seconds = _amount(text)  # some servers send plain seconds
    else:
        days, hours, minutes, whole, milliseconds = (float(part or 0) for part in match.groups())
        seconds = days * 86400 + hours * 3600 + minutes * 60 + whole + milliseconds / 1000
    return seconds if seconds is not None and seconds <= _LONGEST_RESET else None


def _until(text: object, now_unix: float | None) -> float | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        return None
    seconds = when.timestamp() - (time() if now_unix is None else now_unix)
    return max(0.0, seconds) if -_LONGEST_RESET <= seconds <= _LONGEST_RESET else None


def note_headers(recorder: Recorder, provider: str, model: str, headers: Mapping[str, str] | None) -> None:
    """Take what an answer's headers say about the provider's rate limits."""
    try:
        recorder.metrics.part(Headroom).observe(provider, model, headers)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
        recorder.failed("headroom", error)
