"""Off-host scraping, as docs/deploying.md has it: application and Prometheus on two hosts (network namespaces)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.parts import program
from support.prometheus import poll

APP, MONITOR = "10.213.7.1", "10.213.7.2"
CODE = """
import sys
import tachograph
recorder = tachograph.configure(ledger={"enabled": False})
call = recorder.start_llm_call("openai", "gpt-5"); call.begin_attempt().end("success"); call.finish("success")
recorder.settle()
print("ready", flush=True)
sys.stdin.read()
"""


def ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """Two namespaces with a cable between them."""
    names = f"tg-app-{os.getpid()}", f"tg-mon-{os.getpid()}"
    program("ip")
    for name in names:
        made = ip("netns", "add", name)
        if made.returncode:
            pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()} (root is needed)")
    try:
        assert (
            ip("link", "add", "tg0", "netns", names[0], "type", "veth", "peer", "tg0", "netns", names[1]).returncode
            == 0
        )
        for name, address in zip(names, (APP, MONITOR), strict=True):
            assert ip("-n", name, "address", "add", f"{address}/24", "dev", "tg0").returncode == 0
            assert ip("-n", name, "link", "set", "tg0", "up").returncode == 0
            assert ip("-n", name, "link", "set", "lo", "up").returncode == 0
        yield names
    finally:
        for name in names:
            ip("netns", "delete", name)


def inside(name: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", name, *command]


def test_another_host_scrapes_only_when_the_address_is_opened(hosts: tuple[str, str], tmp_path: Path) -> None:
    app, monitor = hosts

    def up(address: str | None) -> str:
        """Run the application with this metrics.address; the state of the monitoring host's target."""
        environ = {**os.environ, "TACHOGRAPH_METRICS_PORT": "9464"}
        if address:
            environ["TACHOGRAPH_METRICS_ADDRESS"] = address
        process = subprocess.Popen(
            inside(app, sys.executable, "-c", CODE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            text=True,
        )
        config = tmp_path / "prometheus.yml"
        job = {"job_name": "tachograph", "static_configs": [{"targets": [f"{APP}:9464"]}]}
        config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
        server = subprocess.Popen(
            inside(
                monitor,
                program("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / (address or 'loopback')}",
                "--web.listen-address=127.0.0.1:9090",
            ),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def health() -> str:
            asked = subprocess.run(
                inside(monitor, sys.executable, "-c", ASK), capture_output=True, text=True, check=False, timeout=30
            )
            found = asked.stdout.strip()
            return found if found in ("up", "down") else ""

        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            return str(poll(health, 60, "the target's health"))
        finally:
            server.terminate()
            server.wait(30)
            process.kill()
            process.wait(30)

    assert up(None) == "down"
    assert up("0.0.0.0") == "up"


ASK = """
import json, urllib.request
data = json.load(urllib.request.urlopen("http://127.0.0.1:9090/api/v1/targets", timeout=5))
print(data["data"]["activeTargets"][0]["health"])
"""
