"""The recorder: begins records, and hands each finished one to pricing, metrics, spans, the ledger and listeners.

This is the only writer of a metric, a span or a ledger row for calls. A failure of ours is counted and logged once, and
dropped: it never reaches the application's call (under tests `strict` raises it instead).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Protocol

from tachograph.llm.headroom import Headroom
from tachograph.llm.metrics.observe import LLMMetrics
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.records import LABELS, Cost, LLMCall, ToolCall
from tachograph.signals.families import FACTORY_CREATE_SECONDS, FAMILIES, TELEMETRY_ERRORS
from tachograph.signals.registry import Metrics
from tachograph.usage.metrics.families import FAMILIES as USAGE_FAMILIES

logger = logging.getLogger("tachograph")

Pricer = Callable[[LLMCall], Cost | None]
Listener = Callable[[LLMCall | ToolCall], None]


class Spans(Protocol):
    """Opens and closes the span of a record; `signals.spans` implements it."""

    def open_llm_call(self, call: LLMCall) -> None:
        """Start the call's span and make it current here."""

    def close_llm_call(self, call: LLMCall) -> None:
        """End it with all that is known now."""

    def open_tool_call(self, call: ToolCall) -> None:
        """Start the tool call's span and make it current here."""

    def close_tool_call(self, call: ToolCall) -> None:
        """End it with all that is known now."""


class Ledger(Protocol):
    """Takes finished records for keeping; `usage` implements it. Returns within microseconds."""

    def accept(self, record: LLMCall | ToolCall) -> None:
        """Accept or refuse (and count) one finished record."""

    def retire(self) -> None:
        """Another ledger takes over: drain what is there; late records are still taken."""


class Recorder:
    """Begins records and delivers finished ones.

    Args:
        metrics: Where the numbers are kept.
        pricer: Prices an LLM call that has usage, or None.
        spans: The span signal, or None.
        ledger: The usage ledger, or None.
        strict: Raise our own failures instead of dropping them (tests).
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        pricer: Pricer | None = None,
        spans: Spans | None = None,
        ledger: Ledger | None = None,
        strict: bool = False,
    ) -> None:
        self.metrics = metrics
        self.llm = LLMMetrics(metrics)
        self.mcp = MCPMetrics(metrics)
        self.headroom = Headroom(metrics)
        for family in (*USAGE_FAMILIES, *FAMILIES):
            metrics.register(family)
        self.pricer = pricer
        self.spans = spans
        self.ledger = ledger
        self.strict = strict
        self._listeners: tuple[Listener, ...] = ()
        self._logged: set[tuple[str, type[BaseException]]] = set()

    def start_llm_call(
        self,
        provider: str,
        model: str,
        operation: str = "chat",
        *,
        message_count: int = 0,
        stream: bool = False,
        labels: Mapping[str, str] | None = None,
    ) -> LLMCall:
        """Begin one LLM call, under the labels of the surrounding code and these."""
        around = LABELS.get()
        if around:
            labels = {**around, **labels} if labels else around
        call = LLMCall(self, provider, model, operation, message_count=message_count, stream=stream, labels=labels)
        if self.spans is not None:
            try:
                self.spans.open_llm_call(call)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed("spans", error)
        return call

    def start_tool_call(
        self,
        server_id: str,
        tool_name: str,
        *,
        argument_count: int = 0,
        labels: Mapping[str, str] | None = None,
        server_side: bool = False,
    ) -> ToolCall:
        """Begin one tool execution."""
        around = LABELS.get()
        if around:
            labels = {**around, **labels} if labels else around
        call = ToolCall(
            self,
            server_id,
            tool_name,
            argument_count=argument_count,
            labels=labels,
            side="server" if server_side else "client",
        )
        if self.spans is not None:
            try:
                self.spans.open_tool_call(call)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed("spans", error)
        return call

    def finish_llm_call(self, call: LLMCall) -> None:
        """Deliver a finished call; `LLMCall.finish` calls this once."""
        if self.pricer is not None and call.cost is None and call.usage is not None:
            try:
                call.cost = self.pricer(call)
            except Exception as error:  # noqa: BLE001
                self.failed("pricing", error)
        try:
            self.llm.observe(call)
        except Exception as error:  # noqa: BLE001
            self.failed("metrics", error)
        if self.spans is not None:
            try:
                self.spans.close_llm_call(call)
            except Exception as error:  # noqa: BLE001
                self.failed("spans", error)
        self._deliver(call)

    def finish_tool_call(self, call: ToolCall) -> None:
        """Deliver a finished tool call; `ToolCall.finish` calls this once."""
        try:
            self.mcp.observe(call)
        except Exception as error:  # noqa: BLE001
            self.failed("metrics", error)
        if self.spans is not None:
            try:
                self.spans.close_tool_call(call)
            except Exception as error:  # noqa: BLE001
                self.failed("spans", error)
        self._deliver(call)

    def _deliver(self, record: LLMCall | ToolCall) -> None:
        if self.ledger is not None:
            try:
                self.ledger.accept(record)
            except Exception as error:  # noqa: BLE001
                self.failed("ledger", error)
        for listener in self._listeners:
            try:
                listener(record)
            except Exception as error:  # noqa: BLE001
                self.failed("listener", error)

    def rate_limit_headers(self, provider: str, model: str, headers: Mapping[str, str] | None) -> None:
        """Take what an answer's headers say about the provider's rate limits."""
        try:
            self.headroom.observe(provider, model, headers)
        except Exception as error:  # noqa: BLE001
            self.failed("headroom", error)

    def factory_created(self, factory_type: str, name: str, started_ns: int) -> None:
        """One provider or tool was created; `started_ns` is from `time.perf_counter_ns`."""
        seconds = (perf_counter_ns() - started_ns) / 1e9
        self.metrics.histogram(FACTORY_CREATE_SECONDS, factory_type, name).observe(seconds)

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Hear of every finished record, in the thread that finished it. Returns what removes the listener."""
        self._listeners = (*self._listeners, listener)

        def remove() -> None:
            self._listeners = tuple(other for other in self._listeners if other is not listener)

        return remove

    def failed(self, component: str, error: BaseException) -> None:
        """Count a failure of ours, log it once per kind, and drop it."""
        if self.strict:
            raise error
        self.metrics.cell(TELEMETRY_ERRORS, component).add()
        kind = (component, type(error))
        if kind not in self._logged:
            self._logged.add(kind)
            logger.warning(
                "tachograph: %s failed and was skipped; the call itself is untouched. Further failures of this kind "
                "are only counted, in %s.",
                component,
                TELEMETRY_ERRORS.name,
                exc_info=error,
            )
