"""A peer's process: commands go in and answers come out, one line of JSON each, and every wait has a limit."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.environments import ROOT


class WorkerError(Exception):
    """The peer could not do it; the message is its own."""


class Worker:
    """Runs `python -m MODULE ARGUMENTS` and talks to it.

    Args:
        python: The peer's Python.
        module: Its main module; it uses `serve`.
        arguments: On its command line.
        seconds: Longest wait for one answer.
        seed: Of its hashes, and with them of where things lie in its memory.
    """

    def __init__(
        self, python: Path, module: str, arguments: Sequence[str], seconds: float = 120.0, seed: int = 0
    ) -> None:
        self._folder = tempfile.mkdtemp(prefix="tachograph-bench-")  # whatever it leaves goes with it
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed), "TMPDIR": self._folder}
        for name in list(environment):
            if name.startswith(("OTEL_", "TACHOGRAPH_")):
                del environment[name]
        self.seconds = seconds
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - a pipe that is not read would fill up and block
        self._process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=environment,
            cwd=ROOT,
            process_group=0,
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._read("start")
        except WorkerError:
            self.close()
            raise

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _read(self, asked: str) -> Any:
        try:
            line = self._answers.get(timeout=self.seconds)
        except queue.Empty:
            self.close()
            raise WorkerError(f"no answer to {asked} within {self.seconds:g} s") from None
        if not line:
            raise WorkerError(f"ended at {asked}: {self._last_words()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer.get("value")

    def _last_words(self) -> str:
        self._said.seek(0)
        return " ".join(self._said.read().strip().splitlines()[-1:]) or "without a word"

    def ask(self, do: str, **arguments: Any) -> Any:
        """One command, one answer.

        Raises:
            WorkerError: It failed, died, or did not answer in time.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(f"gone before {do}: {error}") from None
        return self._read(do)

    def close(self) -> None:
        """End the process, and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._process.stdin:
            self._process.stdin.close()


def pin(cores: Sequence[int]) -> None:
    """Keep all threads of this process on these cores, where the system can; on any where none are named."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        return
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.sched_setaffinity(int(thread), cores)


def serve(make: Callable[[], Any]) -> None:
    """The process's own side: answer each command with the method of that name of what `make` makes."""
    import sys

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a peer prints must not disturb the answers
    try:
        target = make()
    except BaseException as error:  # noqa: BLE001 - sent to the parent
        out.write(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}) + "\n")
        os._exit(1)
    out.write(json.dumps({"value": "ready"}) + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"value": getattr(target, asked.pop("do"))(**asked)}
        except Exception as error:  # noqa: BLE001 - sent to the parent, which shows it in the table
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        out.write(json.dumps(answer, default=str) + "\n")
    os._exit(0)
