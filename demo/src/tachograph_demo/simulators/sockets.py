"""What the vendors offer over WebSockets: OpenAI's Realtime and Responses sessions, Gemini's Live sessions.

A session is a loop: events come in, and those that ask for an answer are exchanges of their own in the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from . import openai_responses, seeded
from .gemini_usage import usage_metadata
from .operation import Filled, Operation, Piece, Rendered, json_bytes, without_none
from .script import Answer, Failure, Hang
from .server import Reply, Request
from .usage import ServedUsage
from .websocket import WebSocket

if TYPE_CHECKING:
    from .vendor import Vendor


class Session:
    """One WebSocket session's own state.

    Args:
        model: From the address; Gemini's comes with the first message.
    """

    is_binary = False

    def __init__(self, model: str) -> None:
        self.model = model
        self.said: list[Any] = []

    def greet(self) -> list[bytes]:
        """What is sent when the session begins."""
        return []

    def hear(self, event: dict[str, Any]) -> tuple[list[bytes], Operation | None]:
        """What an event is answered with at once, and what it asks the model for."""
        raise NotImplementedError


def _whole(filled: Filled) -> Rendered:
    raise AssertionError("sessions only stream")


class RealtimeSession(Session):
    """OpenAI's Realtime API, as far as text, its usage and its errors go."""

    def greet(self) -> list[bytes]:
        session = {"type": "realtime", "object": "realtime.session", "id": "sess_simulated", "model": self.model}
        return [json_bytes({"type": "session.created", "event_id": "event_0", "session": session})]

    def hear(self, event: dict[str, Any]) -> tuple[list[bytes], Operation | None]:
        kind = event.get("type")
        if kind == "session.update":
            updated = {"type": "session.updated", "event_id": "event_1", "session": event.get("session", {})}
            return [json_bytes(updated)], None
        if kind == "conversation.item.create":
            self.said.append(event.get("item"))
            added = {"type": "conversation.item.added", "event_id": "event_2", "item": event.get("item")}
            return [json_bytes(added)], None
        if kind == "response.create":
            prompt = [self.said, event.get("response")]
            return [], Operation(
                name="realtime", model=self.model, whole=_whole, stream=_realtime_pieces, prompt=list(prompt)
            )
        return [], None


def _realtime_usage(usage: ServedUsage) -> dict[str, Any]:
    return {
        "total_tokens": usage.total,
        "input_tokens": usage.prompt,
        "output_tokens": usage.completion,
        "input_token_details": {
            "text_tokens": usage.prompt - usage.audio_input - usage.image_input,
            "audio_tokens": usage.audio_input,
            "image_tokens": usage.image_input,
            "cached_tokens": usage.cache_read,
        },
        "output_token_details": {
            "text_tokens": usage.completion - usage.audio_output,
            "audio_tokens": usage.audio_output,
        },
    }


def _realtime_pieces(filled: Filled) -> Iterable[Piece]:
    identity = {"response_id": filled.id("resp_"), "item_id": filled.id("item_"), "output_index": 0}
    response: dict[str, Any] = {
        "object": "realtime.response",
        "id": filled.id("resp_"),
        "status": "in_progress",
        "output": [],
    }

    def event(kind: str, **fields: object) -> bytes:
        return json_bytes({"type": kind, "event_id": filled.id("event_"), **fields})

    yield Piece(data=event("response.created", response=response))
    for text in filled.text_pieces():
        delta = event("response.output_text.delta", **identity, content_index=0, delta=text)
        yield Piece(data=delta, is_content=True)
    yield Piece(data=event("response.output_text.done", **identity, content_index=0, text=filled.text))
    item = {
        "id": identity["item_id"],
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": filled.text}],
    }
    done = {**response, "status": "completed", "output": [item], "usage": _realtime_usage(filled.usage)}
    yield Piece(data=event("response.done", response=done), usage=filled.usage)


class ResponsesSession(Session):
    """OpenAI's Responses API over a WebSocket: each `response.create` is a request."""

    def hear(self, event: dict[str, Any]) -> tuple[list[bytes], Operation | None]:
        if event.get("type") != "response.create":
            return [], None
        body = {**event, **(event.get("response") or {}), "stream": True}
        operation = openai_responses.route("POST", "/responses", str(body.get("model", "")), body, {})
        if operation is None or operation.stream is None:
            return [], None
        stream = operation.stream
        operation.stream = lambda filled: (_unframed(piece) for piece in stream(filled))
        return [], operation


def _unframed(piece: Piece) -> Piece:
    """A server-sent event as the bare JSON that a WebSocket carries."""
    data = piece.data.partition(b"data: ")[2].rstrip(b"\n")
    return Piece(data=data, is_content=piece.is_content, usage=piece.usage)


