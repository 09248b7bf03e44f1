"""Forks: nothing of ours waits, locks or starts threads while one is under way; no greenlet forks in a child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.ledgers import make_recorder, one_call
from tachograph import native
from tachograph.usage.journal import Journal

APP = Path(__file__).parents[1] / "support" / "gevent_app.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

WATCHED = """
import json, os, sys
from pathlib import Path
import tachograph
from support.ledgers import one_call
directory = Path(sys.argv[1])
recorder = tachograph.configure(
    ledger={"data_dir": str(directory / "ledger")},
    metrics={"multiprocess_dir": str(directory / "metrics"), "port": 0},
)
tachograph.instrument()
one_call(recorder)
recorder.ledger.flush(20)
FORBIDDEN = {"acquire", "start_new_thread", "start_joinable_thread", "join", "wait", "sleep", "select", "poll"}
found = []
def profile(frame, event, argument):
    ours = "/tachograph/" in frame.f_code.co_filename.replace(os.sep, "/")
    if ours and event == "c_call" and argument.__name__ in FORBIDDEN:
        found.append(f"{frame.f_code.co_qualname} calls {argument.__name__}")
    if ours and event == "call":
        ran.add(frame.f_code.co_qualname)
ran = set()
read, write = os.pipe()
def audit(event, arguments):
    kind = event.partition(".")[0]
    if watching and kind in ("open", "os", "mmap", "fcntl", "socket", "subprocess") and event != "os.fork":
        found.append(f"{event} {arguments}")
watching = []
sys.addaudithook(audit)
os.register_at_fork(before=lambda: watching.append(1), after_in_parent=watching.clear)  # before ours; ours after
sys.setprofile(profile)
child = os.fork()
sys.setprofile(None)
watching.clear()
if not child:
    os.write(write, json.dumps([found, sorted(ran)]).encode())
    os._exit(0)
os.close(write)
os.waitpid(child, 0)
in_child, ran_there = json.loads(os.read(read, 1 << 16))
sys.stdout.write(json.dumps({"waits": found + in_child, "ran": ran_there, "ran in the parent": sorted(ran)}))
os._exit(0)
"""


def test_no_handler_at_a_fork_waits_takes_a_lock_or_starts_a_thread(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(tmp_path)], env=ENVIRONMENT, capture_output=True, timeout=60, check=True
    )
    found = json.loads(done.stdout)
    found["waits"].remove("Signal.__init__ calls acquire")  # a lock that nothing else has yet
    assert found["waits"] == []
    assert "Ledger._after_fork_in_child" in found["ran"]  # the handlers were seen at all
    assert "MappedStorage.leave" in found["ran"]
    assert found["ran in the parent"] == []  # nothing of ours runs before a fork, or after it in the parent


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_child_of_the_writer_keeps_no_segment_of_another_process_locked(tmp_path: Path) -> None:
    other = Journal(tmp_path / "journals")
    assert other.append(b"\x90") is None  # no row: it is set aside, and the segment stays open until it is ended
    recorder = make_recorder(tmp_path)
    one_call(recorder)
    assert recorder.ledger.flush(20)
    child = os.fork()
    if not child:
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        segments = [os.readlink(link) for link in links if os.path.exists(link)]
        os._exit(sum(f"{name}-" in path for path in segments for name in (other.name, recorder.ledger._queue.name)) - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0  # but for this test's own opening
    other.close()
    recorder.ledger.close()


def test_under_gevent_calls_are_exact_and_no_child_forks(tmp_path: Path) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed")
    done = subprocess.run(
        [sys.executable, str(APP), str(tmp_path)], env=ENVIRONMENT, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found = json.loads(done.stdout)
    assert found["forks in children"] == 0
    assert found["flushed"] is True
    assert found["stored"] == list(range(332))
    assert found["beats while the disk stood still"] == 10


def test_a_signal_wakes_once_and_setting_it_twice_does_no_harm() -> None:
    signal = native.Signal()
    assert signal.wait(0) is False
    signal.set()
    signal.set()
    assert signal.wait(0) is True
    assert signal.wait(0) is False


def test_a_thread_that_cannot_be_started_says_so_and_can_be_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object) -> None:
        raise RuntimeError("can't start new thread")

    thread = native.Thread(lambda: None, "never")
    monkeypatch.setattr("threading.Thread.start", full)
    with pytest.raises(RuntimeError):
        thread.start()
    assert thread.join(0)


IMPORTS = """
import json, os, sys, threading, urllib.request
from pathlib import Path
main, found = threading.get_ident(), []
def audit(event, arguments):
    if event == "import" and threading.get_ident() != main and "thread" in ours():
        found.append(f"{ours()['thread']} imports {arguments[0]}")
