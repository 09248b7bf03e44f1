"""The recorder: begins records, puts finished ones on the tape, and delivers them to every signal when it is drained.

It handles records only: what prices, counts and keeps them is handed in, by `runtime.py`. This is the only way from a
call to a metric, a span or a ledger row. A failure of ours is counted and logged once, and dropped: it never reaches
the application's call (under tests `strict` raises it where the tape is drained).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from operator import length_hint
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol
from weakref import ref

from msgspec import structs

from tachograph.errors import BudgetExceededError
from tachograph.records import LABELS, RUN, Cost, LLMCall, Run, ToolCall, ids
from tachograph.records.content import CLOSED, ContentGate
from tachograph.records.media import GENERATES_MEDIA
from tachograph.records.prompt import prompt_of
from tachograph.signals.families import FACTORY_CREATE_SECONDS, TELEMETRY_ERRORS
from tachograph.signals.registry import Metrics
from tachograph.tape import TAPE

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from tachograph.records.tool_owners import ToolOwners
    from tachograph.signals.otlp import Otlp
    from tachograph.tape.ring import Ring
    from tachograph.usage.ledger import Ledger

logger = logging.getLogger("tachograph")

Pricer = Callable[[LLMCall], Cost | None]
Listener = Callable[[LLMCall | ToolCall], None]
_Step = tuple[str, Callable[[Any], object]]
_Steps = tuple[tuple[str, ...], tuple[Callable[[Any], object], ...]]
"""The names of what a record goes through, and what that is."""


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
        """Whether calls are to be asked for at all; it gets their cost in any case."""
        ...

    def reserve(self, call: LLMCall, asks: object, is_watched: bool, takes_other_model: bool = True) -> None:
        """Hold what the call may cost; may change the model it asks for. Raises BudgetExceededError."""

    def settle(self, call: LLMCall) -> None:
        """Count what the call cost, and release what was held for it."""

    def release(self, call: LLMCall) -> None:
        """Release what was held: the call was never sent."""


class Runs(Protocol):
    """Makes a span and metrics of runs; `signals.runs` implements it."""

    def open_run(self, run: Run, started_unix_ns: int) -> Span | None:
        """Start the run's span."""

    def close_run(self, run: Run, span: Span | None, seconds: float, error: BaseException | None) -> None:
        """End it, and count the run."""


