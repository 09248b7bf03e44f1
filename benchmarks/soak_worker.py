"""One process of the soak: makes the demo's jobs with watched clients, and reports how it is.

python -m benchmarks.soak_worker OPTIONS_AS_JSON
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Coroutine
from typing import Any

from benchmarks.processes import serve

JOBS = 20_000
"""Different jobs; then they begin again, so that what grows is not the simulators' memory of questions."""
TOOL_SHARE = 5
"""Every how many jobs use a tool, too."""
SPEED = 0.1
"""Factor on the models' latencies: a few hundred calls are under way at once instead of thousands."""
KEPT_EXCHANGES = 200
"""What the simulators remember word by word; the rest lives on in their sums."""
SCRAPE_SECONDS = 5.0
PATIENCE_SECONDS = 240.0
"""How long jobs under way may take at the end: what is cancelled was served but not read, and the books differ."""


class Process:
    """The application: its event loop runs in a thread, so that questions are answered meanwhile.

    Args:
        rate: LLM calls a second.
        transport: `memory` or `loopback`.
        sampled: Share of spans sampled.
        seed: Of jobs and answers.
        data_dir: The ledger's.
    """

    def __init__(self, rate: float, transport: str, sampled: float, seed: int, data_dir: str) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

        import tachograph
        from benchmarks.peers.emitted import DropSpans
        from tachograph_demo.scripted_model import ScriptedModel
        from tachograph_demo.simulators import Simulators
        from tachograph_demo.traffic import Traffic
        from tachograph_demo.traffic_dial import TrafficDial

        provider = TracerProvider(sampler=TraceIdRatioBased(sampled))
        provider.add_span_processor(BatchSpanProcessor(DropSpans()))
        trace.set_tracer_provider(provider)
        self.recorder = tachograph.configure(ledger={"data_dir": data_dir}, metrics={"port": None})
        tachograph.instrument(include_usage_hosts=["127.0.0.1"])
        from tachograph.signals.http import MetricsServer

        self._metrics = MetricsServer(lambda: self.recorder.metrics, 0)
        self.simulators = Simulators(seed, keep=KEPT_EXCHANGES)
        ScriptedModel(seed, speed=SPEED).attach(self.simulators)
        self.calls = self.tool_calls = 0
        self.raised: dict[str, int] = {}
        self._scrape = (0, 0.0)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._in_loop(self._connect(transport))
        self._traffic = Traffic(seed, TrafficDial(rate), self._do)

    def _in_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS * 2)

    async def _connect(self, transport: str) -> None:
        import anthropic
        import httpx2
        import openai
        from google import genai
        from mcp import Client

        from benchmarks.in_memory import InMemory
        from benchmarks.truth.tool_server import make_server

        clients: dict[str, Any] = {}
        if transport == "memory":
            urls = {"openai": "http://127.0.0.1/v1", "anthropic": "http://127.0.0.1", "gemini": "http://127.0.0.1"}
            clients = {
                vendor.name: httpx2.AsyncClient(transport=InMemory(vendor)) for vendor in self.simulators.vendors
            }
        else:
            self.simulators.start()
            urls = self.simulators.urls
        self._openai = openai.AsyncOpenAI(base_url=urls["openai"], api_key="k", http_client=clients.get("openai"))
        self._anthropic = anthropic.AsyncAnthropic(
            base_url=urls["anthropic"], api_key="k", http_client=clients.get("anthropic")
        )
        options: dict[str, Any] = {"base_url": urls["gemini"]}
        if clients:
            options["httpx_async_client"] = clients["gemini"]
        self._gemini = genai.Client(api_key="k", http_options=options)
        self._tools = Client(make_server(), mode="legacy")
        await self._tools.__aenter__()
        await self._tools.list_tools()

    # what the application does

    async def _do(self, job: Any) -> None:
        ask = getattr(self, f"_ask_{job.model.provider}")
        is_stream = job.kind == "stream"
        turns = job.turns if job.kind != "agent" else job.turns * 3
        for turn in turns:
            self.calls += 1
            try:
                await ask(job.model.name, job.system, turn, is_stream)
            except BaseException as error:  # the job's loss; what it means for the books is seen at the end
                name = f"{job.model.provider} {type(error).__name__}"
                self.raised[name] = self.raised.get(name, 0) + 1
                if not isinstance(error, Exception):
                    raise
            if job.kind == "agent" or job.number % TOOL_SHARE == 0:
                self.tool_calls += 1
                with contextlib.suppress(Exception):
                    await self._tools.call_tool("refuse" if job.number % 50 == 0 else "add", {"left": 1, "right": 2})

    async def _ask_openai(self, model: str, system: str, turn: str, is_stream: bool) -> None:
        messages: Any = [{"role": "system", "content": system}, {"role": "user", "content": turn}]
        if not is_stream:
            await self._openai.chat.completions.create(model=model, messages=messages)
            return
        stream = await self._openai.chat.completions.create(
            model=model, messages=messages, stream=True, stream_options={"include_usage": True}
        )
        async for _ in stream:
            pass

    async def _ask_anthropic(self, model: str, system: str, turn: str, is_stream: bool) -> None:
        messages: Any = [{"role": "user", "content": turn}]
        answer = await self._anthropic.messages.create(
            model=model, system=system, max_tokens=500, messages=messages, stream=is_stream
        )
        if is_stream:
            async for _ in answer:  # type: ignore[union-attr]
                pass

    async def _ask_gemini(self, model: str, system: str, turn: str, is_stream: bool) -> None:
        config: Any = {"system_instruction": system}
        if not is_stream:
            await self._gemini.aio.models.generate_content(model=model, contents=turn, config=config)
            return
        async for _ in await self._gemini.aio.models.generate_content_stream(model=model, contents=turn, config=config):
            pass

    # what the parent asks

    def begin(self) -> None:
        """Let traffic begin, and be scraped as Prometheus would."""

        async def start() -> None:
            self._traffic.start()

        gc.collect()
        gc.freeze()  # as applications with much traffic do after starting up
        self._in_loop(start())
        threading.Thread(target=self._be_scraped, daemon=True).start()

    def _be_scraped(self) -> None:
        while True:
            time.sleep(SCRAPE_SECONDS)
            began = time.thread_time()
            with urllib.request.urlopen(self._metrics.url, timeout=30) as answer:
                size = len(answer.read())
            self._scrape = (size, (time.thread_time() - began) * 1e3)

    def look(self) -> dict[str, Any]:
        """How it is now."""
        from tachograph.llm.metrics import families

        values = {
            family.name: sum(sample.value for sample in samples)
            for family, samples in self.recorder.metrics.collect()
            if family.kind != "histogram"
        }
        errors = {
            sample.labels[2]: sample.value
            for family, samples in self.recorder.metrics.collect()
            if family is families.ERRORS
            for sample in samples
        }
        size, milliseconds = self._scrape
        return {
            "calls": self.calls,
            "tool_calls": self.tool_calls,
            "under_way": self._traffic.under_way,
            "cpu": time.process_time(),
            "rss": _resident(),
            "descriptors": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
            "backlog": values.get("llm_usage_persist_queue_size", 0),
            "rate_limited": int(errors.get("rate_limit", 0)),
            "metrics_bytes": size,
            "scrape_ms": milliseconds,
        }

    def wind_down(self) -> None:
        """No new jobs; those under way are let through."""
        self._in_loop(self._traffic.stop(PATIENCE_SECONDS))
        flush = getattr(self.recorder.ledger, "flush", None)
        if flush is not None and not flush(60.0):
            raise RuntimeError("the ledger did not store its rows in time")

    def books(self) -> dict[str, Any]:
        """What was served, and where this process's metrics differ from it."""
        from tachograph_demo.expected_totals import compare

        truth = compare(self.simulators.served, self.recorder.metrics, None)
        return {
            "differences": list(truth.differences),
            "requests": sum(totals.requests for totals in self.simulators.served.totals().values()),
            "tools": self.tool_calls,
            "raised": self.raised,
            "gone": truth.unread,
            "served": {"/".join(who): [s.prompt, s.completion, s.nano_usd] for who, s in truth.served.items()},
        }

    def ledger(self) -> dict[str, Any]:
        """What the ledger that all processes share says."""
        from tachograph_demo.expected_totals import ledger_sums

        sums = ledger_sums(self.recorder.ledger)  # type: ignore[arg-type]
        store = self.recorder.ledger.open_store(read_only=True)  # type: ignore[union-attr]
        try:
            rows = store.count()
        finally:
            store.close()
        return {
            "sums": {"/".join(who): [s.prompt, s.completion, s.nano_usd] for who, s in sums.items()},
            "rows": rows,
        }


def _resident() -> int:
    from benchmarks.overhead.worker import _resident as resident

    return resident()


if __name__ == "__main__":
    serve(lambda: Process(**json.loads(sys.argv[1])))
