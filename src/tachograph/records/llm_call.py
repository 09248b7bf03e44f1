"""One LLM call as the application asked for it, and its attempts on the wire.

A call is begun once, gathers attempts, and is finished exactly once: on return, on an exception, on the last chunk,
on an early close, on cancellation, or when it is collected unfinished. Finishing hands it to its recorder.

Durations come from the monotonic clock (`*_ns` from `time.perf_counter_ns`), stamps are UTC (`started_unix_ns`).
"""

from __future__ import annotations

from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tachograph.records.ids import new_id
from tachograph.records.outcomes import ErrorType, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tachograph.records.content import ContentGate
    from tachograph.records.cost import Cost
    from tachograph.records.prompt import Prompt
    from tachograph.records.reservation import Reservation
    from tachograph.records.run import Run
    from tachograph.records.usage import Usage


class LLMCallSink(Protocol):
    """Where a finished call goes."""

    @property
    def content(self) -> ContentGate:
        """What may be kept of what was said."""

    def failed(self, component: str, error: BaseException) -> None:
        """Take a failure of ours."""

    def finish_llm_call(self, call: LLMCall) -> None:
        """Take the call; it changes no more."""


class Attempt(msgspec.Struct, eq=False):
    """One request on the wire: from its sending until its answer is read, or its stream has ended.

    Attributes:
        number: 1 for the first.
        started_ns, ended_ns: Monotonic nanoseconds; `ended_ns` is 0 while it runs.
        status: HTTP status, or None when no answer came.
        outcome, error_type: How it ended.
        retry_after_seconds: What the server asked to wait, if it did.
        waited_ns: Time slept after this attempt, before the next one (or before giving up), measured.
        waited_before_ns: Time slept before this attempt in our own client-side limiter, measured.
        request_id: The vendor's id of the request.
    """

    number: int
    started_ns: int
    ended_ns: int = 0
    status: int | None = None
    outcome: Outcome | None = None
    error_type: ErrorType | None = None
    retry_after_seconds: float | None = None
    waited_ns: int = 0
    waited_before_ns: int = 0
    request_id: str | None = None

    def end(
        self,
        outcome: Outcome,
        error_type: ErrorType | None = None,
        *,
        status: int | None = None,
        ended_ns: int = 0,
    ) -> None:
        """End the attempt now, or at `ended_ns`. Ending again changes nothing."""
        if self.ended_ns:
            return
        self.ended_ns = ended_ns or perf_counter_ns()
        self.outcome = outcome
        self.error_type = error_type
        if status is not None:
            self.status = status

    @property
    def duration_seconds(self) -> float:
        """Seconds from sending to the end; 0.0 while it runs."""
        return (self.ended_ns - self.started_ns) / 1e9 if self.ended_ns else 0.0

    def __repr__(self) -> str:
        return f"Attempt({self.number}, status={self.status}, outcome={self.outcome}, error_type={self.error_type})"


