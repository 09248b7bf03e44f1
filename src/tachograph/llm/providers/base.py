"""What all providers share: clients made once, and the four ways to ask."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, Unpack

from tachograph.errors import TachographError
from tachograph.llm.adapter import Adapter
from tachograph.llm.drivers import Awaiting, Blocking, aadvance, advance
from tachograph.llm.engine import Engine
from tachograph.llm.limiter import Limiter
from tachograph.llm.retry import RetryPolicy
from tachograph.llm.streams import AsyncStream, Stream
from tachograph.llm.types import Request, RequestFields, Response
from tachograph.recorder import Recorder
from tachograph.runtime import get_recorder
from tachograph.urls import split


class Provider:
    """One account at one vendor. Safe to share between threads, tasks and event loops.

        provider = ProviderFactory.create("openai")
        print(provider.complete(model="gpt-5", messages="Hello").text)
        with provider.stream(model="gpt-5", messages="Hello") as stream:
            for event in stream: ...
        response = await provider.acomplete(model="gpt-5", messages="Hello")
        async with provider.astream(model="gpt-5", messages="Hello") as stream:
            async for event in stream: ...

    The vendor's client is made at first use, one for threads and one for each event loop.

    Attributes:
        name: The provider label of its calls.
        retry: When to try again.
        limiter: A limiter on our side, or None.
        timeout_seconds: Of one request, unless the request says otherwise.
    """

    def __init__(
        self,
        name: str,
        adapter: Adapter,
        make_client: Callable[[bool], Any],
        *,
        address: str,
        retry: RetryPolicy | None,
        limiter: Limiter | None,
        timeout_seconds: float,
        recorder: Recorder | None,
        secrets: tuple[str, ...],
        owns_clients: bool,
    ) -> None:
        self.name = name
        self.retry = retry or RetryPolicy()
        self.limiter = limiter
        self.timeout_seconds = timeout_seconds
        self._make_client = make_client
        self._owns_clients = owns_clients
        self._lock = threading.Lock()
        self._client: Any = None
        self._async_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
        find_recorder = get_recorder if recorder is None else lambda: recorder
        url = split(address)
        self._engine = Engine(
            provider=name,
            adapter=adapter,
            recorder=find_recorder,
            retry=self.retry,
            limiter=limiter,
            timeout_seconds=timeout_seconds,
            server=(url.hostname, url.port or (443 if url.scheme == "https" else 80)),
            secrets=secrets,
        )
        self._blocking = Blocking(find_recorder)
        self._awaiting = Awaiting(find_recorder)

    def complete(self, request: Request | None = None, /, **fields: Unpack[RequestFields]) -> Response:
        """Ask and wait for the whole answer.

        Args:
            request: A Request, or its fields as keyword arguments; not both.

        Raises:
            ProviderError: It failed for good; one subclass per category.
        """
        program = self._engine.run(self._blocking, self.client, _request(request, fields), False)
        try:
            advance(program)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        raise AssertionError("a program that does not stream shows nothing")

    async def acomplete(self, request: Request | None = None, /, **fields: Unpack[RequestFields]) -> Response:
        """`complete`, for tasks."""
        program = self._engine.run(self._awaiting, self.async_client, _request(request, fields), False)
        has_event, result = await aadvance(program)
        assert not has_event
        return result  # type: ignore[no-any-return]

    def stream(self, request: Request | None = None, /, **fields: Unpack[RequestFields]) -> Stream:
        """Ask and read the answer as it comes. The request is sent when the first event is asked for.

        The stream raises what `complete` raises. Close it, or leave its `with` block, when you stop early.
        """
        return Stream(self._engine.run(self._blocking, self.client, _request(request, fields), True))

    def astream(self, request: Request | None = None, /, **fields: Unpack[RequestFields]) -> AsyncStream:
        """`stream`, for tasks; it is not awaited itself."""
        return AsyncStream(self._engine.run(self._awaiting, self.async_client, _request(request, fields), True))

    @property
    def client(self) -> Any:
        """The vendor's own blocking client."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._make_client(False)
        return self._client

    @property
    def async_client(self) -> object:
        """The vendor's own async client for the running event loop."""
        loop = asyncio.get_running_loop()
        found = self._async_clients.get(loop)
        if found is None:
            with self._lock:
                found = self._async_clients.get(loop)
                if found is None:
                    found = self._async_clients[loop] = self._make_client(True)
        return found

    def close(self) -> None:
        """Close the blocking client's connections. An HTTP client that was given stays open."""
        client, self._client = self._client, None
        if client is not None and self._owns_clients:
            client.close()

    async def aclose(self) -> None:
        """Close this event loop's connections, and the blocking client's."""
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None and self._owns_clients:
            await _aclose(client)
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"


async def _aclose(client: Any) -> None:
    if hasattr(client, "aclose"):
        await client.aclose()
    else:
        await client.close()


def _request(request: Request | None, fields: RequestFields) -> Request:
    if request is not None:
        if fields:
            raise TypeError(f"Give a Request or its fields, not both (got a Request and {', '.join(fields)})")
        return request
    missing = [name for name in ("model", "messages") if name not in fields]
    if missing:
        raise TypeError(f"A request needs {' and '.join(missing)}")
    return Request(**fields)


def find_api_key(given: str | None, provider: str, *variables: str) -> str:
    """The API key that was given, or the first that is in these environment variables.

    Raises:
        TachographError: There is none.
    """
    if given:
        return given
    for variable in variables:
        value = os.environ.get(variable)
        if value:
            return value
    raise TachographError(
        f"there is no API key for {provider}",
        where=f"environment variable {variables[0]}",
        do="Set it, or pass api_key=... to ProviderFactory.create().",
    )
