"""How long a real Prometheus evaluates the whole export: `make bench-rules` (200 models, 100 tools, 3 replicas).

Of the calls one in a hundred fails: a fleet that is well. With `--failing` two in three do, so that alerts fire for
every model and tool: the expressions are the same, and each alert's labels and texts are made besides.

Three replicas are scraped as they are in production: each serves the exposition of a real recorder whose calls went to
so many models in every outcome, with counters that grow. Their past is written first by remote write: one hour of raw
samples for the families that rules read, and the recorded rates as far back as rules look at them. Then every rule
group of the export is evaluated at its own interval, and Prometheus's own measurements are read.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tachograph import catalogue, runtime
from tachograph.catalogue.durations import seconds
from tachograph.catalogue.export.prometheus import rule_files
from tachograph.catalogue.rules import RecordingRule, RuleGroup
from tachograph.drill import remote_write, tools
from tachograph.drill.stack import free_port
from tachograph.records import Cost, Usage
from tachograph.settings import load
from tachograph.signals.exposition import write

PROVIDERS: Final = ("openai", "anthropic", "gemini", "bedrock", "mistral")
SCRAPE, EVALUATE = 15, 30
_LINE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_MULTIPLIED: Final = re.compile(r'^([^#\n]*outcome="success"[^\n]*) ([^ \n]+)$', re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
Labels = tuple[tuple[str, str], ...]


WELL: Final = 198
"""Successes to one error and one timeout."""


def exposition(models: int, mcp_tools: int, successes: int = WELL) -> str:
    """What /metrics of one busy replica shows: every model and tool in every usual outcome."""
    recorder = runtime.build(load({"ledger": {"enabled": False}}, environ={}, read_file=False))
    for index in range(models):
        for outcome, error in (("success", None), ("error", "server_error"), ("timeout", "timeout")):
            call = recorder.start_llm_call(PROVIDERS[index % len(PROVIDERS)], f"model-{index}")
            call.begin_attempt().end(outcome, error)
            call.usage, call.cost = Usage(1000, 200, {"cache_read": 500}), Cost(10_000_000, "priced", "benchmark")
            call.finish(outcome, error)
    for index in range(mcp_tools):
        for outcome, kind in (("success", None), ("error", "execution")):
            recorder.start_tool_call(f"server-{index % 20}", f"tool-{index}").finish(outcome, kind)
    recorder.settle()
    return _MULTIPLIED.sub(lambda line: f"{line[1]} {float(line[2]) * successes:g}", write(recorder.metrics.collect()))


def parsed(text: str) -> Iterator[tuple[str, Labels, float]]:
    """Name, labels and value of every sample line."""
    for line in text.splitlines():
        found = _LINE.match(line)
        if found:
            yield found[1], tuple(_LABEL.findall(found[2] or "")), float(found[3])


class Replica:
    """Serves the exposition with counters that grow with time."""

    def __init__(self, text: str, began: float, period: int) -> None:
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
        self._lines = [(head, float(value)) for head, value in lines]

        replica = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                grown = 1 + (time.time() - began) / period
                body = "".join(f"{head} {value * grown:.6g}\n" for head, value in replica._lines).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def history(
    text: str, groups: list[RuleGroup], instances: list[str], now: float, began: float, period: int
) -> Iterator[tuple[Labels, list[tuple[int, float]]]]:
    """Raw samples of what rules read, and recorded series, as far back as rules look."""
    read = "\n".join(rule.expression for group in groups for rule in group.rules)
    for name, labels, value in parsed(text):
        back = _looks_back(read, name)
        if back:
            for instance in instances:
                where: Labels = (("__name__", name), *labels, ("instance", instance), ("job", "tachograph"))
                yield (
                    where,
                    [
                        (round(at * 1000), value * (1 + (at - began) / period))
                        for at in range(round(now - back), round(now) - SCRAPE, SCRAPE)
                    ],
                )
    for rule in (rule for group in groups for rule in group.rules if isinstance(rule, RecordingRule)):
        if "_alone:" in rule.name or "_after:" in rule.name:
            continue  # these exist only where every call fails
        for labels in _level(text, rule.name.split(":")[0]):
            times = range(round(now - max(_looks_back(read, rule.name), 300)), round(now) - EVALUATE, EVALUATE)
            yield (
                (("__name__", rule.name), *labels, ("job", "tachograph")),
                [(at * 1000, 0.3 + 0.2 * math.sin(at / 900)) for at in times],
            )


@functools.cache
def _looks_back(read: str, name: str) -> float:
    """How many seconds back rules look at a series, three days at most and never less than five minutes; 0: not at all.

    A week ago is left out: an offset reads what it finds there, as it reads the last minutes.
    """
    found = re.findall(rf"(?<![\w:]){name}(?![\w:])(?:{{[^}}]*}})?(?:\[(\w+))?", read)
    windows = [seconds(window) if window else 0.0 for window in found]
    return min(76 * 3600.0, max(windows) + 300) if windows else 0.0


def _level(text: str, level: str) -> list[Labels]:
    """The label sets of a level, `provider_model_outcome` for example, as the exposition has them."""
    names = {
        "provider": ("provider",),
        "server_id": ("server_id",),
        "tool": ("server_id", "tool_name"),
        "server_id_outcome": ("server_id", "outcome"),
        "tool_outcome": ("server_id", "tool_name", "outcome"),
        "provider_model": ("provider", "model"),
        "provider_model_outcome": ("provider", "model", "outcome"),
        "provider_model_error_type": ("provider", "model", "error_type"),
    }[level]
    every = {tuple((name, dict(labels).get(name, "")) for name in names) for _, labels, _ in parsed(text)}
    return sorted(labels for labels in every if all(value for _, value in labels))


def measure(models: int, mcp_tools: int, replicas: int, evaluations: int, failing: bool) -> dict[str, Any]:
    """Run the whole thing; seconds by group and by rule."""
    text, groups = exposition(models, mcp_tools, 1 if failing else WELL), catalogue.rule_groups()
    period = SCRAPE if failing else 4 * SCRAPE
    series = sum(1 for _ in parsed(text))
    now = time.time()
    began = now - 2 * 3600
    served = [Replica(text, began, period) for _ in range(replicas)]
    with tempfile.TemporaryDirectory(prefix="tachograph-rules-") as name, free_port() as port:
        directory = Path(name)
        (directory / "prometheus.yml").write_text("global: {}\n", "utf-8")
        url = f"http://127.0.0.1:{port}"
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    tools.find("prometheus"),
                    f"--config.file={directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--web.enable-remote-write-receiver",
                    "--web.enable-lifecycle",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _until(lambda: b"Ready" in _get(f"{url}/-/ready"), 60)
            print(f"{series} series a replica; writing the past ...", file=sys.stderr)
            remote_write.write(url, history(text, groups, [one.address for one in served], now, began, period))
            for file, rules in rule_files(groups).items():
                (directory / file).write_text(rules, "utf-8")
            (directory / "prometheus.yml").write_text(json.dumps(_configuration(directory, served)), "utf-8")
            urllib.request.urlopen(urllib.request.Request(f"{url}/-/reload", method="POST"), timeout=60).read()
            return {"series": series, **_watch(url, evaluations), "samples": _samples(url, groups)}
        finally:
            process.terminate()
            process.wait(60)
            for one in served:
                one.close()


def _configuration(directory: Path, served: list[Replica]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{EVALUATE}s"},
        "rule_files": [str(directory / "tachograph-*.yaml")],
        "scrape_configs": [
            {"job_name": "tachograph", "static_configs": [{"targets": [one.address for one in served]}]},
        ],
    }


def _watch(url: str, evaluations: int) -> dict[str, Any]:
    """Durations of each group's evaluations, and of each rule's last one."""
    groups: dict[str, dict[str, float]] = defaultdict(dict)
    rules: Counter[str] = Counter()
    while min((len(times) for times in groups.values()), default=0) < evaluations:
        time.sleep(2)
        for group in json.loads(_get(f"{url}/api/v1/rules"))["data"]["groups"]:
            if not group["lastEvaluation"].startswith("0001"):
                groups[group["name"]][group["lastEvaluation"]] = group["evaluationTime"]
                for number, rule in enumerate(group["rules"]):
                    rules[f"{group['name']}[{number}] {rule['name']}"] = rule["evaluationTime"]
    return {
        "groups": {name: list(times.values()) for name, times in groups.items()},
        "rules": dict(rules.most_common(15)),
        "failing": _failing(url),
    }


def _samples(url: str, groups: list[RuleGroup]) -> int:
    """Samples that one evaluation of every rule reads: the measure that the machine's load does not change."""
    total = 0
    for rule in (rule for group in groups for rule in group.rules):
        query = urllib.parse.urlencode({"query": rule.expression, "stats": "true"})
        total += json.loads(_get(f"{url}/api/v1/query?{query}"))["data"]["stats"]["samples"]["totalQueryableSamples"]
    return total


