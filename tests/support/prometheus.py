"""A real Prometheus for tests: `with prometheus(targets=["127.0.0.1:1234"], rules="...") as prom: prom.query("up")`.

Without the program the test is skipped, with that reason.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support import parts
from tachograph.drill import stack


class Prometheus:
    """A running server and its HTTP API.

    Attributes:
        url: Its root.
        directory: Where its configuration, data and log are.
    """

    def __init__(self, url: str, directory: Path, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.directory = directory
        self.process = process

    def get(self, path: str, **parameters: str | float) -> Any:
        """`data` of an API call: `prom.get("/api/v1/rules")`."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"Prometheus refused {path}: {error.read().decode()}") from error

    def query(self, expression: str, **parameters: str | float) -> list[dict[str, Any]]:
        """Result of an instant query: a list of {"metric": {...}, "value": [time, "1"]}."""
        result: list[dict[str, Any]] = self.get("/api/v1/query", query=expression, **parameters)["result"]
        return result

    def value(self, expression: str) -> float | None:
        """The value of a query with one result; None when it has no result."""
        result = self.query(expression)
        assert len(result) <= 1, f"{expression} has {len(result)} results"
        return float(result[0]["value"][1]) if result else None

    def wait_for(self, condition: Callable[[Prometheus], Any], seconds: float = 60.0) -> Any:
        """Ask until the condition is true, and return what it returned."""
        return poll(lambda: condition(self), seconds, f"Prometheus, log in {self.directory}/log")

    def log(self) -> str:
        """What it has logged so far."""
        return (self.directory / "log").read_text()


def poll(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Ask again every 50 ms until the condition is true, and return what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)  # another process: there is nothing to wait on but its answers


_held = ExitStack()


def free_port() -> int:
    """A port of 127.0.0.1 that no other process is given until this process ends."""
    return _held.enter_context(stack.free_port())


@contextmanager
def prometheus(
    config: str | None = None,
    *,
    targets: Sequence[str] = (),
    rules: str | None = None,
    interval: str = "1s",
    arguments: Sequence[str] = (),
) -> Iterator[Prometheus]:
    """Start a server on a private port and stop it at the end.

    Args:
        config: A whole prometheus.yml; else one is made from the rest.
        targets: host:port pairs whose /metrics to scrape, as job `tachograph`.
        rules: A rules file.
        interval: Of scrapes and of rule evaluation.
        arguments: Further command-line arguments.
    """
    program = parts.program("prometheus")
    with tempfile.TemporaryDirectory(prefix="tachograph-prometheus-") as name:
        directory = Path(name)
        if rules is not None:
            (directory / "rules.yml").write_text(rules)
        if config is None:
            config = json.dumps(
                {
                    "global": {"scrape_interval": interval, "evaluation_interval": interval},
                    "rule_files": [str(directory / "rules.yml")] if rules is not None else [],
                    "scrape_configs": [{"job_name": "tachograph", "static_configs": [{"targets": list(targets)}]}],
                }
            )
        (directory / "prometheus.yml").write_text(config)  # JSON is YAML
        port = free_port()
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    program,
                    f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--enable-feature=exemplar-storage",
                    *arguments,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        server = Prometheus(f"http://127.0.0.1:{port}", directory, process)
        try:
            poll(lambda: _is_ready(server), 60, "Prometheus becomes ready")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_ready(server: Prometheus) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(f"Prometheus ended with {server.process.returncode}:\n{server.log()}")
    try:
        with urllib.request.urlopen(f"{server.url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
