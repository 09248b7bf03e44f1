"""What the vendors' simulators share: scripting, the ledger of truth, failures and the pace of streams."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import hashlib
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from . import seeded
from .operation import JSON_HEADERS, Filled, Operation, Piece, Rendered, json_bytes
from .script import (
    Answer,
    AskedRequest,
    Condition,
    Disconnect,
    Failure,
    Hang,
    InvalidKey,
    Item,
    RateLimits,
    Raw,
    Reset,
    Rule,
    Script,
    StreamError,
    ToolCall,
)
from .served import Exchange, Served
from .server import HTTPServer, Reply, Request
from .usage import ServedUsage

SSE_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Vendor(ABC):
    """One vendor's simulator, made by `Simulators`. Methods without underscore are for tests and the demo."""

    name: str

    def __init__(self, served: Served, seed: int, run: Callable[[Any], Any]) -> None:
        self._served = served
        self.forget: list[Callable[[], None]] = []
        """Called by `clear()`, too."""
        self._seed = seed
        self._run = run
        self._script = Script()
        self._cached: set[int] = set()
        self._found: set[int] = set()
        self._server = HTTPServer(self._handle)
        self._in_a_hurry = asyncio.Event()
        self.accepted_keys: set[str] | None = None
        """API keys that are let in; None lets every key in."""
        self.rate_limits: Callable[[AskedRequest], RateLimits | None] | None = None
        """Values for the rate-limit headers of every answer that brings none of its own."""
        self.loses_cache = False
        """Whether what was cached is found once, and never again."""

    # -- for tests and the demo

    @property
    def root_url(self) -> str:
        """Scheme, host and port."""
        return self._server.url

    @property
    @abstractmethod
    def url(self) -> str:
        """Base URL as the vendor's SDK takes it."""

    def script(self, *items: Item, when: Condition | None = None) -> None:
        """Answer the next requests (those that fit `when`) with `items`, one each, in this order."""
        self._script.add(items, when)

    def always(self, item: Item, when: Condition | None = None) -> Callable[[], None]:
        """Answer every request (that fits `when`) with `item` until the returned function is called."""
        return self.rule(lambda request: item if when is None or when(request) else None)

    def rule(self, rule: Rule) -> Callable[[], None]:
        """Ask `rule` what to answer; None passes the request on. Call what this returns to remove the rule.

        Rules run on the simulators' thread and must not block.
        """
        return self._script.add_rule(rule)

    def clear(self, seed: int | None = None) -> None:
        """Drop all scripted items and rules, forget what is cached, and answer by another seed, if one is given."""
        if seed is not None:
            self._seed = seed
        self._script.clear()
        self._cached.clear()
        self._found.clear()
        self._in_a_hurry.clear()
        for forget in self.forget:
            forget()

    @property
    def pending(self) -> int:
        """Scripted items that no request has taken yet."""
        return self._script.pending

    def vanish(self) -> None:
        """Stop listening and cut all connections: clients meet a refused connection."""
        self._run(self._server.stop())

    def come_back(self) -> None:
        """Listen again, on the same port."""
        self._run(self._server.start())

    def hurry(self) -> None:
        """Skip every delay, those under way included: what is asked is answered at once (for shutting down)."""
        self._run(self._hurry())

    async def _hurry(self) -> None:
        self._in_a_hurry.set()

    async def pause(self, seconds: float) -> None:
        if seconds > 0 and not self._in_a_hurry.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._in_a_hurry.wait(), seconds)

    async def start(self, port: int = 0) -> None:
        await self._server.start(port)

    async def stop(self) -> None:
        await self._server.stop()

    # -- what each vendor says

    @abstractmethod
    def _route(self, request: Request, body: object) -> Operation | None:
        """What a request asks for; None if there is no such thing."""

    @abstractmethod
    def failure(self, failure: Failure, operation: Operation, request_id: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON body of a failure."""

    @abstractmethod
    def _stream_error(self, error: StreamError, operation: Operation, filled: Filled) -> bytes:
        """The bytes of an error inside a stream."""

    @abstractmethod
    def _headers(self, asked: AskedRequest, limits: RateLimits | None) -> dict[str, str]:
        """Headers of every response: request id, rate limits."""

    @abstractmethod
    def _key(self, request: Request) -> str | None:
        """The API key that the client sent."""

    # -- one exchange

    async def _handle(self, request: Request, reply: Reply) -> None:
        if request.headers.get("upgrade", "").lower() == "websocket":
            from .sockets import serve

            await serve(self, request, reply)
            return
        body = _decode(request)
        operation = self._route(request, body)
        exchange, asked = self.begin_exchange(request, operation, body, request.body)
        try:
            if operation is None:
                self._send_whole(reply, exchange, 404, JSON_HEADERS, json_bytes({"error": {"message": "no such path"}}))
                return
            await self._answer(request, asked, operation, reply, exchange)
        except asyncio.CancelledError:
            exchange.client_gone = True
            raise
        finally:
            self._served.end(exchange, time.monotonic())

    def end_exchange(self, exchange: Exchange) -> None:
        """Close the books on an exchange, unless they are closed already."""
        self._served.end(exchange, time.monotonic())

    def begin_exchange(
        self, request: Request, operation: Operation | None, body: object, raw: bytes
    ) -> tuple[Exchange, AskedRequest]:
        """Open the books on one request (or one event of a session), and describe it for scripts and rules."""
        operation = operation or Operation(name="unknown", model="", whole=_nothing)
        exchange = Exchange(
            vendor=self.name,
            operation=operation.name,
            model=operation.model,
            method=request.method,
            path=request.path,
            headers=request.headers,
            body=body,
            body_hash=hashlib.blake2b(raw, digest_size=8).hexdigest(),
            is_stream=operation.stream is not None,
            started=time.monotonic(),
            started_unix=time.time(),
            conversation=seeded.number(json_bytes(operation.messages[:1]).decode()),
            tool_results=seeded.count_tool_results(operation.messages),
        )
        occurrence = self._served.begin(exchange)
        asked = AskedRequest(
            vendor=self.name,
            operation=operation.name,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=body,
            model=operation.model,
            is_stream=exchange.is_stream,
            occurrence=occurrence,
            tools=operation.tools,
            conversation=exchange.conversation,
            tool_results=exchange.tool_results,
            prompt_tokens=seeded.prompt_tokens(*operation.prompt),
            seed=seeded.number(self._seed, self.name, request.path, exchange.body_hash, occurrence),
        )
        return exchange, asked

    def next_item(self, request: Request, asked: AskedRequest, operation: Operation) -> Item:
        """What to answer."""
        if self.accepted_keys is not None and self._key(request) not in self.accepted_keys:
            return InvalidKey()
        return self._script.next_item(asked) if operation.is_scripted else Answer()

    async def _answer(
        self, request: Request, asked: AskedRequest, operation: Operation, reply: Reply, exchange: Exchange
    ) -> None:
        item = self.next_item(request, asked, operation)
        if isinstance(item, (Answer, Failure, Raw, Reset, Disconnect)):
            await self.pause(item.delay_seconds)
        if isinstance(item, Answer):
            await self._send_answer(self.fill(item, asked, operation), operation, reply, exchange)
        elif isinstance(item, Failure):
            status, headers, failure_body = self.failure(item, operation, seeded.identifier(asked.seed, "req_"))
            headers = {
                **self._headers(asked, self._limits(asked, item.rate_limits)),
                **JSON_HEADERS,
                **headers,
                **_retry_after_headers(item),
                **item.headers,
            }
            self._send_whole(reply, exchange, item.status or status, headers, json_bytes(failure_body))
        elif isinstance(item, Raw):
            self._send_whole(
                reply, exchange, item.status, {"content-type": item.content_type, **item.headers}, item.body
            )
        elif isinstance(item, Hang):
            if item.after_headers:
                exchange.status = 200
                reply.start(200, SSE_HEADERS if exchange.is_stream else JSON_HEADERS)
            await asyncio.Event().wait()
        elif isinstance(item, Reset):
            if item.after_headers:
                exchange.status = 200
                reply.start(200, SSE_HEADERS if exchange.is_stream else JSON_HEADERS)
                await asyncio.sleep(0.01)
            self._served.end(exchange, time.monotonic())
            reply.reset()
        else:
            self._served.end(exchange, time.monotonic())
            reply.drop()

    def _limits(self, asked: AskedRequest, given: RateLimits | None) -> RateLimits | None:
        return given or (self.rate_limits(asked) if self.rate_limits else None)

    def _send_whole(
        self, reply: Reply, exchange: Exchange, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Send a whole response, its exchange ended just before so that no client can look too early."""
        exchange.status = status
        exchange.is_complete = True
        self._served.end(exchange, time.monotonic())
        reply.whole(status, headers, body)

    async def _send_answer(self, filled: Filled, operation: Operation, reply: Reply, exchange: Exchange) -> None:
        answer = filled.answer
        headers = {
            **self._headers(filled.asked, self._limits(filled.asked, answer.rate_limits)),
            **answer.headers,
        }
        exchange.served_model = filled.model
        exchange.full_usage = filled.usage
        exchange.tool_calls, exchange.prefix = filled.tool_calls, _prefix(operation)
        if operation.stream is not None:
            exchange.status = 200
            reply.start(200, {**SSE_HEADERS, **headers})
            await self.send_pieces(operation.stream(filled), filled, operation, reply, exchange)
            return
        if answer.gate is not None:
            await answer.gate.pass_through()
        await self.pause(answer.first_token_seconds)
        if answer.ending == "hang":
            await asyncio.Event().wait()
        if answer.ending in ("reset", "drop", "eof"):
            self._served.end(exchange, time.monotonic())
            reply.reset() if answer.ending == "reset" else reply.drop()
            return
        rendered = operation.whole(filled)
        exchange.usage = rendered.usage
        exchange.response_id = rendered.response_id
        self._send_whole(reply, exchange, rendered.status, {**rendered.headers, **headers}, rendered.body)

    async def send_pieces(
        self, pieces: Iterable[Piece], filled: Filled, operation: Operation, reply: Reply, exchange: Exchange
    ) -> None:
        answer = filled.answer
        waiting: bytes | None = None  # the last piece goes out after the books are closed
        for piece in pieces:
            if waiting is not None:
                reply.send(waiting)
                waiting = None
            sent = exchange.pieces_sent
            if piece.is_content:
                if answer.gate is not None and sent == answer.gate_after:
                    await answer.gate.pass_through()
                await self.pause(answer.first_token_seconds if sent == 0 else answer.piece_seconds)
            if answer.ending != "complete" and sent == answer.cut_after and (piece.is_content or sent > 0):
                await self._end_badly(filled, operation, reply, exchange)
                return
            waiting = piece.data
            exchange.pieces_sent += piece.is_content
            if piece.usage is not None:
                exchange.usage = piece.usage
        if answer.ending != "complete":
            reply.send(waiting or b"")
            await self._end_badly(filled, operation, reply, exchange)
            return
        exchange.is_complete = True
        self._served.end(exchange, time.monotonic())
        reply.send(waiting or b"")
        reply.finish()

    async def _end_badly(self, filled: Filled, operation: Operation, reply: Reply, exchange: Exchange) -> None:
        ending = filled.answer.ending
        if ending == "hang":
            await asyncio.Event().wait()
        if ending == "reset":
            await asyncio.sleep(0.02)  # let the client read what was sent: a reset discards what it has not read
        self._served.end(exchange, time.monotonic())
        if isinstance(ending, StreamError):
            reply.send(self._stream_error(ending, operation, filled))
            reply.finish()
        elif ending == "eof":
            reply.end_early()
        elif ending == "drop":
            reply.drop()
        elif ending == "reset":
            reply.reset()

    def fill(self, answer: Answer, asked: AskedRequest, operation: Operation) -> Filled:
        rng = random.Random(asked.seed)
        tool_calls = list(answer.tool_calls)
        if not tool_calls and answer.text is None and operation.must_call_tool and operation.tools:
            wanted = operation.must_call_tool
            name = wanted if isinstance(wanted, str) else rng.choice(sorted(operation.tools))
            tool_calls = [ToolCall(name, seeded.example(operation.tools.get(name, {}), rng))]
        text = answer.text
        if text is None:
            if tool_calls or not operation.produces_text or answer.finish == "blocked_prompt":
                text = ""
            elif operation.output_schema is not None:
                text = json_bytes(seeded.example(operation.output_schema, rng)).decode()
            else:
                text = seeded.sentence(rng, rng.randint(8, 60))
        usage = answer.usage
        if usage is None:
            reasoning = seeded.count_tokens(answer.reasoning)
            if operation.wants_reasoning and not answer.reasoning:
                reasoning = rng.randint(20, 400)
            said = seeded.count_tokens(text) + sum(
                seeded.count_tokens(call.name + json_bytes(call.arguments).decode()) for call in tool_calls
            )
            usage = ServedUsage(
                prompt=asked.prompt_tokens,
                completion=said + reasoning if operation.produces_text else 0,
                reasoning=reasoning if operation.produces_text else 0,
            )
            usage = self._with_cache(usage, operation)
        return Filled(
            asked=asked,
            answer=answer,
            text=text,
            reasoning=answer.reasoning,
            tool_calls=tool_calls,
            usage=usage,
            finish=answer.finish or ("tool_calls" if tool_calls else "stop"),
            model=answer.model or operation.model,
            created=int(time.time()),
        )

    def _with_cache(self, usage: ServedUsage, operation: Operation) -> ServedUsage:
        """Count the prompt's prefix as cached when this model has had it before."""
        key = _prefix(operation)
        size = seeded.prompt_tokens(operation.prefix)
        if key is None or size < 1024 or size > usage.prompt:
            return usage
        is_known = key in self._cached and not (self.loses_cache and key in self._found)
        self._cached.add(key)
        if is_known:
            self._found.add(key)
        if operation.is_cached_by_itself:
            return replace(usage, cache_read=size // 128 * 128) if is_known else usage
        if is_known:
            return replace(usage, cache_read=size)
        if operation.cache_lifetime == "1h":
            return replace(usage, cache_write_1h=size)
        return replace(usage, cache_write_5m=size)


def _prefix(operation: Operation) -> int | None:
    """Stands for what of the prompt the vendor's cache may hold."""
    if operation.prefix is None or not (operation.cache_lifetime or operation.is_cached_by_itself):
        return None
    return seeded.number(operation.model, json_bytes(operation.prefix).decode())


def _nothing(filled: Filled) -> Rendered:
    return Rendered(body=b"", usage=None)


def _decode(request: Request) -> object:
    if not request.body:
        return None
    if "json" in request.headers.get("content-type", "json"):
        try:
            return msgspec.json.decode(request.body)
        except msgspec.DecodeError:
            return request.body
    return request.body


def _retry_after_headers(failure: Failure) -> dict[str, str]:
    if failure.retry_after_form == "raw":
        return {"retry-after": failure.retry_after_raw}
    if failure.retry_after is None:
        return {}
    if failure.retry_after_form == "milliseconds":
        return {"retry-after-ms": f"{failure.retry_after * 1000:g}"}
    if failure.retry_after_form == "date":
        return {"retry-after": email.utils.formatdate(time.time() + failure.retry_after, usegmt=True)}
    if failure.retry_after_form == "retry_info":
        return {}
    return {"retry-after": f"{failure.retry_after:g}"}
