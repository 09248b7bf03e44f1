"""OTLP metrics become series, named and labelled as Prometheus names them.

Source: https://github.com/prometheus/otlptranslator (checked 2026-11-23). Delta sums and histograms are added up here,
as a scrape could not show them. Exponential histograms are refused, with a count.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Protocol

from tachograph.console.ingest.otlp.values import attributes, integer, number, objects
from tachograph.console.promql.labels import NAME, Labels
from tachograph.console.promql.numerics import plain_decimal
from tachograph.console.promql.types import STALE_NAN
from tachograph.console.tsdb import Metadata

MAX_POINTS = 50_000
MAX_BUCKETS = 512
MAX_DELTA_SERIES = 50_000

_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds", "us": "microseconds",
    "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "m": "meters", "V": "volts", "A": "amperes",
    "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz", "%": "percent",
}  # fmt: skip
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}


def metric_name(name: str, unit: str, *, counter: bool, gauge: bool) -> str:
    """Return the name that Prometheus gives an OTLP metric: words joined by `_`, unit and `_total` at the end once."""
    tokens = [token for token in re.split(r"[^a-zA-Z0-9:]+", name) if token]
    main, _, per = unit.partition("/")
    main, per = ("" if "{" in u or "}" in u else u.strip() for u in (main, per))
    word = _UNITS.get(main, re.sub(r"[^a-zA-Z0-9]", "", main)) if main not in ("", "1") else ""
    if word and word not in tokens:
        tokens.append(word)
    if per:
        per_word = _PER.get(per, re.sub(r"[^a-zA-Z0-9]", "", per))
        if per_word and per_word not in tokens:
            tokens += ["per", per_word]
    if unit == "1" and gauge:
        tokens = [*(t for t in tokens if t != "ratio"), "ratio"]
    if counter:
        tokens = [*(t for t in tokens if t != "total"), "total"]
    joined = "_".join(tokens) or "unnamed"
    return f"_{joined}" if joined[0].isdigit() else joined


def label_name(key: str) -> str:
    """Return an attribute's key as a label name."""
    name = re.sub(r"[^a-zA-Z0-9_]", "_", key)
    return f"key_{name}" if name[:1].isdigit() else name


class Samples(Protocol):
    """Where a receiver puts what it takes: a `Store`, or whatever passes samples on."""

    retention_ms: int
    generation: int

    def append(self, labels: Labels, at: int, value: float) -> bool:
        """Take one sample; False: it is refused."""
        ...

    def describe(self, family: str, metadata: Metadata) -> None:
        """Note a family's type and help."""

    def trim_when_due(self, now: int) -> None:
        """Forget what is too old, if it is time for that."""


