"""An OTLP/HTTP receiver on loopback that decodes what it gets: `with receiver() as got: ...; got.wait_for(...)`."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Received:
    """What has come in.

    Attributes:
        url: The endpoint, for OTEL_EXPORTER_OTLP_ENDPOINT.
        metrics, traces: Requests, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.metrics: list[Any] = []
        self.traces: list[Any] = []
        self.changed = threading.Condition()

    def wait_for(self, condition: Callable[[Received], Any], seconds: float = 60.0) -> Any:
        """Wait until something that came in makes the condition true; returns what it returned."""
        with self.changed:
            found = self.changed.wait_for(lambda: condition(self), seconds)
            assert found, f"not within {seconds} s: {len(self.metrics)} metric and {len(self.traces)} trace requests"
            return found

    def spans(self) -> list[Any]:
        """Every span, with its scope's name: (scope, span)."""
        return [
            (scoped.scope.name, span)
            for request in self.traces
            for resource in request.resource_spans
            for scoped in resource.scope_spans
            for span in scoped.spans
        ]

    def families(self) -> dict[str, Any]:
        """Our metrics in the newest request that has any, by name."""
        for request in reversed(self.metrics):
            found = {
                metric.name: metric
                for resource in request.resource_metrics
                for scoped in resource.scope_metrics
                if scoped.scope.name == "tachograph"
                for metric in scoped.metrics
            }
            if found:
                return found
        return {}


@contextmanager
def receiver() -> Iterator[Received]:
    """Listen on a free port of 127.0.0.1 until the end of the block."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request: Any
            if self.path == "/v1/metrics":
                request, kept = ExportMetricsServiceRequest(), received.metrics
            else:
                request, kept = ExportTraceServiceRequest(), received.traces
            request.ParseFromString(body)
            with received.changed:
                kept.append(request)
                received.changed.notify_all()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    received.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
