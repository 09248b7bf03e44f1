"""What a simulator answers next: answers, failures, and the queues and rules they come from.

sims.openai.script(RateLimited(retry_after=0.3), RateLimited(retry_after=0.3), Answer(text="at last"))
sims.gemini.always(Overloaded(), when=lambda request: request.model == "gemini-2.5-pro")
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .usage import ServedUsage

Finish = Literal[
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "refusal",
    "blocked_prompt",
    "pause",
    "context_window",
]
"""Why the model stopped; a vendor that lacks one of these words says its nearest."""


class Gate:
    """Holds a simulator at one point until a test opens it.

    `wait_reached()` returns once the simulator is at the gate.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._reached = threading.Event()

    def open(self) -> None:
        """Let every simulator that waits here, or comes later, go on."""
        with self._lock:
            self._opened = True
            waiting, self._waiting = self._waiting, []
        for loop, event in waiting:
            loop.call_soon_threadsafe(event.set)

    def wait_reached(self, timeout_seconds: float = 10.0) -> None:
        """Block until a simulator is at the gate.

        Raises:
            TimeoutError: None came.
        """
        if not self._reached.wait(timeout_seconds):
            raise TimeoutError(f"no simulator reached the gate within {timeout_seconds} s")

    async def pass_through(self) -> None:
        with self._lock:
            if self._opened:
                self._reached.set()
                return
            event = asyncio.Event()
            self._waiting.append((asyncio.get_running_loop(), event))
        self._reached.set()
        await event.wait()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in the model's answer."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamError:
    """An error that arrives inside a stream that began with 200.

    `shape` names the form it takes: `error` is the vendor's usual event, `flat` is OpenAI's event without a
    nested object, `response.failed` is the Responses API's last event.
    """

    kind: Literal["server_error", "overloaded", "rate_limit", "invalid_request"] = "server_error"
    shape: Literal["error", "flat", "response.failed"] = "error"
    message: str = "The server had an error while processing your request."


Ending = Literal["complete", "eof", "drop", "reset", "hang"] | StreamError
"""How a streamed answer ends: as it should; properly closed but without its last event (`eof`); connection
closed during the body (`drop`); a TCP reset; never; or by an error event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Values for the rate-limit headers of OpenAI and Anthropic, as text so that absurd ones can be sent.

    A value of None leaves its header out. `reset` goes out as given (OpenAI: `6m0s`, Anthropic: RFC 3339).
    """

    requests_limit: str | None = None
    requests_remaining: str | None = None
    requests_reset: str | None = None
    tokens_limit: str | None = None
    tokens_remaining: str | None = None
    tokens_reset: str | None = None
    input_tokens_limit: str | None = None
    input_tokens_remaining: str | None = None
    input_tokens_reset: str | None = None
    output_tokens_limit: str | None = None
    output_tokens_remaining: str | None = None
    output_tokens_reset: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful answer (in status, at least).

    What is left out is made from the seed and the request: text of a few dozen words, and usage counted from
    what went in and comes out.
    """

    text: str | None = None
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    usage: ServedUsage | None = None
    report_usage: bool = True
    """False leaves usage out of the answer altogether."""
    finish: Finish | None = None
    model: str | None = None
    """Model named in the answer; the requested one unless given."""
    pieces: int | None = None
    """How many pieces a streamed text comes in."""
    delay_seconds: float = 0.0
    """Before anything is sent."""
    first_token_seconds: float = 0.0
    """Streams: between the framing events and the first content. Otherwise added to the delay."""
    piece_seconds: float = 0.0
    """Streams: between two pieces of content. Otherwise ignored."""
    gate: Gate | None = None
    gate_after: int = 0
    """Streams: the number of pieces of content sent before the gate. Otherwise the whole answer waits."""
    ending: Ending = "complete"
    cut_after: int = 1
    """Streams: the number of pieces of content sent before an ending other than `complete`."""
    rate_limits: RateLimits | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    safety_reason: str = "SAFETY"
    """Gemini: the finish or block reason when `finish` is `content_filter` or `blocked_prompt`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An HTTP error in the vendor's own form.

    Use one of the subclasses; `status`, `message` and `code` override theirs.
    """

    retry_after: float | None = None
    retry_after_form: Literal["seconds", "date", "milliseconds", "retry_info", "raw"] = "seconds"
    """How it is sent. Gemini uses `retry_info`, in the body; `raw` sends `retry_after_raw` as it is."""
    retry_after_raw: str = ""
    status: int | None = None
    message: str | None = None
    code: str | None = None
    delay_seconds: float = 0.0
    rate_limits: RateLimits | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class RateLimited(Failure):
    """429 that waiting cures."""


class QuotaExhausted(Failure):
    """429 that no waiting cures: insufficient_quota, a spend limit, a limit per day."""


class BillingProblem(Failure):
    """402 (Anthropic billing_error)."""


class Unauthorized(Failure):
    """401."""


class Forbidden(Failure):
    """403."""


class InvalidKey(Failure):
    """A wrong API key in the form the vendor reports it: 401, and 400 API_KEY_INVALID from Gemini."""


class BadRequest(Failure):
    """400."""


class ContextTooLong(Failure):
    """400 because the prompt does not fit the model."""


class ContentPolicy(Failure):
    """400 because of what the prompt says."""


class ModelNotFound(Failure):
    """404."""


class RequestTimeout(Failure):
    """408."""


class Conflict(Failure):
    """409."""


class TooLarge(Failure):
    """413."""


class Unprocessable(Failure):
    """422."""


class ServerError(Failure):
    """500, or the 5xx that `status` says."""


class Overloaded(Failure):
    """The vendor is overloaded: 529 from Anthropic, 503 from the others."""


class GatewayTimeout(Failure):
    """504."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Nothing comes, until the client gives up."""

    after_headers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The connection is reset: before any header, or right after them."""

    after_headers: bool = False
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """The server closes the connection without an answer."""

    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Any bytes with any status, e.g. a proxy's HTML page with 200, or JSON that stops in the middle."""

    status: int = 200
    body: bytes = b"<html><body>502 Bad Gateway</body></html>"
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0


