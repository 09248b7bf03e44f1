"""An application that OpenTelemetry's own instrumentation watches: the OpenAI SDK, no Tachograph.

Its one argument is the base URL of an OpenAI-like server.
"""

from __future__ import annotations

import sys

import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource.create({"service.name": "watched-by-otel"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()

client = openai.OpenAI(base_url=sys.argv[1], api_key="any", max_retries=0)
client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hello"}])
provider.shutdown()
