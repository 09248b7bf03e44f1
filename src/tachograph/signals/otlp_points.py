"""Our cells as the OpenTelemetry SDK's metrics data: exact names, cumulative, buckets and exemplars as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tachograph.signals.family import Family
from tachograph.signals.registry import Metrics, Sample
from tachograph.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricsData, ScopeMetrics
    from opentelemetry.sdk.resources import Resource

SCOPE: Final = "tachograph"
UNITS: Final = {"seconds": "s", "bytes": "By", "usd": "{usd}", "tokens": "{token}"}
"""OpenTelemetry's unit words. Where OTLP becomes Prometheus, those in braces are dropped, and `s` and `By` are not
doubled, since the names end in their words already: names stay as they are."""


def scope_metrics(metrics: Metrics, now_unix_ns: int) -> ScopeMetrics:
    """Everything this process has, at this moment. Each worker process pushes its own."""
    from opentelemetry.sdk.metrics.export import ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    started = metrics.started_unix_ns
    built = [_metric(family, samples, started, now_unix_ns) for family, samples in metrics.collect_own() if samples]
    return ScopeMetrics(InstrumentationScope(SCOPE, __version__), built, "")


def joined(data: MetricsData | None, ours: ScopeMetrics, resource: Resource) -> MetricsData:
    """The SDK's data with ours beside it, under the same resource."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics

    if data is None or not data.resource_metrics:
        return MetricsData([ResourceMetrics(resource, [ours], "")])
    first, *rest = data.resource_metrics
    return MetricsData([ResourceMetrics(first.resource, [*first.scope_metrics, ours], first.schema_url), *rest])


def _metric(family: Family, samples: list[Sample], started: int, now: int) -> Metric:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
        Sum,
    )

    cumulative = AggregationTemporality.CUMULATIVE
    data: Any
    if family.kind == "histogram":
        none: Any = None  # smallest and largest are not kept
        data = Histogram(
            [
                HistogramDataPoint(
                    attributes=_attributes(family, sample),
                    start_time_unix_nano=started,
                    time_unix_nano=now,
                    count=int(sum(sample.buckets)),
                    sum=sample.sum,
                    bucket_counts=[int(count) for count in sample.buckets],
                    explicit_bounds=family.buckets,
                    min=none,
                    max=none,
                    exemplars=_exemplars(sample),
                )
                for sample in samples
            ],
            cumulative,
        )
    else:
        points = [NumberDataPoint(_attributes(family, sample), started, now, float(sample.value)) for sample in samples]
        data = Sum(points, cumulative, True) if family.kind == "counter" else Gauge(points)
    return Metric(family.name, family.help, UNITS.get(family.unit, ""), data)


def _attributes(family: Family, sample: Sample) -> dict[str, str]:
    return {name: value for name, value in zip(family.labels, sample.labels, strict=True) if value != ""}


def _exemplars(sample: Sample) -> list[Any]:
    if not sample.exemplars:
        return []
    from opentelemetry.sdk.metrics import Exemplar

    return [
        Exemplar({}, float(one.value), int(one.timestamp * 1e9), one.span_id, one.trace_id)
        for one in list(sample.exemplars.values())
    ]
