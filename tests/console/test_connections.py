"""A client that does nothing more is ended, and one that works always finds a place."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator

import pytest

from tachograph.console.server import ServedConsole, bind, serve

HEAD = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
PLACES = 8


async def app(scope: dict, receive: object, send: object) -> None:  # type: ignore[type-arg]
    """`/large` answers 30 MB; all else says how many bytes the body had."""
    size, more = 0, True
    while more:
        message = await receive()  # type: ignore[operator]
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"x" * 30_000_000 if scope["path"] == "/large" else str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": body})  # type: ignore[operator]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedConsole]:
    monkeypatch.setattr("tachograph.console.connections.IDLE_SECONDS", 0.2)
    server = serve(app, bind("127.0.0.1", 0), "127.0.0.1", name="served", limit_concurrency=PLACES)  # type: ignore[arg-type]
    yield server
    server.close()


def connect(served: ServedConsole, said: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=30)
    connection.sendall(said)
    return connection


def is_ended(connection: socket.socket) -> bool:
    """Wait until the other side ends it; False where it answers."""
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Never:",
        HEAD,
        HEAD + b"a few bytes",
        b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n",
    ],
)
def test_a_request_that_does_not_go_on_is_ended(served: ServedConsole, said: bytes) -> None:
    with connect(served, said) as connection:
        assert is_ended(connection)


def test_a_body_that_comes_a_byte_now_and_then_is_ended(served: ServedConsole) -> None:
    with connect(served, HEAD) as connection:
        connection.settimeout(0.05)
        for _ in range(900):
            try:
                connection.send(b"x")
                if is_ended(connection):
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    raise AssertionError("it went on")


def test_a_client_that_does_not_read_its_answer_is_ended(served: ServedConsole) -> None:
    with connect(served, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") as connection:
        others = [connect(served, HEAD + b"x" * 1000) for _ in range(3)]
        for other in others:
            assert b"200" in other.recv(100)
            assert is_ended(other) or is_ended(other)  # the rest of its answer, and then nothing more is asked
        received = 0
        try:
            while data := connection.recv(1 << 20):
                received += len(data)
        except ConnectionResetError:
            pass
        assert received < 30_000_000


def test_a_client_that_reads_its_answer_gets_all_of_it(served: ServedConsole) -> None:
    with connect(served, b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as connection:
        received = 0
        while data := connection.recv(1 << 20):
            received += len(data)
    assert received > 30_000_000


@pytest.mark.parametrize("said", [b"", HEAD, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_those_that_wait_never_take_the_places_of_those_that_ask(
    served: ServedConsole, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr("tachograph.console.connections.IDLE_SECONDS", 300)
    waiting = [connect(served, said) for _ in range(3 * PLACES)]
    for _ in range(5):
        with connect(served, HEAD + b"x" * 1000) as connection:
            assert connection.recv(12) == b"HTTP/1.1 200"
    for connection in waiting:
        connection.close()


def test_bad_requests_do_not_fill_the_log_nor_change_uvicorns_loggers(
    served: ServedConsole, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = logging.getLogger("uvicorn.error")
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            with connect(served, b"no request\r\n\r\n") as connection:
                while not is_ended(connection):  # a 400, then the end
                    pass
    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("tachograph.console.http", "Invalid HTTP request received.")
    ]
    assert not theirs.handlers
