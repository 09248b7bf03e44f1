"""The three simulators together, on an event loop of their own in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from .anthropic import AnthropicSimulator
from .gemini import GeminiSimulator
from .openai import OpenAISimulator
from .served import Served
from .vendor import Vendor

T = TypeVar("T")


class Simulators:
    """OpenAI, Anthropic and Gemini on loopback ports, ready once the `with` block is entered.

        with Simulators(seed=7) as sims:
            client = openai.OpenAI(base_url=sims.openai.url, api_key="any")

    They run beside sync and async code alike, and stop with the block.

    Args:
        seed: Same seed, same answers.
        keep: How many exchanges `served` keeps; older ones live on in its totals only. None keeps all.
    """

    def __init__(self, seed: int = 0, keep: int | None = None) -> None:
        self.seed = seed
        self.served = Served(keep)
        self.openai = OpenAISimulator(self.served, seed, self._run)
        self.anthropic = AnthropicSimulator(self.served, seed, self._run)
        self.gemini = GeminiSimulator(self.served, seed, self._run)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def vendors(self) -> tuple[Vendor, ...]:
        return (self.openai, self.anthropic, self.gemini)

    @property
    def urls(self) -> dict[str, str]:
        """Base URL of each vendor, as its SDK takes it."""
        return {vendor.name: vendor.url for vendor in self.vendors}

    def clear(self, seed: int | None = None) -> None:
        """Back to the beginning: no script, no rules, nothing served.

        Args:
            seed: Answer by this one from here on, so that no identifier comes twice.
        """
        for vendor in self.vendors:
            vendor.clear(seed)
        self.served.clear()

    def start(self, ports: tuple[int, int, int] = (0, 0, 0)) -> None:
        """Start listening; `with` does it, too."""
        loop = self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        def run() -> None:
            asyncio.set_event_loop(loop)
            loop.call_soon(ready.set)
            loop.run_forever()

        self._thread = threading.Thread(target=run, name="tachograph-simulators", daemon=True)
        self._thread.start()
        ready.wait()
        for vendor, port in zip(self.vendors, ports, strict=True):
            self._run(vendor.start(port))

    def stop(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._loop = self._thread = None
        asyncio.run_coroutine_threadsafe(self._shut_down(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

    async def _shut_down(self) -> None:
        for vendor in self.vendors:
            await vendor.stop()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the simulators are not running: use `with Simulators() as sims:`")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def __enter__(self) -> Simulators:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
