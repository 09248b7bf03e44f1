"""One span per call where a client library makes spans of its own: the library's is left out while ours stands for it.

The file that hooks a library hands its class or module in here; libraries are not imported by this one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from opentelemetry import trace

from tachograph.signals.spans import LLM_SCOPE, MCP_SCOPE, LightSpan, UnsampledSpan
from tachograph.tape.guard import generate

_MARK = "__tachograph_silenced__"


def our_span_is_current() -> bool:
    """Whether the current span is that of a call of ours, which a library's own span would double."""
    span = trace.get_current_span()
    if span is trace.INVALID_SPAN:
        return False
    kind = type(span)
    if kind is LightSpan or kind is UnsampledSpan:
        return True
    scope = getattr(span, "instrumentation_scope", None)
    return scope is not None and scope.name in (LLM_SCOPE, MCP_SCOPE)


_TRACER: Final = """
    def _tracer(self):
        if current_span() is no_span:
            return original(self)
        is_ours = False
        guard pass: is_ours = our_span_is_current()
        return None if is_ours else original(self)
"""


def silence_tracer(owner: type) -> bool:
    """Make a client class's `_tracer` (anthropic's base clients) None while a span of ours is current.

    Its requests then carry no `traceparent`, which anthropic adds only beside a span of its own. Doing it again
    changes nothing.

    Returns:
        Whether the class has such a tracer; if not, its spans stand as children of ours.
    """
    found = owner.__dict__.get("_tracer")
    if not isinstance(found, property) or found.fget is None:
        return False
    original: Callable[[Any], Any] = found.fget
    if hasattr(original, _MARK):
        return True

    _tracer = functools.update_wrapper(
        generate(
            _TRACER,
            "_tracer",
            original=original,
            our_span_is_current=our_span_is_current,
            current_span=trace.get_current_span,
            no_span=trace.INVALID_SPAN,
        ),
        original,
    )
    setattr(_tracer, _MARK, original)
    setattr(owner, "_tracer", property(_tracer))  # noqa: B010 - a class of another library
    return True


_NO_SPAN: Final = nullcontext(trace.INVALID_SPAN)
"""Stands for the context manager of a span that is not kept; one for all, since it keeps nothing."""

_SPAN: Final = """
    def span(*args, **options):
        instead = None
        guard pass: instead = silence(options)
        return original(*args, **options) if instead is None else instead
"""


def silence_span_function(module: object, name: str, *, beside_ours: bool = False) -> bool:
    """Make a module's span function (mcp's `jsonrpc_dispatcher.otel_span`) open none while a span of ours is current.

    Nor while the application has no TracerProvider: opening and closing a span that goes nowhere takes mcp 4 us.

    Args:
        module: Where it stands.
        name: Its name there.
        beside_ours: Whether its spans stand even then: those of a server, which do not double the client's.

    Returns:
        Whether the module has it; if not, its spans stand as children of ours.
    """
    original: Callable[..., AbstractContextManager[Any]] | None = getattr(module, name, None)
    if original is None:
        return False
    if hasattr(original, _MARK):
        return True

    def silence(options: dict[str, Any]) -> AbstractContextManager[trace.Span] | None:
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            return _NO_SPAN if options.get("context") is None else None  # it hands on a caller's trace
        return _NO_SPAN if not beside_ours and our_span_is_current() else None

    span = functools.update_wrapper(generate(_SPAN, "span", original=original, silence=silence), original)
    setattr(span, _MARK, original)
    setattr(module, name, span)
    return True


def restore(owner: object, name: str) -> None:
    """Undo either."""
    found = owner.__dict__.get(name)
    if isinstance(found, property) and hasattr(found.fget, _MARK):
        setattr(owner, name, property(getattr(found.fget, _MARK)))
    elif hasattr(found, _MARK):
        setattr(owner, name, getattr(found, _MARK))
