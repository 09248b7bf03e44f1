"""Watching openai's WebSocket connections: Realtime, and Responses over a socket. Each response is one call.

Nothing of them passes the HTTP client. But every event that an application receives passes `parse_event`: a response
begins with `response.created` and ends with one event that carries its usage. Transcriptions of what the user said are
billed apart and are calls of their own.
"""

from __future__ import annotations

import weakref
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import endings, settled
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH, patch
from tachograph.instrument.report import hooked
from tachograph.records import LLMCall
from tachograph.signals.spans import leave
from tachograph.tape import TAPE
from tachograph.tape.guard import after
from tachograph.vendors.fields import dig, pick, text
from tachograph.vendors.openai.errors import openai_response_failure
from tachograph.vendors.openai.usage import read_response_usage, read_usage

_DONE: Final = ("response.done", "response.completed", "response.failed", "response.incomplete")
_TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"


def install() -> None:
    """Hook the connections, now or once they are imported."""
    after_import("openai.resources.realtime.realtime", _hook)
    after_import("openai.resources.responses.responses", _hook)


def _hook(module: ModuleType) -> None:
    for name in ("RealtimeConnection", "AsyncRealtimeConnection", "ResponsesConnection", "AsyncResponsesConnection"):
        owner = getattr(module, name, None)
        if owner is not None and patch(owner, "parse_event", _parse_event):
            hooked("openai", f"{name}.parse_event")


def _parse_event(original: Any) -> Any:
    return after(original, _came)


def _came(connection: Any, event: Any, args: Any, keywords: Any) -> None:
    if SWITCH.on:
        _socket(connection).note(event)


class Socket:
    """One connection: the model it is for, and its responses under way."""

    def __init__(self, api: str) -> None:
        self.api = api
        self.model = "unknown"
        self.calls: dict[str, LLMCall] = {}
        self.last_ns = 0

    def note(self, event: Any) -> None:
        """One event that came."""
        self.last_ns = perf_counter_ns()
        kind = text(event, "type") or ""
        if kind.startswith("session."):
            self.model = text(pick(event, "session"), "model") or self.model
        elif kind == "response.created":
            self._begin(pick(event, "response"))
        elif kind in _DONE:
            self._end(pick(event, "response"))
        elif kind.endswith(".delta") and self.calls:
            call = self.calls.get(text(event, "response_id") or "") or next(iter(self.calls.values()))
            call.first_token()
        elif kind == _TRANSCRIBED:
            self._transcribed(event)

    def _begin(self, response: Any) -> LLMCall:
        model = text(response, "model") or self.model
        call = settled.recorder().start_llm_call("openai", model, "chat", stream=True)
        leave(call)  # it goes on between events
        call.api = self.api
        call.response_id = text(response, "id")
        call.begin_attempt()
        self.calls[call.response_id or ""] = call
        return call

    def _end(self, response: Any) -> None:
        call = self.calls.pop(text(response, "id") or "", None) or self._begin(response)
        self.calls.pop(call.response_id or "", None)
        read_response_usage(response).put(call)
        call.finish_reason = dig(response, "status_details", "reason") or text(response, "status")
        call.response_model = text(response, "model") or call.response_model
        failure = openai_response_failure(response)
        if failure is not None:
            call.finish(endings.outcome_of(failure.error_type), failure.error_type)
        else:
            call.finish("cancelled" if text(response, "status") == "cancelled" else "success")

    def _transcribed(self, event: Any) -> None:
        call = settled.recorder().start_llm_call("openai", "transcription", "transcription")
        call.api = self.api
        call.response_id = text(event, "item_id")
        call.begin_attempt()
        read_usage(pick(event, "usage")).put(call)
        call.finish("success")

    def abandon(self) -> None:
        """The connection is gone: what was under way on it was given up."""
        while self.calls:
            _, call = self.calls.popitem()
            call.finish("cancelled", ended_ns=self.last_ns)


_sockets: weakref.WeakKeyDictionary[Any, Socket] = weakref.WeakKeyDictionary()


def _socket(connection: Any) -> Socket:
    found = _sockets.get(connection)
    if found is None:
        found = Socket("realtime" if "Realtime" in type(connection).__name__ else "responses")
        _sockets[connection] = found
        weakref.finalize(connection, TAPE.append, found.abandon)
    return found
