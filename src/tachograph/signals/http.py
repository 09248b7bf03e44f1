"""/metrics over HTTP: a WSGI app, an ASGI app, and a port of its own."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from tachograph.errors import TachographError
from tachograph.signals import exposition
from tachograph.signals.registry import Metrics

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

logger = logging.getLogger("tachograph")

MAX_CONNECTIONS: Final = 32
"""Open at the same time, and with each its thread. One more closes the one that was idle longest."""
IDLE_SECONDS: Final = 15.0

Source = Callable[[], Metrics]
Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


def wsgi_app(source: Source) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """A WSGI application that answers every GET and HEAD with the metrics; mount it where you like."""

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method = environ.get("REQUEST_METHOD", "GET")
        if method not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
            return [b""]
        answer = exposition.respond(source().collect(), environ.get("HTTP_ACCEPT"), environ.get("HTTP_ACCEPT_ENCODING"))
        start_response("200 OK", answer.headers)
        return [answer.body if method == "GET" else b""]

    return app


def asgi_app(source: Source) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """An ASGI application that answers every GET and HEAD with the metrics; mount it where you like."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the /metrics app answers HTTP, not {scope['type']}")
        if scope.get("method", "GET") not in ("GET", "HEAD"):
            headers = [(b"allow", b"GET, HEAD"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 405, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        asked = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
        import asyncio  # an ASGI server has it already; nobody else pays for it

        # In a thread: with many workers, collecting reads their files.
        answer = await asyncio.get_running_loop().run_in_executor(None, _respond, source, asked)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body if scope.get("method", "GET") == "GET" else b""})

    return app


def _respond(source: Source, asked: Mapping[str, str]) -> exposition.Answer:
    return exposition.respond(source().collect(), asked.get("accept"), asked.get("accept-encoding"))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class PortTakenError(TachographError):
    """Somebody listens on the port of the metrics already, a second process of the application most likely."""


class MetricsServer:
    """/metrics on a port of its own, served by daemon threads until `close()`.

    Args:
        source: Whose metrics to serve, asked at each scrape.
        port: 0 takes any free one; `port` then says which.
        address: Where to listen.
        shared: Let sibling worker processes listen on the same port; each tells the same truth.

    Raises:
        PortTakenError: The port is taken.
        TachographError: It may not be listened on.
    """

    def __init__(self, source: Source, port: int, address: str = "127.0.0.1", *, shared: bool = False) -> None:
        self.source = source
        self.address = address
        self.shared = shared
        self._server = _listen(lambda: self.source(), port, address, shared)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="tachograph-metrics", daemon=True)
        self._thread.start()
        self._pid = os.getpid()
        _servers.add(self)

    @property
    def url(self) -> str:
        """Where to scrape."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/metrics"

    @property
    def is_serving(self) -> bool:
        """Whether this process serves it (a forked child does not)."""
        return self in _servers

    def close(self) -> None:
        """Stop listening."""
        if self in _servers:
            _servers.discard(self)
            self._server.shutdown()
            self._server.server_close()
            self._thread.join(5)

    def _after_fork(self) -> None:
        """A forked child has the socket but no thread behind it: release it."""
        self._server.socket.close()


_servers: set[MetricsServer] = set()


def _after_fork_in_child() -> None:
    for server in _servers:
        server._after_fork()
    _servers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _listen(source: Source, port: int, address: str, shared: bool) -> ThreadingHTTPServer:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # 15 ms, and only who listens needs it

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = IDLE_SECONDS
        disable_nagle_algorithm = True  # else a scraper that keeps its connection waits 40 ms for each body
        server_version = "tachograph"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                try:
                    answer = exposition.respond(
                        source().collect(), self.headers.get("Accept"), self.headers.get("Accept-Encoding")
                    )
                except Exception:
                    logger.exception("tachograph: /metrics could not be written")
                    self._send(500, "text/plain; charset=utf-8", b"The metrics could not be written; see the log.\n")
                    return
                self.send_response(200)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(answer.body)
            elif path == "/":
                self._send(
                    200, "text/html; charset=utf-8", b'<title>Tachograph</title><a href="/metrics">/metrics</a>\n'
                )
            else:
                self._send(404, "text/plain; charset=utf-8", b"The metrics are at /metrics.\n")

        do_HEAD = do_GET

        def parse_request(self) -> bool:
            parsed = super().parse_request()  # a sender that never ends its headers stays idle
            self.server.busy(self.request)  # type: ignore[attr-defined]  # it is ours, below
            return parsed

        def handle_one_request(self) -> None:
            super().handle_one_request()
            self.server.idle(self.request)  # type: ignore[attr-defined]

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            logger.debug("metrics port: " + format, *args)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def __init__(self, *args: Any) -> None:
            self._guard = threading.Lock()
            self._idle_since: dict[Any, float | None] = {}  # open connections; None while one is answered
            super().__init__(*args)

        def process_request(self, request: Any, client_address: Any) -> None:
            with self._guard:
                self._idle_since[request] = time.monotonic()
                surplus = len(self._idle_since) > MAX_CONNECTIONS
                idle = [(since, one) for one, since in self._idle_since.items() if since is not None]
                oldest = min(idle, key=lambda pair: pair[0])[1] if surplus else None
                if oldest is not None:
                    self._idle_since.pop(oldest)
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

        def shutdown_request(self, request: Any) -> None:
            with self._guard:
                self._idle_since.pop(request, None)
            super().shutdown_request(request)

        def busy(self, request: Any) -> None:
            with self._guard:
                if request in self._idle_since:
                    self._idle_since[request] = None

        def idle(self, request: Any) -> None:
            with self._guard:
                if request in self._idle_since:
                    self._idle_since[request] = time.monotonic()

        def server_bind(self) -> None:
            if shared and hasattr(socket, "SO_REUSEPORT"):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.socket.bind(self.server_address)  # HTTPServer's own would look the host's name up
            self.server_address = self.socket.getsockname()
            self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

        def handle_error(self, request: Any, client_address: Any) -> None:
            logger.debug("metrics port: a connection failed", exc_info=True)

    try:
        return Server((address, port), Handler)
    except OSError as error:
        where = "settings metrics.port, metrics.address"
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"port {port} on {address} is taken by another process or another server of this one",
                where=where,
                do="Set metrics.multiprocess_dir to a directory that all processes of the application share: then they"
                " serve one /metrics together. Or set metrics.port to a free port.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            what, do = (
                f"port {port} on {address} may not be listened on",
                "Ports below 1024 need rights; choose another.",
            )
        else:
            what = f"the metrics cannot be served on {address}:{port}: {error.strerror or error}"
            do = "Set metrics.address to an address of this machine, such as 127.0.0.1 or 0.0.0.0."
        raise TachographError(what, where=where, do=do) from error
