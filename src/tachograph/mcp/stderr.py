"""What a stdio server writes to its standard error: passed on as it comes, and its last line kept for when it exits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from typing import TextIO

_CHUNK = 64 * 1024
_LONGEST = 300


class StderrTail:
    """A pipe for one server's standard error, read by a thread of its own: a full terminal holds up no other server.

    Args:
        target: Where it goes on to: a file, a descriptor, `subprocess.DEVNULL`; None: our own standard error.
    """

    def __init__(self, target: TextIO | int | None) -> None:
        self._target = target
        self._tail = b""
        self._ended = threading.Event()
        self._reader, writer = os.pipe()
        self.writer = os.fdopen(writer, "w")
        threading.Thread(target=self._run, name="tachograph-mcp-stderr", daemon=True).start()

    def started(self) -> None:
        """The server has its end of the pipe, or never will: let ours go."""
        self.writer.close()

    async def last_line(self, seconds: float) -> str:
        """The last line, once the server has closed its end, or after so many seconds; empty when there was none."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self._ended.is_set() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        lines = [line.strip() for line in self._tail.decode("utf-8", "replace").splitlines()]
        return next((line[:_LONGEST] for line in reversed(lines) if line), "")

    def _run(self) -> None:
        try:
            while data := os.read(self._reader, _CHUNK):
                self._tail = (self._tail + data)[-4 * _LONGEST :]
                self._pass_on(data)
        finally:
            os.close(self._reader)
            self._ended.set()

    def _pass_on(self, data: bytes) -> None:
        target = sys.stderr if self._target is None else self._target
        try:
            if isinstance(target, int):
                if target != subprocess.DEVNULL:
                    os.write(target, data)
            elif target is not None:
                target.write(data.decode("utf-8", "replace"))
                target.flush()
        except (OSError, ValueError):
            return  # closed: what is said there is lost, and the server lives on
