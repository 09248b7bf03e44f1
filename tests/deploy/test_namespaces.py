"""docs/deploying.md where hosts matter: applications, a ledger writer and Prometheus in network namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.parts import program
from support.prometheus import poll
from tachograph.cli import main

API, WORKER = "10.213.7.1", "10.213.8.1"
MONITOR = {API: "10.213.7.2", WORKER: "10.213.8.2"}
"""The monitoring host's address in each application's network."""
CODE = """
import sys
import tachograph
recorder = tachograph.configure()
call = recorder.start_llm_call("openai", "gpt-5"); call.begin_attempt().end("success"); call.finish("success")
recorder.settle()
print("ready", flush=True)
sys.stdin.read()
"""
ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + (sys.argv[2:] or [""])[0]})
try:
    print(urllib.request.urlopen(request, timeout=5).read().decode())
except urllib.error.HTTPError as error:
    sys.exit(f"status {error.code}")
"""
TOKEN = "a-token-of-thirty-two-characters"


def ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def hosts() -> Iterator[dict[str, str]]:
    """Three namespaces by address, `monitor` among them: a cable from it to each application's host."""
    program("ip")
    names = {where: f"tg-{number}-{os.getpid()}" for number, where in enumerate(("monitor", API, WORKER))}
    for name in names.values():
        made = ip("netns", "add", name)
        if made.returncode:
            pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()} (root is needed)")
    try:
        for number, (there, here) in enumerate(MONITOR.items()):
            ends = (names["monitor"], f"tg{number}", here), (names[there], "tg0", there)
            cable = ip(
                "link", "add", ends[0][1], "netns", ends[0][0], "type", "veth", "peer", "tg0", "netns", ends[1][0]
            )
            assert cable.returncode == 0, cable.stderr
            for name, device, address in ends:
                assert ip("-n", name, "address", "add", f"{address}/24", "dev", device).returncode == 0
                assert ip("-n", name, "link", "set", device, "up").returncode == 0
        for name in names.values():
            assert ip("-n", name, "link", "set", "lo", "up").returncode == 0
        yield names
    finally:
        for name in names.values():
            ip("netns", "delete", name)


@contextmanager
def running(host: str, *command: str, ready: str = "", **environ: str) -> Iterator[subprocess.Popen[str]]:
    """A program on a host, until the end of the block; it has said `ready` when the block begins."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", host, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if ready else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environ},
        text=True,
    )
    try:
        if process.stdout is not None:
            assert ready in process.stdout.readline()
        yield process
    finally:
        process.terminate()
        process.wait(30)


def application(host: str, **environ: str) -> Any:
    settings = {"TACHOGRAPH_LEDGER_ENABLED": "no", "TACHOGRAPH_METRICS_PORT": "9464", **environ}
    return running(host, sys.executable, "-c", CODE, ready="ready", **settings)


def monitoring(host: str, folder: Path, config: dict[str, Any]) -> Any:
    folder.mkdir(exist_ok=True)
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(config), "utf-8")  # JSON is YAML
    storage = f"--storage.tsdb.path={folder / 'data'}"
    listen = "--web.listen-address=127.0.0.1:9090"
    return running(host, program("prometheus"), f"--config.file={path}", storage, listen)


def fetch(host: str, url: str, token: str = "") -> subprocess.CompletedProcess[str]:
    command = ["ip", "netns", "exec", host, sys.executable, "-c", ASK, url, token]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def ask(host: str, path: str, port: int = 9090, token: str = "") -> dict[str, Any]:
    """`data` of Prometheus's API on that host; empty while it does not answer."""
    asked = fetch(host, f"http://127.0.0.1:{port}/api/v1/{path}", token)
    return dict(json.loads(asked.stdout)["data"]) if asked.returncode == 0 else {}


def by_job(host: str, query: str) -> dict[str, float]:
    return {one["metric"]["job"]: float(one["value"][1]) for one in ask(host, f"query?query={query}").get("result", [])}


