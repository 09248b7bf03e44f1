"""The writer in a process of its own: `tachograph ledger writer`."""

from __future__ import annotations

import threading

from tachograph.usage.ledger import Ledger


def run_writer(
    ledger: Ledger,
    stopped: threading.Event,
    *,
    metrics_port: int | None = None,
    metrics_address: str = "127.0.0.1",
) -> None:
    """Become this host's writer as soon as there is no other, and drain journals until `stopped`."""
    server = None
    if metrics_port is not None:
        from tachograph.signals.http import MetricsServer

        server = MetricsServer(lambda: ledger.registry, metrics_port, metrics_address)
    try:
        while not stopped.is_set():
            if not ledger.write_if_free(stopped.is_set):
                stopped.wait(0.25)
    finally:
        if server is not None:
            server.close()
