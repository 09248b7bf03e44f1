"""What the MCP tests share: a recording, and clients on our own servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from support.mcp_servers import Gate, TroubleProcess, serving, stdio_trouble
from support.mcp_trouble import make_server
from tachograph.mcp import ConnectionOptions, MCPClient, ToolExecutor, ToolRegistry
from tachograph.testing import Recording, recording


@pytest.fixture
def seen() -> Iterator[Recording]:
    with recording() as seen:
        yield seen


class Bench:
    """A client with its registry and executor."""

    def __init__(self, client: MCPClient) -> None:
        self.client = client
        self.registry = ToolRegistry(client)
        self.executor = ToolExecutor(self.registry, timeout=10.0)
        self.execute = self.executor.execute

    async def pid(self, server: str) -> int:
        pid = (await self.client.status())[server].pid
        assert pid is not None
        return pid


@asynccontextmanager
async def bench_on(servers: dict[str, Any], **options: Any) -> AsyncIterator[Bench]:
    async with MCPClient({"mcpServers": servers}, options=ConnectionOptions(**options)) as client:
        yield Bench(client)


@pytest.fixture
def on():
    """`async with on({"name": entry}) as bench:`"""
    return bench_on


@pytest.fixture
async def stdio(seen: Recording) -> AsyncIterator[Bench]:
    async with bench_on({"trouble": stdio_trouble()}) as bench:
        yield bench


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Our server over streamable HTTP, with a gate in front; `gate.entry` is its `mcpServers` entry."""
    gate = Gate(make_server().streamable_http_app())
    with serving(gate) as address:
        gate.entry = {"url": f"{address}/mcp"}  # type: ignore[attr-defined]
        yield gate


@pytest.fixture
async def web(gate: Gate, seen: Recording) -> AsyncIterator[Bench]:
    """A client on the gated server: quicker to start than a child process."""
    async with bench_on({"trouble": gate.entry}) as bench:  # type: ignore[attr-defined]
        yield bench


@pytest.fixture
def http_process() -> Iterator[TroubleProcess]:
    process = TroubleProcess("http")
    yield process
    process.kill()


@pytest.fixture
def sse_process() -> Iterator[TroubleProcess]:
    process = TroubleProcess("sse")
    yield process
    process.kill()
