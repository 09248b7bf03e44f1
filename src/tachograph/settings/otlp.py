"""Settings of OTLP, beside OpenTelemetry's own OTEL_* variables, which say where to and how."""

from __future__ import annotations

from typing import Literal

import msgspec


class OtlpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes out over OTLP.

    Attributes:
        metrics: Hand the metrics to the application's OpenTelemetry MeterProvider at each of its collections; or, with
            `OTEL_EXPORTER_OTLP_ENDPOINT` set and no MeterProvider, push them ourselves.
        names: `contract` (the families of /metrics, llm.complete), `genai` (OpenTelemetry's GenAI and MCP names
            instead, spans as `chat gpt-5`) or `both` (metrics by both names; spans keep the contract's). /metrics never
            changes.
        traces: With `OTEL_EXPORTER_OTLP_ENDPOINT` set and no TracerProvider, set one up that pushes spans there.
    """

    metrics: bool = True
    names: Literal["contract", "genai", "both"] = "contract"
    traces: bool = True
