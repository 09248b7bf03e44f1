"""Other schedulers by real runs: every call counted and stored once, also in children, and no child that forks."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.exhaustive import part
from support.ledgers import eventually, make_recorder
from tachograph.usage.stores.query import Query

APP = Path(__file__).parents[1] / "support" / "scheduler_app.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


@pytest.mark.parametrize("scheduler", part(["asyncio", "uvloop", "trio", "gevent", "eventlet"], "asyncio", "gevent"))
def test_a_scheduler_s_tasks_and_forks_count_every_call_once(tmp_path: Path, scheduler: str) -> None:
    if importlib.util.find_spec(scheduler) is None:  # not imported: this process of pytest would meet it too
        pytest.skip(f"{scheduler} is not installed: pip install {scheduler}")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(APP), scheduler, str(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    found = json.loads(done.stdout)
    assert found["flushed"] is True
    assert found["stored"] == list(range(321))
    assert found["counted"] == 321
    assert found["forks in children"] == 0


SERVED = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from support.ledgers import make_recorder
from tachograph.records import Cost, Usage

recorder = make_recorder(Path({directory!r}), interval_seconds=0.2)

def one_call(worker):
    call = recorder.start_llm_call("openai", "gpt-5", labels={{"worker": worker}})
    call.begin_attempt().end("success", status=200)
    call.usage, call.cost = Usage(100, 7), Cost(1000, "priced", "test/1")
    call.finish("success")

for number in range(10):
    one_call("loading")  # once in each process that loads the application

def application(environ, start_response):
    one_call(str(os.getpid()))
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({{"type": "lifespan.startup.complete"}})
        return await send({{"type": "lifespan.shutdown.complete"}})
    one_call(str(os.getpid()))
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": str(os.getpid()).encode()}})
"""


SERVERS = {
    "sync": ("gunicorn", "gunicorn --worker-class sync application:application"),
    "gthread": ("gunicorn", "gunicorn --worker-class gthread --threads 4 application:application"),
    "gevent": ("gevent", "gunicorn --worker-class gevent application:application"),
    "gevent-preload": ("gevent", "gunicorn --worker-class gevent --preload application:application"),
    "asgi": ("gunicorn", "gunicorn --worker-class asgi application:asgi"),
    "uvicorn-worker": ("uvicorn", "gunicorn --worker-class uvicorn.workers.UvicornWorker application:asgi"),
    "uvicorn": ("uvicorn", "uvicorn application:asgi"),
}
"""What each needs, and its command."""


@pytest.mark.parametrize("kind", part(SERVERS, "sync", "gevent-preload", "uvicorn"))
def test_a_server_s_workers_count_every_call_once(tmp_path: Path, kind: str) -> None:
    needs, command = SERVERS[kind]
    arguments = command.split()
    pytest.importorskip(needs, reason=f"{needs} is not installed: pip install {needs}")
    (tmp_path / "application.py").write_text(SERVED.format(path=sys.path, directory=str(tmp_path / "data")))
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.set_inheritable(listener.fileno(), True)
        port, number = listener.getsockname()[1], listener.fileno()
        bind = ["--bind", f"fd://{number}"] if arguments[0] == "gunicorn" else ["--fd", str(number)]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", arguments[0], "--workers", "2", *bind, *arguments[1:]],
                stdout=output, stderr=output, cwd=tmp_path, pass_fds=(number,),
            )  # fmt: skip
    try:
        started = "Booting worker" if arguments[0] == "gunicorn" else "Started server process"
        eventually(lambda: log.read_text().count(started) == 2, "two workers", 60)

        def ask(_: int) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=120) as answer:
                return answer.read().decode()

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(200)))
        loading = 10 if "--preload" in arguments else 20
        assert rows_of(tmp_path / "data", 200 + loading) == sorted([*answers, *["loading"] * loading])
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    assert "Traceback" not in log.read_text()


def rows_of(directory: Path, count: int) -> list[str]:
    """Which worker made each call, once so many are stored."""
    store = make_recorder(directory, writer="external").ledger.open_store()
    eventually(lambda: store.count() >= count, f"{count} calls are stored")
    rows = list(store.rows(Query()))
    store.close()
    assert len({row.id for row in rows}) == len(rows)
    return sorted((row.labels or {})["worker"] for row in rows)


CELERY = """
import os, sys
sys.path[:0] = {path!r}
from pathlib import Path
from celery import Celery
from support.ledgers import make_recorder
from tachograph.records import Cost, Usage

place = {directory!r}
folders = {{"data_folder_in": place + "/queue", "data_folder_out": place + "/queue", "control_folder": place}}
app = Celery("application", broker="filesystem://")
app.conf.update(broker_transport_options=folders, task_ignore_result=True, worker_hijack_root_logger=False)
recorder = make_recorder(Path(place) / "data", interval_seconds=0.2)

@app.task
def work(number):
    call = recorder.start_llm_call("openai", "gpt-5", labels={{"worker": str(number)}})
    call.begin_attempt().end("success", status=200)
    call.usage, call.cost = Usage(100, 7), Cost(1000, "priced", "test/1")
    call.finish("success")
"""


def test_celery_s_prefork_pool_counts_every_task_once(tmp_path: Path) -> None:
    pytest.importorskip("celery", reason="celery is not installed: pip install celery")
    (tmp_path / "queue").mkdir()
    (tmp_path / "application.py").write_text(CELERY.format(path=sys.path, directory=str(tmp_path)))
    send = "from application import work\nfor number in range(100): work.delay(number)"
    subprocess.run([sys.executable, "-c", send], cwd=tmp_path, timeout=60, check=True)
    log = tmp_path / "log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "application", "worker", "--pool", "prefork", "--concurrency", "2",
             "--without-gossip", "--without-mingle", "--without-heartbeat"],
            stdout=output, stderr=output, cwd=tmp_path,
        )  # fmt: skip
    try:
        assert rows_of(tmp_path / "data", 100) == sorted(map(str, range(100)))
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    assert "Traceback" not in log.read_text()