class MetricsReceiver:
    """Takes OTLP metrics requests into a store; remembers the running sums of delta series."""

    def __init__(self, store: Samples) -> None:
        self._store = store
        self._running: dict[Labels, float] = {}

    def take(self, request: Mapping[str, Any]) -> tuple[int, int, set[str]]:
        """Store a request's points; returns how many were kept, how many refused, and the services seen."""
        kept = refused = points = 0
        services: set[str] = set()
        for resource in objects(request.get("resourceMetrics")):
            target, service = self._target(resource)
            services.add(service)
            for scope in objects(resource.get("scopeMetrics")):
                for metric in objects(scope.get("metrics")):
                    shape, body = self._body(metric)
                    data = objects(body.get("dataPoints"))
                    if shape in ("", "exponentialHistogram") or points + len(data) > MAX_POINTS:
                        refused += max(len(data), 1)
                        continue
                    points += len(data)
                    for point in data:
                        if self._point(metric, shape, body, point, target):
                            kept += 1
                        else:
                            refused += 1
        now = int(time.time() * 1000)
        self._store.trim_when_due(now)
        self._store.generation += 1
        return kept, refused, services

    @staticmethod
    def _target(resource: Mapping[str, Any]) -> tuple[dict[str, str], str]:
        about = resource.get("resource")
        found = attributes(about.get("attributes") if isinstance(about, dict) else None)
        service = str(found.get("service.name") or "unknown_service")
        namespace = found.get("service.namespace")
        target = {"job": f"{namespace}/{service}" if namespace else service}
        instance = found.get("service.instance.id")
        if instance:
            target["instance"] = str(instance)
        return target, service

    @staticmethod
    def _body(metric: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        for shape in ("gauge", "sum", "histogram", "summary", "exponentialHistogram"):
            body = metric.get(shape)
            if isinstance(body, dict):
                return shape, body
        return "", {}

    def _point(
        self,
        metric: Mapping[str, Any],
        shape: str,
        body: Mapping[str, Any],
        point: Mapping[str, Any],
        target: dict[str, str],
    ) -> bool:
        at = integer(point.get("timeUnixNano"))
        if not at or not isinstance(metric.get("name"), str):
            return False
        stamp = at // 1_000_000
        now = time.time() * 1000
        if not now - self._store.retention_ms <= stamp <= now + 600_000:
            return False
        monotonic = shape == "sum" and body.get("isMonotonic") is True
        delta = body.get("aggregationTemporality") in (1, "AGGREGATION_TEMPORALITY_DELTA")
        if shape == "sum" and delta and not monotonic:
            return False
        unit = str(metric.get("unit") or "")
        name = metric_name(metric["name"], unit, counter=monotonic, gauge=shape == "gauge")
        kind = {"sum": "counter" if monotonic else "gauge"}.get(shape, shape)
        self._store.describe(name, Metadata(kind, str(metric.get("description") or "")[:1000]))
        pairs = {label_name(k): _text(v) for k, v in attributes(point.get("attributes")).items()}
        for key, value in target.items():
            if key in pairs:
                pairs[f"exported_{key}"] = pairs[key]
            pairs[key] = value
        stale = bool((integer(point.get("flags")) or 0) & 1)
        if shape in ("gauge", "sum"):
            value = point.get("asDouble", point.get("asInt"))
            return self._add(name, pairs, stamp, STALE_NAN if stale else number(value), delta)
        if shape == "summary":
            return self._summary(name, pairs, point, stamp)
        return self._histogram(name, pairs, point, stamp, delta, stale)

    def _histogram(
        self, name: str, pairs: dict[str, str], point: Mapping[str, Any], at: int, delta: bool, stale: bool
    ) -> bool:
        counts = point.get("bucketCounts") or []
        bounds = point.get("explicitBounds") or []
        if not isinstance(counts, list) or not isinstance(bounds, list) or len(counts) > MAX_BUCKETS:
            return False
        if counts and len(counts) != len(bounds) + 1:
            return False
        total = 0.0
        kept = True
        for bound, count in zip(bounds, counts, strict=False):
            total += number(count)
            text = plain_decimal(number(bound))
            text = text if "." in text else f"{text}.0"
            kept &= self._add(f"{name}_bucket", {**pairs, "le": text}, at, STALE_NAN if stale else total, delta)
        count = number(point.get("count") or 0)
        kept &= self._add(f"{name}_bucket", {**pairs, "le": "+Inf"}, at, STALE_NAN if stale else count, delta)
        if point.get("sum") is not None:
            kept &= self._add(f"{name}_sum", pairs, at, STALE_NAN if stale else number(point["sum"]), delta)
        return self._add(f"{name}_count", pairs, at, STALE_NAN if stale else count, delta) and kept

    def _summary(self, name: str, pairs: dict[str, str], point: Mapping[str, Any], at: int) -> bool:
        kept = True
        for one in objects(point.get("quantileValues"))[:MAX_BUCKETS]:
            text = plain_decimal(number(one.get("quantile") or 0))
            kept &= self._add(name, {**pairs, "quantile": text}, at, number(one.get("value") or 0), False)
        kept &= self._add(f"{name}_sum", pairs, at, number(point.get("sum") or 0), False)
        return self._add(f"{name}_count", pairs, at, number(point.get("count") or 0), False) and kept

    def _add(self, name: str, pairs: Mapping[str, str], at: int, value: float, delta: bool) -> bool:
        labels: Labels = tuple(sorted((k, v) for k, v in {**pairs, NAME: name}.items() if v != ""))
        if delta and value == value:
            if labels not in self._running and len(self._running) >= MAX_DELTA_SERIES:
                return False
            value = self._running[labels] = self._running.get(labels, 0.0) + value
        return self._store.append(labels, at, value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return str(value)[:1024]
