"""The span signal: one span per call, through whatever TracerProvider the application has set.

Nothing is done while no provider is set. With the OpenTelemetry SDK's own provider, samplers and exporting processors,
the sampler decides and the ids are drawn when the call begins; then a light span is current while the call runs, so
that children nest and headers carry it. Its attributes, events and the ReadableSpan are made when the record is
delivered, off the application's path. Other providers and samplers, and span processors that want to see spans start,
get stock spans, which begin and become current at once and get their attributes when the record is delivered.

A span becomes current when its call begins, in that context, and stops being current when the call finishes there.
A streamed call outlives the function that begins it, so its span is current only inside `current(call)`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping
from itertools import repeat
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tachograph.settings.spans import SpansSettings
from tachograph.signals import semconv as s
from tachograph.signals import span_facts as facts
from tachograph.tape import TAPE
from tachograph.version import __version__

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor, Tracer
    from opentelemetry.util.types import Attributes, AttributeValue

    from tachograph.records import LLMCall, ToolCall

LLM_SCOPE: Final = "tachograph.llm"
MCP_SCOPE: Final = "tachograph.mcp"
_NATIVE_MCP_SCOPE: Final = "mcp-python-sdk"
"""The scope of the spans that mcp 2 makes of its own."""

SUPPRESSED: Final[str] = next(
    (key for key in vars(context_api).values() if isinstance(key, str) and key.startswith("suppress_instrumentation")),
    "suppress_instrumentation",
)
"""The key in a context that asks instrumentations to keep out; the API makes it, with a random part."""
_UNSET: Final = Status(StatusCode.UNSET)
_CLIENT: Final = SpanKind.CLIENT
_who: Final[Callable[[LLMCall], Any]] = attrgetter("provider", "model", "operation")
_FLAGS: Final = {number: TraceFlags(number) for number in range(4)}


_USAGE: Final = "gen_ai.usage."
_MODEL_CALLS: Final = (
    ("gen_ai.operation.name", ("chat", "generate_content", "text_completion", "embeddings")),
    ("openinference.span.kind", ("LLM", "EMBEDDING")),
)
"""What a span of a call of a model says of itself: by OpenTelemetry's conventions, or by OpenInference's."""


_SAID_LATER: Final = {("gcp.vertex.agent", "call_llm")}
"""Scopes and names of spans of a call of a model that say so only when it has been answered: Google ADK 1.10's."""


def _is_of_the_same_call(span: Span) -> bool:
    """Whether a span is another library's for the call that is made below it: a framework's, with its usage."""
    attributes = getattr(span, "attributes", None) or {}
    scope = getattr(span, "instrumentation_scope", None)
    if scope is not None and (scope.name, getattr(span, "name", "")) in _SAID_LATER:
        return True
    return any(attributes.get(name) in values for name, values in _MODEL_CALLS)


class OpenSpan(msgspec.Struct, eq=False):
    """What a call's record keeps of its span: `call.span`.

    Attributes:
        pipeline: Where it goes; None where it is not kept.
        name: The span's.
        span: What is current while the call runs.
        context: The context that it is current in.
        parent: The parent, kind and start of a light span; the parent of one that is not kept; else None.
        has_usage: Whether it carries the tokens: no other library's span does for the same call.
        token: Undoes its being current here.
    """

    pipeline: Any
    name: str
    span: Span
    context: Context
    parent: Any
    has_usage: bool = True
    token: Any = None

    @property
    def parent_span_id(self) -> int:
        """The id of the span that this one was opened under; 0: none."""
        above = getattr(self.span, "parent", None) if self.parent is None else self.parent
        if type(above) is tuple:
            above = above[0]
        found = getattr(above, "span_id", None)
        return found if isinstance(found, int) else 0

    def attach(self) -> None:
        """Make the span current here."""
        self.token = _attach(self.context)

    def finish(self) -> None:
        """The call has ended: its span is no longer current here, and no span gets it as its parent."""
        span = self.span
        if type(span) is LightSpan:
            span.ended = True
        if self.token is not None:
            self.detach()

    def detach(self) -> None:
        """Make current what was current before, where that is still ours to say; only after `attach`."""
        token, self.token = self.token, None
        if _get_current() is self.context:
            _detach(token)


