"""The span and the metrics of a run of an agent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from opentelemetry.trace import Span, SpanKind, StatusCode

from tachograph.records.cost import NANO_PER_USD
from tachograph.records.run import Run, facts_of
from tachograph.signals import semconv as s
from tachograph.signals.registry import Metrics
from tachograph.signals.run_families import RUN_CALLS, RUN_COST_USD, RUN_SECONDS, RUN_TOOL_CALLS
from tachograph.signals.span_facts import RUN_NAMES
from tachograph.signals.spans import SpanSignal

if TYPE_CHECKING:
    from tachograph.signals.genai_metrics import GenAIMetrics

SCOPE: Final = "tachograph.agent"
_GAVE_UP: Final = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


class RunSignal:
    """Makes a span of each run, and counts it.

    Args:
        spans: Where spans go, or None.
        keeps_metrics: Whether runs are counted.
        genai: Counts them by OpenTelemetry's names too.
    """

    def __init__(
        self,
        metrics: Metrics,
        spans: SpanSignal | None,
        *,
        keeps_metrics: bool = True,
        genai: GenAIMetrics | None = None,
    ) -> None:
        self._metrics = metrics
        self._spans = spans
        self._keeps_metrics = keeps_metrics
        self._genai = genai

    def open_run(self, run: Run, started_unix_ns: int) -> Span | None:
        """Start the run's span."""
        tracer = None if self._spans is None else self._spans.tracer(SCOPE)
        if tracer is None:
            return None
        attributes = {name: value for name, value in zip(RUN_NAMES, facts_of(run), strict=True) if value}
        attributes[s.OPERATION_NAME] = "invoke_agent"
        name = f"invoke_agent {run.agent}"
        return tracer.start_span(name, kind=SpanKind.INTERNAL, attributes=attributes, start_time=started_unix_ns)

    def close_run(self, run: Run, span: Span | None, seconds: float, error: BaseException | None) -> None:
        """End the run's span, and count the run."""
        outcome = "success" if error is None else "cancelled" if isinstance(error, _GAVE_UP) else "error"
        tally = run.tally
        if span is not None:
            if tally is not None:
                span.set_attribute(s.RUN_CALLS, tally.calls)
                span.set_attribute(s.RUN_TOOL_CALLS, tally.tool_calls)
                span.set_attribute(s.RUN_COST_USD, tally.cost_nano_usd / NANO_PER_USD)
            if outcome != "success":
                span.set_attribute(s.OUTCOME, outcome)
            if outcome == "error":
                span.set_attribute(s.ERROR_TYPE, type(error).__name__)
                span.set_status(StatusCode.ERROR, type(error).__name__)
            span.end()
        if self._genai is not None:
            self._genai.close_run(run, seconds, error)
        if self._keeps_metrics:
            agent = run.agent or "unknown"
            self._metrics.histogram(RUN_SECONDS, agent, outcome).observe(seconds)
            if tally is not None:
                self._metrics.histogram(RUN_COST_USD, agent, outcome).observe(tally.cost_nano_usd / NANO_PER_USD)
                self._metrics.histogram(RUN_CALLS, agent).observe(tally.calls)
                self._metrics.histogram(RUN_TOOL_CALLS, agent).observe(tally.tool_calls)
