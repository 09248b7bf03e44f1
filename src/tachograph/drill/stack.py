"""A throw-away Prometheus and Alertmanager, with the exported rules and routes, watching one target."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tachograph.catalogue.export import alertmanager, yaml
from tachograph.drill import tools
from tachograph.drill.receiver import Receiver
from tachograph.errors import TachographError

_RECEIVERS: Final = ("page", "ticket", "note", "watchdog")
_READY_SECONDS: Final = 30.0
_DISCOVERED: Final = "targets.json"


class StackError(TachographError):
    """Prometheus or Alertmanager did not start, or stopped."""


@dataclass(frozen=True, slots=True)
class PrometheusAlert:
    """One alert as Prometheus sees it now."""

    name: str
    labels: tuple[tuple[str, str], ...]
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """How often things happen, in seconds; the defaults are those of the export."""

    scrape: float = 15
    evaluation: float = 30
    group_wait: float = 30
    group_interval: float = 300


class Stack:
    """Runs inside `with`; both programs and their data are gone at its end.

    Args:
        rules: Rule files: name to text.
        targets: Address (`host:port`) to scrape, by job.
        intervals: How often it scrapes, evaluates and notifies.
        identity: Identity labels of the settings, for the routes.
        with_past: It takes samples of the past by remote write, and finds the targets that `discover` names.
        pushed: It also takes metrics over OTLP, at `otlp_url`, and hands them to Prometheus by remote write.

    Attributes:
        receiver: What Alertmanager would have sent to people.
        otlp_url: Where metrics are pushed to: a value for OTEL_EXPORTER_OTLP_METRICS_ENDPOINT.
    """

    def __init__(
        self,
        rules: Mapping[str, str],
        targets: Mapping[str, str],
        intervals: Intervals,
        *,
        identity: tuple[str, ...] = ("job",),
        with_past: bool = False,
        pushed: bool = False,
    ) -> None:
        self._identity = identity
        self._with_past = with_past
        self._pushed = pushed
        self._rules = rules
        self._targets = targets
        self._intervals = intervals
        self.receiver = Receiver()
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        programs = tools.find("prometheus"), tools.find("alertmanager")
        try:
            self._start(*programs)
        except BaseException:
            self._closing.close()
            raise
        return self

    def _start(self, prometheus: str, manager: str) -> None:
        directory = Path(tempfile.mkdtemp(prefix="tachograph-drill-"))
        self._closing.callback(shutil.rmtree, directory, ignore_errors=True)
        self.directory = directory
        self.receiver.start()
        self._closing.callback(self.receiver.close)
        ports = self._closing.enter_context(free_port()), self._closing.enter_context(free_port())
        self.prometheus_url, self.manager_url = (f"http://127.0.0.1:{port}" for port in ports)
        self._write(*ports)
        self._run(
            [
                manager,
                f"--config.file={directory / 'alertmanager.yml'}",
                f"--storage.path={directory / 'alertmanager'}",
                f"--web.listen-address=127.0.0.1:{ports[1]}",
                "--cluster.listen-address=",
            ],
            "alertmanager",
            self.manager_url,
        )
        self._run(
            [
                prometheus,
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{ports[0]}",
                *(["--web.enable-remote-write-receiver"] if self._pushed or self._with_past else []),
            ],
            "prometheus",
            self.prometheus_url,
        )
        self._wait_for_manager()
        if self._pushed:
            from tachograph.drill.bridge import Bridge

            bridge = Bridge(self.prometheus_url)
            bridge.start()
            self._closing.callback(bridge.close)
            self.otlp_url = bridge.url

    def _write(self, prometheus_port: int, manager_port: int) -> None:
        folder = self.directory / "rules"
        folder.mkdir()
        for name, text in self._rules.items():
            (folder / name).write_text(text, "utf-8")
        every = self._intervals
        jobs: list[dict[str, Any]] = [
            {"job_name": job, "static_configs": [{"targets": [target]}]}
            for job, target in {**self._targets, "prometheus": f"127.0.0.1:{prometheus_port}"}.items()
        ]
        configuration: dict[str, Any] = {
            "global": {"scrape_interval": _spell(every.scrape), "evaluation_interval": _spell(every.evaluation)},
            "rule_files": [str(folder / "*.yaml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{manager_port}"]}]}]},
            "scrape_configs": jobs,
        }
        if self._with_past:
            self.discover([])
            jobs.append({"job_name": "discovered", "file_sd_configs": [{"files": [str(self.directory / _DISCOVERED)]}]})
            configuration["storage"] = {"tsdb": {"out_of_order_time_window": "30d"}}
        (self.directory / "prometheus.yml").write_text(yaml.dump(configuration), "utf-8")
        routes = alertmanager.config(
            *(self.receiver.url(name) for name in _RECEIVERS),
            group_wait=_spell(every.group_wait),
            group_interval=_spell(every.group_interval),
            identity=self._identity,
        )
        (self.directory / "alertmanager.yml").write_text(yaml.dump(routes), "utf-8")

    def discover(self, targets: Sequence[Mapping[str, Any]]) -> None:
        """Scrape these from now on: entries of Prometheus's file discovery."""
        new = self.directory / f"{_DISCOVERED}.new"
        new.write_text(json.dumps(targets), "utf-8")
        new.replace(self.directory / _DISCOVERED)

    def _run(self, command: list[str], name: str, url: str) -> None:
        log = self._closing.enter_context((self.directory / f"{name}.log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self._closing.callback(_end, process)
        deadline = time.monotonic() + _READY_SECONDS
        while not self._is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = (self.directory / f"{name}.log").read_text("utf-8", "replace")[-1500:]
                raise StackError(f"{name} did not start:\n{tail}", do="Correct what it complains of, and try again.")
            time.sleep(0.05)

    def _wait_for_manager(self) -> None:
        """Prometheus finds Alertmanager some seconds after it is ready; an alert before that is sent a minute later."""
        deadline = time.monotonic() + _READY_SECONDS
        while not self.get("alertmanagers")["activeAlertmanagers"]:
            if time.monotonic() > deadline:
                raise StackError("Prometheus does not find Alertmanager", do="Try again on a less busy machine.")
            time.sleep(0.05)

    @staticmethod
    def _is_ready(url: str) -> bool:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    def get(self, path: str, **parameters: str) -> Any:
        """`data` of a call to Prometheus's API."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.prometheus_url}/api/v1/{path}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError as error:
            raise StackError(f"Prometheus does not answer: {error}", where=path) from error

    def alerts(self) -> list[PrometheusAlert]:
        """Alerts that are pending or firing now."""
        return [
            PrometheusAlert(
                alert["labels"]["alertname"],
                tuple(sorted((name, value) for name, value in alert["labels"].items() if name != "alertname")),
                alert["state"],
            )
            for alert in self.get("alerts")["alerts"]
        ]


def _spell(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port of 127.0.0.1 that a server may be given, and that is not given out as a free port meanwhile.

    On Linux a socket that never listens holds it: where both allow the address to be used again, a server can bind it
    all the same. Elsewhere that would be refused, and nothing holds it.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        port = int(holder.getsockname()[1])
        if sys.platform != "linux":
            holder.close()
        yield port