class Recorder:
    """Begins records and delivers finished ones.

    What a finished record goes through is decided when something is set or added here, not at each call.

    Args:
        metrics: Where the numbers are kept.
        count_llm_call: Adds a finished LLM call to the metrics, or None.
        count_tool_call: Adds a finished tool call to the metrics, or None.
        pricer: Prices an LLM call that has usage, or None.
        spans: The span signal, or None.
        ledger: The usage ledger, or None.
        strict: Raise our own failures instead of dropping them (tests).

    Attributes:
        content: What may be kept of what was said.
        find_run: Finds the run that comes from outside, where none is open here.
        runs: Makes a span and metrics of each run, or None.
        keeps_prompts: Whether a call gets the hashes of its prompt, by which waste is found.
        kinds: What the calls of one client to one API have in common, as hooks found it; emptied when anything here
            changes.
        tool_owners: Which MCP server has which tools, where waste is looked for in prompts; else None.
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
        self.in_flight: dict[int, Any] = {}
        self.ring: Ring | None = None
        self.shares_metrics = False
        metrics.before_collect(self.settle, first=True)  # what is collected is as of now
        metrics.when_rebound(self.in_flight.clear)  # calls under way in the parent are the parent's
        self.find_run: Callable[[], Run | None] = _no_run
        self.runs: Runs | None = None
        self.otlp: Otlp | None = None
        self.kinds: dict[Any, Any] = {}
        self.tool_owners: ToolOwners | None = None
        self._guard: Guard | None = None
        self._reserve: Callable[[LLMCall, Any, bool, bool], None] | None = None
        self._keeps_prompts = False
        self.strict = strict
        self._count_llm_call = count_llm_call
        self._count_tool_call = count_tool_call
        self._pricer = pricer
        self._spans = spans
        self._prepare: Callable[[], object] | None = None
        self._begins_with_more = spans is not None
        self._ledger = ledger
        self._listeners: tuple[tuple[Listener, bool], ...] = ()
        self._logged: set[tuple[str, type[BaseException]]] = set()
        self._llm_steps = self._tool_steps = _as_steps(())
        self._llm_steps_of_runs = self._tool_steps_of_runs = _as_steps(())
        self._arrange()

    @property
    def keeps_prompts(self) -> bool:
        """Whether a call gets the hashes of its prompt."""
        return self._keeps_prompts

    @keeps_prompts.setter
    def keeps_prompts(self, keeps_prompts: bool) -> None:
        self._keeps_prompts = keeps_prompts
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
        self._begins_with_more = spans is not None or self._prepare is not None
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
        llm: list[_Step] = [("waste", self._read_prompt)] if self.keeps_prompts else []
        tool: list[_Step] = []
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
        tally: list[_Step] = [("runs", _tally)]
        hear: list[_Step] = [("listener", listener) for listener, _ in self._listeners]
        hear_tools: list[_Step] = [("listener", listener) for listener, hears_tools in self._listeners if hears_tools]
        self._llm_steps, self._llm_steps_of_runs = _as_steps(llm + hear), _as_steps(llm + tally + hear)
        self._tool_steps = _as_steps(tool + hear_tools)
        self._tool_steps_of_runs = _as_steps(tool + tally + hear_tools)
        self.kinds = {}

    def start_llm_call(
        self,
        provider: str,
        model: str,
        operation: str = "chat",
        *,
        message_count: int = 0,
        stream: bool = False,
        labels: Mapping[str, str] | None = None,
        asks: object = None,
        is_watched: bool = False,
        takes_other_model: bool = True,
        key_hint: str = "",
    ) -> LLMCall:
        """Begin one LLM call, under the labels of the surrounding code and these.

        Where budgets are guarded, its money is held from now on until it finishes. A budget may have it ask for
        another model: what is sent must ask for `call.model`.

        Its span is current here from now on until it finishes here. A streamed call's is not, since it outlives the
        function that begins it: send its request inside `with recorder.current(call)`.

        Args:
            asks: The request's body, by which its largest likely cost is estimated; None for calls that cost nothing.
            is_watched: Whether a watched client makes it; `budgets.guard` distinguishes those.
            takes_other_model: Whether the request can still be made to ask for another model.
            key_hint: Which API key pays (`records.keys`).

        Raises:
            BudgetExceededError: A budget cannot pay for it.
        """
        call = LLMCall(self, provider, model, operation, message_count, stream, labels)
        call.api_key_hint = key_hint
        self.begin_llm_call(call, asks, is_watched, takes_other_model)
        return call

    def looks_at_requests(self, operation: str) -> bool:
        """Whether a request that is not streamed is of interest beyond what its hook notes."""
        return self._reserve is not None or self._keeps_prompts or operation in _BILLED_BY_REQUEST or self.content.keeps

    def begin_llm_call(self, call: LLMCall, asks: object, is_watched: bool, takes_other_model: bool = True) -> None:
        """Begin a call that was made for this recorder: `start_llm_call` says how."""
        around = _labels_here()
        if around:
            call.labels = {**around, **call.labels} if call.labels else around
        call.run = _run_here() or self.find_run()
        call.number = number = ids.next_number()
        call.started_unix_ns = time_ns()
        call.started_ns = perf_counter_ns()
        if asks is not None:
            if call.stream or self._keeps_prompts or call.operation in _BILLED_BY_REQUEST:
                call.body = asks
            if self._reserve is not None:
                self._reserve_for(call, asks, is_watched, takes_other_model)
        if self._begins_with_more:
            self._begin_with_more(call)
        self.in_flight[number] = ref(call)

    def prepare_with_first_call(self, prepare: Callable[[], object]) -> None:
        """Have this called once, by the thread that begins the first call."""
        self._prepare = prepare
        self._begins_with_more = True

    def _begin_with_more(self, call: LLMCall) -> None:
        """What a call begins with that most have not: its span, and the first one what prices need."""
        if self._prepare is not None:
            prepare, self._prepare = self._prepare, None
            self._begins_with_more = self._spans is not None
            try:
                prepare()
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed("pricing", error)
            call.started_unix_ns, call.started_ns = time_ns(), perf_counter_ns()  # what that took is not the call's
        if self._spans is not None:
            try:
                self._spans.open_llm_call(call)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed("spans", error)

    def _read_prompt(self, call: LLMCall) -> None:
        if call.body is not None:
            call.prompt = prompt_of(call.body)

    def _reserve_for(self, call: LLMCall, asks: object, is_watched: bool, takes_other_model: bool) -> None:
        assert self._reserve is not None
        try:
            if len(TAPE):
                TAPE.drain(wait_seconds=_PATIENCE_SECONDS)  # what calls that have ended cost is a part of the decision
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
        side: Literal["client", "server"] = "server" if server_side else "client"
        number, run = ids.next_number(), RUN.get() or self.find_run()
        call = ToolCall(
            self, server_id, tool_name, argument_count, labels, side, run, number, time_ns(), perf_counter_ns()
        )
        if self._spans is not None:
            try:
                self._spans.open_tool_call(call)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self.failed("spans", error)
        self.in_flight[number] = ref(call)
        return call

    def current(self, call: LLMCall | ToolCall) -> AbstractContextManager[None]:
        """Make the call's span current inside a `with` block: around sending the request of a streamed call."""
        return _NOTHING if call.span is None else _current(call)

    def put(self, record: LLMCall | ToolCall) -> None:
        """Take a finished record: it goes into the ring and on the tape, and its span is current here no longer.

        Where the ring cannot take it, the drain thread is woken to have it written now. Nothing here waits for a disk.
        """
        if record.span is not None:
            record.span.finish()
        ring = self.ring
        if ring is None or ring.keep(record):
            TAPE.put(record)
        else:
            TAPE.put(record)
            TAPE.hurry()

    def recover(self) -> None:
        """Count what other workers that share these metrics had not yet counted when they were killed."""
        from tachograph.tape.ring import dead, measure_dead, nothing_said

        assert self.ring is not None
        measure_dead(self.ring.directory, self._count_recovered, self)
        if self._ledger is None:
            for _ in dead(self.ring.directory, self, nothing_said):
                """Nothing else needs what it holds."""

    def _count_recovered(self, record: LLMCall | ToolCall) -> None:
        if isinstance(record, LLMCall):
            self._price_recovered(record)
            if self._count_llm_call is not None:
                self._count_llm_call(record)
        elif self._count_tool_call is not None:
            self._count_tool_call(record)

    def _price_recovered(self, call: LLMCall) -> None:
        if self._pricer is not None and call.cost is None:
            self._price(call)
            if call.cost is not None and call.cost.quality == "priced":
                call.cost = structs.replace(call.cost, quality="estimated", detail="recovered after a crash")

    def recovered(self, record: LLMCall | ToolCall) -> None:
        """Take a record that a process left in its ring when it was killed into the ledger. Its cost is an estimate,
        for only the sums of its tokens are known."""
        if isinstance(record, LLMCall):
            self._price_recovered(record)
        record.slot = -1  # of another process's ring
        if self._ledger is not None:
            self._ledger.accept(record)

    def settle(self) -> None:
        """Deliver every record that is finished so far, now.

        Raises:
            Exception: In strict mode, the first failure of ours.
        """
        TAPE.drain()

    def deliver(self, record: LLMCall | ToolCall) -> None:
        """Complete a finished record and hand it to every signal; the drain calls this, once for each record."""
        failures: list[Exception] = []
        reading = record.reading
        if reading is not None:
            record.reading = None
            try:
                reading()
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self._failed("instrument", error, failures)
        if type(record) is LLMCall:
            self._go_through(self._llm_steps if record.run is None else self._llm_steps_of_runs, record, failures)
            record.body = None
        else:
            self._go_through(self._tool_steps if record.run is None else self._tool_steps_of_runs, record, failures)
        record.traceback = None  # it holds the application's frames
        if record.slot >= 0 and self.ring is not None:
            if self._ledger is None:
                self.ring.release([record.slot])
            elif self.shares_metrics:
                self.ring.measured(record)
        if failures:
            raise failures[0]

    def deliver_kept(self, record: LLMCall | ToolCall) -> None:
        """Hand a record that has its cost, and that the ledger has, to every other signal: one received elsewhere."""
        failures: list[Exception] = []
        steps = self._llm_steps_of_runs if type(record) is LLMCall else self._tool_steps_of_runs
        others = [(name, step) for name, step in zip(*steps, strict=True) if name not in ("pricing", "ledger")]
        self._go_through(_as_steps(others), record, failures)
        if failures:
            raise failures[0]

    def _go_through(self, steps: _Steps, record: LLMCall | ToolCall, failures: list[Exception]) -> None:
        """One step after the other; where one fails, the rest still gets the record."""
        names, works = steps
        left = iter(works)
        while True:
            try:
                for work in left:
                    work(record)
                return
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the call
                self._failed(names[-1 - length_hint(left)], error, failures)

    def _failed(self, component: str, error: Exception, failures: list[Exception]) -> None:
        """A step failed. In strict mode it is raised after the others."""
        if self.strict:
            failures.append(error)
        else:
            self.count_failure(component, error)

    def _price(self, call: LLMCall) -> None:
        if call.cost is None:
            call.cost = self._pricer(call)  # type: ignore[misc]  # this is a step only where there is one

    def open_run(self, run: Run, started_unix_ns: int) -> Span | None:
        """A run begins; returns its span."""
        return None if self.runs is None else self.runs.open_run(run, started_unix_ns)

    def close_run(self, run: Run, span: Span | None, seconds: float, error: BaseException | None) -> None:
        """The run has ended, by this exception if there is one."""
        if self.runs is not None:
            self.settle()  # what the run's calls cost is counted when they are delivered
            self.runs.close_run(run, span, seconds, error)

    def factory_created(self, factory_type: str, name: str, started_ns: int) -> None:
        """One provider or tool was created; `started_ns` is from `time.perf_counter_ns`."""
        seconds = (perf_counter_ns() - started_ns) / 1e9
        self.metrics.histogram(FACTORY_CREATE_SECONDS, factory_type, name).observe(seconds)

    def add_listener(self, listener: Listener, *, tools: bool = True) -> Callable[[], None]:
        """Call a function with every finished record, in the order in which they finished, in the draining thread.

        Args:
            listener: Takes the record.
            tools: Whether it gets tool calls too.

        Returns:
            What removes the listener.
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
        """Count a failure of ours off the calls' paths, where raising it would help no caller; log it once per kind."""
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


_labels_here: Final = LABELS.get
_run_here: Final = RUN.get
_PATIENCE_SECONDS: Final = 0.005
"""How long a call waits for another thread that is delivering, before a budget decides about it."""


def _as_steps(steps: Iterable[_Step]) -> _Steps:
    names_and_works = tuple(steps)
    return tuple(name for name, _ in names_and_works), tuple(work for _, work in names_and_works)


def _tally(record: LLMCall | ToolCall) -> None:
    run = record.run
    if run is not None and run.tally is not None:
        run.tally.add(record)


def _no_run() -> Run | None:
    return None


_BILLED_BY_REQUEST: Final = GENERATES_MEDIA | {"speech"}
"""Operations whose answers do not say all that is billed: the request does."""
_NOTHING: Final = nullcontext()


def _current(call: LLMCall | ToolCall) -> AbstractContextManager[None]:
    from tachograph.signals.spans import current

    return current(call)
