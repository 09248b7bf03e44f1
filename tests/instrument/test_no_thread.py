"""Where no thread can be started, the application is served as ever, and no call is lost.

A limit of processes or of memory, or the end of the interpreter: CPython raises RuntimeError in `Thread.start()`. It
is raised here at each of our starts in turn, at all of them, and by the system itself.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

APP = Path(__file__).parents[1] / "support" / "no_thread_app.py"
CALLS = 5
"""A whole call, a stream, one after a flush, one in a forked child, and one after a second `configure()`."""


def test_without_threads_the_application_gets_its_answers_and_the_ledger_its_rows(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TACHOGRAPH_"))}
    done = subprocess.run(
        [sys.executable, str(APP), str(tmp_path)], env=environment, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 10
    for life in found:
        assert life == {
            "way": life["way"],
            "raised": [],
            "answers": ["hi"] * 4,
            "counted": 2,
            "flushed": True,
            "forked child": 0,
            "status": 0,
            "stored": CALLS,
        }
    assert b"/metrics is not served" in done.stderr


LATE_CALL = """
import atexit, sys, weakref
import tachograph.usage.ledger
import tachograph
def call():
    made = recorder.start_llm_call("openai", "gpt-5")
    made.begin_attempt().end("success", status=200)
    made.finish("success")
atexit.register(call)
recorder = tachograph.configure(ledger={"data_dir": sys.argv[1]})
atexit.register(weakref.finalize._exitfunc)  # finalizers run first, as where no library before us has made one
call()
recorder.ledger.flush()
"""


def test_a_call_that_an_exit_handler_makes_is_in_the_ledger(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LATE_CALL, str(tmp_path)], timeout=60, check=True)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
        assert database.execute("select count(*) from usage").fetchone() == (2,)