def test_another_host_scrapes_only_when_the_address_is_opened(hosts: dict[str, str], tmp_path: Path) -> None:
    job = {"job_name": "tachograph", "static_configs": [{"targets": [f"{API}:9464"]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}

    def health() -> str:
        (target,) = ask(hosts["monitor"], "targets").get("activeTargets") or [{"health": "unknown"}]
        return str(target["health"])

    with monitoring(hosts["monitor"], tmp_path / "prometheus", config):
        with application(hosts[API]):
            poll(lambda: health() == "down", 60, "the target is refused")
        with application(hosts[API], TACHOGRAPH_METRICS_ADDRESS="0.0.0.0"):
            poll(lambda: health() == "up", 60, "the target is scraped")


def test_two_jobs_and_an_external_writer_are_scraped_by_the_exported_configuration(
    hosts: dict[str, str], tmp_path: Path
) -> None:
    monitor, folder = hosts["monitor"], tmp_path / "monitoring/prometheus"
    assert main(["export", str(tmp_path / "monitoring"), "--job", "api|worker", "--only", "prometheus"]) == 0
    config = yaml.safe_load((folder / "prometheus.yml").read_text("utf-8"))
    config["global"]["scrape_interval"] = "1s"
    config.pop("alerting")
    targets = {"api": f"{API}:9464", "worker": f"{WORKER}:9464", "prometheus": "127.0.0.1:9090"}
    for job in config["scrape_configs"]:
        job |= {"static_configs": [{"targets": [targets[job["job_name"]]]}], "scrape_interval": "1s"}
    writer = {"job_name": "ledger-writer", "static_configs": [{"targets": [f"{API}:9466"]}]}
    config["scrape_configs"].append(writer)
    for path in (folder / "rules").glob("*.yaml"):
        path.write_text(path.read_text("utf-8").replace("interval: '30s'", "interval: '1s'"), "utf-8")
    opened = {"TACHOGRAPH_METRICS_ADDRESS": "0.0.0.0"}
    journal = {
        "TACHOGRAPH_LEDGER_ENABLED": "yes",
        "TACHOGRAPH_LEDGER_WRITER": "external",
        "TACHOGRAPH_LEDGER_DATA_DIR": str(tmp_path / "journal"),
        "TACHOGRAPH_LEDGER_URL": f"sqlite:///{tmp_path / 'usage.db'}",
    }
    command = ["-m", "tachograph", "ledger", "writer", "--metrics-port", "9466", "--metrics-address", "0.0.0.0"]
    with ExitStack() as stack:
        stack.enter_context(application(hosts[API], **opened, **journal))
        worker = stack.enter_context(application(hosts[WORKER], **opened))
        stack.enter_context(running(hosts[API], sys.executable, *command, **journal))
        stack.enter_context(monitoring(monitor, folder, config))
        everything = {"api": 1.0, "worker": 1.0, "ledger-writer": 1.0, "prometheus": 1.0}
        poll(lambda: by_job(monitor, "up") == everything, 60, "all four jobs up")
        calls = "llm_call_seconds_count{outcome=%22success%22}"
        assert by_job(monitor, calls) == {"api": 1.0, "worker": 1.0}
        written = "sum%20by%20(job)%20(llm_usage_persist_seconds_count{outcome=%22success%22})%20>%200"
        poll(lambda: by_job(monitor, written.replace(">", "%3E")) == {"ledger-writer": 1.0}, 60, "a record written")
        alert = "ALERTS{alertname=%22LLMMonitorTargetDown%22}"
        assert by_job(monitor, alert) == {}
        worker.kill()
        poll(lambda: by_job(monitor, alert) == {"worker": 1.0}, 60, "the alert about the second job")
        groups = ask(monitor, "rules")["groups"]
        assert {
            rule["name"]: rule["lastError"] for group in groups for rule in group["rules"] if "lastError" in rule
        } == {}


def test_an_application_pushes_over_otlp_to_another_host_with_the_token(hosts: dict[str, str], tmp_path: Path) -> None:
    monitor, address = hosts["monitor"], MONITOR[WORKER]
    command = ["-m", "tachograph", "console", "--listen", "0.0.0.0", "--port", "9465", "--allow-host", address]
    pushing = {
        "TACHOGRAPH_LEDGER_ENABLED": "no",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}:9465",
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{TOKEN}",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_SERVICE_NAME": "worker",
    }
    keeping = {"TACHOGRAPH_CONSOLE_TOKEN": TOKEN, "TACHOGRAPH_LEDGER_ENABLED": "no"}
    with ExitStack() as stack:
        stack.enter_context(running(monitor, sys.executable, *command, "--data-dir", str(tmp_path), **keeping))
        ready = f"http://{address}:9465/api/v1/query?query=1"
        poll(lambda: fetch(hosts[WORKER], ready, TOKEN).returncode == 0, 60, "the console answers the other host")
        assert "status 401" in fetch(hosts[WORKER], ready).stderr
        stack.enter_context(running(hosts[WORKER], sys.executable, "-c", CODE, ready="ready", **pushing))
        query = "query?query=llm_call_seconds_count{outcome=%22success%22}"

        def pushed() -> list[tuple[str, str]]:
            found = ask(monitor, query, 9465, TOKEN).get("result", [])
            return [(one["metric"]["job"], one["value"][1]) for one in found]

        poll(lambda: pushed() == [("worker", "1")], 60, "the pushed call")
