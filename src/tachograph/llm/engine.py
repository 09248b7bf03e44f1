"""The engine: one call from the first request to the end, retries, waits and streams included, written once.

A program is a generator (see `drivers`). It begins the record, waits for the limiter, sends, reads, retries what may
succeed, and finishes the record exactly once, whichever way it ends:

    answered                 success
    failed for good          error, timeout or rate_limited, and a ProviderError
    closed early             cancelled (success when the answer was complete by then)
    cancelled, interrupted   cancelled, and the exception goes on
    dropped half read        cancelled, as of its last chunk
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import random as draw
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from tachograph.llm.adapter import Adapter, Answer
from tachograph.llm.answer_headers import note_answer
from tachograph.llm.content import keep_input, keep_output
from tachograph.llm.drivers import END, Closing, Emit, Program
from tachograph.llm.errors import ERROR_CLASSES, ProviderError
from tachograph.llm.headroom import note_headers
from tachograph.llm.limiter import Limiter, estimate_tokens
from tachograph.llm.read_deadline import Cut
from tachograph.llm.retry import RetryPolicy
from tachograph.llm.scrub import scrub, scrub_error
from tachograph.llm.types import Completed, Message, Part, Reasoning, Request, Response, Text
from tachograph.records.keys import key_hint
from tachograph.records.outcomes import outcome_of
from tachograph.runtime import settings_in_use
from tachograph.vendors.api import Api, WholeAnswer
from tachograph.vendors.dialects import configured
from tachograph.vendors.failures import RETRYABLE, Failure

if TYPE_CHECKING:
    from tachograph.llm.drivers import Awaiting, Blocking
    from tachograph.recorder import Recorder
    from tachograph.records.llm_call import Attempt, LLMCall

logger = logging.getLogger("tachograph")

CUT_SHORT = Failure("connection", True, 200, "stream_cut_short", "The stream ended before the answer was complete")


@dataclass(slots=True)
class Engine:
    """What the calls of one provider have in common.

    Attributes:
        provider: The label.
        secrets: Never to be shown: removed from messages of errors.
        recorder: Asked at each call.
    """

    provider: str
    adapter: Adapter
    recorder: Callable[[], Recorder]
    retry: RetryPolicy
    limiter: Limiter | None
    timeout_seconds: float
    server: tuple[str | None, int | None]
    secrets: tuple[str, ...]
    random: Callable[[], float] = draw

    def run(self, face: Blocking | Awaiting, client: object, request: Request, stream: bool) -> Program:
        """The program of one call; its result is the Response, and for a stream its events come first."""
        return _Run(self, face, client, request, stream).program()


class _Chunks:
    """The pieces of a stream for the vendor's reader: each until the first content has come, then the last few."""

    def __init__(self, api: Api, call: LLMCall) -> None:
        self.reader = (api.chunks or WholeAnswer)()
        self.call = call
        self._tail: deque[Any] | None = None

    def keep(self, chunk: object) -> None:
        """One piece."""
        if self._tail is not None:
            self._tail.append(chunk)
            return
        self.reader.feed(chunk, self.call)
        if self.reader.tail and self.reader.started:
            self._tail = deque(maxlen=self.reader.tail)

    def fill(self, call: LLMCall) -> None:
        """Put what they said into the record."""
        for chunk in self._tail or ():
            self.reader.feed(chunk, call)
        self.reader.fill(call)


