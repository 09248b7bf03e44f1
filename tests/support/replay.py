"""A local server that answers every request with one recorded answer, for real SDKs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.recorded import Exchange

_LEFT_OUT = ("content-length", "transfer-encoding", "connection", "content-encoding", "keep-alive", "date", "server")


class Replay:
    """The server; set `exchange`, and whatever is asked next is answered by it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.exchange: Exchange | None = None


@contextmanager
def replaying() -> Iterator[Replay]:
    """Serve on loopback while inside."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each body waits 40 ms for its headers to be acknowledged

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            exchange = replay.exchange
            assert exchange is not None
            self.send_response(exchange.status)
            for name, value in exchange.headers.items():
                if name not in _LEFT_OUT:
                    self.send_header(name, value.replace("\n", " "))
            if "content-type" not in exchange.headers:
                self.send_header("content-type", "text/event-stream" if exchange.is_events else "application/json")
            if exchange.encoding:
                self.send_header("content-encoding", exchange.encoding)
            self.send_header("content-length", str(len(exchange.sent)))
            self.end_headers()
            self.wfile.write(exchange.sent)

        do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    replay = Replay(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield replay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
