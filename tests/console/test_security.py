"""Who may read and write: sessions, tokens, hosts, origins, headers, sizes."""

from __future__ import annotations

import base64
import gzip
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support.console_client import Client
from tachograph.console import RunningConsole, start
from tachograph.errors import TachographError
from tachograph.recorder import Recorder

READABLE = ("/", "/static/index.html", "/api/console/status", "/api/v1/query?query=1", "/api/console/events")


def test_nothing_is_read_without_a_login(client: Client) -> None:
    for path in READABLE:
        assert client.request("GET", path, login=False).status == 401, path
    for wrong in ("Bearer nonsense", "Bearer ", "Basic " + base64.b64encode(b"x:nonsense").decode(), "Basic ??"):
        assert client.request("GET", READABLE[2], login=False, headers={"Authorization": wrong}).status == 401


def test_the_login_link_makes_a_session_that_reads(running: RunningConsole, client: Client) -> None:
    link = running.login_url.removeprefix(running.url.rstrip("/"))
    answer = client.request("GET", link, login=False)
    assert answer.status == 200
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    session = {"Cookie": cookie.partition(";")[0]}
    for path in READABLE[:4]:
        assert client.request("GET", path, login=False, headers=session).status == 200, path
    assert client.request("GET", "/login?ticket=wrong", login=False).status == 401
    assert running.token not in cookie
    assert running.token not in link


def test_the_login_link_works_once_and_the_token_logs_in_further_browsers(
    running: RunningConsole, client: Client
) -> None:
    link = running.login_url.removeprefix(running.url.rstrip("/"))
    client.request("GET", link, login=False)
    spent = client.request("GET", link, login=False)
    assert spent.status == 401
    assert b"A link works once" in spent.body
    assert "set-cookie" not in spent.headers
    assert client.request("GET", f"/login?token={running.token}", login=False).status == 401
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.request("POST", "/login", body=b"token=nonsense", login=False, headers=form).status == 401
    assert client.request("POST", "/login", body=b"token=" + b"x" * 9000, login=False, headers=form).status == 401
    sent = client.request("POST", "/login", body=f"token={running.token}".encode(), login=False, headers=form)
    assert sent.status == 200
    session = {"Cookie": sent.headers["set-cookie"].partition(";")[0]}
    assert client.request("GET", READABLE[2], login=False, headers=session).status == 200


def test_sessions_can_be_ended_one_and_all(running: RunningConsole, client: Client) -> None:
    def begun() -> dict[str, str]:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        sent = client.request("POST", "/login", body=f"token={running.token}".encode(), login=False, headers=form)
        return {"Cookie": sent.headers["set-cookie"].partition(";")[0]}

    def reads(session: dict[str, str]) -> bool:
        return client.request("GET", READABLE[2], login=False, headers=session).status == 200

    one, two, three = begun(), begun(), begun()
    assert client.request("POST", "/logout", login=False).status == 401
    assert client.request("GET", "/logout", login=False, headers=one).status == 405
    assert (
        client.request("POST", "/logout", login=False, headers={**one, "Origin": "http://evil.example"}).status == 403
    )
    assert client.request("POST", "/logout", login=False, headers=one).status == 200
    assert [reads(one), reads(two), reads(three)] == [False, True, True]
    assert client.request("POST", "/logout?everywhere=1", login=False, headers=two).status == 200
    assert [reads(two), reads(three)] == [False, False]


def test_what_the_console_keeps_is_for_this_user_alone_at_any_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with start(port=0, data_dir=tmp_path / "console") as served:
            assert served.port
        found = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "console").rglob("*")}
    finally:
        os.umask(before)
    assert found
    assert {name: mode for name, mode in found.items() if int(mode, 8) & 0o077} == {}
    assert (tmp_path / "console").stat().st_mode & 0o077 == 0


def test_tools_read_with_bearer_or_basic(running: RunningConsole, client: Client) -> None:
    basic = base64.b64encode(f"grafana:{running.token}".encode()).decode()
    for value in (f"Bearer {running.token}", f"Basic {basic}"):
        assert client.request("GET", READABLE[2], login=False, headers={"Authorization": value}).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", ""])
def test_names_that_are_not_this_machine_are_refused(shared: Client, host: str) -> None:
    assert shared.request("GET", READABLE[2], headers={"Host": host}).status == 421


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:9465"])
def test_names_of_this_machine_are_fine(shared: Client, host: str) -> None:
    assert shared.request("GET", READABLE[2], headers={"Host": host}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "file://"])
def test_pages_of_other_sites_can_neither_read_nor_write(shared: Client, origin: str) -> None:
    assert shared.request("GET", READABLE[2], headers={"Origin": origin}).status == 403
    sent = shared.post("/v1/traces", b"{}", "application/json", Origin=origin)
    assert sent.status == 403


def test_the_console_s_own_page_may_ask(shared: Client) -> None:
    assert shared.request("GET", READABLE[2], headers={"Origin": f"http://{shared.address}"}).status == 200
    assert shared.request("GET", READABLE[2], headers={"Sec-Fetch-Site": "cross-site"}).status == 403


