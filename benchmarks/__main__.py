"""`python -m benchmarks`: run the truth and the cost benchmark, print both tables, and keep them as JSON and Markdown.

Under ten minutes on two cores; `--quick` under one, environments aside. `--publish` writes docs/benchmarks.md too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import core, report
from benchmarks.environments import BY_NAME, CLIENTS, PEERS, ROOT, python_of, versions

PAGE = ROOT / "docs" / "benchmarks.md"
QUICK_TRUTH = ("tachograph_spans", "otel")
QUICK_COST = ("tachograph_spans", "otel")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="ours and one peer")
    parser.add_argument("--only", choices=("truth", "cost"), help="one of the two")
    parser.add_argument("--peer", action="append", choices=sorted(BY_NAME), help="only these (repeat)")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "benchmarks", help="where the files go")
    parser.add_argument("--publish", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--render", action="store_true", help="run nothing: make the pages out of the last run's JSON")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    results = _load(asked.out)
    if not asked.render:
        began = time.monotonic()
        _run(asked, results)
        print(f"Took {time.monotonic() - began:.0f} s.", flush=True)
    before = PAGE.read_text("utf-8") if PAGE.is_file() else ""
    page = _page(results, before)
    if core.START in before:
        page = core.put_into(page, core.lines_of(before))
    (asked.out / "benchmarks.md").write_text(page, "utf-8")
    print(page)
    if asked.publish:
        PAGE.write_text(page, "utf-8")
    print(f"Written to {asked.out}: benchmarks.md, and truth.json, cost.json with everything behind it.")
    return 0


def _run(asked: argparse.Namespace, results: dict[str, Any]) -> None:
    machine = _machine()
    began = time.monotonic()
    if asked.only != "cost":
        from benchmarks.truth import judge

        names = asked.peer or (QUICK_TRUTH if asked.quick else judge.PEERS)
        print("Truth:", flush=True)
        results["truth"] = {"machine": machine, "peers": judge.run(names, say=_say)}
        _save(asked.out, "truth", results["truth"])
    if asked.only != "truth":
        from benchmarks.overhead import alone, measure

        names = asked.peer or (QUICK_COST if asked.quick else [peer.name for peer in PEERS])
        print(f"Cost ({time.monotonic() - began:.0f} s so far):", flush=True)
        results["cost"] = {
            "machine": machine,
            "alone": {
                "imports": alone.imports(3 if asked.quick else 7),
                "scrapes": alone.scrapes(3 if asked.quick else 9),
            },
            "peers": measure.measure(list(names), quick=asked.quick, say=_say),
        }
        _save(asked.out, "cost", results["cost"])
    results["versions"] = _versions(
        [*results.get("truth", {}).get("peers", ()), *results.get("cost", {}).get("peers", ())]
    )
    _save(asked.out, "versions", results["versions"])


def _say(line: str) -> None:
    print(line, flush=True)


def _load(out: Path) -> dict[str, Any]:
    return {
        name: json.loads((out / f"{name}.json").read_text("utf-8"))
        for name in ("truth", "cost", "versions")
        if (out / f"{name}.json").is_file()
    }


def _save(out: Path, name: str, data: Any) -> None:
    (out / f"{name}.json").write_text(json.dumps(data, indent=1), "utf-8")


def _machine() -> dict[str, Any]:
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            processor = next(
                (line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), processor
            )
    except OSError:
        pass  # not Linux: what platform says stays
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor,
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else [],
    }


def _versions(names: list[str]) -> dict[str, dict[str, str]]:
    found = {}
    for name in dict.fromkeys(names):
        peer = BY_NAME[name]
        packages = {*CLIENTS, *(required.partition("[")[0] for required in peer.requires)} - {"."}
        if "." in peer.requires:
            packages.add("tachograph")
        try:
            found[name] = versions(python_of(peer), tuple(sorted(packages)))
        except RuntimeError as error:
            found[name] = {"could not be installed": str(error)}
    return found


def _listed(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))


def _about(machine: dict[str, Any]) -> str:
    load = ", ".join(map(str, machine["load"]))
    said = (
        f"{machine['date']}, Python {machine['python']}, {machine['system']}, {machine['processor']}, "
        f"{machine['cores']} cores (load before: {load})."
    )
    if machine["load"] and machine["load"][0] > machine["cores"]:
        said += (
            " **The machine was busy with other work: read microseconds as an order of magnitude, and small "
            "differences not at all.** Verdicts and bytecodes are as good as ever."
        )
    return said


def _lines_of(page: str, title: str) -> list[str]:
    """A part of a page, with its heading: what was not measured today stays as it was, with its date."""
    _, heading, rest = page.partition(f"\n## {title}\n")
    return ["", f"## {title}", *rest.partition("\n## ")[0].rstrip().splitlines()] if heading else []


def _page(results: dict[str, Any], before: str) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench` (`python -m benchmarks --publish`); anyone can run it. Every peer runs in a virtual "
        "environment of its own, content recording off, everything else as its documentation says.",
    ]
    if "truth" in results:
        truth = results["truth"]
        lines += ["", f"## {_TRUTH}", "", _about(truth["machine"]), "", *_HOW_TRUTH, ""]
        lines += [f"Watched: {_listed(results['versions'].get('tachograph_spans', {}))}.", ""]
        lines += report.truth_summary(truth["peers"])
        lines += ["", *report.truth_words(truth["peers"])]
        lines += ["", "What was asked, what is true, and what each said. A dash: not said at all. Bold: wrong.", ""]
        lines += report.truth_table(truth["peers"])
    else:
        lines += _lines_of(before, _TRUTH)
    if "cost" in results:
        cost = results["cost"]
        lines += ["", f"## {_COST}", "", _about(cost["machine"]), "", *_HOW_COST, ""]
        lines += report.cost_tables(cost["peers"])
        lines += ["", *report.alone_tables(cost["alone"])]
        lines += ["", "What we wanted to cost, and what we cost here; a line that is not met says no:", ""]
        lines += report.budget_table(cost)
        cheaper = report.cheaper_words(cost["peers"])
        lines += [
            "",
            "Where a peer that emits the same kinds of signals costs less than ours (marked in the tables):",
            "",
        ]
        lines += cheaper or ["- nowhere"]
    else:
        lines += _lines_of(before, _COST)
    if "versions" in results:
        lines += ["", "## Versions", "", "| watched by | packages |", "|---|---|"]
        for name, found in results["versions"].items():
            said = ", ".join(f"{package} {version}" for package, version in sorted(found.items()))
            lines.append(f"| {BY_NAME[name].title} | {report._one_line(said) if len(said) < 120 else said} |")
        titles = {f"| {BY_NAME[name].title}" for name in results["versions"]}
        kept = _lines_of(before.partition(core.START)[0], "Versions")[5:] if "cost" not in results else []
        lines += [line for line in kept if line.split(" | ")[0] not in titles]
    return "\n".join(lines) + "\n"


_TRUTH, _COST = "Are the numbers right?", "What does watching cost?"
_HOW_TRUTH = (
    "The real client libraries talk to simulators of the vendors that know exactly what they served. A peer's answer "
    "is read out of any span, event or metric it emits, under any name that could be meant; one right reading is "
    "enough. Ours is read strictly: metrics, ledger and span must each be right. `truth.json` has everything that each "
    "peer emitted in each scenario, so every verdict can be traced. Each peer is in its best configuration: "
    "OpenTelemetry, Logfire and OpenLIT watch HTTP requests too (retries cannot be counted otherwise), OpenLIT gets a "
    "price list with the right prices, Logfire genai-prices, Langfuse OpenInference for Gemini. No peer is wrong "
    "for a number that it marks as another (a first chunk, an HTTP span), nor for spans of one answer read "
    "twice that name it.",
)
_HOW_COST = (
    "CPU microseconds added to one call in its own thread, and in parentheses times the bare call; what other "
    "threads take for it (batches written, spans exported) has a column of its own, and the 100 tasks have it in. "
    "One process imports the clients and forks a bare and a watched one; they take turns in blocks of ten calls, "
    "order swapped, on one core, over a transport that answers from memory so that the client's real code runs. A "
    "figure is the difference of their lower quartiles, the median of three such pairs; in brackets the lowest and "
    "the highest. A chunk is the slope between streams of 20 and 500. Bytecodes do not depend on the machine. The "
    "line of the bare SDK is bare against bare: the noise. The MCP server is in the same process: once spans are "
    "on, the SDK makes one for its half of the call, too, under every watcher: about half of the SDK's own line is in "
    "every line with spans.",
)


if __name__ == "__main__":
    sys.exit(main())
