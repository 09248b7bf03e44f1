"""Copies the metrics of this process into the store, without a detour over text."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from tachograph.console.promql.labels import NAME, Labels
from tachograph.console.promql.numerics import plain_decimal
from tachograph.console.tsdb import Metadata, StoredExemplar, TimeSeriesStore
from tachograph.signals.family import Family
from tachograph.signals.registry import Metrics, Sample


class RegistryFeed:
    """Takes a snapshot of a registry at each `feed()`, as a scrape of it would have shown it."""

    def __init__(
        self, store: TimeSeriesStore, metrics: Metrics, *, job: str = "tachograph", instance: str = "in-process"
    ) -> None:
        self.store = store
        self.metrics = metrics
        self.job, self.instance = job, instance
        self._target = (("instance", instance), ("job", job))
        self._labels: dict[tuple[str, tuple[str, ...]], Labels] = {}
        self._bounds: dict[str, tuple[str, ...]] = {}
        self._exemplars: list[tuple[Labels, StoredExemplar]] = []
        self._feeding = threading.Lock()

    def feed(self, at: int | None = None) -> int:
        """Append one snapshot; `at` in milliseconds, now unless given. Returns how many samples were kept."""
        with self._feeding:  # the clock's own step may still be under way
            return self._feed(at)

    def _feed(self, at: int | None) -> int:
        began = time.perf_counter()
        stamp = int(time.time() * 1000) if at is None else at
        samples = list(self._samples())
        target = self._target
        synthetic = [
            ("up", 1.0),
            ("scrape_duration_seconds", time.perf_counter() - began),
            ("scrape_samples_scraped", float(len(samples))),
            ("scrape_samples_post_metric_relabeling", float(len(samples))),
        ]
        samples += [(((NAME, name), *target), value) for name, value in synthetic]
        kept = self.store.ingest(f"registry:{self.job}/{self.instance}", stamp, samples)
        for labels, exemplar in self._exemplars:
            self.store.add_exemplar(labels, exemplar)
        self._exemplars.clear()
        return kept

    def _samples(self) -> Iterator[tuple[Labels, float]]:
        for family, samples in self.metrics.collect():
            self.store.describe(family.name, Metadata(family.kind, family.help, family.unit))
            for sample in samples:
                if family.kind == "histogram":
                    yield from self._histogram(family, sample)
                else:
                    yield self._named(family, family.name, sample.labels), sample.value

    def _histogram(self, family: Family, sample: Sample) -> Iterator[tuple[Labels, float]]:
        bounds = self._bounds.get(family.name)
        if bounds is None:
            bounds = self._bounds[family.name] = (*(_bound(b) for b in family.buckets), "+Inf")
        total = 0.0
        for bound, count in zip(bounds, sample.buckets, strict=True):
            total += count
            yield self._named(family, f"{family.name}_bucket", sample.labels, bound), total
        for index, (trace_id, value, at, _) in (sample.exemplars or {}).copy().items():
            labels = self._named(family, f"{family.name}_bucket", sample.labels, bounds[index])
            exemplar = StoredExemplar((("trace_id", f"{trace_id:032x}"),), value, int(at * 1000))
            self._exemplars.append((labels, exemplar))
        yield self._named(family, f"{family.name}_sum", sample.labels), sample.sum
        yield self._named(family, f"{family.name}_count", sample.labels), total

    def _named(self, family: Family, name: str, values: tuple[str, ...], bound: str = "") -> Labels:
        key = (name, (*values, bound))
        labels = self._labels.get(key)
        if labels is None:
            pairs = dict(zip(family.labels, values, strict=True))
            for target, value in self._target:
                if target in pairs:
                    pairs[f"exported_{target}"] = pairs[target]
                pairs[target] = value
            if bound:
                pairs["le"] = bound
            pairs[NAME] = name
            labels = self._labels[key] = tuple(sorted((k, v) for k, v in pairs.items() if v))
        return labels


def _bound(value: float) -> str:
    text = plain_decimal(value)
    return text if "." in text else f"{text}.0"