def test_every_answer_carries_the_headers(shared: Client) -> None:
    for path in ("/", "/static/js/main.js", "/api/console/status", "/nothing", "/api/v1/nothing", "/login"):
        headers = shared.request("GET", path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers


def test_files_have_their_types_and_are_asked_for_again(client: Client) -> None:
    for path, kind in (("/", "text/html"), ("/static/js/main.js", "text/javascript"), ("/static/app.css", "text/css")):
        answer = client.request("GET", path)
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["cache-control"] == "no-cache"
        again = client.request("GET", path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/.git"]
)
def test_files_beside_the_page_are_out_of_reach(shared: Client, path: str) -> None:
    assert shared.request("GET", path).status == 404


def test_errors_are_in_the_page_s_shape(shared: Client) -> None:
    for path in ("/api/console/nothing", "/api/console/calls/xyz", "/api/console/calls?min_cost=x"):
        answer = shared.request("GET", path)
        assert answer.status in (400, 404)
        assert answer.json["error"].keys() == {"what", "where", "do"}
    assert shared.request("DELETE", "/api/console/status").status == 405


def test_names_from_outside_come_back_as_json_text(shared: Client) -> None:
    answer = shared.request("GET", "/api/console/runbooks/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"


def test_other_addresses_need_a_token_for_everything() -> None:
    with pytest.raises(TachographError, match="needs a token"):
        start(host="0.0.0.0", port=0, auth=False)
    with start(host="0.0.0.0", port=0, token="a-long-enough-secret", step_seconds=300) as served:
        client = Client(served.url, served.token)
        assert client.request("POST", "/v1/traces", body=b"{}", login=False).status == 401
        assert client.post("/v1/traces", b"{}", "application/json").status == 200


def test_the_command_refuses_to_listen_openly_without_a_token() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TACHOGRAPH_CONSOLE_TOKEN"}
    done = subprocess.run(
        [sys.executable, "-m", "tachograph", "console", "--listen", "0.0.0.0", "--port", "0"],
        capture_output=True, text=True, timeout=240, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--token" in done.stderr


def test_a_short_token_and_a_taken_port_are_refused(running: RunningConsole) -> None:
    with pytest.raises(TachographError, match="shorter"):
        start(port=0, token="short")
    with pytest.raises(TachographError, match="cannot listen"):
        start(port=running.port)


def test_without_login_only_reading_is_open() -> None:
    with start(port=0, auth=False, step_seconds=300) as served:
        client = Client(served.url)
        assert client.get("/api/console/status")["auth"] == "none"
        assert client.request("GET", "/", headers={"Host": "evil.example"}).status == 421


def test_large_bodies_are_refused_before_they_are_read_whole(client: Client) -> None:
    too_much = b"x" * (9 * 1024 * 1024)
    try:
        status = client.post("/v1/traces", too_much, "application/x-protobuf").status
    except (BrokenPipeError, ConnectionResetError):
        status = 413
    assert status == 413
    form = client.post("/api/v1/query", b"query=1&x=" + b"y" * 2_000_000, "application/x-www-form-urlencoded")
    assert form.status == 400


def test_a_body_that_unpacks_to_more_than_it_may_is_refused(client: Client) -> None:
    bomb = gzip.compress(b"\0" * (200 * 1024 * 1024))
    assert len(bomb) < 1024 * 1024
    answer = client.post("/v1/traces", bomb, "application/x-protobuf", **{"Content-Encoding": "gzip"})
    assert answer.status == 413


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"not protobuf at all", {}, 400),
        (b"\x0a\xff\xff\xff\xff\x0f", {}, 400),
        (b"\x0a\x02\x12", {}, 400),
        (b"plain", {"Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400),
        (b"x", {"Content-Encoding": "br"}, 415),
    ],
)
def test_broken_bodies_are_refused(shared: Client, body: bytes, headers: dict[str, str], status: int) -> None:
    assert shared.post("/v1/traces", body, "application/x-protobuf", **headers).status == status


def test_json_that_is_not_otlp_is_refused_or_ignored(client: Client) -> None:
    for body in (b"[", b"[]", b"[" * 100_000, b'"x"'):
        assert client.post("/v1/traces", body, "application/json").status == 400
    for body in (b'{"resourceSpans": 5}', b'{"resourceSpans": [5, {"scopeSpans": [{"spans": [{}]}]}]}'):
        assert client.post("/v1/traces", body, "application/json").status == 200
    assert client.post("/v1/traces", b"{}", "text/plain").status == 415


def test_connections_that_send_no_whole_request_are_ended(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tachograph.console.connections.IDLE_SECONDS", 0.5)
    with start(port=0, recorder=recorder, step_seconds=300) as running:
        silent = socket.create_connection(("127.0.0.1", running.port), timeout=30)
        half = socket.create_connection(("127.0.0.1", running.port), timeout=30)
        half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Never:")
        for connection in (silent, half):
            assert connection.recv(1 << 16) == b""
            connection.close()
