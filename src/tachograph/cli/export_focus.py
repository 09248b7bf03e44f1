"""`tachograph export-focus`: the ledger as FOCUS rows."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tachograph.errors import TachographError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", type=Path, help="the file: .parquet or .csv")
    parser.add_argument("--since", default="month", help="age (24h, 7d), date, today, yesterday or month (month)")
    parser.add_argument("--until", default="now", help="the same, not included (now)")
    parser.add_argument(
        "--by", choices=("hour", "call"), default="hour", help="sums of calls that were alike, or each call (hour)"
    )
    parser.add_argument("--account", default="default", metavar="ID", help="BillingAccountId (default)")
    parser.add_argument("--store", metavar="URL", help="another ledger than that of the settings")


def run(args: argparse.Namespace) -> int:
    """Write one file."""
    from datetime import UTC, datetime

    from tachograph.cli.report import note_removed_rows, open_for_reading
    from tachograph.usage.focus import export
    from tachograph.usage.reports import moment
    from tachograph.usage.reports.when import microseconds

    if args.output.suffix not in (".parquet", ".csv"):
        raise TachographError(
            f"{args.output.name!r} has no format", where="tachograph export-focus", do="Name it .parquet or .csv."
        )
    now = datetime.now(UTC)
    since, until = moment(args.since, now=now), moment(args.until, now=now, where="--until")
    store = open_for_reading(args.store)
    try:
        done = export(
            store,
            args.output,
            since_us=microseconds(since),
            until_us=microseconds(until),
            account=args.account,
            by=args.by,
            as_csv=args.output.suffix == ".csv",
        )
        note_removed_rows(store, since, until)
    except OSError as error:
        raise TachographError(
            f"the file cannot be written: {error.strerror}", where=str(args.output), do="Name another place."
        ) from error
    finally:
        store.close()
    print(f"{done.rows:,} rows of {done.calls:,} calls, ${done.nano_usd / 1e9:,.6f}, in {args.output}")
    if done.unpriced:
        print(
            f"Calls without a price, left out because their cost is unknown: {done.unpriced:,}. Add the models to your "
            "price file and run: tachograph reprice",
            file=sys.stderr,
        )
    return 0
