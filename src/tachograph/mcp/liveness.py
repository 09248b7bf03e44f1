"""Notice that a server has gone while it is idle.

A stdio server's pipe ends with the process, unless a grandchild holds it open; so the process itself is watched too.
An HTTP server has no connection that could end (protocol 2026-07-28 is stateless, and pooled connections are not read
between requests); so its port is tried twice a second while no answer has come from it. That is a bare TCP connection:
it costs the server no request and no log line, and a server that is merely busy still counts as there. It also means
that behind a proxy or a load balancer only that one is seen.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tachograph.urls import split

if TYPE_CHECKING:
    from tachograph.mcp.transports import TransportWatch

PROCESS_INTERVAL_SECONDS: Final = 0.2
PORT_PATIENCE_SECONDS: Final = 1.0
PORT_SILENCES: Final = 3
"""A port that refuses is gone at once; one that says nothing at all, after this many tries in a row."""


async def watch_process(process: Any, ended: Callable[[str], None]) -> None:
    """Say when a stdio server's process has exited. Polled: waiting for it would also wait for its pipes."""
    while process.returncode is None:
        await asyncio.sleep(PROCESS_INTERVAL_SECONDS)
    ended(how_it_ended(process.returncode))


def how_it_ended(code: int) -> str:
    """A process's return code in words."""
    return f"the server process was killed by signal {-code}" if code < 0 else f"the server process exited ({code})"


def port_of(url: str) -> tuple[str, int]:
    """The host and port that requests to an address really go to: its own, or its proxy's."""
    parts = split(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = split(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def watch_port(
    url: str, interval: float, watch: TransportWatch, poke: asyncio.Event, ended: Callable[[str], None]
) -> None:
    """Say when an HTTP server's port is gone. Looks every `interval` seconds, and at once when `poke` is set."""
    host, port = port_of(url)
    silences = 0
    while True:
        poked = False
        try:
            async with asyncio.timeout(interval):
                await poke.wait()
                poked = True
        except TimeoutError:
            pass  # no wake-up: time to look
        poke.clear()
        if not poked and asyncio.get_running_loop().time() - watch.answered_at < interval:
            silences = 0
            continue
        try:
            async with asyncio.timeout(PORT_PATIENCE_SECONDS):
                _, writer = await asyncio.open_connection(host, port)
            own, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
            writer.close()
            if own is not None and own == peer:  # TCP met itself: a free port that was drawn as our own
                return ended(f"{host}:{port} cannot be reached")
            silences = 0
        except TimeoutError:
            silences += 1
            if silences >= PORT_SILENCES:
                return ended(f"{host}:{port} does not answer")
        except OSError as error:
            return ended(f"{host}:{port} cannot be reached: {error.strerror or error}")
