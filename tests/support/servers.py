"""Servers of other projects, started as a user would, on a free port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from support.prometheus import free_port


@contextlib.contextmanager
def free_port_server(
    command: Callable[[int], list[str]], *, folder: Path, path: str = "/", deadline_seconds: float = 60.0, **env: str
) -> Iterator[str]:
    """Run a server until the block ends; yields its URL once it answers.

    Raises:
        AssertionError: It did not answer in time; its output is in the message.
    """
    port = free_port()
    output = folder / f"server-{port}.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            command(port),
            cwd=folder,
            env={**os.environ, **env},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}{path}"
    try:
        _wait(url, process, output, time.monotonic() + deadline_seconds)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _wait(url: str, process: subprocess.Popen[bytes], output: Path, deadline: float) -> None:
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not answer: {output.read_text()}") from None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)  # its end, if it fails to start, ends the waiting at once
