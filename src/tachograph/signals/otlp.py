"""Metrics and spans over OTLP, by OpenTelemetry's own OTEL_* variables.

Nothing of this is on a call's path. Metrics are handed over when a reader collects: to every reader of the
application's MeterProvider (`otlp_join`), or, where there is none and an endpoint is named, to an exporter of our own
(`otlp_push`).

A TracerProvider is set up only when the first span is wanted and the application has set none by then, since one can
be set only once in a process.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from tachograph.signals.otlp_join import readers_of, wrap_collection
from tachograph.signals.registry import Metrics
from tachograph.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import TracerProvider

    from tachograph.signals.otlp_push import MetricsPush, SpanBatches

logger = logging.getLogger("tachograph")

Signal = Literal["metrics", "traces"]
_INSTALL: Final = "pip install 'tachograph[otlp]'"


def is_wanted(signal: Signal, environ: Mapping[str, str] | None = None) -> bool:
    """Whether the OTEL_* variables name an OTLP endpoint for this signal and do not turn it off."""
    environ = os.environ if environ is None else environ
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp").strip().lower()
    if "otlp" not in [exporter.strip() for exporter in exporters.split(",")]:
        return False
    return bool(
        environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    )


class Otlp:
    """Hands one recorder's metrics to OpenTelemetry's readers.

    Args:
        metrics: Whose; kept weakly, so that a recorder that was replaced stops being pushed.
        failed: Called with failures.
        hands_over: Whether the contract's families go out.
        deliver: Delivers what has finished, before instruments of the SDK are collected.
    """

    def __init__(
        self,
        metrics: Metrics,
        failed: Callable[[BaseException], None],
        *,
        hands_over: bool = True,
        deliver: Callable[[], object] | None = None,
    ) -> None:
        self._metrics = weakref.ref(metrics)
        self._failed = failed
        self._lock = threading.Lock()
        self._hooked: weakref.WeakSet[MetricReader] = weakref.WeakSet()
        self._own: MetricsPush | None = None
        self._left: MetricsPush | None = None
        """Our own after the application has set a provider: its last push may be under way."""
        self._hands_over = hands_over
        self._deliver = deliver
        self.provider: Any = None
        """The MeterProvider for instruments of the SDK: the application's, or our own; None without either."""
        self.closed = False

    def attach(self) -> None:
        """Hook the readers there are: the application's, else one of our own where an endpoint is named.

        Called at the start and again when new label sets come up, which is seldom: the application may set its
        MeterProvider after us.
        """
        if self.closed or not self._lock.acquire(blocking=False):  # a signal handler's call may come here meanwhile
            return
        try:
            provider = _application_s_provider()
            if provider is not None:
                readers, resource = readers_of(provider)
                for reader in readers:
                    self._hook(reader, resource)
                if self._own is not None:  # the application may wait for us here
                    self._own.stop(0.0)
                    self._left, self._own = self._own, None
                self.provider = provider
            elif self._own is None and is_wanted("metrics"):
                self._own = self._start_own()
        except Exception as error:  # noqa: BLE001 - pushing metrics never breaks the application
            self._failed(error)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Push what there is, wait for it a little, and stop."""
        self.closed = True
        for push in (self._own, self._left):
            if push is not None:
                push.stop()
        self._own = self._left = self.provider = None

    def after_fork(self) -> None:
        """In a forked child: the parent's push is the parent's. The child's own begins with its first call.

        Not here: the SDK starts threads to find out who we are, and locks of theirs may be held until the fork is over.
        """
        self._lock = threading.Lock()
        self._own = self._left = self.provider = None

    def _hook(self, reader: MetricReader, resource: Resource) -> None:
        if reader in self._hooked:
            return
        ours, deliver = weakref.WeakMethod(self._add), self._deliver

        def before() -> None:
            if deliver is not None and ours() is not None:
                deliver()

        def change(data: MetricsData | None) -> MetricsData | None:
            add = ours()
            return data if add is None else add(data, resource)

        if wrap_collection(reader, before, change):
            self._hooked.add(reader)

    def _add(self, data: MetricsData | None, resource: Resource) -> MetricsData | None:
        """The SDK's data with ours beside it."""
        metrics = self._metrics()
        if metrics is None or not self._hands_over or (self.closed and self._own is None):
            return data
        try:
            from tachograph.signals.otlp_points import joined, scope_metrics

            return joined(data, scope_metrics(metrics, time.time_ns()), resource)
        except Exception as error:  # noqa: BLE001 - the application's own metrics must still go out
            self._failed(error)
            return data

    def _start_own(self) -> MetricsPush | None:
        exporter = _exporter("metrics")
        if exporter is None:
            return None
        from tachograph.signals.otlp_push import MetricsPush

        own = MetricsPush(exporter, resource(), self._add, self._deliver)
        self.provider = own.provider
        _at_exit(self)
        return own