class LLMCall(msgspec.Struct, eq=False, weakref=True):
    """One call to an LLM provider, retries and waits included.

    Attributes:
        sink: Where it goes when it is finished.
        id: 16 bytes, UUIDv7.
        provider, model: Labels: `openai`, `anthropic`, `gemini` or the user's own; the requested model.
        operation: OpenTelemetry's word: `chat`, `generate_content`, `embeddings`, `fetch_response`, ...
        api: Which of the vendor's APIs: `chat_completions`, `responses`, `messages`, `generate_content`, ...
        message_count: Number of messages sent (`prompt_length` on the span).
        stream: Whether the answer is streamed.
        labels: The user's own labels.
        run: The run of an agent that it belongs to.
        started_unix_ns: UTC, nanoseconds since the epoch.
        started_ns, first_token_ns, ended_ns: Monotonic; 0 when it has not happened.
        outcome, error_type, error: How it ended, and the exception if there was one (its text, where the call was
            received from another process).
        attempts: In order.
        usage: Tokens, or None when none were reported.
        usages: Tokens of each request, where the call made several that are priced each by itself (function calling
            inside Gemini's client, the results of a batch): `usage` is their sum. Else empty.
        cost: Set when the call is finished.
        response_model, response_id, request_id, service_tier, finish_reason: As the vendor answered.
        speed, region, traffic_type: What else the vendor prices by, in its own words: Anthropic's `fast`, where the
            answer was made (`inference_geo`), Vertex's `ON_DEMAND_FLEX`.
        stated_cost_nano_usd: The vendor's own figure of the cost, where it gives one.
        unknown_billables: Fields of the usage report and items of the answer that may be billed and that no reader
            knows, in the vendor's words: the cost is an estimate then.
        request_count: How many requests `usage` sums, where that is not known from `usages`; 0: unknown.
        body: The request of a streamed call, kept until it is priced: a stream that is closed before it reports any
            usage still costs its prompt. Never recorded.
        usage_mismatch: Why the usage report contradicts itself, if it does.
        dialect: What the user said of the host (a `vendors.dialects.Dialect`), if anything.
        server_address, server_port: The host the requests went to.
        request: Request settings for span attributes (`max_tokens`, `temperature`, ...), by OpenTelemetry name without
            the `gen_ai.request.` prefix. Never message content.
        content: What was said, only when the user turned recording on; else None.
        counts_usage: False where another call already counts these tokens (a stored response read again).
        unsent_wait_ns: Time slept in our own limiter for an attempt that was given up before it was sent.
        trace_id, span_id, span: Set by the span signal when there is one (ids as integers, 0 when none).
        prompt: Hashes of what was asked, where waste is looked for.
        reservation: Money that a budget holds for it until it is finished.
        projection: Its facts as every view shows them, once they were asked for (`records.projection`).
        parent_id: Id of the record this call was made inside (an agent run, an outer call), if known.
    """

    sink: LLMCallSink
    provider: str
    model: str
    operation: str = "chat"
    message_count: int = 0
    stream: bool = False
    labels: Mapping[str, str] | None = None
    run: Run | None = None
    id: bytes = b""
    started_unix_ns: int = 0
    started_ns: int = 0
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    api: str = ""
    first_token_ns: int = 0
    ended_ns: int = 0
    outcome: Outcome | None = None
    error_type: ErrorType | None = None
    error: BaseException | str | None = None
    usage: Usage | None = None
    usages: tuple[Usage, ...] = ()
    cost: Cost | None = None
    response_model: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    service_tier: str | None = None
    finish_reason: str | None = None
    speed: str | None = None
    region: str | None = None
    traffic_type: str | None = None
    stated_cost_nano_usd: int | None = None
    unknown_billables: tuple[str, ...] = ()
    request_count: int = 1
    body: Any = None
    usage_mismatch: str | None = None
    dialect: Any = None
    server_address: str | None = None
    server_port: int | None = None
    request: dict[str, Any] | None = None
    content: Any = None
    counts_usage: bool = True
    unsent_wait_ns: int = 0
    trace_id: int = 0
    span_id: int = 0
    span: Any = None
    projection: Any = None
    parent_id: bytes | None = None
    prompt: Prompt | None = None
    reservation: Reservation | None = None
    _open: list[LLMCallSink] = msgspec.field(default_factory=list)

    def __post_init__(self) -> None:
        self._open.append(self.sink)
        self.started_unix_ns = now = time_ns()
        self.id = new_id(now)
        self.started_ns = perf_counter_ns()

    @property
    def is_finished(self) -> bool:
        """Whether the call has been finished."""
        return not self._open

    def begin_attempt(self) -> Attempt:
        """Begin the next request on the wire.

        The time since the previous attempt ended is noted on that one as its wait, unless the wait was told already,
        or that one went well: then nobody waited, the caller's tools ran (Gemini's automatic function calling).
        """
        now = perf_counter_ns()
        attempts = self.attempts
        if attempts:
            previous = attempts[-1]
            if not previous.ended_ns:
                previous.end("error", "unknown", ended_ns=now)
            if not previous.waited_ns and previous.outcome != "success":
                previous.waited_ns = now - previous.ended_ns
        attempt = Attempt(len(attempts) + 1, now)
        attempts.append(attempt)
        return attempt

    def first_token(self) -> None:
        """Note the first content: text, reasoning or a tool-call part. Later ones change nothing."""
        if not self.first_token_ns:
            self.first_token_ns = perf_counter_ns()

    def finish(
        self,
        outcome: Outcome,
        error_type: ErrorType | None = None,
        *,
        error: BaseException | str | None = None,
        ended_ns: int = 0,
    ) -> bool:
        """Finish the call, now or at `ended_ns`, and hand it over. Only the first finish counts.

        An attempt that still runs ends with the call and as the call did.

        Returns:
            Whether this was the finish that counted.
        """
        try:
            sink = self._open.pop()  # one atomic step: a finaliser and a reader may race
        except IndexError:
            return False
        ended = ended_ns or perf_counter_ns()
        self.ended_ns = ended
        self.outcome = outcome
        if outcome != "success":
            self.error_type, self.error = error_type, error
        if self.attempts:
            last = self.attempts[-1]
            if not last.ended_ns:
                last.end(outcome, error_type, ended_ns=ended)
            elif not last.waited_ns and outcome in ("cancelled", "timeout"):
                last.waited_ns = max(0, ended - last.ended_ns)  # given up while waiting to try again
        sink.finish_llm_call(self)
        return True

    @property
    def duration_seconds(self) -> float:
        """Seconds from the application's asking to the end."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def first_token_seconds(self) -> float | None:
        """Seconds to the first content, or None when none came."""
        return (self.first_token_ns - self.started_ns) / 1e9 if self.first_token_ns else None

    @property
    def rate_limit_wait_seconds(self) -> float:
        """Seconds slept because of rate limits: after 429s, and in our client-side limiter."""
        waited_ns = self.unsent_wait_ns + sum(
            attempt.waited_before_ns + (attempt.waited_ns if attempt.outcome == "rate_limited" else 0)
            for attempt in self.attempts
        )
        return waited_ns / 1e9

    def __repr__(self) -> str:
        return f"LLMCall({self.provider}/{self.model} {self.operation}, outcome={self.outcome})"
