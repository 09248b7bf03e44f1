"""Watching Gemini's Live API: each turn of a session is one call.

Nothing of a session passes the HTTP client. But every message that comes passes `AsyncSession._receive`: a turn begins
with the first content, and ends when the server says that it is complete, or that the user has interrupted it. What
the model used is in reports between the messages, one for each time that it was asked: at a call of tools and at
the end of the turn.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from time import perf_counter_ns
from types import ModuleType
from typing import Any, Final

from tachograph.instrument import active_config, hosts, outcomes
from tachograph.instrument.imports import after_import
from tachograph.instrument.patches import SWITCH
from tachograph.instrument.report import hook
from tachograph.records import LLMCall
from tachograph.signals.spans import leave
from tachograph.tape import TAPE
from tachograph.tape.guard import generate
from tachograph.vendors.fields import pick
from tachograph.vendors.gemini.requests import short_model
from tachograph.vendors.gemini.usage import read_usage
from tachograph.vendors.usage import Reading, put_all

_MODEL: ContextVar[str] = ContextVar("tachograph_live_model", default="unknown")
"""The model of the session that is about to be opened here."""

_CONNECT: Final = """
    def connect(self, *args, **keywords):
        guard pass: opening(keywords)
        return original(self, *args, **keywords)
"""

_INIT: Final = """
    def __init__(self, *args, **keywords):
        original(self, *args, **keywords)
        guard pass: opened(self)
"""

_RECEIVE: Final = """
    async def _receive(self, *args, **keywords):
        try:
            message = await original(self, *args, **keywords)
        except Exception as error:
            guard pass: failed(self, error)
            raise
        guard pass: came(self, message)
        return message
"""


def install() -> None:
    """Hook the sessions, now or once they are imported."""
    after_import("google.genai.live", _hook)


def _hook(module: ModuleType) -> None:
    for owner_name, method, text, names in (
        ("AsyncLive", "connect", _CONNECT, {"opening": _opening}),
        ("AsyncSession", "__init__", _INIT, {"opened": _opened}),
        ("AsyncSession", "_receive", _RECEIVE, {"came": _came, "failed": _failed}),
    ):

        def make(original: object, *, text: str = text, method: str = method, names: dict[str, Any] = names) -> Any:
            return generate(text, method, is_async=method == "_receive", original=original, **names)

        hook("google_genai", module, owner_name, method, make, "live sessions are not seen")


def _opening(keywords: dict[str, Any]) -> None:
    _MODEL.set(short_model(keywords.get("model")))


def _opened(session: object) -> None:
    found = Session(_MODEL.get(), pick(getattr(session, "_api_client", None), "_http_options"))
    _sessions[session] = found
    weakref.finalize(session, TAPE.append, found.abandon)


def _came(session: object, message: object) -> None:
    if SWITCH.on and (found := _sessions.get(session)) is not None:
        found.note(message)


def _failed(session: object, error: Exception) -> None:
    if SWITCH.on and (found := _sessions.get(session)) is not None:
        found.fail(error)


class Session:
    """One session: its model, and the turn under way.

    Attributes:
        readings: What the model used in this turn, each time that it was asked.
        last: The newest report of the answer under way; a later one of the same answer is the whole.
    """

    def __init__(self, model: str, options: object) -> None:
        self.model = model
        self.url = str(pick(options, "base_url") or "")
        self.call: LLMCall | None = None
        self.last_ns = 0
        self.readings: list[Reading] = []
        self.last: Any = None

    def note(self, message: object) -> None:
        """One message that came."""
        self.last_ns = perf_counter_ns()
        content, asks_tools = pick(message, "server_content"), pick(message, "tool_call")
        self.last = pick(message, "usage_metadata") or self.last
        if content is not None or asks_tools is not None:
            call = self._turn()
            if asks_tools is not None or pick(content, "model_turn") or pick(content, "output_transcription"):
                call.first_token_ns = call.first_token_ns or self.last_ns
        if asks_tools is not None:
            self._answered()
        if pick(content, "turn_complete"):
            self._end("interrupted" if pick(content, "interrupted") else "turn_complete")
        elif self.last is not None and self.call is None:  # a report after the end of its turn
            self._turn()
            self._end("turn_complete")

    def fail(self, error: Exception) -> None:
        """The connection is gone, in the midst of a turn or between two."""
        call, self.call = self.call, None
        if call is not None:
            self._fill(call)
            outcome, error_type = outcomes.ending_of("gemini", error)
            call.finish(outcome, error_type, error=error)

    def abandon(self) -> None:
        """The session is gone: a turn that was under way was given up."""
        call, self.call = self.call, None
        if call is not None:
            self._fill(call)
            call.finish("cancelled", ended_ns=self.last_ns)

    def _turn(self) -> LLMCall:
        if self.call is None:
            self.call = call = active_config.recorder().start_llm_call("gemini", self.model, "chat", stream=True)
            leave(call)  # it goes on between messages
            call.api = "live"
            call.server_address, call.server_port = hosts.address_of(self.url)
            late = call.started_ns - self.last_ns
            call.started_ns -= late  # it began when its first message came
            call.started_unix_ns -= late
            call.begin_attempt(call.started_ns)
        return self.call

    def _answered(self) -> None:
        if self.last is not None:
            self.readings.append(read_usage(self.last))
            self.last = None

    def _end(self, reason: str) -> None:
        call, self.call = self.call, None
        if call is not None:
            self._fill(call)
            call.finish_reason = reason
            call.finish("success")

    def _fill(self, call: LLMCall) -> None:
        self._answered()
        readings, self.readings = self.readings, []
        if readings:
            put_all(readings, call)


_sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()
