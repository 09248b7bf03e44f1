"""The workshop: our own MCP server for the demo and for tests, in a child process, with its troubles on demand.

with ToolServers(seed=7) as workshop:
    workshop.behave("search_orders", slow_seconds=12)
    ... an MCP client at workshop.url ...
    workshop.crash(); workshop.restart()
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import TracebackType

from tachograph.errors import TachographError


class ToolServers:
    """Runs the server process; starts, stops and troubles it. All methods block shortly; none is async.

    Args:
        seed: Same seed, same answers.
        ordinary_failures: Share of calls that end in an error result although nothing is the matter.
    """

    def __init__(self, seed: int = 0, ordinary_failures: float = 0.0) -> None:
        self.seed = seed
        self.ordinary_failures = ordinary_failures
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._is_ready = False

    @property
    def url(self) -> str:
        """Address of the MCP endpoint; the same after a restart."""
        return f"http://127.0.0.1:{self._port}/mcp"

    @property
    def pid(self) -> int | None:
        """Process id, or None when it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def launch(self) -> None:
        """Start the process without waiting for it; `wait_ready()` must follow."""
        self._is_ready = False
        command = [sys.executable, "-m", "tachograph_demo.tool_server"]
        self._process = subprocess.Popen(
            [
                *command,
                f"--port={self._port}",
                f"--seed={self.seed}",
                f"--ordinary-failures={self.ordinary_failures}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        """Wait until it listens.

        Raises:
            TachographError: The process ended instead.
        """
        process = self._process
        assert process is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            raise TachographError(
                f"the demo's MCP server ended with code {code} before it listened",
                where="python -m tachograph_demo.tool_server",
                do="Run that command to see why; it needs pip install 'tachograph[demo]'.",
            )
        self._is_ready = True
        self._port = int(json.loads(line)["url"].rsplit(":", 1)[1].split("/")[0])

    def start(self) -> None:
        """Start the process and wait until it listens."""
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """End it in an orderly way, by force after some seconds. Does nothing if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        if not self._is_ready:
            process.kill()  # still loading; there is nothing to end in an orderly way
        try:
            process.wait(4)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def crash(self) -> None:
        """Kill it at once, connections and all: to clients the server is dead."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self.stop()

    def restart(self) -> None:
        """Start it again at the same address."""
        self.stop()
        self.start()

    def behave(self, tool: str = "*", **behaviour: object) -> None:
        """Make a tool, or every tool, go wrong; without a behaviour it is well again.

        Behaviours: `slow_seconds`, `fail` (share), `hang`, `crash`, `refuse_status`, and `times` to limit them.
        """
        request = urllib.request.Request(
            self.url.removesuffix("/mcp") + "/control",
            data=json.dumps({"tool": tool, **behaviour}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            answer.read()

    def __enter__(self) -> ToolServers:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