def _failing(url: str) -> list[str]:
    found = json.loads(_get(f"{url}/api/v1/rules"))["data"]["groups"]
    return [
        f"{rule['name']}: {rule['lastError']}" for group in found for rule in group["rules"] if rule.get("lastError")
    ]


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def _until(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit("Prometheus did not start")
        time.sleep(0.1)


def main() -> int:
    """Measure and print; 1 when a whole evaluation takes a second or more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--tools", type=int, default=100)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=8, help="of each group")
    parser.add_argument("--failing", action="store_true", help="two calls in three fail, of every model and tool")
    args = parser.parse_args()
    found = measure(args.models, args.tools, args.replicas, args.evaluations, args.failing)
    print(f"{args.models} models, {args.tools} tools, {args.replicas} replicas of {found['series']} series each")
    print(f"{'group':24} {'median s':>9} {'least s':>9}")
    medians, least = 0.0, 0.0
    for name, times in found["groups"].items():
        middle = sorted(times)[len(times) // 2]
        medians, least = medians + middle, least + min(times)
        print(f"{name:24} {middle:9.3f} {min(times):9.3f}")
    print(f"{'all groups':24} {medians:9.3f} {least:9.3f}")
    print(f"one evaluation of every rule reads {found['samples']:,} samples")
    print("slowest rules:")
    for name, took in found["rules"].items():
        print(f"  {took:.3f} s  {name}")
    for problem in found["failing"]:
        print(f"fails: {problem}")
    return 1 if medians >= 1 or found["failing"] else 0


if __name__ == "__main__":
    sys.exit(main())
