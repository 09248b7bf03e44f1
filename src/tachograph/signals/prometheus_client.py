"""Our families in an application's own prometheus_client registry, for those who have one and one /metrics already.

import prometheus_client, tachograph.signals.prometheus_client
prometheus_client.REGISTRY.register(tachograph.signals.prometheus_client.Collector())
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tachograph.errors import MissingExtraError
from tachograph.signals.families import PROCESS_START
from tachograph.signals.registry import Metrics

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Collector:
    """A prometheus_client collector over our metrics, read at each scrape.

    `process_start_time_seconds` is left to prometheus_client's own process collector.

    Args:
        source: Whose metrics; the process's recorder's unless given.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """

    def __init__(self, source: Callable[[], Metrics] | None = None) -> None:
        try:
            import prometheus_client  # noqa: F401 - asked for now, so that it fails here and not at a scrape
        except ImportError as error:
            raise MissingExtraError("the prometheus_client collector", "prometheus", "prometheus-client") from error
        self._source = source or _process_metrics

    def collect(self) -> Iterator[Metric]:
        """Every family, as prometheus_client keeps them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
        from prometheus_client.samples import Exemplar

        for family, samples in self._source().collect():
            if family.name == PROCESS_START.name:
                continue
            if family.kind == "histogram":
                histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
                bounds = [repr(float(bound)) for bound in family.buckets] + ["+Inf"]
                for sample in samples:
                    buckets: list[Any] = list(zip(bounds, accumulate(sample.buckets), strict=True))
                    for index, exemplar in dict(sample.exemplars or {}).items():
                        mark = Exemplar({"trace_id": f"{exemplar.trace_id:032x}"}, exemplar.value, exemplar.timestamp)
                        buckets[index] = (*buckets[index], mark)
                    histogram.add_metric(sample.labels, buckets, sum_value=sample.sum)
                yield histogram
            elif family.kind == "counter":
                counter = CounterMetricFamily(family.name, family.help, labels=family.labels)
                for sample in samples:
                    counter.add_metric(sample.labels, sample.value)
                yield counter
            else:
                gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
                for sample in samples:
                    gauge.add_metric(sample.labels, sample.value)
                yield gauge


def _process_metrics() -> Metrics:
    from tachograph.runtime import get_recorder

    return get_recorder().metrics
