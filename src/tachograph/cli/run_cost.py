"""`tachograph run-cost`: what one run of an agent cost."""

from __future__ import annotations

import argparse
import json
import sys

from tachograph.errors import TachographError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="the id of a run, or of an execution with all its runs")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--store", metavar="URL", help="another ledger than that of the settings")


def run(args: argparse.Namespace) -> int:
    """Print one run's cost."""
    from tachograph.cli.report import open_for_reading
    from tachograph.usage.reports.forms import money, seconds
    from tachograph.usage.reports.run_cost import cost_of, rows_of

    store = open_for_reading(args.store)
    try:
        rows = rows_of(store, args.id)
    finally:
        store.close()
    if not rows:
        raise TachographError(
            f"the ledger has no call of a run or an execution {args.id!r}",
            do="See the ids with: tachograph report --by run --tools. Calls reach the ledger a few seconds late.",
        )
    found = cost_of(rows)
    path = [(f"{row.provider}/{row.model}", row.latency_us / 1e6) for row in found.critical_path]
    if args.format == "json":
        body = {
            "id": args.id,
            "runs": sorted(found.runs),
            "agents": sorted(found.agents),
            **{name: getattr(found, name) for name in ("calls", "tool_calls", "errors", "attempts")},
            **{name: getattr(found, name) for name in ("input_tokens", "output_tokens", "unpriced")},
            "cost_usd": f"{found.cost_usd:f}",
            **{name: getattr(found, name) for name in ("wait_seconds", "retry_wait_seconds", "seconds")},
            "critical_seconds": found.critical_seconds,
            "critical_path": [{"call": name, "seconds": taken} for name, taken in path],
        }
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
        return 0
    lines = [
        ("agents", ", ".join(sorted(found.agents)) or "-"),
        ("runs", f"{len(found.runs):,}"),
        ("calls", f"{found.calls:,} ({found.attempts:,} requests)"),
        ("tool calls", f"{found.tool_calls:,}"),
        ("errors", f"{found.errors:,}"),
        ("tokens", f"{found.input_tokens:,} in, {found.output_tokens:,} out"),
        ("cost", money(found.cost_usd) + (f", {found.unpriced:,} calls unpriced" if found.unpriced else "")),
        ("waited", f"{seconds(found.wait_seconds)} for rate limits, {seconds(found.retry_wait_seconds)} to retry"),
        ("duration", f"{seconds(found.seconds)}, critical path {seconds(found.critical_seconds)}"),
    ]
    for name, value in lines:
        print(f"{name:12}{value}")
    print("\ncritical path")
    for name, taken in path:
        print(f"  {seconds(taken):>10}  {name}")
    return 0
