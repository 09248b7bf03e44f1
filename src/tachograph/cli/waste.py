"""`tachograph waste`: what bought nothing, and why."""

from __future__ import annotations

import argparse
import json
import sys
from decimal import Decimal

from tachograph.errors import TachographError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", default="7d", help="age (24h, 7d), date, today, yesterday or month (7d)")
    parser.add_argument("--until", default="now", help="the same, not included (now)")
    parser.add_argument(
        "--by",
        default="cause,provider,model",
        metavar="DIMENSIONS",
        help="comma-separated: cause, hour, day, provider, model; any other word is a label of yours "
        "(cause,provider,model)",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--store", metavar="URL", help="another ledger than that of the settings")


def run(args: argparse.Namespace) -> int:
    """Print one report."""
    from datetime import UTC, datetime

    from tachograph.cli.report import dimension, open_for_reading
    from tachograph.usage.reports import moment, report
    from tachograph.usage.reports.forms import money

    now = datetime.now(UTC)
    since, until = moment(args.since, now=now), moment(args.until, now=now, where="--until")
    names = [name.strip() for name in args.by.split(",") if name.strip()]
    if not names:
        raise TachographError(
            "there is nothing to report by", where="--by", do="Give cause, model or a label of yours."
        )
    by = tuple("operation" if name == "cause" else dimension(name) for name in names)
    store = open_for_reading(args.store)
    try:
        found = report(store, since=since, until=until, by=by, where={"kind": ("waste",)}, latency=False)
        spent = report(store, since=since, until=until, latency=False, where={"kind": ("llm",)}).total.cost_usd
    finally:
        store.close()
    lines = sorted(found.lines, key=lambda line: -line.cost_nano_usd)
    total = found.total.cost_usd
    if args.format == "json":
        rows = [
            {**dict(zip(names, map(str, line.key), strict=True)), "usd": f"{line.cost_usd:f}", "calls": line.calls}
            for line in lines
        ]
        sys.stdout.write(json.dumps({"wasted_usd": f"{total:f}", "spent_usd": f"{spent:f}", "waste": rows}, indent=2))
        sys.stdout.write("\n")
        return 0
    cells = [[*(str(value or "-") for value in line.key), money(line.cost_usd), f"{line.calls:,}"] for line in lines]
    heads = [*names, "wasted", "calls"]
    widths = [max(len(row[column]) for row in [heads, *cells]) for column in range(len(heads))]
    for row in [heads, ["-" * width for width in widths], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    share = f" ({total / spent * 100:.1f} %)" if spent else ""
    print(f"\n{money(total)} of {money(spent)}{share} bought nothing." if lines else _nothing(spent, money(spent)))
    return 0


def _nothing(spent: Decimal, words: str) -> str:
    if not spent:
        return "\nNo calls in this time. `tachograph ledger status` says where the ledger is and what waits."
    return (
        f"\nOf {words} nothing is known to be wasted. Only failed and aborted calls are looked at unless the setting "
        "waste.prompts is on."
    )
