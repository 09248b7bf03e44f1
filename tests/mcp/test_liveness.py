"""Where an idle HTTP server is looked for, and what counts as gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from tachograph.mcp import liveness
from tachograph.mcp.transports import TransportWatch


@pytest.fixture
def reasons():
    return []


def watch(reasons):
    return TransportWatch(reasons.append, lambda why: None)


@pytest.mark.parametrize(
    ("url", "environment", "target"),
    [
        ("http://h.example/mcp", {}, ("h.example", 80)),
        ("https://h.example/mcp", {}, ("h.example", 443)),
        ("http://h.example:8080/mcp", {}, ("h.example", 8080)),
        ("https://h.example/mcp", {"https_proxy": "http://proxy.example:3128"}, ("proxy.example", 3128)),
        ("http://h.example/mcp", {"all_proxy": "http://proxy.example:3128"}, ("proxy.example", 3128)),
        (
            "http://h.example/mcp",
            {"http_proxy": "http://proxy.example:3128", "no_proxy": "h.example"},
            ("h.example", 80),
        ),
    ],
)
def test_the_port_looked_at_is_the_one_that_requests_go_to(monkeypatch, url, environment, target):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert liveness.port_of(url) == target


async def test_a_port_that_refuses_is_gone_at_the_first_look(reasons):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: it refuses
        port = closed.getsockname()[1]
        async with asyncio.timeout(60):
            await liveness.watch_port(
                f"http://127.0.0.1:{port}/", 0.01, watch(reasons), asyncio.Event(), reasons.append
            )
    assert len(reasons) == 1
    assert "cannot be reached" in reasons[0]


async def test_a_host_that_says_nothing_is_gone_after_several_looks(monkeypatch, reasons):
    monkeypatch.setattr(liveness, "PORT_PATIENCE_SECONDS", 0.1)
    with socket.socket() as deaf, contextlib.ExitStack() as held:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):  # its queue is full: further connections are not answered at all
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(deaf.getsockname())
        port = deaf.getsockname()[1]
        async with asyncio.timeout(60):
            await liveness.watch_port(
                f"http://127.0.0.1:{port}/", 0.01, watch(reasons), asyncio.Event(), reasons.append
            )
    assert reasons == [f"127.0.0.1:{port} does not answer"]


async def test_a_port_that_takes_connections_is_there(reasons):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        listener.setblocking(False)
        port = listener.getsockname()[1]
        looks = asyncio.create_task(
            liveness.watch_port(f"http://127.0.0.1:{port}/", 0.01, watch(reasons), asyncio.Event(), reasons.append)
        )
        for _ in range(3):
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            connection.close()
        looks.cancel()
        await asyncio.gather(looks, return_exceptions=True)
    assert reasons == []