def ours():
    frame, names = sys._getframe(2), {}
    while frame is not None:
        if "/tachograph/" in frame.f_code.co_filename:
            names["thread"] = f"{frame.f_code.co_qualname} in {threading.current_thread().name}"
            break
        frame = frame.f_back
    return names
sys.addaudithook(audit)
import httpx2, openai, opentelemetry.sdk.trace, opentelemetry.trace
import tachograph
opentelemetry.trace.set_tracer_provider(opentelemetry.sdk.trace.TracerProvider())
recorder = tachograph.configure(
    ledger={"data_dir": sys.argv[1] + "/ledger"},
    metrics={"port": 0, "multiprocess_dir": sys.argv[1] + "/metrics"},
    budgets={"limits": [{"name": "all", "usd": 5, "period": "day"}], "refresh_seconds": 1},
    waste={"prompts": True},
)
tachograph.instrument()
usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-5", "choices": [choice], "usage": usage}
piece = {**answer, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "hi"}}]}
body = b"data: " + json.dumps(piece).encode() + b"\\n\\ndata: [DONE]\\n\\n"
def respond(request):
    if b'"stream":true' in request.content:
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})
    if b"fails" in request.content:
        return httpx2.Response(400, json={"error": {"message": "no", "type": "invalid_request_error"}})
    return httpx2.Response(200, json=answer)
client = openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(respond)))
def ask(text, **more):
    return client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": text}], **more)
ask("hi")
list(ask("hi", stream=True))
try:
    ask("fails")
except openai.BadRequestError:
    pass
recorder.start_tool_call("server", "tool").finish("success")
import time
until = time.monotonic() + 30
while len(tachograph.tape.TAPE) and time.monotonic() < until:  # not drained here: its thread shall do it
    time.sleep(0.01)
urllib.request.urlopen(tachograph.runtime.metrics_server().url).read()
assert recorder.ledger.flush(30)
recorder.guard.tick()
sys.stdout.write(json.dumps({"found": found, "threads": sorted(thread.name for thread in threading.enumerate())}))
sys.stdout.flush()
os._exit(0)
"""


def test_no_thread_of_ours_imports_anything(tmp_path: Path) -> None:
    """A child that is forked during an import could never finish it, and some libraries hold locks of their own
    meanwhile: with pydantic's left taken, no model can be made in the child any more."""
    code = [sys.executable, "-c", IMPORTS, str(tmp_path)]
    done = subprocess.run(code, env=ENVIRONMENT, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    seen = json.loads(done.stdout)
    assert {"tachograph-drain", "tachograph-write", "tachograph-ledger", "tachograph-budgets"} <= {*seen["threads"]}
    assert seen["found"] == []


WHILE_A_PACKAGE_LOADS = """
import os, signal, sys, threading
from pathlib import Path
from tachograph.native import forget_imports_of
package = Path(sys.argv[1]) / "half"
package.mkdir()
(package / "part.py").write_text("name = 'part'")
(package / "__init__.py").write_text("from .part import *\\nimport gate\\ngate.passed()\\nwhole = part.name")
class gate:
    begun, go = threading.Event(), threading.Event()
    def passed():
        gate.begun.set()
        gate.go.wait()
sys.modules["gate"] = gate
sys.path.insert(0, sys.argv[1])
thread = threading.Thread(target=__import__, args=("half",), daemon=True)
thread.start()
gate.begun.wait()
child = os.fork()
if not child:
    signal.alarm(30)
    gate.go.set()
    forget_imports_of(thread.ident)
    import half
    os._exit(half.whole != "part")
gate.go.set()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_imports_a_package_that_a_thread_of_the_parent_had_half_imported(tmp_path: Path) -> None:
    code = [sys.executable, "-c", WHILE_A_PACKAGE_LOADS, str(tmp_path)]
    assert subprocess.run(code, env=ENVIRONMENT, timeout=60, check=False).returncode == 0


WHILE_A_LOCK_IS_TAKEN = """
import os, signal, sys, threading
from importlib import _bootstrap
from tachograph.native import forget_imports_of
lock, taken, stay = _bootstrap._get_module_lock("half_taken"), threading.Event(), threading.Event()
def take():
    lock.lock.acquire()
    taken.set()
    stay.wait()
thread = threading.Thread(target=take, daemon=True)
thread.start()
taken.wait()
child = os.fork()
if not child:
    signal.alarm(30)
    forget_imports_of(thread.ident)
    with _bootstrap._ModuleLockManager("half_taken"):
        os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_imports_a_module_whose_lock_a_thread_of_the_parent_was_just_taking() -> None:
    code = [sys.executable, "-c", WHILE_A_LOCK_IS_TAKEN]
    assert subprocess.run(code, env=ENVIRONMENT, timeout=60, check=False).returncode == 0
