"""Settings of OTLP, beside OpenTelemetry's own OTEL_* variables, which say where to and how."""

from __future__ import annotations

import msgspec


class OtlpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes out over OTLP.

    Attributes:
        metrics: Hand the metrics to the application's OpenTelemetry MeterProvider at each of its collections; or, with
            `OTEL_EXPORTER_OTLP_ENDPOINT` set and no MeterProvider, push them ourselves.
        traces: With `OTEL_EXPORTER_OTLP_ENDPOINT` set and no TracerProvider, set one up that pushes spans there.
    """

    metrics: bool = True
    traces: bool = True
