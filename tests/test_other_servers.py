"""An address that a person gives can lead to any server: each reader says soon that it is another one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tachograph.cli import main
from tachograph.console.alertmanager import Alertmanager
from tachograph.console.promql import PromQLError
from tachograph.console.query import Prometheus
from tachograph.errors import TachographError

ANSWERS = {
    "not HTTP": b"garbage\r\n\r\n",
    "an endless line": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
    "cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "a chunk without a length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a list": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]",
    "nothing": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull",
    "an object": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "a refusal that is cut": b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.fixture(params=ANSWERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(ANSWERS[request.param])

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("command", ["top --once --console {}", "mcp --console {}", "quiet-life --days 1 --history {}"])
def test_a_command_says_in_one_line_what_answers(url: str, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main(command.format(url).split()) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert url in said


@pytest.mark.parametrize(
    "ask",
    [
        lambda url: Prometheus(url).instant("up", 0),
        lambda url: Alertmanager(url).silence("LLMProviderDown", 0),
    ],
)
def test_the_console_gets_an_error_of_ours(url: str, ask: Callable[[str], object]) -> None:
    with pytest.raises((TachographError, PromQLError)):
        ask(url)


def test_what_is_not_an_address_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("top --once", "mcp"):
        assert main([*command.split(), "--console", "ftp://x"]) == 2
        assert "'ftp://x' is not the address of a console (in --console)" in capsys.readouterr().err
