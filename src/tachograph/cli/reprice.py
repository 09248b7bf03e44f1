"""`tachograph reprice`: history at corrected prices, as adjustments."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", required=True, help="age (7d), date, today or month")
    parser.add_argument("--until", default="now", help="the same, not included (now)")
    parser.add_argument(
        "--where", action="append", default=[], metavar="NAME=VALUE", help="only these, e.g. model=gpt-5"
    )
    parser.add_argument("--prices", metavar="FILE", help="a price file, instead of the setting pricing.file")
    parser.add_argument("--dry-run", action="store_true", help="say what would change and change nothing")
    parser.add_argument("--store", metavar="URL", help="another ledger than that of the settings")


def run(args: argparse.Namespace) -> int:
    """Reprice and say what changed."""
    from datetime import UTC, datetime

    from tachograph.cli.report import conditions, open_for_reading, open_for_writing
    from tachograph.pricing import Pricer
    from tachograph.settings import load
    from tachograph.usage.reports import moment
    from tachograph.usage.reports.forms import money
    from tachograph.usage.reprice import reprice

    now = datetime.now(UTC)
    since, until = moment(args.since, now=now), moment(args.until, now=now, where="--until")
    pricer = Pricer(args.prices or load().pricing.file)
    store = open_for_reading(args.store) if args.dry_run else open_for_writing(args.store)
    quiet = not sys.stderr.isatty()
    try:
        found = reprice(
            store,
            pricer,
            since=since,
            until=until,
            where=conditions(args.where),
            dry_run=args.dry_run,
            progress=None if quiet else lambda rows: print(f"\r{rows:,} rows", end="", file=sys.stderr),
        )
    finally:
        store.close()
    for (provider, model), change in sorted(found.changes.items()):
        sign = "+" if change.delta_nano_usd >= 0 else "-"
        priced = f", {change.newly_priced:,} of them had no price" if change.newly_priced else ""
        print(f"{provider}/{model}: {change.rows:,} calls, {sign}{money(abs(change.delta_usd))}{priced}")
    total = found.total
    word = "would change" if args.dry_run else "changed"
    print(f"{found.looked_at:,} calls looked at, {total.rows:,} {word}; {found.still_unpriced:,} still have no price")
    return 0
