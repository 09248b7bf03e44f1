"""The OpenTelemetry SDK's providers, without what they do at a fork.

The SDK's own handlers start threads and wait for them. Under gevent the child then runs its parent's other greenlets
while the fork is not over; they make calls, fork in turn, and processes multiply (seen with SDK 1.4x, 2026-11-27).
These begin again with the child's first use instead. Imported only where the SDK is wanted: importing it is slow.
"""

from __future__ import annotations

import threading

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider


class ForkSafeTracerProvider(TracerProvider):
    """A TracerProvider that keeps its resource over a fork."""

    def _handle_fork(self) -> None:
        self._tracers_lock = threading.Lock()


class ForkSafeMeterProvider(MeterProvider):
    """A MeterProvider that stays its parent's: the child makes its own with its first call."""

    def _handle_fork(self) -> None:
        """Nothing: the child does not use it."""


class ForkSafeMetricReader(PeriodicExportingMetricReader):
    """A reader whose thread is the parent's."""

    def _at_fork_reinit(self) -> None:
        """Nothing: the child does not use it."""
