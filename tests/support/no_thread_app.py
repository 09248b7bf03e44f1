"""An application that gets no thread: each forked child starts as many threads as it may, and then none or all others.

    no_thread_app.py DIRECTORY

Prints a line of JSON for each child: what the application saw, and what of its calls the ledger and the metrics have.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import openai

import tachograph
from tachograph.pricing.sources import bundled
from tachograph.signals.exposition import write

WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 5, "total_tokens": 125},
}
CHUNK = {
    **WHOLE,
    "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}],
}
STREAM = f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n".encode()
MESSAGES: Any = [{"role": "user", "content": "hello"}]


def answer(request: httpx2.Request) -> httpx2.Response:
    if json.loads(request.content).get("stream"):
        return httpx2.Response(200, content=STREAM, headers={"content-type": "text/event-stream"})
    return httpx2.Response(200, json=WHOLE)


def refuse(which: Callable[[int], bool]) -> None:
    """Have the n-th start of a thread fail as CPython's does, for each n that `which` names."""
    name = "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
    real, started = getattr(threading, name), [0]

    def start(*args: Any, **keywords: Any) -> Any:
        started[0] += 1
        if which(started[0]):
            raise RuntimeError("can't start new thread")
        return real(*args, **keywords)

    setattr(threading, name, start)


def refuse_for_real() -> None:
    """Leave no address space for the stack of one more thread."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (600 << 20),) * 2)
    threading.stack_size(700 << 20)


def run(directory: Path) -> dict[str, object]:
    """The application's life; each step that raises is named."""
    raised: list[str] = []

    def step(name: str, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except BaseException as error:  # noqa: BLE001 - what the application sees
            raised.append(f"{name}: {traceback.format_exc()}")
            return error

    settings: dict[str, Any] = {
        "ledger": {"data_dir": str(directory)},
        "metrics": {"port": 0},
        "budgets": {"limits": [{"name": "day", "usd": "100", "period": "day"}]},
    }
    step("configure", lambda: tachograph.configure(**settings))
    step("instrument", tachograph.instrument)
    client = openai.OpenAI(
        api_key="k", http_client=httpx2.Client(transport=httpx2.MockTransport(answer)), max_retries=0
    )

    def whole() -> object:
        return client.chat.completions.create(model="gpt-5", messages=MESSAGES).choices[0].message.content

    def stream() -> str:
        chunks = client.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    answers = [step("call", whole), step("stream", stream)]
    recorder = tachograph.get_recorder()
    assert recorder.ledger is not None
    metrics = step("scrape", lambda: write(recorder.metrics.collect()))
    flushed = step("flush", lambda: recorder.ledger.flush(20))
    answers.append(step("call after flush", whole))
    child = os.fork()
    if not child:
        failed = len(raised)
        said = step("call in a forked child", whole)
        flushed = step("flush in a forked child", lambda: recorder.ledger.flush(20))
        sys.stderr.write("".join(raised[failed:]))
        os._exit(0 if said == "hi" and flushed is True else 1)
    forked = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    step("configure again", lambda: tachograph.configure(**settings))
    answers.append(step("call after configure", whole))
    step("uninstrument", tachograph.uninstrument)
    return {
        "answers": answers,
        "raised": raised,
        "flushed": flushed,
        "forked child": forked,
        "counted": sum(
            int(float(line.split()[-1]))
            for line in str(metrics).splitlines()
            if line.startswith("llm_call_seconds_count")
        ),
    }


def main(directory: Path) -> None:
    ways: dict[str, Callable[[], None]] = {
        f"none after {n}": lambda n=n: refuse(lambda number: number > n) for n in (0, 3)
    }
    ways |= {f"all but number {n}": lambda n=n: refuse(lambda number: number == n) for n in range(1, 8)}
    ways["no address space"] = refuse_for_real
    bundled.load()  # once, and not in each child
    for way, prepare in ways.items():
        data = directory / way.replace(" ", "-")
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            prepare()
            with os.fdopen(writing, "w") as out:
                json.dump({"way": way, **run(data)}, out, default=repr)
            sys.exit()  # with what is registered at exit
        os.close(writing)
        with os.fdopen(reading) as told:
            text = told.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with closing(sqlite3.connect(f"file:{data}/ledger.db?mode=ro", uri=True)) as database:
            rows = database.execute("select count(*) from usage").fetchone()[0]
        sys.stdout.write(json.dumps({**json.loads(text or "{}"), "status": status, "stored": rows}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
