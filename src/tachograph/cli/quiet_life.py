"""`tachograph quiet-life`: who would be paged in months of real operation, and who should be."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tachograph.drill.quiet_life.run import Outcome
    from tachograph.drill.quiet_life.shape import Shape
    from tachograph.settings import Settings

HELP: Final = "Prove that alerts stay quiet in real operation, and page in time when they must"

_EPILOG: Final = """\
Plays shapes of real operation (scrape gaps, rolling restarts, retries that cure, sparse traffic, outages) through the
rule engine of the promtool on PATH, with your rules and settings, and through the exported routes and inhibitions.
Simulated time: some seconds for each shape.

Exit code 0 when every shape ends as it should, 1 when not, 2 when the command could not run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="DIR",
        help="an export (`tachograph export DIR`) or a folder of rule files; unless given, rules from the settings",
    )
    parser.add_argument("--shape", action="append", default=[], metavar="NAME", help="play only this shape")
    parser.add_argument("--list", action="store_true", help="list the shapes and end")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as a page")


def run(args: argparse.Namespace) -> int:
    """Play the shapes; 0 when all end as they should."""
    from tachograph.drill.quiet_life.shapes import SHAPES
    from tachograph.errors import TachographError
    from tachograph.settings import load

    if args.list:
        for shape in SHAPES:
            print(f"{shape.name:34} {shape.expected:8} {shape.story}")
        return 0
    unknown = set(args.shape) - {shape.name for shape in SHAPES}
    if unknown:
        raise TachographError(
            f"there is no shape {', '.join(sorted(unknown))}",
            where="--shape",
            do="`tachograph quiet-life --list` lists them.",
        )
    chosen = [shape for shape in SHAPES if not args.shape or shape.name in args.shape]
    started = time.monotonic()
    outcomes = _play(chosen, args.rules, load())
    rows = table(outcomes)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print(f"\n{summary(outcomes)}; {time.monotonic() - started:.0f} s")
    if args.markdown:
        args.markdown.write_text(page(outcomes), "utf-8")
    return 1 if any(one.problem for one in outcomes) else 0


def _play(shapes: Sequence[Shape], directory: Path | None, settings: Settings) -> list[Outcome]:
    from concurrent.futures import ThreadPoolExecutor

    from tachograph.drill.quiet_life.run import run as play

    def one(shape: Shape) -> Outcome:
        return play(shape, *_rules(shape, directory, settings))

    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each thread waits for its own promtool
        for number, outcome in enumerate(pool.map(one, shapes), 1):
            found.append(outcome)
            if sys.stderr.isatty():
                print(f"\r\033[K{number}/{len(shapes)} {outcome.shape.name}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return found


def _rules(shape: Shape, directory: Path | None, settings: Settings) -> tuple[Mapping[str, str], dict[str, Any]]:
    """The rules to play with; a shape that tells clusters apart brings that setting along."""
    import msgspec

    from tachograph.catalogue.export.alertmanager import config
    from tachograph.cli.fire_drill import read_rules

    if shape.identity:
        alerts = msgspec.structs.replace(settings.alerts, identity=shape.identity)
        settings, directory = msgspec.structs.replace(settings, alerts=alerts), None
    routes = config("page", "ticket", "note", "watchdog", identity=settings.alerts.identity)
    return read_rules(directory, settings), routes


def table(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Rows of text, the head first."""
    rows: list[tuple[str, ...]] = [("shape", "should", "pages", "tickets", "minutes to page", "paged by", "")]
    for one in outcomes:
        late = one.minutes_to_page
        by = next((one_page for one_page in one.notified if one_page.receiver == "page"), None)
        rows.append(
            (
                one.shape.name,
                one.shape.expected,
                str(one.pages),
                str(one.tickets),
                "-" if late is None else f"{late:.1f}",
                "-" if by is None else ", ".join(by.alerts),
                f"WRONG: {one.problem}" if one.problem else "ok",
            )
        )
    return rows


def summary(outcomes: Sequence[Outcome]) -> str:
    """False pages and late ones, in one line."""
    false = sum(one.pages for one in outcomes if "page" not in (one.shape.expected, *one.shape.may))
    right = sum(not one.problem for one in outcomes)
    late = [one.minutes_to_page for one in outcomes if one.shape.expected == "page"]
    slowest = max((minutes for minutes in late if minutes is not None), default=0.0)
    return f"{right} of {len(outcomes)} shapes as they should be, {false} false pages, slowest page {slowest:.1f} min"


def page(outcomes: Sequence[Outcome]) -> str:
    """docs/quiet-life.md."""
    lines = [
        "# Quiet life",
        "",
        "<!-- Written by `tachograph quiet-life --markdown docs/quiet-life.md`. -->",
        "",
        "`tachograph quiet-life` plays shapes of real operation through your rules and routes. The rule engine is",
        "`promtool test rules`; what Alertmanager would send is worked out from the exported routes. `--shape NAME`",
        "plays one, `--list` lists them, `--rules DIR` takes an export. The exit code is 1 when a shape ends otherwise",
        "than it should, so it fits into CI beside [`tachograph fire-drill`](fire-drill.md).",
        "",
        '"Minutes to page" counts from the moment in which the condition can be known (the fifth failed call in dense',
        "traffic, the second in sparse traffic) until Alertmanager sends, its wait of 30 s included.",
        "",
        f"**{summary(outcomes)}.**",
        "",
        "| shape | what goes on | should | pages | tickets | minutes to page | paged by |",
        "|---|---|---|---|---|---|---|",
    ]
    for one, row in zip(outcomes, table(outcomes)[1:], strict=True):
        wrong = f" **{one.problem}**" if one.problem else ""
        lines.append(f"| `{row[0]}` | {one.shape.story}{wrong} | {' | '.join(row[1:6])} |")
    return "\n".join(lines) + "\n"