class LiveSession(Session):
    """Gemini's Live API: `setup`, then turns."""

    is_binary = True

    def hear(self, event: dict[str, Any]) -> tuple[list[bytes], Operation | None]:
        if "setup" in event:
            self.model = str(event["setup"].get("model", "")).rpartition("/")[2]
            self.said.append(event["setup"].get("systemInstruction"))
            return [json_bytes({"setupComplete": {}})], None
        content = event.get("clientContent") or event.get("client_content")
        if content is None:
            return [], None
        self.said.extend(content.get("turns") or ())
        if not (content.get("turnComplete") or content.get("turn_complete")):
            return [], None
        return [], Operation(name="live", model=self.model, whole=_whole, stream=_live_pieces, prompt=list(self.said))


def _live_pieces(filled: Filled) -> Iterable[Piece]:
    for text in filled.text_pieces():
        turn = {"modelTurn": {"role": "model", "parts": [{"text": text}]}}
        yield Piece(data=json_bytes({"serverContent": turn}), is_content=True)
    usage = usage_metadata(filled.usage, is_vertex=False)
    # Live says response*, where generateContent says candidates*.
    renamed = {key.replace("candidates", "response"): value for key, value in usage.items()}
    done = {"serverContent": {"turnComplete": True, "generationComplete": True}, "usageMetadata": renamed}
    yield Piece(data=json_bytes(without_none(done)), usage=filled.usage)


def open_session(vendor: str, path: str, model: str) -> Session | None:
    """The session that an upgrade request asks for."""
    if vendor == "openai" and path.endswith("/realtime"):
        return RealtimeSession(model)
    if vendor == "openai" and path.endswith("/responses"):
        return ResponsesSession(model)
    if vendor == "gemini" and path.startswith("/ws/") and "BidiGenerateContent" in path:
        return LiveSession(model)
    return None


def decode_event(message: bytes) -> dict[str, Any]:
    """An event as the client sent it; anything that is not a JSON object is an empty one."""
    try:
        event = msgspec.json.decode(message)
    except msgspec.DecodeError:
        return {}
    return event if isinstance(event, dict) else {}


class _SocketReply(Reply):
    """Writes a stream's pieces as messages; the session outlives the answer."""

    def __init__(self, websocket: WebSocket, transport: asyncio.Transport, is_binary: bool) -> None:
        super().__init__(transport, False, lambda taken: taken)
        self._websocket = websocket
        self._is_binary = is_binary

    def send(self, data: bytes) -> None:
        if data:
            self._websocket.send(data, is_binary=self._is_binary)

    def finish(self) -> None:
        """The session goes on."""

    def end_early(self) -> None:
        self._websocket.close()


async def serve(vendor: Vendor, request: Request, reply: Reply) -> None:
    """Serve one session to its end."""
    session = open_session(vendor.name, request.path, request.query.get("model", ""))
    if session is None:
        reply.whole(404, {"content-type": "application/json"}, b"{}")
        return
    websocket = reply.upgrade(request)
    answers = _SocketReply(websocket, reply.transport, session.is_binary)
    for greeting in session.greet():
        answers.send(greeting)
    while (message := await websocket.receive()) is not None:
        event = decode_event(message)
        at_once, operation = session.hear(event)
        for answer in at_once:
            answers.send(answer)
        if operation is not None and operation.stream is not None:
            await _answer(vendor, request, operation, event, message, answers)


async def _answer(
    vendor: Vendor, request: Request, operation: Operation, event: dict[str, Any], raw: bytes, answers: _SocketReply
) -> None:
    exchange, asked = vendor.begin_exchange(request, operation, event, raw)
    assert operation.stream is not None
    try:
        item = vendor.next_item(request, asked, operation)
        if isinstance(item, Answer):
            filled = vendor.fill(item, asked, operation)
            exchange.served_model, exchange.full_usage, exchange.status = filled.model, filled.usage, 200
            await vendor.pause(item.delay_seconds)
            await vendor.send_pieces(operation.stream(filled), filled, operation, answers, exchange)
        elif isinstance(item, Failure):
            await vendor.pause(item.delay_seconds)
            status, _, body = vendor.failure(item, operation, seeded.identifier(asked.seed, "req_"))
            exchange.status = status
            exchange.is_complete = True
            vendor.end_exchange(exchange)
            answers.send(json_bytes({"type": "error", **body}))
        elif isinstance(item, Hang):
            await asyncio.Event().wait()
        else:
            vendor.end_exchange(exchange)
            answers.reset()
    except asyncio.CancelledError:
        exchange.client_gone = True
        raise
    finally:
        vendor.end_exchange(exchange)
