"""A real Prometheus that has scraped our own demo: normal traffic, then a rate-limit storm, failing tools besides."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from support.prometheus import Prometheus, poll, prometheus
from tachograph_demo.scenario import Demo

WINDOW = "10s"
"""What stands for $__rate_interval: twenty scrapes."""


@dataclass(frozen=True)
class Filled:
    """The server, and the times between which it has data."""

    server: Prometheus
    start: float
    end: float


class Runner(threading.Thread):
    """Runs the demo in an event loop of its own until it is stopped."""

    def __init__(self, **options: object) -> None:
        super().__init__(daemon=True)
        self._options = options
        self._stop_asked = threading.Event()
        self.demo: Demo | None = None
        self.error: BaseException | None = None
        self.is_ready = False

    def run(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - shown by the test's thread
            self.error = error

    async def _run(self) -> None:
        async with Demo(**self._options) as demo:
            self.demo = demo
            await demo.tools_ready()
            self.is_ready = True
            while not self._stop_asked.is_set():
                await demo.run(0.25)

    def ask_to_stop(self) -> None:
        """Let the calls under way end, and the demo's servers, while the test goes on."""
        self._stop_asked.set()

    def stop(self) -> None:
        self.ask_to_stop()
        self.join(60)
        if self.error is not None:
            raise self.error


@contextmanager
def filled_prometheus(rules: str) -> Iterator[Filled]:
    """Prometheus with these rules, after the demo ran into it for 16 seconds and 32 scrapes."""
    runner = Runner(rate=20, seed=3, incident="rate-limit-storm", incident_at=6)
    runner.start()
    try:
        poll(lambda: runner.error or runner.is_ready, 120, "the demo is up")
        if runner.error is not None:
            raise runner.error
        assert runner.demo is not None
        target = str(runner.demo.metrics_url).split("//")[1].split("/")[0]
        with prometheus(targets=[target], rules=rules, interval="500ms") as server:
            start = time.time()
            server.wait_for(
                lambda server: server.query('increase(llm_provider_errors_total{error_type="rate_limit"}[5s]) > 0'),
                150,
            )
            server.wait_for(lambda server: time.time() - start > 16, 150)
            filled = Filled(server, start, time.time())
            runner.ask_to_stop()  # what is asked is asked as of then
            yield filled
    finally:
        runner.stop()
