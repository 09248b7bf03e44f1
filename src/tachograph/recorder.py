"""The recorder: begins records, and hands each finished one to pricing, metrics, spans, the ledger and listeners.

It knows records only: what prices, counts and keeps them is handed in, by `runtime.py`. This is the only way from a
call to a metric, a span or a ledger row. A failure of ours is counted and logged once, and
dropped: it never reaches the application's call (under tests `strict` raises it instead).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, Protocol

from tachograph.errors import BudgetExceededError
from tachograph.records import LABELS, RUN, Cost, LLMCall, ToolCall
from tachograph.records.content import CLOSED, ContentGate
from tachograph.records.prompt import prompt_of
from tachograph.signals.families import FACTORY_CREATE_SECONDS, TELEMETRY_ERRORS
from tachograph.signals.registry import Metrics

if TYPE_CHECKING:
    from tachograph.signals.otlp import Otlp

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


class Guard(Protocol):
    """Holds the money of a call before it is sent; `usage.budgets` implements it."""

    @property
    def refuses(self) -> bool:
        """Whether calls are to be asked for at all; it is told what they cost in any case."""

    def reserve(self, call: LLMCall, asks: Any, is_watched: bool, takes_other_model: bool = True) -> None:
        """Hold what the call may cost; may change the model it asks for. Raises BudgetExceededError."""

    def settle(self, call: LLMCall) -> None:
        """Count what the call cost, and let go of what was held for it."""

    def release(self, call: LLMCall) -> None:
        """Let go of what was held: the call was never sent."""


class Ledger(Protocol):
    """Takes finished records for keeping; `usage` implements it. Returns within microseconds."""

    def accept(self, record: LLMCall | ToolCall) -> None:
        """Accept or refuse (and count) one finished record."""

    def retire(self) -> None:
        """Another ledger takes over: drain what is there; late records are still taken."""


class Recorder:
    """Begins records and delivers finished ones.

    What a finished record goes through is decided when something is set or added here, not at each call.

    Args:
        metrics: Where the numbers are kept.
        count_llm_call, count_tool_call: Add a finished record to the metrics; None: calls are not counted.
        pricer: Prices an LLM call that has usage, or None.
        spans: The span signal, or None.
        ledger: The usage ledger, or None.
        strict: Raise our own failures instead of dropping them (tests).

    Attributes:
        content: What may be kept of what was said.
        keeps_prompts: Whether a call gets the hashes of its prompt, by which waste is found.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        count_llm_call: Callable[[LLMCall], None] | None = None,
        count_tool_call: Callable[[ToolCall], None] | None = None,
        pricer: Pricer | None = None,
        spans: Spans | None = None,
        ledger: Ledger | None = None,
        strict: bool = False,
    ) -> None:
        self.metrics = metrics
        self.content: ContentGate = CLOSED
        self.otlp: Otlp | None = None
        self._guard: Guard | None = None
        self._reserve: Callable[[LLMCall, Any, bool, bool], None] | None = None
        self.keeps_prompts = False
        self.strict = strict
        self._count_llm_call = count_llm_call
        self._count_tool_call = count_tool_call
        self._pricer = pricer
        self._spans = spans
        self._ledger = ledger
        self._listeners: tuple[tuple[Listener, bool], ...] = ()
        self._logged: set[tuple[str, type[BaseException]]] = set()
        self._llm_steps: tuple[Callable[[LLMCall], object], ...] = ()
        self._tool_steps: tuple[Callable[[ToolCall], object], ...] = ()
        self._llm_names: tuple[str, ...] = ()
        self._tool_names: tuple[str, ...] = ()
        self._arrange()

    @property
    def pricer(self) -> Pricer | None:
        """Prices an LLM call that has usage."""
        return self._pricer

    @pricer.setter
    def pricer(self, pricer: Pricer | None) -> None:
        self._pricer = pricer
        self._arrange()

    @property
    def spans(self) -> Spans | None:
        """The span signal."""
        return self._spans

    @spans.setter
    def spans(self, spans: Spans | None) -> None:
        self._spans = spans
        self._arrange()

    @property
    def ledger(self) -> Ledger | None:
        """The usage ledger."""
        return self._ledger

    @ledger.setter
    def ledger(self, ledger: Ledger | None) -> None:
        self._ledger = ledger
        self._arrange()

    @property
    def guard(self) -> Guard | None:
        """Holds the money of calls."""
        return self._guard

    @guard.setter
    def guard(self, guard: Guard | None) -> None:
        self._guard = guard
        self._reserve = guard.reserve if guard is not None and guard.refuses else None
        self._arrange()

    def _arrange(self) -> None:
        """Line up what a finished record goes through; what is not there costs nothing."""
        llm: list[tuple[str, Callable[[LLMCall], object]]] = []
        tool: list[tuple[str, Callable[[ToolCall], object]]] = []
        if self._pricer is not None:
            llm.append(("pricing", self._price))
        if self._guard is not None:
            llm.append(("budgets", self._guard.settle))
        if self._count_llm_call is not None:
            llm.append(("metrics", self._count_llm_call))
        if self._count_tool_call is not None:
            tool.append(("metrics", self._count_tool_call))
        if self._spans is not None:
            llm.append(("spans", self._spans.close_llm_call))
            tool.append(("spans", self._spans.close_tool_call))
        if self._ledger is not None:
            llm.append(("ledger", self._ledger.accept))
            tool.append(("ledger", self._ledger.accept))
        for listener, hears_tools in self._listeners:
            llm.append(("listener", listener))
            if hears_tools:
                tool.append(("listener", listener))
        self._llm_names, self._llm_steps = tuple(name for name, _ in llm), tuple(step for _, step in llm)
        self._tool_names, self._tool_steps = tuple(name for name, _ in tool), tuple(step for _, step in tool)

    def start_llm_call(
        self,
        provider: str,
        model: str,
        operation: str = "chat",
        *,
        message_count: int = 0,
        stream: bool = False,
        labels: Mapping[str, str] | None = None,
        asks: Any = None,
        is_watched: bool = False,
        takes_other_model: bool = True,
    ) -> LLMCall:
        """Begin one LLM call, under the labels of the surrounding code and these.

        Where budgets are guarded, its money is held from now on until it finishes. A budget may have it ask for
        another model: what is sent must ask for `call.model`.

        Its span is current here from now on until it finishes here. A streamed call's is not, since it outlives the
        function that begins it: send its request inside `with recorder.current(call)`.

        Args:
            asks: The request's body, by which its largest likely cost is estimated; None for calls that cost nothing.
            is_watched: Whether a watched client makes it; `budgets.guard` tells those apart.
            takes_other_model: Whether the request can still be made to ask for another model.

        Raises:
            BudgetExceededError: A budget cannot pay for it.
        """
        around = LABELS.get()
        if around:
            labels = {**around, **labels} if labels else around
        call = LLMCall(self, provider, model, operation, message_count, stream, labels, RUN.get())
        if asks is not None:
            if stream:
                call.body = asks
            if self.keeps_prompts:
                self._read_prompt(call, asks)
            if self._reserve is not None:
                self._reserve_for(call, asks, is_watched, takes_other_model)
        if self._spans is not None:
            try:
                self._spans.open_llm_call(call)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed("spans", error)
        return call

    def _read_prompt(self, call: LLMCall, asks: Any) -> None:
        try:
            call.prompt = prompt_of(asks)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
            self.failed("waste", error)

    def _reserve_for(self, call: LLMCall, asks: Any, is_watched: bool, takes_other_model: bool) -> None:
        assert self._reserve is not None
        try:
            self._reserve(call, asks, is_watched, takes_other_model)
        except BudgetExceededError:
            raise  # the user asked for this: budgets.guard
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
            self.failed("budgets", error)

    def start_tool_call(
        self,
        server_id: str,
        tool_name: str,
        *,
        argument_count: int = 0,
        labels: Mapping[str, str] | None = None,
        server_side: bool = False,
    ) -> ToolCall:
        """Begin one tool execution; its span is current here from now on until it finishes here."""
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
            run=RUN.get(),
        )
        if self._spans is not None:
            try:
                self._spans.open_tool_call(call)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed("spans", error)
        return call

    def current(self, call: LLMCall | ToolCall) -> AbstractContextManager[None]:
        """Make the call's span current inside a `with` block: around sending the request of a streamed call."""
        return _NOTHING if call.span is None else _current(call)

    def leave(self, call: LLMCall | ToolCall) -> None:
        """The call goes on, but not here: its span is current here no longer. For calls that outlive a function."""
        if call.span is not None:
            call.span.detach()

    def finish_llm_call(self, call: LLMCall) -> None:
        """Deliver a finished call; `LLMCall.finish` calls this once."""
        for step in self._llm_steps:
            try:
                step(call)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed(self._llm_names[self._llm_steps.index(step)], error)

    def finish_tool_call(self, call: ToolCall) -> None:
        """Deliver a finished tool call; `ToolCall.finish` calls this once."""
        for step in self._tool_steps:
            try:
                step(call)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed(self._tool_names[self._tool_steps.index(step)], error)

    def _price(self, call: LLMCall) -> None:
        if call.cost is None:
            call.cost = self._pricer(call)  # type: ignore[misc]  # this is a step only where there is one
        call.body = None

    def factory_created(self, factory_type: str, name: str, started_ns: int) -> None:
        """One provider or tool was created; `started_ns` is from `time.perf_counter_ns`."""
        seconds = (perf_counter_ns() - started_ns) / 1e9
        self.metrics.histogram(FACTORY_CREATE_SECONDS, factory_type, name).observe(seconds)

    def add_listener(self, listener: Listener, *, tools: bool = True) -> Callable[[], None]:
        """Hear of every finished record, in the thread that finished it. Returns what removes the listener.

        Args:
            listener: Takes the record.
            tools: Whether it hears of tool calls too.
        """
        self._listeners = (*self._listeners, (listener, tools))
        self._arrange()

        def remove() -> None:
            self._listeners = tuple(other for other in self._listeners if other[0] is not listener)
            self._arrange()

        return remove

    def failed(self, component: str, error: BaseException) -> None:
        """Count a failure of ours, log it once per kind, and drop it."""
        if self.strict:
            raise error
        self.count_failure(component, error)

    def count_failure(self, component: str, error: BaseException) -> None:
        """Count a failure of ours off the calls' paths, where raising it would help nobody; log it once per kind."""
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


_NOTHING: Final = nullcontext()


def _current(call: LLMCall | ToolCall) -> AbstractContextManager[None]:
    from tachograph.signals.spans import current

    return current(call)
