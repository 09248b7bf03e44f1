"""Arrivals: begins jobs at random moments, as many as the dial says, and sees them through."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from .jobs import (
    CALLS_PER_JOB,
    Job,
    make_archive_job,
    make_job,
    make_report_job,
    make_request_job,
    make_summary_job,
)
from .traffic_dial import TrafficDial

_AT_ONCE = 2000
"""Jobs under way at most; beyond that arrivals wait, as a real service's would."""
_ASKED_AGAIN = ("chat", "stream", "summary")
_ASKED_AGAIN_SECONDS = 0.5
_LOOK_AGAIN_SECONDS = 0.5
"""How soon a changed dial is noticed."""


class Traffic:
    """Starts jobs until it is stopped.

    Args:
        seed: Same seed, same jobs in the same order.
        dial: How much of what.
        do: Does a job; must not raise.
    """

    def __init__(self, seed: int, dial: TrafficDial, do: Callable[[Job], Awaitable[None]]) -> None:
        self._seed = seed
        self._dial = dial
        self._do = do
        self._jobs: set[asyncio.Task[None]] = set()
        self._arrivals: list[asyncio.Task[None]] = []
        self._room = asyncio.Semaphore(_AT_ONCE)
        self.started = 0
        """Jobs begun so far."""

    def start(self) -> None:
        self._arrivals = [
            asyncio.create_task(self._arrive("job", lambda: self._dial.calls_per_second / CALLS_PER_JOB, make_job)),
            asyncio.create_task(self._arrive("archive", lambda: self._dial.archives_per_second, make_archive_job)),
            asyncio.create_task(self._arrive("report", lambda: self._dial.reports_per_second, self._make_report)),
            asyncio.create_task(self._arrive("summary", lambda: self._dial.summaries_per_second, make_summary_job)),
            asyncio.create_task(self._arrive("request", lambda: self._dial.requests_per_second, make_request_job)),
        ]

    def _make_report(self, seed: int, number: int) -> Job:
        return make_report_job(seed, number, self._dial.report_pieces)

    async def _arrive(self, kind: str, rate: Callable[[], float], make: Callable[[int, int], Job]) -> None:
        rng = random.Random(f"{self._seed}/arrivals/{kind}")
        loop = asyncio.get_running_loop()
        due = loop.time()
        number = 0
        while True:
            per_second = rate()
            if per_second <= 0:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
                due = loop.time()
                continue
            due += rng.expovariate(per_second)
            while (wait := due - loop.time()) > 0:
                await asyncio.sleep(min(wait, _LOOK_AGAIN_SECONDS))
                if rate() != per_second:
                    due = min(due, loop.time())
            due = max(due, loop.time() - 1.0)  # after a long pause, do not make up for all of it
            await self._room.acquire()
            task = asyncio.create_task(self._do_one(make(self._seed, number)))
            self._jobs.add(task)
            task.add_done_callback(self._jobs.discard)
            self.started += 1
            number += 1

    async def _do_one(self, job: Job) -> None:
        try:
            await self._do(job)
            if self._dial.asks_again and job.kind in _ASKED_AGAIN:
                await asyncio.sleep(_ASKED_AGAIN_SECONDS)
                await self._do(job)
        finally:
            self._room.release()

    @property
    def under_way(self) -> int:
        """Jobs that have begun and not ended."""
        return len(self._jobs)

    def check(self) -> None:
        """Raise what ended the arrivals, if anything did."""
        for task in self._arrivals:
            if task.done() and not task.cancelled():
                task.result()

    async def stop(self, patience_seconds: float) -> None:
        """Begin no more jobs, wait for those under way, and cancel what is left after that."""
        for task in self._arrivals:
            task.cancel()
        await asyncio.gather(*self._arrivals, return_exceptions=True)
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=patience_seconds)
        left = list(self._jobs)
        for task in left:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*left, return_exceptions=True), 5.0)
