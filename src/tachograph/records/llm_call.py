"""One LLM call as the application asked for it, and its attempts on the wire.

A call is begun once, gathers attempts, and is finished exactly once: on return, on an exception, on the last chunk,
on an early close, on cancellation, or when it is collected unfinished. Finishing hands it to its recorder.

Durations come from the monotonic clock (`*_ns` from `time.perf_counter_ns`), stamps are UTC (`started_unix_ns`).
"""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

import msgspec

from tachograph.records import ids
from tachograph.records.ids import id_of
from tachograph.records.outcomes import ErrorType, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tachograph.records.cost import Cost
    from tachograph.records.prompt import Prompt
    from tachograph.records.reservation import BudgetStep, Reservation
    from tachograph.records.run import Run
    from tachograph.records.sink import Sink
    from tachograph.records.usage import Usage


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
        number: In this process.
        given_id: The id of a record that was made elsewhere: received, or recovered.
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
        others: What other models did for this answer, each with its tokens and its own prices: an advisor, image
            generation. `usages` then holds what the call's own model did.
        cost: Set when the call is finished.
        response_model, response_id, request_id, service_tier, finish_reason: As the vendor answered.
        speed, region, traffic_type: What else the vendor prices by, in its own words: Anthropic's `fast`, where the
            answer was made (`inference_geo`), Vertex's `ON_DEMAND_FLEX`.
        stated_cost_nano_usd: The vendor's own figure of the cost, where it gives one.
        unknown_billables: Fields of the usage report and items of the answer that may be billed and that no reader
            handles, in the vendor's words: the cost is an estimate then.
        request_count: How many requests `usage` sums, where that is not known from `usages`; 0: unknown.
        body: The request of a streamed call, of one that is billed by what was asked for (speech, images, videos), and
            of any call where waste is looked for, kept until the record is delivered: a stream that is closed before it
            reports any usage still costs its prompt. Never recorded.
        cache_miss: Where the vendor diagnoses its prompt cache: how many tokens could have been read from it and were
            not (0: all were), and why, in its words.
        usage_mismatch: Why the usage report contradicts itself, if it does.
        dialect: What the user said of the host (a `vendors.dialects.Dialect`), if anything.
        server_address, server_port: The host the requests went to.
        request: Request settings for span attributes (`max_tokens`, `temperature`, ...), by OpenTelemetry name without
            the `gen_ai.request.` prefix, or what reads them. Never message content.
        content: What was said, only when the user turned recording on; else None.
        reading: Completes a finished record when it is delivered: reads the answer, the headers, the error. Set by
            hooks, so that reading costs the application's call nothing.
        counts_usage: False where another call already counts these tokens (a stored response read again).
        unsent_wait_ns: Time slept in our own limiter for an attempt that was given up before it was sent.
        trace_id, span_id, parent_span_id, span: Set by the span signal when there is one (ids as integers, 0 when
            none; the parent's when the record is delivered).
        api_key_hint: The last characters of the key that pays (`records.keys`).
        prompt: Hashes of what was asked, where waste is looked for.
        traceback: Of the exception, as it was when the call ended.
        slot: Where it is in the ring (`tape.ring`) until the journal has it; -1: nowhere.
        tokens: Input and output tokens as the answer gives them cheaply, for the ring.
        reservation: Money that a budget holds for it until it is finished.
        budget_steps: Parts of budgets that were spent with it.
        projection: Its facts as every view shows them, once they were asked for (`records.projection`).
        parent_id: Id of the record this call was made inside (an agent run, an outer call), if known.
    """

    sink: Sink
    provider: str
    model: str
    operation: str = "chat"
    message_count: int = 0
    stream: bool = False
    labels: Mapping[str, str] | None = None
    run: Run | None = None
    number: int = 0
    started_unix_ns: int = 0
    started_ns: int = 0
    reading: Callable[[], object] | None = None
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    api: str = ""
    first_token_ns: int = 0
    ended_ns: int = 0
    outcome: Outcome | None = None
    error_type: ErrorType | None = None
    error: BaseException | str | None = None
    usage: Usage | None = None
    usages: tuple[Usage, ...] = ()
    others: tuple[tuple[str, Usage], ...] = ()
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
    cache_miss: tuple[int, str] | None = None
    dialect: Any = None
    server_address: str | None = None
    server_port: int | None = None
    request: Callable[[], dict[str, Any] | None] | dict[str, Any] | None = None
    content: Any = None
    counts_usage: bool = True
    unsent_wait_ns: int = 0
    trace_id: int = 0
    span_id: int = 0
    parent_span_id: int = 0
    api_key_hint: str = ""
    span: Any = None
    projection: Any = None
    parent_id: bytes | None = None
    prompt: Prompt | None = None
    given_id: bytes = b""
    slot: int = -1
    traceback: Any = None
    tokens: tuple[int | None, int | None] | None = None
    reservation: Reservation | None = None
    budget_steps: tuple[BudgetStep, ...] = ()

    if TYPE_CHECKING:

        def __copy__(self) -> Self: ...

    @property
    def id(self) -> bytes:
        """16 bytes, UUIDv7."""
        return self.given_id or id_of(self.started_unix_ns, self.number)

    @property
    def is_finished(self) -> bool:
        """Whether the call has been finished."""
        return self.number not in self.sink.in_flight

    def settings(self) -> dict[str, Any] | None:
        """The request's settings, read when they are first asked for."""
        if callable(self.request):
            self.request = self.request()
        return self.request

    def another(self, model: str) -> LLMCall:
        """One more call that the same answer reports, begun as this one was."""
        more = LLMCall(self.sink, self.provider, model, self.operation, labels=self.labels, run=self.run)
        more.number, more.api_key_hint = ids.next_number(), self.api_key_hint
        more.started_unix_ns, more.started_ns = self.started_unix_ns, self.started_ns
        self.sink.in_flight[more.number] = ref(more)
        return more

    def begin_attempt(self, started_ns: int = 0) -> Attempt:
        """Begin the next request on the wire, now or at `started_ns`.

        The time since the previous attempt ended is noted on that one as its wait, unless the wait is recorded already
        or that one succeeded: then there was no wait, the caller's tools ran (Gemini's automatic function calling).
        """
        now = started_ns or perf_counter_ns()
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

        Returns:
            Whether this was the finish that counted.
        """
        if self.sink.in_flight.pop(self.number, None) is None:
            return False
        self.end(outcome, error_type, error=error, ended_ns=ended_ns or perf_counter_ns())
        self.sink.put(self)
        return True

    def hand_over(self, reading: Callable[[], object], ended_ns: int = 0) -> bool:
        """Finish the call, now or at `ended_ns`; `reading` says how it ended, later. Only the first finish counts."""
        if self.sink.in_flight.pop(self.number, None) is None:
            return False
        self.ended_ns = ended_ns or perf_counter_ns()
        self.reading = reading
        self.sink.put(self)
        return True

    def withdraw(self) -> None:
        """Drop the call undelivered: it is not watched after all."""
        self.sink.in_flight.pop(self.number, None)
        if self.span is not None:
            self.span.finish()

    def end(
        self,
        outcome: Outcome,
        error_type: ErrorType | None = None,
        *,
        error: BaseException | str | None = None,
        ended_ns: int = 0,
    ) -> None:
        """Say how the call ended; `hand_over`'s reading does.

        An attempt that still runs ends with the call and as the call did.
        """
        ended = self.ended_ns = ended_ns or self.ended_ns
        self.outcome = outcome
        if outcome != "success":
            self.error_type, self.error = error_type, error
            if self.traceback is None and isinstance(error, BaseException):
                self.traceback = error.__traceback__
        if self.attempts:
            last = self.attempts[-1]
            if not last.ended_ns:
                last.end(outcome, error_type, ended_ns=ended)
            elif not last.waited_ns and outcome in ("cancelled", "timeout"):
                last.waited_ns = max(0, ended - last.ended_ns)  # given up while waiting to try again

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
