"""`tachograph ledger`: run the writer beside an application, see what waits, move, migrate and prune a ledger."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tachograph.errors import TachographError
from tachograph.option_values import not_negative, port, whole

if TYPE_CHECKING:
    from tachograph.usage.ledger import Ledger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    writer = commands.add_parser("writer", help="drain this host's journals into the store until stopped")
    writer.add_argument("--metrics-port", type=port, help="serve the writer's own metrics on this port")
    writer.add_argument(
        "--metrics-address",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address of that port (127.0.0.1, which only this host can scrape)",
    )
    commands.add_parser("status", help="what waits, who writes, what the store holds")
    flush = commands.add_parser("flush", help="store all that waits now, and say whether that worked")
    flush.add_argument("--timeout", type=not_negative, default=60.0, metavar="SECONDS", help="seconds to try (60)")
    copy = commands.add_parser("copy", help="copy all of one store into another; what is there already stays once")
    copy.add_argument("source", metavar="FROM", help="sqlite:///path, postgresql://..., clickhouse://...")
    copy.add_argument("target", metavar="TO")
    migrate = commands.add_parser("migrate", help="bring the store's tables to another version")
    migrate.add_argument("--to", metavar="VERSION", help="the version wanted (the newest)")
    migrate.add_argument("--down", action="store_true", help="allow going back, which drops what newer versions added")
    migrate.add_argument("--url", help="the store (that of the settings)")
    prune = commands.add_parser("prune", help="remove what is older than the settings keep")
    prune.add_argument("--dry-run", action="store_true", help="only say from when")
    commands.add_parser("relabel", help="rebuild the rollups by the labels in ledger.rollup_labels, after a change")
    erase = commands.add_parser("erase", help="anonymise the rows of one subject; sums stay")
    erase.add_argument("label", help="the label that names subjects, e.g. user")
    erase.add_argument("value", help="whose rows; hashed first where ledger.hash_labels says so")
    verify = commands.add_parser("verify", help="check rows, rollups, ids, gaps and the metrics' counters")
    verify.add_argument("--since", default="30d", help="age (7d), date, today or month (30d)")
    verify.add_argument(
        "--metrics", metavar="URL", help="a /metrics page to compare the rows since its process began with"
    )
    verify.add_argument("--store", metavar="URL", help="another ledger than that of the settings")
    quarantine = commands.add_parser("quarantine", help="list what was set aside and why")
    quarantine.add_argument(
        "--limit", type=whole(1, 1_000_000), default=50, metavar="N", help="how many at most, newest first (50)"
    )


def run(args: argparse.Namespace) -> int:
    """Run one subcommand; the settings say which ledger."""
    actions = {
        "writer": _writer,
        "status": _status,
        "flush": _flush,
        "copy": _copy,
        "migrate": _migrate,
        "prune": _prune,
        "relabel": _relabel,
        "erase": _erase,
        "quarantine": _quarantine,
        "verify": _verify,
    }
    return actions[args.action](args)


def _ledger() -> Ledger:
    from tachograph.settings import load
    from tachograph.signals.registry import Metrics
    from tachograph.usage.ledger import Ledger

    settings = load().ledger
    if settings.mode == "memory":
        raise TachographError(
            "this ledger has no journals on disk: ledger.mode is memory",
            where="setting ledger.mode",
            do="Only the application itself can drain it.",
        )
    return Ledger(settings, Metrics(()))


def _writer(args: argparse.Namespace) -> int:
    import logging

    from tachograph.usage.standalone import run_writer

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    ledger = _ledger()
    ledger.place.make_or_refuse()
    run_writer(ledger, stopped, metrics_port=args.metrics_port, metrics_address=args.metrics_address)
    return 0


def _status(args: argparse.Namespace) -> int:
    from tachograph.usage.journal import directory_bytes
    from tachograph.usage.source import backlog
    from tachograph.usage.stores import StoreError

    ledger = _ledger()
    place = ledger.place
    records, oldest_us = backlog(place.journals)
    beat = place.heartbeat()
    print(f"directory  {place.directory}")
    if place.is_writer_alive() and beat is not None:
        print(f"writer     process {beat[0]}, at work {max(0.0, time.time() - beat[1]):.0f} s ago")
    else:
        print("writer     none")
    waits = f"{records} records, {directory_bytes(place.journals)} bytes"
    if oldest_us is not None:
        waits += f", oldest {max(0.0, time.time() - oldest_us / 1e6):.1f} s"
    print(f"waiting    {waits}")
    try:
        store = ledger.open_store(read_only=True)
    except StoreError as error:
        print(f"store      {error}")
        return 1
    try:
        kept = store.quarantine()
        print(f"store      {store.where} ({store.kind}, version {store.version()}), {store.count()} rows")
        print(f"set aside  {sum(item.records for item in kept)} records in {len(kept)} ranges")
    finally:
        store.close()
    return 0


def _flush(args: argparse.Namespace) -> int:
    from tachograph.usage.source import backlog

    ledger = _ledger()
    ledger.place.make_or_refuse()
    if ledger.drain(args.timeout):
        print("all is stored")
        return 0
    print(f"{backlog(ledger.place.journals)[0]} records still wait; see: tachograph ledger status")
    return 1


def _copy(args: argparse.Namespace) -> int:
    from tachograph.settings import load
    from tachograph.usage.copy import copy_store
    from tachograph.usage.stores import open_store

    labels = load().ledger.rollup_labels
    source = open_store(args.source, read_only=True, rollup_labels=labels)
    target = open_store(args.target, rollup_labels=labels)

    def progress(rows: int) -> None:
        print(f"\r{rows} rows", end="", file=sys.stderr, flush=True)

    try:
        copied = copy_store(source, target, progress)
    finally:
        print(file=sys.stderr)
        source.close()
        target.close()
    print(
        f"{copied.rows} rows read, {copied.new_rows} were new; {copied.adjustments} corrections, "
        f"{copied.new_adjustments} new; the sums of both stores {'are equal' if copied.is_equal else 'DIFFER'}"
    )
    return 0 if copied.is_equal else 1


def _migrate(args: argparse.Namespace) -> int:
    from tachograph.usage.migrations import migrate

    ledger = _ledger()
    before, after = migrate(args.url or ledger.place.url, ledger.place, to=args.to, down=args.down)
    print(f"version {before} -> {after}" if before != after else f"already at version {after}")
    return 0


def _prune(args: argparse.Namespace) -> int:
    settings = (ledger := _ledger()).settings
    now = time.time()
    days = {"rows": settings.keep_rows_days, "hour": settings.keep_hours_days, "day": settings.keep_days_days}
    before = {level: int((now - count * 86400) * 1e6) for level, count in days.items() if count is not None}
    for level, moment in before.items():
        print(f"{level:5} before {datetime.fromtimestamp(moment / 1e6, UTC):%Y-%m-%d %H:%M} UTC")
    if args.dry_run:
        return 0
    store = ledger.open_store()
    try:
        print(f"{store.retain(before)} rows removed")
    finally:
        store.close()
    return 0


def _relabel(args: argparse.Namespace) -> int:
    ledger = _ledger()
    store = ledger.open_store()
    try:
        moved = store.relabel()
    finally:
        store.close()
    labels = ", ".join(ledger.settings.rollup_labels) or "no labels"
    print(f"The rollups of {store.where} are kept by {labels}; {moved} rows were moved.")
    return 0


def _erase(args: argparse.Namespace) -> int:
    from tachograph.usage.labels import hashed

    ledger = _ledger()
    settings = ledger.settings
    value = args.value
    if args.label in settings.hash_labels and settings.hash_key:
        value = hashed(value, settings.hash_key)
    store = ledger.open_store()
    try:
        print(f"{store.erase(args.label, value, time.time_ns() // 1000)} rows are anonymised")
    finally:
        store.close()
    return 0


def _quarantine(args: argparse.Namespace) -> int:
    store = _ledger().open_store(read_only=True)
    try:
        for item in store.quarantine(args.limit):
            at = datetime.fromtimestamp(item.at_us / 1e6, UTC)
            print(f"{at:%Y-%m-%d %H:%M:%S} {item.reason:9} {item.records:6} {item.host} {item.detail}")
    finally:
        store.close()
    return 0


def _verify(args: argparse.Namespace) -> int:
    from tachograph.cli.report import open_for_reading
    from tachograph.usage.reports import moment
    from tachograph.usage.verify import counters_of, verify

    now = datetime.now(UTC)
    counters = started = None
    if args.metrics:
        counters, started = counters_of(_page(args.metrics))
    store = open_for_reading(args.store)
    try:
        found = verify(
            store,
            since=moment(args.since, now=now),
            until=now,
            counters=counters,
            counting_since=None if started is None else datetime.fromtimestamp(started, UTC),
        )
    finally:
        store.close()
    print(f"{found.rows:,} rows on {found.days} days; checked: {', '.join(found.checks)}")
    for difference in found.differences:
        print(f"  {difference.check:<11} {difference.where}: {difference.what}")
    print("all agrees" if not found.differences else f"{len(found.differences)} differences")
    return 1 if found.differences else 0


def _page(url: str) -> str:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode("utf-8")
    except (urllib.error.URLError, ValueError, OSError) as error:
        raise TachographError(
            f"the metrics page cannot be read: {error}", where=url, do="Give the address of /metrics."
        ) from error
    return text