def malformed() -> Raw:
    """200 with JSON that stops in the middle."""
    return Raw(body=b'{"id": "broken", "choices": [{"ind', content_type="application/json")


Item = Answer | Failure | Hang | Reset | Disconnect | Raw


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """A request as a rule sees it."""

    vendor: str
    operation: str
    """`chat`, `responses`, `messages`, `generate_content`, `embeddings`, ..."""
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    """Decoded JSON, or the bytes of anything else."""
    model: str
    is_stream: bool
    occurrence: int
    """How many requests with exactly this body came before, from 0."""
    tools: Mapping[str, Mapping[str, Any]]
    """JSON schemas of the offered tools' arguments, by name."""
    conversation: int
    """The same number for every request of a conversation: made from its first message."""
    tool_results: int
    """How many tool results the conversation holds already."""
    prompt_tokens: int
    """What an answer without usage of its own will report as its prompt."""
    seed: int
    """Made from the simulators' seed, the vendor, the body and the occurrence: same run, same number."""


Rule = Callable[[AskedRequest], "Item | None"]
Condition = Callable[[AskedRequest], bool]


class Script:
    """Queues and rules of one vendor, safe to change from any thread while requests come in.

    Order: queued items whose condition fits, then rules from the newest to the oldest, then `Answer()`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[tuple[Condition | None, Item]] = deque()
        self._rules: list[Rule] = []

    def add(self, items: Sequence[Item], when: Condition | None) -> None:
        with self._lock:
            self._queue.extend((when, item) for item in items)

    def add_rule(self, rule: Rule) -> Callable[[], None]:
        with self._lock:
            self._rules.append(rule)

        def remove() -> None:
            with self._lock:
                if rule in self._rules:
                    self._rules.remove(rule)

        return remove

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()
            self._rules.clear()

    @property
    def pending(self) -> int:
        """Queued items that no request has taken yet."""
        with self._lock:
            return len(self._queue)

    def next_item(self, request: AskedRequest) -> Item:
        with self._lock:
            for position, (when, item) in enumerate(self._queue):
                if when is None or when(request):
                    del self._queue[position]
                    return item
            rules = list(reversed(self._rules))
        for rule in rules:
            found = rule(request)
            if found is not None:
                return found
        return Answer()