class SpanPush:
    """A TracerProvider that pushes spans to the OTLP endpoint, made when called.

    The SDK is imported and asked who we are when this is made, which takes a second; the call that needs the first
    span then waits for neither.
    """

    def __init__(self) -> None:
        self._batches: SpanBatches | None = None
        self._exporter = _exporter("traces")
        if self._exporter is not None:
            self._resource = resource()

    def __call__(self) -> TracerProvider | None:
        """Set the provider for the process and return it; None where it cannot be.

        The first provider that is set stays: if the application set one, it is returned.
        """
        from opentelemetry import trace

        if self._exporter is None:
            return None
        from tachograph.signals.otlp_push import ForkSafeTracerProvider, SpanBatches

        provider = ForkSafeTracerProvider(resource=self._resource, shutdown_on_exit=False)
        self._batches = SpanBatches(self._exporter)
        provider.add_span_processor(self._batches)
        trace.set_tracer_provider(provider)
        _at_exit(self)
        return trace.get_tracer_provider()

    def close(self) -> None:
        """Push what there is, wait for it a little, and stop."""
        if self._batches is not None:
            self._batches.shutdown()


def resource() -> Resource:
    """The resource of this process: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, and an id, so that workers differ."""
    from opentelemetry.sdk.resources import Resource

    return Resource.create({"service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}).merge(
        Resource({"telemetry.distro.name": "tachograph", "telemetry.distro.version": __version__})
    )


def _application_s_provider() -> MeterProvider | None:
    """The SDK MeterProvider that the application has set, or None."""
    if "opentelemetry.sdk.metrics" not in sys.modules:
        return None
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider

    provider = metrics.get_meter_provider()
    return provider if isinstance(provider, MeterProvider) else None


def _exporter(signal: Signal) -> Any:
    """The OTLP exporter that the OTEL_* variables ask for; None, with a log line, where it is not installed."""
    protocol = (
        os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
        or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        or "http/protobuf"
    )
    try:
        if protocol == "grpc":
            return _grpc(signal)
        if signal == "metrics":
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

            return OTLPMetricExporter()
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    except ImportError as error:
        install = "pip install opentelemetry-exporter-otlp-proto-grpc" if protocol == "grpc" else _INSTALL
        _log_once(
            f"tachograph: an OTLP endpoint is set for {signal} ({protocol}), but {error.name} is missing: {install}"
        )
        return None


def _grpc(signal: Signal) -> object:
    from importlib import import_module

    package = "opentelemetry.exporter.otlp.proto.grpc"
    if signal == "metrics":
        return import_module(f"{package}.metric_exporter").OTLPMetricExporter()
    return import_module(f"{package}.trace_exporter").OTLPSpanExporter()


_logged: set[str] = set()


def _log_once(text: str) -> None:
    if text not in _logged:
        _logged.add(text)
        logger.warning(text)


_open: weakref.WeakSet[Any] = weakref.WeakSet()
_kept: list[Any] = []


def _at_exit(closing: object) -> None:
    if not _open and not _kept:
        atexit.register(_close_all)
    if isinstance(closing, Otlp):
        _open.add(closing)
    else:
        _kept.append(closing)


def _close_all() -> None:
    for closing in [*_open, *_kept]:
        try:
            closing.close()
        except Exception:
            logger.debug("tachograph: the last export failed", exc_info=True)
