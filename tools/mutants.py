"""Change the arithmetic of a room a little, many times, and see whether its tests notice (mutation testing).

`make mutants ARGS="vendors"` does one room, `make mutants` all. `--sample 150` draws so many mutants of each room, the
same ones each time, and another 150 with `--draw 2`; `--minutes 20` stops there; `--again` tries what survived the last
time. One process for each room imports its tests once and forks for each mutant. A mutant meets only the tests that run
the statement that it changes, the quick ones first, until one fails. The tool prints a table, and writes what survived,
with its diff, to artifacts/mutants/ROOM.txt. docs/mutants.md has the figures, and the reasons why survivors survive.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, NamedTuple

from mutant_runner import Verdict, try_mutants
from mutations import LEFT_OUT, Mutant, candidates, drawn_first

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "artifacts" / "mutants"
SOURCE = ROOT / "src" / "tachograph"


class Room(NamedTuple):
    """What is changed, and the tests that have to notice."""

    files: tuple[str, ...]
    """Globs below src/tachograph."""
    tests: tuple[str, ...]
    """Test files and folders below tests."""


_READERS: Final = (
    "vendors",
    "pricing",
    "llm/test_endings.py",
    "llm/test_providers.py",
    "llm/test_provoked_categories.py",
    "instrument/test_openai.py",
    "instrument/test_openai_assistants.py",
    "instrument/test_openai_jobs.py",
    "instrument/test_media.py",
    "instrument/test_compatible_servers.py",
    "instrument/test_bedrock.py",
    "instrument/test_gemini_batches.py",
)
"""The tests of both rooms of vendors: openai has the shared files too, vendors the other vendors."""

ROOMS: dict[str, Room] = {
    "openai": Room(
        (
            "vendors/openai/*",
            "vendors/dialects/*",
            *(f"vendors/{name}.py" for name in ("api", "errors", "failures", "fields", "gateways")),
            *(f"vendors/{name}.py" for name in ("loose", "once", "retry_after", "usage", "wire")),
        ),
        _READERS,
    ),
    "vendors": Room(
        tuple(f"vendors/{vendor}/*" for vendor in ("anthropic", "bedrock", "cohere", "gemini", "ollama")), _READERS
    ),
    "pricing": Room(("pricing/*",), ("pricing", "usage/test_reprice.py")),
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
            "signals/test_cells.py",
            "signals/test_shared_numbers.py",
            "signals/test_spans.py",
            "records/test_projection.py",
        ),
    ),
    "journal": Room(
        ("usage/journal.py", "usage/frames.py", "usage/row.py", "tape/ring.py", "tape/tape.py"),
        (
            "tape",
            "usage/test_frames.py",
            "usage/test_journal.py",
            "usage/test_row_bytes.py",
            "usage/test_short_cuts.py",
            "usage/test_interrupts.py",
            "usage/test_damage.py",
            "usage/test_interleavings.py",
            "usage/test_hand_over.py",
            "usage/test_ledger.py",
            "usage/test_power_loss.py",
            "usage/test_writes_in_parts.py",
            "usage/test_rollup_answers.py",
        ),
    ),
    "rates": Room(
        ("console/promql/*",),
        (
            "console/test_promqltest.py",
            "console/test_promql_answers.py",
            "console/test_promql_parts.py",
            "console/test_engine.py",
            "console/test_query_limits.py",
            "console/test_prometheus_api.py",
            "console/test_rules.py",
        ),
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
            "usage/test_bill_currency.py",
            "usage/test_bill_watch.py",
        ),
    ),
    "budgets": Room(
        ("usage/budgets/*",),
        (
            "usage/test_budgets.py",
            "usage/test_budget_arithmetic.py",
            "usage/test_budget_accounts.py",
            "usage/test_budget_decisions.py",
            "usage/test_budget_reservations.py",
            "usage/test_budget_fleet.py",
            "usage/test_budget_settings.py",
            "usage/test_forecast.py",
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
            "catalogue/test_required_rules.py",
            "catalogue/test_settings.py",
            "console/test_rules.py",
            "usage/test_forecast.py",
            "usage/test_waste.py",
            "catalogue/test_alert_texts.py",
            "catalogue/test_runbooks.py",
            "catalogue/test_durations.py",
        ),
    ),
}
"""The rooms that calculate: an error there is a wrong number and no exception."""

NOTICED = ("killed", "timeout", "crashed")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"{', '.join(ROOMS)}: all without one")
    parser.add_argument("--sample", type=int, metavar="N", help="only N mutants of each room")
    parser.add_argument("--draw", type=int, default=1, help="which N: the same number draws the same ones")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many minutes")
    parser.add_argument("--seconds", type=float, default=20.0, help="of CPU of the tests that a mutant meets")
    parser.add_argument("--children", type=int, default=os.cpu_count(), help="mutants of a room tried at a time")
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    parser.add_argument("--together", action="store_true", help="all rooms side by side")
    asked = parser.parse_args()
    rooms = asked.rooms or list(ROOMS)
    if unknown := sorted(set(rooms) - set(ROOMS)):
        parser.error(f"there is no room {unknown[0]}; rooms: {', '.join(ROOMS)}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    forked = multiprocessing.get_context("fork")
    processes = {room: forked.Process(target=run, args=(room, asked)) for room in rooms}
    for process in processes.values():
        process.start()
        if not asked.together:
            process.join()
    for process in processes.values():
        process.join()
    print(f"{'room':<12}{'mutants':>9}{'tried':>7}{'killed':>8}{'survived':>10}{'untested':>10}{'killed':>8}  95 %")
    worst = 1.0
    for room in rooms:
        worst = min(worst, report(room))
    return 0 if worst >= 0.9 else 1


def run(room: str, asked: argparse.Namespace) -> None:
    """Draw the room's mutants, try them, and write what came of each."""
    left_out: Counter[str] = Counter()
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if any(fnmatch(str(path.relative_to(SOURCE)), glob) for glob in ROOMS[room].files):
            found |= dict(candidates(ROOT, path, left_out))
    names = sorted(found, key=lambda name: drawn_first(asked.draw, name))
    last = RESULTS / f"{room}.json"
    if asked.again:
        tried = json.loads(last.read_text("utf-8"))["tried"]
        names = [name for name in names if name in tried and tried[name][0] not in NOTICED]
    drawn: list[Mutant] = []
    for name in names:
        if len(drawn) == asked.sample:
            break
        mutant = found[name]()
        if mutant is None:
            left_out["same"] += 1
        else:
            drawn.append(mutant)
    tests = [str(ROOT / "tests" / name) for name in ROOMS[room].tests]
    with (RESULTS / f"{room}.log").open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        verdicts = try_mutants(ROOT, drawn, tests, asked.children, asked.seconds, asked.minutes * 60)
    tried = {name: list(verdict) for name, verdict in verdicts.items()}
    last.write_text(json.dumps({"mutants": len(found), "left_out": left_out, "tried": tried}, indent=1), "utf-8")
    survivors = sorted(m for m in drawn if m.name in verdicts and verdicts[m.name].what not in NOTICED)
    (RESULTS / f"{room}.txt").write_text("\n".join(f"{verdicts[m.name].what}\n{m.diff}" for m in survivors), "utf-8")


