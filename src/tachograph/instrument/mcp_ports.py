"""Noticing that the HTTP server of a watched MCP client has gone while it is idle.

A client of streamable HTTP keeps no connection that could end. So one thread of ours tries each server's port, at most
once a second and only while no answer has come from it: a bare TCP connection, no request. It never runs on the
application's event loop, and it ends when no such connection is left.

A port that cannot be reached from the beginning is not how the client reaches its server (a Unix socket, an ASGI
transport, a proxy of its own): it is let alone.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from tachograph.instrument import active_config
from tachograph.mcp.liveness import PORT_PATIENCE_SECONDS, PORT_SILENCES, port_of


class Watched(Protocol):
    """A connection as this thread sees it: when its server last answered, and whom to notify."""

    answered_at: float

    def server_gone(self) -> None:
        """Its server's port is gone."""


class _Port:
    __slots__ = ("connections", "is_trusted", "place", "silences")

    def __init__(self, place: tuple[str, int]) -> None:
        self.place = place
        self.connections: set[Watched] = set()
        self.is_trusted = False
        self.silences = 0


class PortWatch:
    """The thread, and what it looks at.

    Args:
        try_port: Connects to a host and port; raises what `socket.create_connection` raises.
    """

    def __init__(self, try_port: Callable[[tuple[str, int]], None]) -> None:
        self._try = try_port
        self._lock = threading.Lock()
        self._ports: dict[tuple[str, int], _Port] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = 0

    def add(self, connection: Watched, url: str) -> None:
        """Look at this connection's server from now on."""
        if active_config.settings.mcp_probe_seconds <= 0:
            return
        place = port_of(url)
        if self._process != os.getpid():  # after a fork: the thread stayed behind, perhaps with the lock
            self._lock, self._ports, self._thread, self._process = threading.Lock(), {}, None, os.getpid()
        with self._lock:
            self._ports.setdefault(place, _Port(place)).connections.add(connection)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="tachograph-mcp-ports", daemon=True)
                with suppress(RuntimeError):  # no thread to be had: the next connection tries again
                    thread.start()
                    self._thread = thread
        self._wake.set()

    def remove(self, connection: Watched) -> None:
        """Look no more."""
        with self._lock:
            for place, port in list(self._ports.items()):
                port.connections.discard(connection)
                if not port.connections:
                    del self._ports[place]

    def _run(self) -> None:
        while True:
            with self._lock:
                ports = list(self._ports.values())
                if not ports:
                    self._thread = None
                    return
            for port in ports:
                if not port.is_trusted or not self._has_answered(port):
                    self._look(port)
            self._wake.wait(max(active_config.settings.mcp_probe_seconds, 0.1))
            self._wake.clear()

    def _has_answered(self, port: _Port) -> bool:
        since = time.monotonic() - active_config.settings.mcp_probe_seconds
        return any(connection.answered_at > since for connection in tuple(port.connections))

    def _look(self, port: _Port) -> None:
        try:
            self._try(port.place)
        except TimeoutError:
            port.silences += 1
            if port.is_trusted and port.silences < PORT_SILENCES:
                return
        except OSError:
            port.silences = PORT_SILENCES
        else:
            port.is_trusted, port.silences = True, 0
            return
        with self._lock:
            self._ports.pop(port.place, None)
            connections = list(port.connections)
        if port.is_trusted:
            for connection in connections:
                connection.server_gone()


def try_port(place: tuple[str, int]) -> None:
    """Connect, and hang up."""
    with socket.create_connection(place, timeout=PORT_PATIENCE_SECONDS) as connected:
        if connected.getsockname() == connected.getpeername():  # TCP met itself: a free port was drawn as our own
            raise ConnectionRefusedError


PORTS: Final = PortWatch(try_port)
"""The one of this process."""
