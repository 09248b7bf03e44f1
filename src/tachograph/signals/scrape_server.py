"""The HTTP server behind the metrics' own port: two paths, a bounded number of connections, no look-up of names."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tachograph.signals import exposition

logger = logging.getLogger("tachograph")

MAX_CONNECTIONS: Final = 32
"""Open at the same time, and with each its thread. One more closes the one that was idle longest."""
IDLE_SECONDS: Final = 15.0
STUCK_SECONDS: Final = 5.0
"""An answer that is not read for so long makes room for a connection where all others are being answered."""


class ScrapeHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of `/metrics` and `/`."""

    server: ScrapeServer  # pyright: ignore[reportIncompatibleVariableOverride]  # no code sets another
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True  # else a scraper that keeps its connection waits 40 ms for each body
    server_version = "tachograph"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._metrics()
        elif path == "/":
            self._send(200, "text/html; charset=utf-8", b'<title>Tachograph</title><a href="/metrics">/metrics</a>\n')
        else:
            self._send(404, "text/plain; charset=utf-8", b"The metrics are at /metrics.\n")

    do_HEAD = do_GET

    def _metrics(self) -> None:
        try:
            answer = exposition.respond(
                self.server.collect(), self.headers.get("Accept"), self.headers.get("Accept-Encoding")
            )
        except Exception:
            logger.exception("tachograph: /metrics could not be written")
            self._send(500, "text/plain; charset=utf-8", b"The metrics could not be written; see the log.\n")
            return
        self._respond(200, answer.headers, answer.body)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self._respond(status, [("Content-Type", kind), ("Content-Length", str(len(body)))], body)

    def _respond(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def parse_request(self) -> bool:
        parsed = super().parse_request()  # a sender that never ends its headers stays idle
        self.server.busy(self.request)
        return parsed

    def handle_one_request(self) -> None:
        super().handle_one_request()
        self.server.idle(self.request)

    def log_message(self, format: str, *args: object) -> None:
        logger.debug("metrics port: " + format, *args)


class ScrapeServer(ThreadingHTTPServer):
    """Serves what `collect` gives, a thread for each connection.

    Args:
        collect: The families to write, asked at each scrape.
        address, port: Where to listen; port 0 takes any free one.
        shared: Let sibling processes listen on the same port.

    Raises:
        OSError: It may not be listened on.
    """

    daemon_threads = True
    request_queue_size = 128  # with the default of 5, a connection among many waits a second to be tried again

    def __init__(self, collect: Callable[[], Any], address: str, port: int, shared: bool) -> None:
        self.collect = collect
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._shared = shared
        self._guard = threading.Lock()
        self._idle_since: dict[Any, float] = {}  # open connections
        self._busy_since: dict[Any, float] = {}  # those of them that are being answered
        super().__init__((address, port), ScrapeHandler)

    def process_request(self, request: Any, client_address: object) -> None:  # noqa: ANN401 - as socketserver's
        with self._guard:
            self._idle_since[request] = time.monotonic()
            oldest = self._oldest(request) if len(self._idle_since) > MAX_CONNECTIONS else None
            if oldest is not None:
                self._idle_since.pop(oldest)
                self._busy_since.pop(oldest, None)
        if oldest is not None:
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)  # its thread finds the end of the connection, and ends
        if oldest is request:
            self.shutdown_request(request)  # all others are being answered
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self.shutdown_request(request)

    def _oldest(self, new: object) -> Any:  # noqa: ANN401 - as socketserver's
        """Which connection makes room: the one that was idle longest, or whose answer is not read; else the new one."""
        busy, now = self._busy_since, time.monotonic()
        idle = [(since, one) for one, since in self._idle_since.items() if one not in busy and one is not new]
        stuck = [(since, one) for one, since in busy.items() if now - since >= STUCK_SECONDS]
        return min(idle or stuck, key=lambda pair: pair[0], default=(now, new))[1]

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as socketserver's
        with self._guard:
            self._idle_since.pop(request, None)
            self._busy_since.pop(request, None)
        super().shutdown_request(request)

    def busy(self, request: object) -> None:
        """A request has come on this connection."""
        with self._guard:
            if request in self._idle_since:
                self._busy_since[request] = time.monotonic()

    def idle(self, request: object) -> None:
        """It has been answered."""
        with self._guard:
            if self._busy_since.pop(request, None) is not None:
                self._idle_since[request] = time.monotonic()

    def server_bind(self) -> None:
        if os.name == "posix":  # else connections of a process that ended a moment ago hold the port for a minute
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._shared and hasattr(socket, "SO_REUSEPORT"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(self.server_address)  # HTTPServer's own would look the host's name up
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        logger.debug("metrics port: a connection failed", exc_info=True)
