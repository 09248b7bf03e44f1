"""Several processes on one ledger: gunicorn with preload, spawned processes, and who is the writer."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.ledgers import eventually, make_recorder, one_call, record_in_child
from tachograph.usage.stores import open_store
from tachograph.usage.stores.query import Query

APPLICATION = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from support.ledgers import make_recorder, one_call
recorder = make_recorder(Path({directory!r}), interval_seconds=0.2)
for number in range(10):
    one_call(recorder, number, worker="preload")   # in the master, whose writer runs when it forks

def application(environ, start_response):
    import os
    one_call(recorder, 0, worker=str(os.getpid()))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def test_eight_gunicorn_workers_with_preload_count_every_call_once(tmp_path: Path) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed: pip install gunicorn")
    (tmp_path / "application.py").write_text(APPLICATION.format(path=sys.path, directory=str(tmp_path / "data")))
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        port = listener.getsockname()[1]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--preload", "--workers", "8", "--bind",
                 f"fd://{listener.fileno()}", "--chdir", str(tmp_path), "application:application"],
                stdout=output, stderr=output, close_fds=True, pass_fds=(listener.fileno(),),
            )  # fmt: skip
    try:
        eventually(lambda: log.read_text().count("Booting worker") == 8, "eight workers", 60)
        answers: dict[str, int] = {}

        def ask(_: int) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=120) as answer:
                return answer.read().decode()

        with ThreadPoolExecutor(16) as pool:
            for pid in pool.map(ask, range(800)):
                answers[pid] = answers.get(pid, 0) + 1
        store = open_store(f"sqlite:///{tmp_path / 'data' / 'ledger.db'}")
        eventually(lambda: store.count() == 810, "all calls are stored", 60)
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(120) == 0
    rows = list(store.rows(Query()))
    store.close()
    assert len({row.id for row in rows}) == 810
    by_worker: dict[str, int] = {}
    for row in rows:
        by_worker[(row.labels or {})["worker"]] = by_worker.get((row.labels or {})["worker"], 0) + 1
    assert by_worker == {"preload": 10, **answers}
    assert list((tmp_path / "data" / "journals").iterdir()) == []
    assert not re.search(r"Traceback|Exception", log.read_text())


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_multiprocessing_children_lose_nothing(tmp_path: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    children = [context.Process(target=record_in_child, args=(str(tmp_path), 200)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    recorder = make_recorder(tmp_path, writer="external")
    assert recorder.ledger.drain(30)
    store = recorder.ledger.open_store()
    assert store.count() == 600
    assert len({row.id for row in store.rows(Query())}) == 600
    store.close()


def test_another_process_takes_over_when_the_writer_dies(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "from support.ledgers import make_recorder, one_call\n"
        f"recorder = make_recorder(Path({str(tmp_path)!r}))\n"
        "one_call(recorder, 1); assert recorder.ledger.flush(30)\n"
        "print('written', flush=True); sys.stdin.read()\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "written\n"
    recorder = make_recorder(tmp_path)
    one_call(recorder, 2)
    assert recorder.ledger.flush(30)  # by the other one
    assert recorder.ledger._writer is None
    assert recorder.ledger.place.heartbeat()[0] == first.pid
    first.kill()
    first.wait()
    one_call(recorder, 3)
    assert recorder.ledger.flush(30)
    assert recorder.ledger._writer is not None
    store = recorder.ledger.open_store()
    assert store.count() == 3
    store.close()
    recorder.ledger.close()


def test_status_and_flush_say_what_waits(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path, writer="external")
    for number in range(5):
        one_call(recorder, number)
    recorder.ledger._queue.after_fork_in_child()

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TACHOGRAPH_LEDGER_DATA_DIR": str(tmp_path),
                       "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # fmt: skip
        return subprocess.run([sys.executable, "-m", "tachograph", "ledger", *words], env=environment, check=False,
                              capture_output=True, text=True, cwd=tmp_path)  # fmt: skip

    before = command("status")
    assert "waiting    5 records" in before.stdout
    assert "writer     none" in before.stdout
    assert command("flush").stdout == "all is stored\n"
    after = command("status")
    assert after.returncode == 0
    assert "waiting    0 records" in after.stdout
    assert "version 0004), 5 rows" in after.stdout
    assert json.dumps(after.stdout)
    assert "0 rows removed" in command("prune").stdout
    assert command("quarantine").stdout == ""


UWSGI_APPLICATION = """
import sys, tachograph
from tachograph.records import Cost, Usage

recorder = tachograph.configure(metrics={{"port": None}}, ledger={{"data_dir": {directory!r}}})

def application(environ, start_response):
    call = recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt().end("success", status=200)
    call.usage, call.cost = Usage(100, 7), Cost(1000, "priced", "test/1")
    call.finish("success")
    start_response("200 OK", [("Content-Length", "0")])
    return []
"""


@pytest.mark.parametrize(
    ("options", "is_warned"),
    [([], True), (["--py-call-osafterfork", "--enable-threads"], False), (["--lazy-apps", "--enable-threads"], False)],
    ids=["preload", "py-call-osafterfork", "lazy-apps"],
)
def test_uwsgi_is_told_what_its_workers_need_where_it_forks_without_pythons_handlers(
    tmp_path: Path, options: list[str], is_warned: bool
) -> None:
    if importlib.util.find_spec("pyuwsgi") is None:  # not imported: it may be imported as a program only
        pytest.skip("pyuwsgi is not installed: pip install pyuwsgi")
    (tmp_path / "application.py").write_text(UWSGI_APPLICATION.format(directory=str(tmp_path / "data")))
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
        os.set_inheritable(listener.fileno(), True)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server = subprocess.Popen(
            [sys.executable, "-c", "import pyuwsgi; pyuwsgi.run()", "--http-socket", f"fd://{listener.fileno()}",
             "--master", "--processes", "2", "--wsgi-file", "application.py", "--die-on-term", *options],
            stdout=output, stderr=output, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            close_fds=True, pass_fds=(listener.fileno(),), start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: log.read_text().count("spawned uWSGI worker") == 2, "two workers", 60)
        for _ in range(0 if is_warned else 20):
            urllib.request.urlopen(url, timeout=60).close()
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # asked to end, uWSGI waits a minute for a worker that still loads
        server.wait(60)
    assert ("Set `py-call-osafterfork = true`" in log.read_text()) is is_warned, log.read_text()
    if not is_warned:
        recorder = make_recorder(tmp_path / "data", writer="external")
        assert recorder.ledger is not None
        recorder.ledger.recovered = recorder.recovered
        store = recorder.ledger.open_store()
        # `wait` has seen the master's end: a worker that the signal has not yet ended still holds its ring's lock.
        eventually(lambda: recorder.ledger.drain(30) and store.count() == 20, "each worker's calls are recovered")
        store.close()
        recorder.ledger.close()
