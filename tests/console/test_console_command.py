"""`tachograph console` as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.console_client import Client
from support.prometheus import poll
from tachograph.console.server import start
from tachograph.recorder import Recorder


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_starts_prints_a_login_link_scrapes_and_stops(
    tmp_path: Path, recorder: Recorder, how: signal.Signals
) -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Application(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'# TYPE llm_provider_tokens_total counter\nllm_provider_tokens_total{provider="openai"} 7\n'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    application = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    Thread(target=application.serve_forever, daemon=True).start()
    target = f"http://127.0.0.1:{application.server_address[1]}/metrics"
    process = subprocess.Popen(
        [
            sys.executable, "-X", "faulthandler", "-m", "tachograph", "console", "--port", "0",
            "--data-dir", str(tmp_path), "--no-ledger", "--scrape", target, "127.0.0.1:1",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        link = re.search(r"http://127\.0\.0\.1:\d+/login\?ticket=(\S+)", line)
        assert link, line
        token = process.stdout.readline().rpartition(": ")[2].strip()
        client = Client(line.partition(": ")[2], token)
        assert client.request("GET", f"/login?ticket={link.group(1)}", login=False).status == 200
        assert "Tachograph" in client.request("GET", "/").body.decode()
        targets = poll(
            lambda: [t for t in client.get("/api/console/status")["targets"] if t["up"] or t["last_error"]][1:],
            60,
            "scrapes",
        )
        assert targets
        shown = client.get("/api/console/status")["targets"]
        assert [(t["url"], t["up"]) for t in shown] == [(target, True), ("http://127.0.0.1:1/metrics", False)]
        result = client.get("/api/v1/query", query="llm_provider_tokens_total")["data"]["result"]
        assert result[0]["value"][1] == "7"
    finally:
        process.send_signal(how)
        try:
            _, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            pytest.fail(f"it does not end:\n{process.communicate(timeout=60)[1]}")
        application.shutdown()
    assert process.returncode == 0
    assert link.group(1) not in err
    assert "Traceback" not in err
    assert (tmp_path / "console.db").exists()
    assert list((tmp_path / "metrics").glob("*.part")), "for the next start"


def test_help_names_every_option() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tachograph", "console", "--help"],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    for option in ("--port", "--listen", "--token", "--scrape", "--prometheus", "--data-dir", "--open", "--ledger"):
        assert option in done.stdout


def test_a_console_that_is_interrupted_serves_until_it_is_closed(tmp_path: Path) -> None:
    others = set(threading.enumerate())  # consoles of other tests

    def is_served() -> bool:
        return "tachograph-console" in {thread.name for thread in set(threading.enumerate()) - others}

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with start(port=0, data_dir=tmp_path, rules=False) as running:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                running.wait()
            assert is_served()
        assert not is_served()
    finally:
        signal.signal(signal.SIGINT, before)
