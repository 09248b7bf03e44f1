"""/metrics over HTTP: a WSGI app, an ASGI app, and a port of its own."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from tachograph.errors import TachographError
from tachograph.signals import exposition
from tachograph.signals.registry import Metrics

if TYPE_CHECKING:
    from tachograph.signals.scrape_server import ScrapeServer

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
        import asyncio  # an ASGI server has it already; no other import pays for it

        # In a thread: with many workers, collecting reads their files.
        answer = await asyncio.get_running_loop().run_in_executor(None, _respond, source, asked)
        headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body if scope.get("method", "GET") == "GET" else b""})

    return app


def _respond(source: Source, asked: Mapping[str, str]) -> exposition.ScrapeResponse:
    return exposition.respond(source().collect(), asked.get("accept"), asked.get("accept-encoding"))


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


class PortTakenError(TachographError):
    """Another process listens on the port of the metrics already, a second one of the application most likely."""


class MetricsServer:
    """/metrics on a port of its own, served by daemon threads until `close()`.

    Args:
        source: Whose metrics to serve, asked at each scrape.
        port: 0 takes any free one; `port` then says which.
        address: Where to listen.
        shared: Let sibling worker processes listen on the same port; each serves the same numbers.

    Raises:
        PortTakenError: The port is taken.
        TachographError: It may not be listened on.
        RuntimeError: No thread can be started to serve it.
    """

    def __init__(self, source: Source, port: int, address: str = "127.0.0.1", *, shared: bool = False) -> None:
        self.source = source
        self.address = address
        self.shared = shared
        self._server = _listen(lambda: self.source(), port, address, shared)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="tachograph-metrics", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no thread to be had
            self._server.server_close()
            raise
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


def _listen(source: Source, port: int, address: str, shared: bool) -> ScrapeServer:
    from tachograph.signals.scrape_server import ScrapeServer  # http.server takes 15 ms, and only who listens needs it

    try:
        return ScrapeServer(lambda: source().collect(), address, port, shared)
    except OSError as error:
        raise _refused(error, port, address) from error


def _refused(error: OSError, port: int, address: str) -> TachographError:
    """Why the operating system does not let us listen, and what to do."""
    where = "settings metrics.port, metrics.address"
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(
            f"port {port} on {address} is taken by another process or another server of this one",
            where=where,
            do="Set metrics.multiprocess_dir to a directory that all processes of the application share: then they"
            " serve one /metrics together. Or set metrics.port to a free port.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return TachographError(
            f"port {port} on {address} may not be listened on",
            where=where,
            do="Ports below 1024 need rights; choose another.",
        )
    return TachographError(
        f"the metrics cannot be served on {address}:{port}: {error.strerror or error}",
        where=where,
        do="Set metrics.address to an address of this machine, such as 127.0.0.1 or 0.0.0.0.",
    )
