"""An application in a process of its own that has only OTEL_EXPORTER_OTLP_ENDPOINT, by OpenTelemetry's SDK."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

resource = Resource.create({"service.name": "shop"})
tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(), 60_000)], resource=resource)

tracer = tracers.get_tracer("app")
with tracer.start_as_current_span("handle request"):
    # Generation B: what today's Python packages write.
    with tracer.start_as_current_span("chat gpt-5", kind=trace.SpanKind.CLIENT) as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-5",
                "gen_ai.response.model": "gpt-5-2026-01-01",
                "gen_ai.usage.input_tokens": 120,
                "gen_ai.usage.output_tokens": 30,
            }
        )
    # Generation A.
    with tracer.start_as_current_span("chat claude-sonnet-5", kind=trace.SpanKind.CLIENT) as span:
        span.set_attributes(
            {
                "gen_ai.system": "anthropic",
                "gen_ai.request.model": "claude-sonnet-5",
                "gen_ai.usage.prompt_tokens": 11,
                "gen_ai.usage.completion_tokens": 7,
            }
        )
        span.set_status(trace.StatusCode.ERROR, "Error code: 429 - rate limited")
        span.set_attribute("error.type", "RateLimitError")
    with tracer.start_as_current_span("execute_tool get_time") as span:
        span.set_attributes({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_time"})

meter = meters.get_meter("app")
meter.create_counter("orders", unit="{order}").add(3, {"kind": "new"})
meter.create_histogram("gen_ai.client.operation.duration", unit="s").record(0.5, {"gen_ai.system": "openai"})
meter.create_gauge("queue.size", unit="By").set(7)

tracers.shutdown()
meters.shutdown()
