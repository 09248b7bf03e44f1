"""The thread that owns all MCP connections: one event loop, reachable from any thread and any other loop.

Connections must outlive the loop of the caller (a web framework's, `asyncio.run`, none at all), and the SDK's cancel
scopes must stay in the task that opened them. So the connections live here, and callers only wait for answers. The
caller's ContextVars (labels, the current span) travel along with each call.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from typing import Any, TypeVar

from tachograph.errors import TachographError

T = TypeVar("T")


class ClientClosedError(TachographError):
    """The client was closed, or never opened, or came here by a fork."""


class LoopThread:
    """An event loop in a daemon thread of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0

    def start(self) -> None:
        """Start the thread and return when its loop runs."""
        loop = asyncio.new_event_loop()
        ready = threading.Event()

        def run() -> None:
            asyncio.set_event_loop(loop)
            loop.call_soon(ready.set)
            try:
                loop.run_forever()
            finally:
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()

        self._thread = threading.Thread(target=run, name=self._name, daemon=True)
        self._thread.start()
        ready.wait()
        self._loop, self._process = loop, os.getpid()

    @property
    def is_running(self) -> bool:
        """Whether calls can be made here and now."""
        return self._loop is not None and self._process == os.getpid()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine over there, in a copy of the caller's context."""
        loop = self._loop
        if loop is None or self._process != os.getpid():
            work.close()
            raise ClientClosedError(
                "the MCP client is not open" if loop is None else "the MCP client was opened before a fork",
                do="Use it inside `async with MCPClient(...)` (or `with`), opened in the process that uses it",
            )
        return asyncio.run_coroutine_threadsafe(work, loop)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine over there, from any loop. Cancelling the caller cancels it."""
        if self._loop is asyncio.get_running_loop():
            return await work
        future = self.submit(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ClientClosedError("the MCP client was closed during the call") from None

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Wait for a coroutine over there, blocking this thread."""
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("run() would wait for its own thread; await the coroutine instead")
        future = self.submit(work)
        try:
            return future.result(timeout)
        except FutureCancelledError:
            raise ClientClosedError("the MCP client was closed during the call") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """End the loop and its thread; what still runs there is cancelled."""
        loop, self._loop = self._loop, None
        if loop is None or self._process != os.getpid():
            return

        async def cancel_rest() -> None:
            rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.wait(rest, timeout=1.0) if rest else None

        asyncio.run_coroutine_threadsafe(cancel_rest(), loop).result(5.0)
        loop.call_soon_threadsafe(loop.stop)
        if self._thread is not None:
            self._thread.join(5.0)
