"""Watching openai's WebSocket connections: Realtime, and Responses over a socket. Each response is one call.

Nothing of them passes the HTTP client. But every event that an application receives passes `recv_bytes`, and `recv`
gives it to `parse_event` at once: a response begins with `response.created` and ends with one event that carries its
usage. Bytes that the application takes itself are read by the drain. Transcriptions of what the user said are billed
apart and are calls of their own.
"""

from __future__ import annotations

import weakref
from contextvars import copy_context
from functools import partial
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import active_config, outcomes
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked
from tachograph.records import LLMCall
from tachograph.records.outcomes import Outcome
from tachograph.signals.spans import leave
from tachograph.tape import TAPE
from tachograph.tape.guard import after, generate
from tachograph.vendors.fields import dig, pick, text
from tachograph.vendors.loose import loads
from tachograph.vendors.openai.errors import openai_response_failure
from tachograph.vendors.openai.usage import read_response_usage, read_usage

_DONE: Final = ("response.done", "response.completed", "response.failed", "response.incomplete")
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"


def install() -> None:
    """Hook the connections, now or once they are imported."""
    after_import("openai.resources.realtime.realtime", _hook)
    after_import("openai.resources.responses.responses", _hook)


_RECV: Final = """
    ASYNC def recv(self, *args, **keywords):
        guard pass: parses(self, True)
        try:
            return AWAIT original(self, *args, **keywords)
        finally:
            guard pass: parses(self, False)
"""

_RECV_BYTES: Final = """
    ASYNC def recv_bytes(self, *args, **keywords):
        data = AWAIT original(self, *args, **keywords)
        guard pass: came(self, data)
        return data
"""


def _hook(module: ModuleType) -> None:
    for name in ("RealtimeConnection", "AsyncRealtimeConnection", "ResponsesConnection", "AsyncResponsesConnection"):
        owner = getattr(module, name, None)
        if owner is None:
            continue
        is_async = name.startswith("Async")
        for method, make in (
            ("recv", partial(_recv, is_async=is_async)),
            ("recv_bytes", partial(_recv_bytes, is_async=is_async)),
            ("parse_event", partial(after, done=_parsed)),
        ):
            if patch(owner, method, make):
                hooked("openai", f"{name}.{method}")


def _recv(original: object, *, is_async: bool) -> Any:
    return generate(_RECV, "recv", is_async=is_async, original=original, parses=_parses)


def _recv_bytes(original: object, *, is_async: bool) -> Any:
    return generate(_RECV_BYTES, "recv_bytes", is_async=is_async, original=original, came=_came)


def _parses(connection: object, begins: bool) -> None:
    """The library receives an event and parses it."""
    _socket(connection).is_parsing = begins


def _came(connection: object, data: object) -> None:
    """Some bytes, which the application takes as they are."""
    socket = _socket(connection)
    if SWITCH.on and not socket.is_parsing:
        socket.taken = data
        TAPE.append(partial(copy_context().run, socket.read, data, perf_counter_ns()))


def _parsed(connection: object, event: object, args: Any, keywords: Any) -> None:
    """An event, parsed by the library or for the application."""
    socket = _socket(connection)
    data = args[0] if args else keywords.get("data")
    if SWITCH.on and (socket.taken is None or data is not socket.taken):
        socket.note(event, perf_counter_ns())


class Socket:
    """One connection: the model it is for, and its responses under way.

    Attributes:
        is_parsing: Whether the library is about to parse what comes.
        taken: The last bytes that the application took as they are; the drain reads them.
    """

    def __init__(self, api: str) -> None:
        self.api = api
        self.model = "unknown"
        self.calls: dict[str, LLMCall] = {}
        self.last_ns = 0
        self.is_parsing = False
        self.taken: Any = None

    def read(self, data: Any, came_ns: int) -> None:
        """One event as bytes; what is not JSON is none of the API's."""
        try:
            event = loads(data)
        except (ValueError, RecursionError):
            return
        self.note(event, came_ns)

    def note(self, event: object, came_ns: int) -> None:
        """One event that came, then."""
        self.last_ns = came_ns
        kind = text(event, "type") or ""
        if kind.startswith("session."):
            self.model = text(pick(event, "session"), "model") or self.model
        elif kind == "response.created":
            self._begin(pick(event, "response"))
        elif kind in _DONE:
            self._end(pick(event, "response"))
        elif kind.endswith(".delta") and self.calls:
            call = self.calls.get(text(event, "response_id") or "") or next(iter(self.calls.values()))
            call.first_token_ns = call.first_token_ns or came_ns
        elif kind == _TRANSCRIBED:
            self._transcribed(event)

    def _begin(self, response: object) -> LLMCall:
        model = text(response, "model") or self.model
        call = active_config.recorder().start_llm_call("openai", model, "chat", stream=True)
        leave(call)  # it goes on between events
        self._began_then(call)
        call.response_id = text(response, "id")
        self.calls[call.response_id or ""] = call
        return call

    def _end(self, response: object) -> None:
        call = self.calls.pop(text(response, "id") or "", None) or self._begin(response)
        self.calls.pop(call.response_id or "", None)
        read_response_usage(response).put(call)
        call.finish_reason = dig(response, "status_details", "reason") or text(response, "status")
        call.response_model = text(response, "model") or call.response_model
        failure = openai_response_failure(response)
        if failure is not None:
            call.finish(outcomes.outcome_of(failure.error_type), failure.error_type, ended_ns=self.last_ns)
        else:
            outcome: Outcome = "cancelled" if text(response, "status") == "cancelled" else "success"
            call.finish(outcome, ended_ns=self.last_ns)

    def _began_then(self, call: LLMCall) -> None:
        """The call began when its event came, though the drain may have read that later."""
        late = call.started_ns - self.last_ns
        call.started_ns -= late
        call.started_unix_ns -= late
        call.api = self.api
        call.begin_attempt(call.started_ns)

    def _transcribed(self, event: object) -> None:
        call = active_config.recorder().start_llm_call("openai", "transcription", "transcription")
        self._began_then(call)
        call.response_id = text(event, "item_id")
        read_usage(pick(event, "usage")).put(call)
        call.finish("success", ended_ns=self.last_ns)

    def abandon(self) -> None:
        """The connection is gone: what was under way on it was given up."""
        while self.calls:
            _, call = self.calls.popitem()
            call.finish("cancelled", ended_ns=self.last_ns)


_sockets: weakref.WeakKeyDictionary[Any, Socket] = weakref.WeakKeyDictionary()


def _socket(connection: object) -> Socket:
    found = _sockets.get(connection)
    if found is None:
        found = Socket("realtime" if "Realtime" in type(connection).__name__ else "responses")
        _sockets[connection] = found
        weakref.finalize(connection, TAPE.append, found.abandon)
    return found