_attach: Final = context_api.attach
_get_current: Final = context_api.get_current
_span_in: Final = trace.get_current_span
_with_span: Final = trace.set_span_in_context
_NO_SPAN: Final = trace.INVALID_SPAN


def _detach(token: Token[Context]) -> None:
    """`context_api.detach`, without its log of a traceback for a token of another context."""
    try:
        token.var.reset(token)
    except ValueError:
        return  # finished in another task: the context that began it has gone, or is left as its owner left it


def enter(call: LLMCall | ToolCall) -> None:
    """Make a call's span current here, where it is not yet; `leave` undoes it. For hooks that have no `with` block."""
    opened: OpenSpan | None = call.span
    if opened is not None and opened.token is None:
        opened.attach()


def leave(call: LLMCall | ToolCall) -> None:
    """The call goes on, but not here: its span is current here no longer."""
    opened: OpenSpan | None = call.span
    if opened is not None and opened.token is not None:
        opened.detach()


class current:
    """Make a call's span current here: `with current(call): send()`. Nothing where it is already, or has none."""

    __slots__ = ("_opened", "_token")

    def __init__(self, call: LLMCall | ToolCall) -> None:
        self._opened: OpenSpan | None = call.span
        self._token: Any = None

    def __enter__(self) -> None:
        opened = self._opened
        if opened is not None and _get_current() is not opened.context:
            self._token = _attach(opened.context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        if self._token is not None:
            _detach(self._token)


class LightSpan(Span):
    """Stands for a call while it runs: children see its context, and what the application says on it is kept.

    Attributes:
        get_span_context: Returns the context. Client libraries ask for it outside of our guard, so it runs no code of
            ours.
    """

    __slots__ = ("attributes", "get_span_context", "outer")
    get_span_context: Callable[[], SpanContext]  # pyright: ignore[reportIncompatibleMethodOverride]  # bound
    events: tuple[tuple[str, int | None, Any], ...] = ()
    links: tuple[trace.Link, ...] = ()
    status: Status | None = None
    ended = False

    def __init__(self, context: SpanContext, attributes: dict[str, Any] | None, outer: Context | None) -> None:
        self.get_span_context = repeat(context).__next__
        self.outer = outer
        self.attributes = attributes

    def is_recording(self) -> bool:
        return not self.ended

    def set_attribute(self, key: str, value: object) -> None:
        if self.ended:
            return
        self.attributes = {**(self.attributes or {}), key: value}

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        if self.ended:
            return
        self.attributes = {**(self.attributes or {}), **attributes}

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if self.ended:
            return
        self.events = (*self.events, (name, timestamp, dict(attributes or {})))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if self.ended:
            return
        self.links = (*self.links, trace.Link(context, attributes))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        name, at, found = facts.exception_event(exception, timestamp or 0, exception.__traceback__)
        self.add_event(name, {**found, **(attributes or {})}, at or None)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        if self.ended:
            return
        self.status = status if isinstance(status, Status) else Status(status, description)

    def update_name(self, name: str) -> None:
        """The contract names our spans."""

    def end(self, end_time: int | None = None) -> None:
        """The call ends its span."""


class UnsampledSpan(NonRecordingSpan):
    """Stands for a call whose span is not kept."""


class _Pipeline:
    """Where one scope's spans go: stock spans of any tracer."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self.tracer = tracer

    def open(
        self, call: LLMCall | ToolCall, name: str, kind: SpanKind, attributes: dict[str, Any], parent: Context | None
    ) -> OpenSpan | None:
        """Begin a span for the call, whose ids it gets: a trace that is not kept is no use in exemplars or ledger."""
        span = self.tracer.start_span(name, kind=kind, attributes=attributes, start_time=call.started_unix_ns)
        ids = span.get_span_context()
        if not ids.is_valid:
            return None
        if ids.trace_flags & 1:
            call.trace_id, call.span_id = ids.trace_id, ids.span_id
        return OpenSpan(self, name, span, _with_span(span, parent), None)

    def close(
        self,
        opened: OpenSpan,
        attributes: dict[str, Any],
        events: list[facts.EventFacts],
        failure: str | None,
        ended: int,
        name: str,
    ) -> None:
        span = opened.span
        if not span.is_recording():
            return
        span.set_attributes(attributes)
        for event, at, found in events:
            span.add_event(event, found, at)
        if failure is not None:
            span.set_status(StatusCode.ERROR, failure)
        span.end(ended)


class _Lazy(_Pipeline):
    """The SDK's own provider, where all that it does is known: the sampler is asked and the ids are drawn at once, and
    one ReadableSpan is built when the record is delivered. Others get stock spans."""

    def __init__(self, tracer: Tracer, scope: str) -> None:
        super().__init__(tracer)
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self.event = Event
        self.readable = ReadableSpan
        self.generate_trace_id = tracer.id_generator.generate_trace_id
        self.generate_span_id = tracer.id_generator.generate_span_id
        is_random = getattr(tracer.id_generator, "is_trace_id_random", None)
        self.random_flag = 2 if is_random is not None and is_random() else 0
        self.should_sample: Callable[..., Any] = tracer.sampler.should_sample
        self.scope = InstrumentationScope(scope, __version__)
        self.processor = tracer.span_processor

    def open(
        self, call: LLMCall | ToolCall, name: str, kind: SpanKind, attributes: dict[str, Any], parent: Context | None
    ) -> OpenSpan:
        over = _span_in(parent)
        while type(over) is LightSpan and over.ended:  # left current by a call that was finished elsewhere
            parent = over.outer
            over = _span_in(parent)
        above: SpanContext | None = over.get_span_context()
        if above is not None and above.is_valid:
            trace_id, random = above.trace_id, above.trace_flags & 2
        else:
            above = None
            trace_id, random = self.generate_trace_id(), self.random_flag
        result = self.should_sample(parent, trace_id, name, kind, attributes, ())
        decision = result.decision
        span_id = self.generate_span_id()
        sampled = decision.is_sampled()
        if sampled:
            random |= 1
            call.trace_id, call.span_id = trace_id, span_id
        context = SpanContext(trace_id, span_id, False, _FLAGS[random], result.trace_state)
        if not sampled and not decision.is_recording():
            span: Span = UnsampledSpan(context)
            return OpenSpan(None, name, span, _with_span(span, parent), above)
        said = result.attributes
        span = LightSpan(context, None if said is None or said == attributes else dict(said), parent)
        return OpenSpan(self, name, span, _with_span(span, parent), (above, kind, call.started_unix_ns))

    def close(
        self,
        opened: OpenSpan,
        attributes: dict[str, Any],
        events: list[facts.EventFacts],
        failure: str | None,
        ended: int,
        name: str,
    ) -> None:
        span = opened.span
        assert isinstance(span, LightSpan)
        above, kind, started = opened.parent
        event = self.event
        built = [event(event_name, found, at) for event_name, at, found in events]
        if span.events:
            built += [event(event_name, found, at or ended) for event_name, at, found in span.events]
        if span.attributes is not None:
            attributes = {**span.attributes, **attributes}
        status = Status(StatusCode.ERROR, failure) if failure is not None else span.status or _UNSET
        self.processor.on_end(
            self.readable(
                name=name,
                context=span.get_span_context(),
                parent=above,
                resource=self.tracer.resource,  # type: ignore[attr-defined]
                attributes=attributes,
                events=built,
                links=span.links,
                kind=kind,
                status=status,
                start_time=started,
                end_time=ended,
                instrumentation_scope=self.scope,
            )
        )


class SpanSignal:
    """Opens and closes the spans of records.

    Args:
        settings: What they are named and whether they carry content.
        provider: Where they go; whatever the application has set for the process, unless given.
        make_provider: Sets one up when a span is wanted and the application has set none; asked once.
    """

    def __init__(
        self,
        settings: SpansSettings | None = None,
        provider: trace.TracerProvider | None = None,
        make_provider: Callable[[], trace.TracerProvider | None] | None = None,
    ) -> None:
        self._make_provider = make_provider
        self._making = threading.Lock()
        self._settings = settings or SpansSettings()
        self._given = provider
        self._otel_names = self._settings.names == "otel"
        self._provider: Any = None
        self._fields: dict[str, Any] = {}
        self._field = ""
        self._processors: Any = None
        self._llm: _Pipeline | None = None
        self._mcp: _Pipeline | None = None
        self._bases: dict[tuple[str, str, str], tuple[str, SpanKind, facts.Attributes]] = {}

    @property
    def settings(self) -> SpansSettings:
        """How spans are made, and whether content is kept."""
        return self._settings

    def tracer(self, scope: str) -> trace.Tracer | None:
        """A tracer of the application's provider, or of the one that is made; None where there is none."""
        provider: Any = self._given or trace.get_tracer_provider()
        if isinstance(provider, trace.ProxyTracerProvider):
            if not self._joined(provider):
                return None
            provider = self._provider
        found: trace.Tracer = provider.get_tracer(scope, __version__)
        return found

    def open_llm_call(self, call: LLMCall) -> None:
        """Start the call's span. It is current here at once, unless the call streams: then in `current(call)`."""
        provider = self._given or trace.get_tracer_provider()
        if (
            provider is not self._provider or self._fields.get(self._field) is not self._processors
        ) and not self._joined(provider):
            return
        pipeline = self._llm
        around = _get_current()
        if pipeline is None or around.get(SUPPRESSED):
            return
        key = _who(call)
        base = self._bases.get(key)
        if base is None:
            if len(self._bases) > 1_000:  # models come from outside
                self._bases.clear()
            name = f"{call.operation} {call.model}" if self._otel_names else facts.LLM_SPAN
            base = self._bases[key] = name, _CLIENT, facts.llm_base(call)
        opened = pipeline.open(call, *base, around)
        if opened is None:
            return
        call.span = opened
        over = _span_in(around)
        if over is not _NO_SPAN and type(over) is not LightSpan and not self._settings.duplicate_usage:
            opened.has_usage = not _is_of_the_same_call(over)
        if not call.stream:
            opened.token = _attach(opened.context)

    def close_llm_call(self, call: LLMCall) -> None:
        """End it with all that is known now."""
        opened: OpenSpan | None = call.span
        if opened is None:
            return
        if call.trace_id:
            call.parent_span_id = opened.parent_span_id
        pipeline = opened.pipeline
        if pipeline is not None:
            attributes = facts.llm_attributes(call)
            if not opened.has_usage:
                attributes = {name: value for name, value in attributes.items() if not name.startswith(_USAGE)}
            pipeline.close(
                opened,
                attributes,
                facts.llm_events(call),
                facts.failure(call),
                call.started_unix_ns + call.ended_ns - call.started_ns,
                opened.name,
            )

    def open_tool_call(self, call: ToolCall) -> None:
        """Start the tool call's span and make it current here.

        Seen from inside the server the MCP SDK's own span stands for the execution already: where there is one, the
        record takes its ids and no second one is made.
        """
        provider = self._given or trace.get_tracer_provider()
        if (
            provider is not self._provider or self._fields.get(self._field) is not self._processors
        ) and not self._joined(provider):
            return
        pipeline = self._mcp
        around = _get_current()
        if pipeline is None or around.get(SUPPRESSED):
            return
        kind = _CLIENT
        if call.side == "server":
            kind = SpanKind.SERVER
            native = _span_in(around)
            scope = getattr(native, "instrumentation_scope", None)
            if scope is not None and scope.name == _NATIVE_MCP_SCOPE and native.is_recording():
                ids = native.get_span_context()
                call.trace_id, call.span_id = ids.trace_id, ids.span_id
                call.parent_span_id = getattr(getattr(native, "parent", None), "span_id", 0)
                return
        name = f"tools/call {call.tool_name}" if self._otel_names else facts.TOOL_SPAN
        attributes = {s.MCP_METHOD_NAME: "tools/call", s.TOOL_NAME: call.tool_name}
        opened = pipeline.open(call, name, kind, attributes, around)
        if opened is None:
            return
        call.span = opened
        opened.token = _attach(opened.context)

    def close_tool_call(self, call: ToolCall) -> None:
        """End it with all that is known now."""
        opened: OpenSpan | None = call.span
        if opened is None:
            return
        if call.trace_id:
            call.parent_span_id = opened.parent_span_id
        pipeline = opened.pipeline
        if pipeline is not None:
            pipeline.close(
                opened,
                facts.tool_attributes(call),
                facts.tool_events(call),
                facts.failure(call),
                call.started_unix_ns + call.ended_ns - call.started_ns,
                opened.name,
            )

    def _made(self) -> trace.TracerProvider | None:
        with self._making:
            make, self._make_provider = self._make_provider, None
            return trace.get_tracer_provider() if make is None else make()

    def _joined(self, provider: trace.TracerProvider | None) -> bool:
        """Bind to the provider that is there now, or to one that is made; whether there is any."""
        if isinstance(provider, trace.ProxyTracerProvider):  # the application has set none
            provider = None if self._make_provider is None else self._made()
        if provider is None or isinstance(provider, trace.ProxyTracerProvider):
            return False
        self._bind(provider)
        return True

    def _bind(self, provider: trace.TracerProvider) -> None:
        """Look at a provider, once, and again when its span processors have changed."""
        if provider is not self._provider:
            _settle_before_flush(provider)
        self._llm = _pipeline(provider, LLM_SCOPE)
        self._mcp = _pipeline(provider, MCP_SCOPE)
        multi = getattr(getattr(self._llm, "tracer", None), "span_processor", None)
        self._fields, self._field = getattr(multi, "__dict__", {}), _field_of_processors(multi)
        self._processors = self._fields.get(self._field)
        self._provider = provider


def _settle_before_flush(provider: object) -> None:
    """Have spans that are still on the tape handed over before the provider is flushed or shut down."""
    for name in ("force_flush", "shutdown"):
        original = getattr(provider, name, None)
        if original is None or getattr(original, "_settles", False):
            continue

        def settle_first(*args: object, _original: Callable[..., object] = original, **keywords: object) -> object:
            TAPE.drain()
            return _original(*args, **keywords)

        settle_first._settles = True  # type: ignore[attr-defined]
        with contextlib.suppress(AttributeError):  # a provider with slots: its spans come a second later
            setattr(provider, name, settle_first)
    TAPE.flush_at_exit()  # before the provider's own, which was registered before this one


def _field_of_processors(multi: object) -> str:
    """Under which name the SDK's own collection of span processors keeps them: found by what it holds."""
    sdk = sys.modules.get("opentelemetry.sdk.trace")
    if sdk is None or not isinstance(multi, sdk.SynchronousMultiSpanProcessor):
        return ""
    return next((name for name, value in vars(multi).items() if type(value) is tuple), "")


def _pipeline(provider: trace.TracerProvider, scope: str) -> _Pipeline | None:
    tracer: Any = provider.get_tracer(scope, __version__)
    if isinstance(tracer, trace.NoOpTracer):
        return None
    sdk = sys.modules.get("opentelemetry.sdk.trace")
    if sdk is not None and isinstance(provider, sdk.TracerProvider) and type(tracer) is sdk.Tracer:
        field = _field_of_processors(tracer.span_processor)
        parts = vars(tracer).values()
        limits = next((part for part in parts if isinstance(part, sdk.SpanLimits)), None)
        if (
            field
            and limits is not None
            and limits.max_span_attribute_length is None
            and all(getattr(part, "is_enabled", True) is not False for part in parts)
            and _is_known(tracer.sampler)
            and all(_looks_only_at_ends(type(one), sdk.SpanProcessor) for one in vars(tracer.span_processor)[field])
        ):
            try:
                return _Lazy(tracer, scope)
            except (AttributeError, ImportError):  # an SDK laid out otherwise
                return _Pipeline(tracer)
    return _Pipeline(tracer)


def _is_known(sampler: object) -> bool:
    """Whether a sampler is one of the SDK's, which decide by the arguments alone."""
    return type(sampler).__module__ == "opentelemetry.sdk.trace.sampling"


def _looks_only_at_ends(kind: type[SpanProcessor], base: type[SpanProcessor]) -> bool:
    """Whether a span processor does nothing when a span starts: the base class's, or the SDK's exporting ones."""
    export = sys.modules.get("opentelemetry.sdk.trace.export")
    known = () if export is None else (export.BatchSpanProcessor, export.SimpleSpanProcessor)
    quiet = [base, *known]
    return any(kind.on_start is one.on_start for one in quiet) and any(
        getattr(kind, "_on_ending", None) is getattr(one, "_on_ending", None) for one in quiet
    )
