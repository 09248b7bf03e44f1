"""MCP servers for tests, as child processes and as HTTP servers in a thread of this one."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

TROUBLE = Path(__file__).with_name("mcp_trouble.py")


def stdio_trouble() -> dict[str, Any]:
    """The `mcpServers` entry of our server over stdio."""
    return {"command": sys.executable, "args": [str(TROUBLE), "stdio"]}


def installed_server(name: str) -> str:
    """The path of a server installed beside this Python."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert path is not None, f"{name} is not installed: make setup"
    return path


class TroubleProcess:
    """Our server over HTTP or SSE in a process of its own, which can be killed and started again on the same port."""

    def __init__(self, transport: str = "http", program: Path = TROUBLE) -> None:
        self.transport = transport
        self.program = program
        self.port = 0
        self.start()

    def start(self) -> None:
        port = [str(self.port)] if self.port else []
        self.process = subprocess.Popen(
            [sys.executable, str(self.program), self.transport, *port], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.strip(), "the server did not start"
        self.port = int(line)

    @property
    def entry(self) -> dict[str, Any]:
        path = "sse" if self.transport == "sse" else "mcp"
        return {"url": f"http://127.0.0.1:{self.port}/{path}", "type": self.transport}

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """An ASGI app on a port of 127.0.0.1, from a thread; gives its address without a path."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


class Gate:
    """An ASGI app in front of another that can answer requests itself: `gate.status = 429`.

    Attributes:
        status: Answered to every POST whose JSON-RPC method is one of `methods`, when not None; `times` often.
        headers_sent: Of such an answer; with a content-length that is too long, its body breaks off.
        seen: The JSON-RPC methods that came, in order.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.status: int | None = None
        self.methods = ("tools/call",)
        self.times: int | None = None
        self.body = b"no"
        self.headers_sent: list[tuple[bytes, bytes]] = []
        self.seen: list[str] = []
        self.headers: list[dict[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        import json

        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        method = json.loads(body or b"{}").get("method", "")
        self.seen.append(method)
        self.headers.append({key.decode(): value.decode() for key, value in scope["headers"]})
        if self.status is not None and method in self.methods:
            await send({"type": "http.response.start", "status": self.status, "headers": self.headers_sent})
            if self.times is not None:
                self.times -= 1
                if self.times == 0:
                    self.status = self.times = None
            await send({"type": "http.response.body", "body": self.body})
            return
        sent = False

        async def again() -> Any:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            return await receive()

        await self.app(scope, again, send)


def eventually(condition: Callable[[], Any], seconds: float = 60.0, every: float = 0.01) -> float:
    """Wait until the condition holds; returns how long that took.

    What counts is the time that this process was let run for: a machine that is too busy to wake it up is too busy to
    wake up what it waits for.
    """
    started = time.monotonic()
    pause = threading.Event()
    for _ in range(round(seconds / every)):
        if condition():
            return time.monotonic() - started
        pause.wait(every)
    raise AssertionError(f"not within {seconds} s")
