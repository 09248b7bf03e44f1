"""Change the arithmetic of a room a little, many times, and see whether its tests notice (mutation testing, by mutmut).

`make mutants ARGS="vendors"` does one room, `make mutants` all. Each room gets a copy of the tree below
artifacts/mutants/, so rooms can run side by side. `--sample 150` draws so many mutants of each room, the same ones each
time, and another 150 with `--draw 2`; `--minutes 20` stops there. A mutant meets only the tests that call its function,
in a process that is forked from one that has imported them. The tool prints a table, and writes what survived, with its
diff, to artifacts/mutants/ROOM.txt. docs/mutants.md has the figures, and the reasons why the survivors survive.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
COPIES = ROOT / "artifacts" / "mutants"
SOURCE = "src/tachograph"


class Room(NamedTuple):
    """What is changed, and the tests that have to notice."""

    files: tuple[str, ...]
    """Globs below src/tachograph."""
    tests: tuple[str, ...]
    """Test files and folders below tests."""


ROOMS: dict[str, Room] = {
    "vendors": Room(
        ("vendors/*",),
        (
            "vendors",
            "pricing",
            "llm/test_endings.py",
            "llm/test_providers.py",
            "llm/test_provoked_categories.py",
            "instrument/test_openai.py",
            "instrument/test_compatible_servers.py",
            "instrument/test_bedrock.py",
            "instrument/test_wire.py",
            "instrument/test_gemini_batches.py",
        ),
    ),
    "pricing": Room(("pricing/*",), ("pricing",)),
    "cells": Room(
        ("signals/cells.py", "signals/registry.py", "signals/exposition.py", "signals/multiprocess.py"),
        (
            "signals/test_registry.py",
            "signals/test_bounds.py",
            "signals/test_exposition.py",
            "signals/test_http.py",
            "signals/test_prometheus.py",
            "signals/test_multiprocess.py",
            "signals/test_truth.py",
        ),
    ),
    "journal": Room(
        ("usage/journal.py", "usage/frames.py", "usage/row.py", "tape/ring.py", "tape/tape.py"),
        (
            "tape",
            "usage/test_damage.py",
            "usage/test_interleavings.py",
            "usage/test_hand_over.py",
            "usage/test_ledger.py",
            "usage/test_power_loss.py",
        ),
    ),
    "rates": Room(
        ("console/promql/*",),
        ("console/test_promqltest.py", "console/test_engine.py", "console/test_query_limits.py"),
    ),
    "reconcile": Room(
        ("usage/reconcile/*",),
        (
            "usage/test_reconcile.py",
            "usage/test_bill_arithmetic.py",
            "usage/test_bill_causes.py",
            "usage/test_bill_keys.py",
            "usage/test_bill_readers.py",
            "usage/test_bill_cause_texts.py",
            "usage/test_vendor_limits.py",
            "usage/test_focus.py",
        ),
    ),
    "budgets": Room(
        ("usage/budgets/*",),
        (
            "usage/test_budgets.py",
            "usage/test_budget_arithmetic.py",
            "usage/test_budget_reservations.py",
            "usage/test_reserve.py",
            "usage/test_budget_fleet.py",
        ),
    ),
    "rules": Room(
        (
            "catalogue/rules.py",
            "catalogue/recordings.py",
            "catalogue/durations.py",
            "catalogue/alerts/*",
            "console/rules.py",
            "usage/reports/forecast.py",
            "usage/waste/*",
        ),
        (
            "catalogue/test_goldens.py",
            "catalogue/test_each_alert.py",
            "catalogue/test_required_rules.py",
            "catalogue/test_settings.py",
            "console/test_rules.py",
            "usage/test_forecast.py",
            "usage/test_waste.py",
        ),
    ),
}
"""The rooms that calculate: an error there is a wrong number and no exception."""

KILLED = (1, 3, -24, 24, 152, 255, 36, -11, -9)
"""mutmut's exit codes of a mutant that tests noticed: they failed, broke off, or took far too long."""
SURVIVED, UNTESTED = 0, 33
MUTMUT = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"{', '.join(ROOMS)}: all without one")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants of each room")
    parser.add_argument("--draw", type=int, default=1, help="which N: the same number draws the same ones")
    parser.add_argument("--minutes", type=float, help="stop after so many minutes")
    parser.add_argument("--children", type=int, default=os.cpu_count(), help="processes for a room")
    parser.add_argument("--together", action="store_true", help="all rooms side by side")
    asked = parser.parse_args()
    rooms = asked.rooms or list(ROOMS)
    if unknown := sorted(set(rooms) - set(ROOMS)):
        parser.error(f"there is no room {unknown[0]}; rooms: {', '.join(ROOMS)}")
    if asked.together:
        with ThreadPoolExecutor(len(rooms)) as pool:
            chosen = dict(zip(rooms, pool.map(lambda room: run(room, asked), rooms), strict=True))
    else:
        chosen = {room: run(room, asked) for room in rooms}
    print(f"{'room':<12}{'mutants':>9}{'tried':>7}{'killed':>8}{'survived':>10}{'untested':>10}{'killed':>8}")
    worst = 1.0
    for room in rooms:
        worst = min(worst, report(room, chosen[room]))
    return 0 if worst >= 0.9 else 1


