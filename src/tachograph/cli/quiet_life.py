"""`tachograph quiet-life`: who would be paged in months of real operation, and who should be."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tachograph.cli.columns import print_rows, show_progress
from tachograph.files import read_named
from tachograph.option_values import add_rules, whole

if TYPE_CHECKING:
    from tachograph.drill.quiet_life.history import HistoryReport
    from tachograph.drill.quiet_life.past import Past
    from tachograph.drill.quiet_life.run import Outcome
    from tachograph.drill.quiet_life.shape import Shape
    from tachograph.settings import Settings

_EPILOG: Final = """\
Plays shapes of real operation (scrape gaps, rolling restarts, retries that cure, sparse traffic, outages) through the
rule engine of the promtool on PATH, with your rules and settings, and through the exported routes and inhibitions.
Simulated time: some seconds for each shape.

--real plays short shapes in real time instead: a real Prometheus scrapes them with your rules, a real Alertmanager
routes, and a webhook receiver stands in for the pager. Nothing is shortened; what was before the first event of a shape
is written as Prometheus's past. It takes --minutes at most (31), or longer where more shapes are chosen than --at-once.

--history SOURCE plays your own past instead: which alerts would have fired, how often a week, and how much was spent
while they fired. SOURCE is the root of a Prometheus (http://prometheus:9090), which is asked a day at a time, one query
after the other; or a usage ledger (sqlite:///, postgresql://, clickhouse://, or `ledger` for the one of the settings).

Exit code 0 when every shape ends as it should, 1 when not, 2 when the command could not run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add_rules(parser)
    parser.add_argument("--shape", action="append", default=[], metavar="NAME", help="play only this shape")
    parser.add_argument("--list", action="store_true", help="list the shapes and end")
    parser.add_argument("--real", action="store_true", help="play short shapes in real time, by real servers")
    parser.add_argument(
        "--minutes", type=whole(1, 600), default=31, metavar="N", help="longest shape to play (--real; default 31)"
    )
    parser.add_argument(
        "--at-once",
        type=whole(1, 64),
        default=8,
        metavar="N",
        help="shapes played at the same time (--real; default 8)",
    )
    parser.add_argument("--history", metavar="SOURCE", help="play your own past: a Prometheus's URL, or a ledger")
    parser.add_argument(
        "--days", type=whole(1, 31), default=7, metavar="N", help="how much of it (--history; default 7)"
    )
    parser.add_argument(
        "--step",
        type=whole(15, 300),
        default=60,
        metavar="SECONDS",
        help="time between two evaluations (--history; default 60)",
    )
    parser.add_argument(
        "--token-file", type=Path, metavar="FILE", help="a file with the bearer token of that Prometheus (--history)"
    )
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
    if args.history:
        return _history(args, load())
    chosen = [shape for shape in SHAPES if not args.shape or shape.name in args.shape]
    started = time.monotonic()
    outcomes = _play_live(chosen, args, load()) if args.real else _play(chosen, args.rules, load())
    print_rows(table(outcomes))
    print(f"\n{summary(outcomes)}; {time.monotonic() - started:.0f} s")
    if args.markdown:
        args.markdown.write_text(page(outcomes), "utf-8")
    return 1 if any(one.problem for one in outcomes) else 0


def _history(args: argparse.Namespace, settings: Settings) -> int:
    from tachograph import catalogue
    from tachograph.catalogue.export.alertmanager import config
    from tachograph.errors import MissingExtraError, TachographError

    try:
        from tachograph.drill.quiet_life.history import judge
    except ImportError as error:
        raise MissingExtraError("--history", "console", error.name or "promql-parser") from error
    if args.rules:
        raise TachographError("a past is played with the rules of the settings", where="--rules", do="Leave it out.")
    settings = catalogue.resolved(settings)
    step = args.step * 1000
    end = int(time.time() * 1000) // step * step
    start = end - args.days * 86_400_000
    started = time.monotonic()
    routes = config("page", "ticket", "note", "watchdog", identity=settings.alerts.identity)
    past = _past(args, settings, start, end, step)
    found = judge(catalogue.rule_groups(settings, f"{args.step}s"), routes, past, start, end, step, show_progress)
    show_progress("")
    print_rows(history_table(found))
    print(f"\n{history_summary(found)}; {time.monotonic() - started:.0f} s")
    return 0


def _past(args: argparse.Namespace, settings: Settings, start: int, end: int, step: int) -> Past:
    from tachograph.cli.report import open_for_reading
    from tachograph.drill.quiet_life.history import LOOK_BACK_MS
    from tachograph.drill.quiet_life.past import HistoryError, LedgerPast, PrometheusPast
    from tachograph.usage.stores.query import Query

    if args.history.startswith(("http://", "https://")):
        try:
            token = read_named(args.token_file, 65_536, takes_pipes=True).strip() if args.token_file else ""
        except (OSError, UnicodeDecodeError) as error:
            raise HistoryError(
                f"the token cannot be read: {error}", where="--token-file", do="Name a readable file."
            ) from error
        return PrometheusPast(args.history, {"Authorization": f"Bearer {token}"} if token else {})
    store = open_for_reading(None if args.history == "ledger" else args.history)
    try:
        first = start - LOOK_BACK_MS
        query = Query(since_us=first * 1000, until_us=end * 1000, where={"kind": ("llm", "mcp")}, raw=True)
        rows = sorted(store.rows(query), key=lambda row: row.ts_us + row.latency_us)
        return LedgerPast(rows, settings.alerts.job.split("|")[0], first, end, step)
    finally:
        store.close()


def history_table(found: HistoryReport) -> list[tuple[str, ...]]:
    """Rows of text, the head first."""
    rows: list[tuple[str, ...]] = [("alert", "severity", "episodes", "a week", "hours firing", "spent meanwhile")]
    for one in found.alerts:
        hours = sum(last - first for first, last in one.episodes) / 3_600_000
        a_week = len(one.episodes) / found.days * 7
        rows.append(
            (one.name, one.severity, str(len(one.episodes)), f"{a_week:.1f}", f"{hours:.1f}", f"${one.usd:,.2f}")
        )
    return rows


def history_summary(found: HistoryReport) -> str:
    """Pages and tickets a week, in one line."""
    return (
        f"{found.days:g} days, ${found.usd:,.2f} spent: {found.a_week('page'):.1f} pages and "
        f"{found.a_week('ticket'):.1f} tickets a week; {found.silent} alerts would not have fired"
    )


def _play(shapes: Sequence[Shape], directory: Path | None, settings: Settings) -> list[Outcome]:
    from concurrent.futures import ThreadPoolExecutor

    from tachograph.drill.quiet_life.run import run as play

    def one(shape: Shape) -> Outcome:
        return play(shape, *_rules(shape, directory, settings))

    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each thread waits for its own promtool
        for number, outcome in enumerate(pool.map(one, shapes), 1):
            found.append(outcome)
            show_progress(f"{number}/{len(shapes)} {outcome.shape.name}")
    show_progress("")
    return found


def _play_live(shapes: Sequence[Shape], args: argparse.Namespace, settings: Settings) -> list[Outcome]:
    import threading
    from concurrent.futures import ThreadPoolExecutor, as_completed

    from tachograph.drill.quiet_life.live import play, real_minutes
    from tachograph.errors import TachographError

    if args.markdown:
        raise TachographError("the page covers all shapes", where="--markdown", do="Leave --real out.")
    chosen = [shape for shape in shapes if real_minutes(shape) <= args.minutes]
    if not chosen:
        raise TachographError(
            f"no chosen shape can be played within {args.minutes} minutes of real time",
            where="--minutes",
            do="Give more minutes, or choose another shape.",
        )
    stop = threading.Event()
    found: dict[str, Outcome] = {}
    with ThreadPoolExecutor(args.at_once) as pool:  # each thread waits for its own servers
        try:
            plays = [
                pool.submit(
                    play,
                    shape,
                    _rules(shape, args.rules, settings)[0],
                    shape.identity or settings.alerts.identity,
                    stop=stop,
                )
                for shape in chosen
            ]
            for done in as_completed(plays):
                outcome = done.result()
                found[outcome.shape.name] = outcome
                show_progress(f"{len(found)}/{len(chosen)} {outcome.shape.name}")
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    show_progress("")
    return [found[shape.name] for shape in chosen]


def _rules(shape: Shape, directory: Path | None, settings: Settings) -> tuple[Mapping[str, str], dict[str, Any]]:
    """The rules to play with; a shape that distinguishes clusters, or is pushed, brings that setting along."""
    import msgspec

    from tachograph.catalogue.export.alertmanager import config
    from tachograph.cli.fire_drill import read_rules

    if shape.identity or shape.push:
        alerts = msgspec.structs.replace(settings.alerts, identity=shape.identity or settings.alerts.identity)
        if shape.push:
            alerts = msgspec.structs.replace(alerts, profile="push", push_interval=shape.step)
        settings, directory = msgspec.structs.replace(settings, alerts=alerts), None
    routes = config("page", "ticket", "note", "watchdog", identity=settings.alerts.identity)
    return read_rules(directory, settings, f"{shape.evaluate}s"), routes


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
        "`tachograph quiet-life --real` plays the short shapes in real time: a real Prometheus scrapes them with your",
        "rules, nothing shortened, and a real Alertmanager notifies a webhook. What was before the first event of a",
        "shape is written as Prometheus's past. `--minutes` (31) is the longest shape that it plays, `--at-once` (8)",
        "how many at the same time.",
        "",
        "`tachograph quiet-life --history http://prometheus:9090` plays your own past instead: which alerts would have",
        "fired, how often a week, and how much was spent while they fired. `--days` (7) and `--step` (60 s) say how",
        "much of it; the server is asked for a day at a time, one query after the other. `--history ledger` reads the",
        "usage ledger, which has calls only: alerts about scrapes, connections and budgets stay silent there.",
        "Recordings are evaluated with your settings, so the rules need not have been loaded. Baselines look back",
        "eight days more.",
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
