"""Where a peer's spans and metrics go: nowhere (cost), or into memory (truth). OpenTelemetry's own classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON


class DropSpans(SpanExporter):
    """Throws spans away."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class _DropMetrics(MetricExporter):
    def export(self, metrics_data: Any, timeout_millis: float = 10_000, **kwargs: Any) -> Any:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        return None


class Emitted:
    """Providers for a peer.

    Args:
        kept: Keep what is emitted, or drop it in the background as an exporter in production would.
        sampled: Whether spans are sampled.
    """

    def __init__(self, *, kept: bool, sampled: bool = True) -> None:
        self.kept = kept
        self.spans = InMemorySpanExporter() if kept else None
        self.reader = self._make_reader()
        self.tracer_provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF)
        self.tracer_provider.add_span_processor(self.span_processor())
        self.meter_provider = MeterProvider(metric_readers=[self.reader])

    def _make_reader(self) -> Any:
        if self.kept:
            return InMemoryMetricReader(
                preferred_temporality=dict.fromkeys((Counter, Histogram), AggregationTemporality.DELTA)
            )
        return PeriodicExportingMetricReader(_DropMetrics(), export_interval_millis=5000)

    def fresh_reader(self) -> Any:
        """A reader for a peer that makes the meter provider itself; what it reads is what `take` gives."""
        self.meter_provider.shutdown()
        self.reader = self._make_reader()
        return self.reader

    def span_processor(self) -> Any:
        """A processor that keeps or drops."""
        return SimpleSpanProcessor(self.spans) if self.spans is not None else BatchSpanProcessor(DropSpans())

    def make_global(self, *, traces: bool = True, meters: bool = True) -> None:
        """Set them as the application's providers."""
        if traces:
            trace.set_tracer_provider(self.tracer_provider)
        if meters:
            metrics.set_meter_provider(self.meter_provider)

    def take(self) -> dict[str, Any]:
        """What was emitted since the last taking."""
        spans = [
            {
                "name": span.name,
                "scope": span.instrumentation_scope.name if span.instrumentation_scope else "",
                "attributes": {key: _plain(value) for key, value in (span.attributes or {}).items()},
                "status": span.status.status_code.name,
                "kind": span.kind.name,
                "started": (span.start_time or 0) / 1e9,
                "seconds": ((span.end_time or 0) - (span.start_time or 0)) / 1e9,
                "events": [
                    {
                        "name": event.name,
                        "at": event.timestamp / 1e9,
                        "attributes": {k: _plain(v) for k, v in (event.attributes or {}).items()},
                    }
                    for event in span.events
                ],
            }
            for span in (self.spans.get_finished_spans() if self.spans else ())
        ]
        if self.spans:
            self.spans.clear()
        points = []
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        points.append(
                            {
                                "name": metric.name,
                                "attributes": {k: _plain(v) for k, v in (point.attributes or {}).items()},
                                "value": getattr(point, "value", None),
                                "sum": getattr(point, "sum", None),
                                "count": getattr(point, "count", None),
                            }
                        )
        return {"spans": spans, "metrics": points}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
