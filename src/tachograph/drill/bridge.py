"""OTLP in, remote write out: what a collector between an application and a Prometheus does.

Prometheus receives OTLP itself since 2.47, but some builds of it leave that out (Debian's do). The series are the same
either way: names, `job` and `instance` follow Prometheus's translation, and nothing marks the end of a series.
"""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tachograph.console.ingest.otlp import wire
from tachograph.console.ingest.otlp.metrics import MetricsReceiver
from tachograph.console.promql.labels import Labels
from tachograph.console.tsdb import Metadata
from tachograph.drill import remote_write


class Bridge:
    """Listens on a free port of 127.0.0.1 from `start()` to `close()`.

    Args:
        prometheus_url: A Prometheus with its remote-write receiver on.
    """

    retention_ms = 3_600_000
    generation = 0

    def __init__(self, prometheus_url: str) -> None:
        self._prometheus_url = prometheus_url
        self._lock = threading.Lock()
        self._samples: list[tuple[Labels, list[tuple[int, float]]]] = []

    @property
    def url(self) -> str:
        """For OTEL_EXPORTER_OTLP_METRICS_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/metrics"

    def start(self) -> None:
        """Begin to listen."""
        receiver, bridge = MetricsReceiver(self), self

        class BridgeHandler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with bridge._lock:
                    receiver.take(wire.read_metrics(body))
                    taken, bridge._samples = bridge._samples, []
                if taken:
                    remote_write.write(bridge._prometheus_url, taken)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the timeline says it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), BridgeHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def append(self, labels: Labels, at: int, value: float) -> bool:
        """Keep a sample until its request has been read."""
        self._samples.append((labels, [(at, value)]))
        return True

    def describe(self, family: str, metadata: Metadata) -> None:
        """Remote write carries no types."""

    def trim_when_due(self, now: int) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