@dataclass(slots=True)
class _Run:
    """One call under way."""

    engine: Engine
    face: Blocking | Awaiting
    client: Any
    request: Request
    stream: bool
    answer: Answer = field(default_factory=Answer)
    deadline_ns: int = 0
    last_chunk_ns: int = 0
    has_shown: bool = False
    open_stream: Any = None
    is_complete: bool = False
    cut: Cut | None = None

    def program(self) -> Program:
        call = self._begin()
        try:
            payload = self._prepare(call)
            while True:
                failure, cause = yield from self._try(call, payload)
                if failure is None:
                    response = self._response(call)
                    keep_output(call, response.message)
                    call.finish("success")
                    if self.stream:
                        yield Emit(Completed(response))
                    return response
                if not (yield from self._wait(call.attempts[-1], failure)):
                    raise self._give_up(call, failure, cause) from cause
        except Closing:
            yield from self._close()
            self._leave(call)
            return None
        except GeneratorExit:
            if not self.face.is_async:  # no event loop is left to await the closing of the other kind
                for _ in self._close():
                    pass
            self._leave(call)
            raise
        except ProviderError as error:
            call.finish(outcome_of(error.category), error.category, error=error)
            raise
        except Exception as error:  # the request cannot be built: nothing was sent
            failure = Failure("invalid_request", False, message=str(error))
            refused = self._give_up(call, failure, error)
            call.finish(outcome_of(refused.category), refused.category, error=refused)
            raise refused from error
        except BaseException as error:
            call.finish("cancelled", error=error)
            raise

    def _prepare(self, call: LLMCall) -> dict[str, Any]:
        """What is sent; the record learns of it what it would of a watched client's."""
        adapter = self.engine.adapter
        keep_input(call, self.request)
        payload = adapter.build(self.request, self.stream)
        if call.body is not None:
            call.body = payload
        facts = adapter.api.facts({**payload, **payload.get("extra_body", {})})
        call.message_count, call.request = facts.message_count, facts.settings
        return payload

    def _try(self, call: LLMCall, payload: dict[str, Any]) -> Program:
        """One attempt, from the limiter to its end; returns its failure and the exception behind it, if any."""
        before_ns = yield from self._limit(call)
        attempt = call.begin_attempt()
        attempt.waited_before_ns = before_ns
        failure, cause = None, None
        try:
            yield from self._attempt(call, attempt, payload)
            failure = self.answer.failure
        except Exception as error:  # noqa: BLE001 - categorised here, and raised as ours
            failure, cause = self._categorise(error), error
        if self.open_stream is not None:
            yield from self._close()
        self._correct_limiter(call)
        if failure is None:
            attempt.end("success")
            return None, None
        attempt.retry_after_seconds = failure.retry_after_seconds
        attempt.request_id = failure.request_id or attempt.request_id
        call.request_id = attempt.request_id
        attempt.end(outcome_of(failure.error_type), failure.error_type, status=failure.status)
        return failure, cause

    def _begin(self) -> LLMCall:
        engine, request = self.engine, self.request
        call = engine.recorder().start_llm_call(
            engine.provider,
            request.model,
            engine.adapter.api.operation,
            message_count=len(request.conversation),
            stream=self.stream,
            labels=request.labels,
            asks=request,
            key_hint=key_hint(engine.secrets[0]) if engine.secrets else "",
        )
        if call.model != request.model:
            self.request = request = replace(request, model=call.model)
        call.api = engine.adapter.api.name
        call.server_address, call.server_port = engine.server
        own = settings_in_use().instrument
        call.dialect = configured(engine.server[0] or "", own.always_usage_hosts, own.reasoning_outside_hosts)
        if request.deadline is not None:
            self.deadline_ns = call.started_ns + int(request.deadline * 1e9)
        return call

    def _attempt(self, call: LLMCall, attempt: Attempt, payload: dict[str, Any]) -> Program:
        engine, face, adapter = self.engine, self.face, self.engine.adapter
        self.answer, self.open_stream, self.is_complete = Answer(), None, False
        left = self._left_seconds()
        timeout = self.request.timeout or engine.timeout_seconds
        sent = yield face.do(
            call,
            left,
            adapter.send,
            self.client,
            payload,
            timeout if left is None else min(timeout, left),
            self.stream,
        )
        self._read_headers(call, attempt, adapter.headers(sent))
        parsed = yield face.do(call, self._left_seconds(), adapter.parse, sent)
        if not self.stream:
            attempt.status = 200
            self._fill(call, adapter.api.read, parsed)
            self.answer = adapter.read(parsed, call.finish_reason)
            return
        self.open_stream = parsed
        fold = adapter.fold()
        chunks = _Chunks(adapter.api, call)
        iterator = face.iterate(parsed)
        read: Callable[[Any], Any] = face.read
        chunk = None
        if self.deadline_ns and not face.is_async:
            self.cut = Cut(self.deadline_ns)
            self.cut.watch(adapter.response(parsed))
            read = self.cut.around(read)
        try:
            while True:
                is_first = chunk is None
                if is_first or adapter.sends_while_read:
                    chunk = yield face.do(call, self._left_seconds(), read, iterator)
                elif self.deadline_ns:
                    chunk = yield face.limited(self._left_seconds(), read, iterator)
                else:
                    chunk = yield read(iterator)
                if chunk is END:
                    break
                attempt.status = 200
                if is_first and adapter.sends_while_read:  # only its chunks show the headers
                    self._read_headers(call, attempt, adapter.headers(chunk))
                self.last_chunk_ns = perf_counter_ns()
                chunks.keep(chunk)
                for delta in fold.feed(chunk):
                    self.has_shown = True
                    yield Emit(delta)
        finally:
            self._fill(call, chunks.fill)
            self.is_complete = chunks.reader.is_complete
            self.answer = fold.answer(call.finish_reason)
            self._end_cut()
        self.open_stream = None
        error_type = chunks.reader.error_type
        if self.answer.failure is None and error_type is not None:
            text = "The answer says that it failed"
            self.answer.failure = Failure(error_type, error_type in RETRYABLE, 200, call.finish_reason, text)
        if self.answer.failure is None and not self.is_complete:
            self.answer.failure = self._past_deadline() or CUT_SHORT

    def _fill(self, call: LLMCall, fill: Callable[..., Any], *answer: object) -> None:
        """Put what an answer says into the record. Tokens count once: those of the last attempt that reported any."""
        told, call.counts_usage = call.usage, self.engine.adapter.api.counts_usage
        fill(call, *answer)
        call.usage = call.usage or told

    def _end_cut(self) -> None:
        if self.cut is not None:
            self.cut.end()
            self.cut = None

    def _close(self) -> Program:
        """Close the vendor's stream, which was not read to its end, so that its connection is free."""
        stream, self.open_stream = self.open_stream, None
        if stream is not None:
            try:
                yield self.face.close(stream)
            except Exception as error:  # noqa: BLE001 - the answer is known; a connection that will not close is not
                logger.debug("a stream could not be closed: %s", type(error).__name__)

    def _read_headers(self, call: LLMCall, attempt: Attempt, headers: object) -> None:
        if headers is None:
            return
        attempt.status = 200
        note_answer(self.engine.recorder(), call, attempt, headers)

    def _limit(self, call: LLMCall) -> Program:
        """Wait for a place in the limiter; returns the nanoseconds that took."""
        limiter = self.engine.limiter
        if limiter is None:
            return 0
        who = (self.engine.provider, self.request.model)
        estimated = estimate_tokens(self.request)
        wait = limiter.reserve(*who, estimated)
        if wait <= 0.0:
            return 0
        left = self._until_deadline()
        if left is not None and wait >= left:
            limiter.cancel(*who, estimated)
            raise self._give_up(
                call,
                Failure("timeout", True, message=f"The limiter asks for {wait:.1f} s, the deadline is in {left:.1f} s"),
                None,
            )
        started = perf_counter_ns()
        try:
            yield self.face.pause(wait)
        except BaseException:
            limiter.cancel(*who, estimated)
            call.unsent_wait_ns = perf_counter_ns() - started  # waited all the same, for nothing
            raise
        return perf_counter_ns() - started

    def _wait(self, attempt: Attempt, failure: Failure) -> Program:
        """Wait before the next attempt; returns whether there will be one."""
        wait = self.engine.retry.wait_seconds(failure, attempt.number, self.engine.random)
        left = self._until_deadline()
        if wait is None or self.has_shown or (left is not None and wait >= left):
            return False
        try:
            yield self.face.pause(wait)
        finally:
            attempt.waited_ns = perf_counter_ns() - attempt.ended_ns
        return True

    def _left_seconds(self) -> float | None:
        """Seconds until the deadline, or None without one.

        Raises:
            TimeoutError: None is left.
        """
        left = self._until_deadline()
        if left is not None and left <= 0.0:
            raise TimeoutError("the deadline has passed")
        return left

    def _until_deadline(self) -> float | None:
        """Seconds until the deadline, below zero when it has passed, or None without one."""
        return (self.deadline_ns - perf_counter_ns()) / 1e9 if self.deadline_ns else None

    def _past_deadline(self) -> Failure | None:
        if self.deadline_ns and perf_counter_ns() + 2_000_000 >= self.deadline_ns:  # clocks may differ by that
            text = f"The deadline of {self.request.deadline:g} s for the whole call has passed"
            return Failure("timeout", False, code="deadline", message=text)
        return None

    def _categorise(self, error: Exception) -> Failure:
        late = self._past_deadline()
        if late is not None:
            return late
        response = getattr(error, "response", None)
        headers = getattr(response, "headers", None)
        if headers is not None:
            note_headers(self.engine.recorder(), self.engine.provider, self.request.model, headers)
        return self.engine.adapter.failure(error)

    def _correct_limiter(self, call: LLMCall) -> None:
        usage, limiter = call.usage, self.engine.limiter
        if usage is not None and limiter is not None:
            used = (usage.input_tokens or 0) + (usage.output_tokens or 0)
            limiter.correct(self.engine.provider, self.request.model, estimate_tokens(self.request), used)

    def _leave(self, call: LLMCall) -> None:
        """Finish a call whose consumer has stopped reading, as of the last chunk it saw."""
        ended_ns = self.last_chunk_ns or 0
        call.finish("success" if self.is_complete else "cancelled", ended_ns=ended_ns)

    def _give_up(self, call: LLMCall, failure: Failure, cause: Exception | None) -> ProviderError:
        secrets = self.engine.secrets
        if cause is not None:
            scrub_error(cause, secrets)
        return ERROR_CLASSES[failure.error_type](
            failure,
            provider=self.engine.provider,
            model=self.request.model,
            call=call,
            response=self._response(call) if self.answer.raw is not None else None,
            message=scrub(failure.message, secrets),
        )

    def _response(self, call: LLMCall) -> Response:
        answer = self.answer
        parts: list[Part] = []
        if answer.reasoning:
            parts.append(Reasoning(answer.reasoning))
        if answer.text:
            parts.append(Text(answer.text))
        parts += answer.tool_calls
        native = None if answer.native is None else (self.engine.adapter.api.name, answer.native)
        return Response(
            text=answer.text,
            reasoning=answer.reasoning,
            tool_calls=tuple(answer.tool_calls),
            refusal=answer.refusal,
            finish_reason=answer.finish_reason,
            usage=call.usage,
            model=call.response_model,
            id=call.response_id,
            request_id=call.request_id,
            message=Message("assistant", parts, native),
            raw=answer.raw,
            record=call,
        )
