"""Pushing over OTLP where the application has set up nothing: metrics and spans, by the SDK's public names alone.

The SDK's own reader and batches start a thread in each forked child, inside the handler at fork, which waits for it.
Under gevent the child then runs its parent's other greenlets while the fork is not over; they fork in turn, and
processes multiply. Here a child's thread begins with its first span or call. Imported only where something is pushed:
importing the SDK is slow.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from opentelemetry import context as context_api
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter

from tachograph.signals.spans import SUPPRESSED

logger = logging.getLogger("tachograph")

EXIT_SECONDS: Final = 3.0
"""How long a process's end may wait for the last export of ours."""


class ForkSafeTracerProvider(TracerProvider):
    """A TracerProvider that keeps its resource over a fork; the SDK's starts threads there to find out who we are."""

    def _handle_fork(self) -> None:
        self._tracers_lock = threading.Lock()


class ForkSafeMeterProvider(MeterProvider):
    """A MeterProvider that stays its parent's: the child makes its own with its first call."""

    def _handle_fork(self) -> None:
        """Nothing: the child does not use it."""


class Ticker:
    """Does one piece of work in a thread, at each interval, when woken, and when it is stopped; then `end`."""

    def __init__(self, seconds: float, work: Callable[[], object], end: Callable[[], object], name: str) -> None:
        self._seconds = seconds
        self._work = work
        self._end = end
        self._stopped = self._has_ended = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Do the work now."""
        self._wake.set()

    def stop(self, seconds: float) -> None:
        """Do the work for the last time, and wait at most so long for it; where that was not enough, end it then."""
        self._stopped = True
        self._wake.set()
        self._thread.join(seconds)
        if seconds and self._thread.is_alive():
            self._end_once()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(self._seconds)
            self._wake.clear()
            if not self._stopped:
                self._do(self._work)
        self._do(self._work)
        self._end_once()

    def _end_once(self) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._do(self._end)

    def _do(self, work: Callable[[], object]) -> None:
        try:
            with _uninstrumented():
                work()
        except Exception as error:  # noqa: BLE001 - the thread goes on; metrics are totals, the next export has them
            logger.warning("tachograph: an export over OTLP failed, the next one comes as usual: %r", error)


class MetricsPush:
    """Pushes what there is to the endpoint, every OTEL_METRIC_EXPORT_INTERVAL milliseconds and at the end.

    Args:
        exporter: The SDK's.
        resource: The resource that describes this process.
        add: Adds our families to what the SDK collected.
        deliver: Delivers what has finished; given where instruments of the SDK are in use, which need a provider.
    """

    def __init__(
        self,
        exporter: MetricExporter,
        resource: Resource,
        add: Callable[[MetricsData | None, Resource], MetricsData | None],
        deliver: Callable[[], object] | None,
    ) -> None:
        self._exporter, self._resource, self._add, self._deliver = exporter, resource, add, deliver
        self.provider: MeterProvider | None = None
        self._reader: PeriodicExportingMetricReader | None = None
        self._pushed = False
        self._export = exporter.export
        if deliver is not None:
            # Of this one exporter: its reader keeps to the temporality that it prefers.
            exporter.export = self._export_joined  # type: ignore[method-assign, assignment]
            self._reader = PeriodicExportingMetricReader(exporter, math.inf)  # no thread: the ticker asks it
            self.provider = ForkSafeMeterProvider([self._reader], resource=resource, shutdown_on_exit=False)
        seconds = _milliseconds("OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1000
        self._ticker = Ticker(seconds, self._push, exporter.shutdown, "tachograph-otlp-metrics")

    def stop(self, wait_seconds: float = EXIT_SECONDS) -> None:
        """Push what there is, wait for it a little, and stop."""
        self._ticker.stop(wait_seconds)

    def _push(self) -> None:
        self._pushed = False
        if self._reader is not None and self._deliver is not None:
            self._deliver()
            self._reader.collect()
        if not self._pushed:  # there are no instruments of the SDK, or they hold nothing yet
            self._export_joined(None)

    def _export_joined(self, data: MetricsData | None, timeout_millis: float = 10_000, **more: object) -> object:
        self._pushed = True
        data = self._add(data, self._resource)
        return None if data is None else self._export(data, timeout_millis, **more)


class SpanBatches(SpanProcessor):
    """Hands ended spans to an exporter in batches, by the OTEL_BSP_* variables. When too many wait, the oldest go."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._seconds = _milliseconds("OTEL_BSP_SCHEDULE_DELAY", 5_000) / 1000
        self._most = int(_milliseconds("OTEL_BSP_MAX_QUEUE_SIZE", 2048))
        self._batch = min(self._most, int(_milliseconds("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)))
        self._ended = False
        self._begin_empty()
        if hasattr(os, "register_at_fork"):
            begin = weakref.WeakMethod(self._begin_empty)
            os.register_at_fork(after_in_child=lambda: (method := begin()) and method())

    def _begin_empty(self) -> None:
        """At the start, and in a forked child: what waits is the parent's to send."""
        self._waiting: deque[ReadableSpan] = deque(maxlen=self._most)
        self._starting, self._exporting = threading.Lock(), threading.Lock()
        self._ticker: Ticker | None = None

    def on_end(self, span: ReadableSpan) -> None:
        """Take an ended span."""
        context = span.get_span_context()
        if self._ended or context is None or not context.trace_flags.sampled:
            return
        self._waiting.append(span)
        ticker = self._ticker or self._started()
        if len(self._waiting) >= self._batch:
            ticker.wake()

    def _started(self) -> Ticker:
        with self._starting:
            if self._ticker is None:
                end = self._exporter.shutdown
                self._ticker = Ticker(self._seconds, self._export, end, "tachograph-otlp-spans")
            return self._ticker

    def _export(self) -> None:
        with self._exporting:
            while self._waiting:
                self._exporter.export([self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))])

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Hand over all that have ended."""
        with _uninstrumented():
            self._export()
        return True

    def shutdown(self) -> None:
        """Hand over all that have ended, wait for it a little, and stop."""
        self._ended = True
        if self._ticker is not None:
            self._ticker.stop(EXIT_SECONDS)
        else:
            self._exporter.shutdown()


@contextlib.contextmanager
def _uninstrumented() -> Iterator[None]:
    """The exporter's own requests are no spans."""
    token = context_api.attach(context_api.set_value(SUPPRESSED, True))
    try:
        yield
    finally:
        context_api.detach(token)


def _milliseconds(name: str, otherwise: float) -> float:
    """A number of OpenTelemetry's variables; one that is unusable counts as absent, as in the SDK."""
    try:
        number = float(os.environ.get(name) or otherwise)
    except ValueError:
        number = otherwise
    return number if 0 < number < math.inf else otherwise