def report(room: str) -> float:
    """Print a room's line, and return the share that was killed."""
    path = RESULTS / f"{room}.json"
    found = json.loads(path.read_text("utf-8")) if path.exists() else {"mutants": 0, "left_out": {}, "tried": {}}
    verdicts = [Verdict(*verdict) for verdict in found["tried"].values()]
    counts = Counter("killed" if verdict.what in NOTICED else verdict.what for verdict in verdicts)
    tried, killed = len(verdicts), counts["killed"]
    low, high = interval(killed, tried)
    print(
        f"{room:<12}{found['mutants']:>9}{tried:>7}{killed:>8}{counts['survived']:>10}{counts['untested']:>10}"
        f"{killed / max(tried, 1):>8.1%}  {low:.0%} to {high:.0%}"
    )
    out = ", ".join(f"{count} {LEFT_OUT[kind]}" for kind, count in found["left_out"].items() if count)
    seconds = sorted(verdict.cpu for verdict in verdicts)
    if tried:
        print(f"            CPU seconds of a mutant: {sum(seconds) / tried:.2f}, median {seconds[tried // 2]:.2f}")
        print(f"            left out: {out}")
    else:
        tail = (RESULTS / f"{room}.log").read_text("utf-8", "replace")[-1500:]
        print(f"nothing was tried in {room}; the end of artifacts/mutants/{room}.log:\n{tail}")
    return killed / max(tried, 1)


def interval(killed: int, tried: int) -> tuple[float, float]:
    """Where the share of all mutants lies, with 95 % (Wilson's interval)."""
    if not tried:
        return 0.0, 1.0
    z, share = 1.96, killed / tried
    middle = share + z * z / (2 * tried)
    half = z * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried))
    return (middle - half) / (1 + z * z / tried), (middle + half) / (1 + z * z / tried)


if __name__ == "__main__":
    sys.exit(main())
