"""/metrics over HTTP: mounted as WSGI or ASGI, and on a port of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

import tachograph
from support.ledgers import eventually
from support.prometheus import free_port
from support.traffic import llm_call, tool_call
from tachograph import runtime
from tachograph.errors import TachographError
from tachograph.signals import scrape_server
from tachograph.signals.http import MetricsServer
from tachograph.signals.prometheus_client import Collector
from tachograph.testing import Recording


@pytest.fixture
def port_closed_again() -> Iterator[None]:
    """Whatever the test configures, the process is left as it was."""
    before = runtime.recorder_in_place, runtime.settings_in_place
    yield
    tachograph.configure({"metrics": {"port": None}})
    runtime.recorder_in_place, runtime.settings_in_place = before


def get(url: str, **headers: str) -> tuple[dict[str, str], str]:
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(answer.headers), answer.read().decode()


def test_the_wsgi_app_serves_the_metrics(seen: Recording) -> None:
    llm_call(seen.recorder)
    environ: dict[str, Any] = {"HTTP_ACCEPT": "application/openmetrics-text", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    started: list[Any] = []
    app = validator(tachograph.metrics_wsgi_app())
    result = app(environ, lambda status, headers, error=None: started.append((status, dict(headers))))
    body = b"".join(result)
    result.close()
    assert started[0][0] == "200 OK"
    assert started[0][1]["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert b'llm_call_seconds_count{provider="openai",model="gpt-5",outcome="success"} 1\n' in body
    assert body.endswith(b"# EOF\n")


def asgi(method: str, headers: list[tuple[bytes, bytes]]) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    app = tachograph.metrics_asgi_app()
    asyncio.run(app({"type": "http", "method": method, "headers": headers}, receive, send))
    return sent


def test_the_asgi_app_serves_the_metrics(seen: Recording) -> None:
    llm_call(seen.recorder)
    start, body = asgi("GET", [(b"accept", b"text/plain")])
    assert start["status"] == 200
    assert (b"content-type", b"text/plain; version=0.0.4; charset=utf-8") in start["headers"]
    assert b"llm_provider_tokens_total" in body["body"]
    assert asgi("HEAD", [])[1]["body"] == b""
    assert asgi("POST", [])[0]["status"] == 405


def test_the_port_serves_metrics_of_the_recorder_in_use(port_closed_again: None) -> None:
    recorder = tachograph.configure(metrics={"port": 0})
    server = runtime.metrics_server()
    assert server is not None
    llm_call(recorder)
    headers, body = get(server.url)
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'llm_call_seconds_count{provider="openai",model="gpt-5",outcome="success"} 1\n' in body
    assert f'tachograph_build_info{{version="{tachograph.__version__}"}} 1\n' in body
    again = tachograph.configure(metrics={"port": 0})
    assert runtime.metrics_server() is server
    llm_call(again, model="gpt-6")
    assert 'model="gpt-5"' not in get(server.url)[1]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(server.url.replace("/metrics", "/nothing"))


def test_a_port_that_another_process_has_is_said_and_the_application_goes_on(
    port_closed_again: None, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        recorder = tachograph.configure(metrics={"port": port})
    assert tachograph.get_recorder() is recorder
    assert runtime.metrics_server() is None
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said.startswith(f"tachograph: port {port} on 127.0.0.1 is taken")
    assert "Set metrics.multiprocess_dir to a directory" in said


def test_the_port_that_stood_before_stays_where_the_new_one_is_taken(port_closed_again: None) -> None:
    tachograph.configure(metrics={"port": 0})
    server = runtime.metrics_server()
    with socket.create_server(("127.0.0.1", 0)) as other:
        recorder = tachograph.configure(metrics={"port": other.getsockname()[1]})
    assert runtime.metrics_server() is server
    assert server is not None
    llm_call(recorder)
    assert 'llm_call_seconds_count{provider="openai"' in get(server.url)[1]


def test_a_second_process_on_the_port_goes_on(port_closed_again: None) -> None:
    tachograph.configure(metrics={"port": 0})
    server = runtime.metrics_server()
    assert server is not None
    code = f"import tachograph; tachograph.configure(metrics={{'port': {server.port}}}, ledger={{'enabled': False}})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "metrics.multiprocess_dir" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_an_address_that_is_not_ours_is_refused(port_closed_again: None) -> None:
    with pytest.raises(TachographError, match=r"metrics cannot be served on 192\.0\.2\.1.*metrics\.address"):
        tachograph.configure(metrics={"port": free_port(), "address": "192.0.2.1"})


def test_unset_again_the_port_is_closed(port_closed_again: None) -> None:
    tachograph.configure(metrics={"port": 0})
    server = runtime.metrics_server()
    assert server is not None
    tachograph.configure(metrics={"port": None})
    assert runtime.metrics_server() is None
    with pytest.raises(urllib.error.URLError, match="refused"):
        get(server.url)


def test_a_forked_child_does_not_hold_the_port(port_closed_again: None) -> None:
    tachograph.configure(metrics={"port": 0})
    server = runtime.metrics_server()
    assert server is not None
    reader, writer = os.pipe()
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(go, b"1")
        os.read(reader, 1)
        os._exit(0)
    try:
        os.read(ready, 1)
        tachograph.configure(metrics={"port": None})
        with socket.create_server(("127.0.0.1", server.port)):
            pass  # would fail if the child still listened
    finally:
        os.write(writer, b"1")
        os.waitpid(child, 0)


def test_settings_that_are_wrong_do_not_reach_the_application_s_call(
    port_closed_again: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtime, "recorder_in_place", None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("TACHOGRAPH_METRICS_PORT", str(other.getsockname()[1]))
        recorder = tachograph.get_recorder()
    llm_call(recorder)
    assert "is taken" in caplog.text
    assert tachograph.get_recorder() is recorder


def test_the_metrics_stand_in_an_application_s_prometheus_client_registry(seen: Recording) -> None:
    from prometheus_client import ProcessCollector

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(Collector())
    llm_call(seen.recorder)
    tool_call(seen.recorder)
    traced = seen.recorder.start_tool_call("time", "get_time")
    traced.trace_id = 0xABC
    traced.finish("success", ended_ns=traced.started_ns + 20_000_000)
    text = generate_latest(registry).decode()
    assert 'llm_provider_tokens_total{model="gpt-5",provider="openai",type="prompt"} 100.0\n' in text
    assert (
        'llm_provider_request_seconds_bucket{le="0.5",model="gpt-5",outcome="success",provider="openai"} 1.0\n' in text
    )
    assert f'# {{trace_id="{0xABC:032x}"}} 0.02' in generate_openmetrics(registry).decode()


@pytest.mark.parametrize("shared", [False, True])
def test_a_process_that_was_restarted_has_its_port_again(seen: Recording, shared: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        port = before.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as prometheus:
            before.accept()[0].close()  # the end that closes first waits a minute in TIME_WAIT
            assert prometheus.recv(1) == b""
    server = MetricsServer(lambda: seen.recorder.metrics, port, shared=shared)
    try:
        assert "tachograph_build_info" in get(server.url)[1]
    finally:
        server.close()


def test_sibling_workers_share_one_port_and_others_do_not_get_it(seen: Recording) -> None:
    def source() -> Any:
        return seen.recorder.metrics

    one = MetricsServer(source, 0, shared=True)
    other = MetricsServer(source, one.port, shared=True)
    try:
        assert "tachograph_build_info" in get(other.url)[1]
        with pytest.raises(TachographError, match="is taken"):
            MetricsServer(source, one.port)
        one.close()
        assert "tachograph_build_info" in get(other.url)[1]
    finally:
        one.close()
        other.close()


def test_connections_have_a_limit_and_a_scrape_gets_through(seen: Recording) -> None:
    def serving() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]

    server = MetricsServer(lambda: seen.recorder.metrics, 0)
    held = []
    try:
        for _ in range(3 * scrape_server.MAX_CONNECTIONS):
            idle = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            idle.sendall(b"GET /metrics HTTP/1.1\r\n")  # and never the rest
            held.append(idle)
        _, text = get(server.url)
        assert "llm_calls_in_flight" in text or "llm_call_seconds" in text
        # The thread of a connection that was closed for the limit ends when it gets its turn, and not when it was idle.
        soon = scrape_server.IDLE_SECONDS / 2
        eventually(lambda: len(serving()) <= scrape_server.MAX_CONNECTIONS + 2, "a thread for each open one", soon)
    finally:
        for idle in held:
            idle.close()
        server.close()


def test_clients_that_do_not_read_their_answers_make_room_for_a_scrape(
    seen: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape_server, "STUCK_SECONDS", 0.0)
    server = MetricsServer(lambda: seen.recorder.metrics, 0)
    held = []
    try:
        for _ in range(scrape_server.MAX_CONNECTIONS):
            greedy = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            greedy.setblocking(False)
            with suppress(BlockingIOError):
                for _ in range(1000):
                    greedy.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            held.append(greedy)
        busy = server._server._busy_since
        eventually(lambda: len(busy) == scrape_server.MAX_CONNECTIONS, "all are being answered")
        assert "tachograph_build_info" in get(server.url)[1]
    finally:
        for greedy in held:
            greedy.close()
        server.close()


def test_a_connection_that_is_kept_is_served_again(seen: Recording) -> None:
    server = MetricsServer(lambda: seen.recorder.metrics, 0)
    kept = HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        for _ in range(3):
            kept.request("GET", "/metrics")
            answer = kept.getresponse()
            assert answer.status == 200
            answer.read()
    finally:
        kept.close()
        server.close()