def run(room: str, asked: argparse.Namespace) -> set[str] | None:
    """Change the room and run its tests; the names of the mutants that were drawn, or None for all."""
    copy = COPIES / room
    prepare(room, copy)
    command = [*MUTMUT, "run", "--max-children", str(asked.children)]
    ends = None if asked.minutes is None else time.monotonic() + asked.minutes * 60
    if asked.sample is None:
        finish(room, command, ends)
        return None
    finish(room, [*command, "none of them"], ends)  # makes the mutants, and notes which tests call which function
    tested = tests_of(copy)
    drawn = sorted(verdicts(copy), key=lambda name: hashlib.sha256(f"{asked.draw} {name}".encode()).digest())
    drawn = drawn[: asked.sample]
    names = [name for name in drawn if tested.get(name.partition("__mutmut_")[0])]
    if names:
        finish(room, [*command, *names], ends)
    return set(drawn)


def prepare(room: str, copy: Path) -> None:
    """Copy the tree, and write mutmut's configuration into it."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.with_suffix(".log").unlink(missing_ok=True)
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True
    )
    names = listed.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in walk(ROOT)]
    for name in names:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    files, tests = ROOMS[room]
    settings = {
        "source_paths": [SOURCE],
        "only_mutate": [f"{SOURCE}/{glob}" for glob in files],
        "pytest_add_cli_args_test_selection": [f"tests/{name}" for name in tests],
        "pytest_add_cli_args": ["-p", "no:xdist", "-p", "no:cacheprovider"],
        "also_copy": ["demo", "docs", "benchmarks", "tools", "deploy", "examples", "README.md", "Makefile"],
        "process_isolation": "forkserver",  # our tests leave threads behind
        "track_dependencies": False,
        "use_git_change_detection": False,
    }
    with (copy / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n")
        file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())


def walk(root: Path) -> list[Path]:
    """Every file of a tree that is no clone."""
    hidden = {".git", ".venv", ".parts", ".versions", "artifacts", "__pycache__"}
    return [path for path in root.rglob("*") if path.is_file() and not hidden & set(path.relative_to(root).parts)]


def finish(room: str, command: list[str], ends: float | None) -> None:
    """Run mutmut to its end, or to the time that was given."""
    with (COPIES / f"{room}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=COPIES / room, stdout=log, stderr=log, start_new_session=True)
    try:
        process.wait(None if ends is None else max(1.0, ends - time.monotonic()))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def verdicts(copy: Path) -> dict[str, int | None]:
    """Each mutant's exit code; None: not tried."""
    found: dict[str, int | None] = {}
    for path in sorted((copy / "mutants").rglob("*.meta")):
        found |= json.loads(path.read_text("utf-8"))["exit_code_by_key"]
    return found


def tests_of(copy: Path) -> dict[str, list[str]]:
    """Which tests call which function; empty where mutmut did not come so far."""
    noted = copy / "mutants" / "mutmut-stats.json"
    if not noted.exists():
        return {}
    found: dict[str, list[str]] = json.loads(noted.read_text("utf-8"))["tests_by_mangled_function_name"]
    return found


def report(room: str, drawn: set[str] | None) -> float:
    """Print a room's line, write its survivors, and return the share that was killed."""
    copy = COPIES / room
    found = verdicts(copy)
    tested = tests_of(copy)
    chosen = {
        name: code if tested.get(name.partition("__mutmut_")[0]) else UNTESTED
        for name, code in found.items()
        if drawn is None or name in drawn
    }
    counts = collections.Counter(
        "killed" if code in KILLED else "survived" if code == SURVIVED else "untested" if code == UNTESTED else "other"
        for code in chosen.values()
        if code is not None
    )
    tried = sum(counts.values())
    share = counts["killed"] / tried if tried else 0.0
    print(
        f"{room:<12}{len(found):>9}{tried:>7}{counts['killed']:>8}{counts['survived']:>10}{counts['untested']:>10}"
        f"{share:>8.1%}"
    )
    if not tried:
        tail = (COPIES / f"{room}.log").read_text("utf-8", "replace").replace("\r", "\n")[-1500:]
        print(f"nothing was tried in {room}; the end of artifacts/mutants/{room}.log:\n{tail}")
    left = [name for name, code in sorted(chosen.items()) if code not in (*KILLED, None)]

    def shown(name: str) -> str:
        return subprocess.run([*MUTMUT, "show", name], cwd=copy, capture_output=True, text=True).stdout

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        texts = pool.map(shown, left)
        (COPIES / f"{room}.txt").write_text("\n".join(texts), "utf-8")
    return share


if __name__ == "__main__":
    sys.exit(main())
