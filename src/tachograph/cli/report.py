"""`tachograph report`: what was used, what it cost, how long it took."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tachograph.errors import TachographError

if TYPE_CHECKING:
    from datetime import datetime

    from tachograph.usage.stores.base import Store


DIMENSIONS = (
    "hour, day, kind, provider, model, operation, outcome, error_type, response_model, api, service_tier, "
    "finish_reason, price_source, cost_quality, speed, region, traffic_type, "
    "agent, run, execution, session, user, version, key"
)
_OF_RUNS = {
    "agent": "agent",
    "run": "run_id",
    "execution": "execution_id",
    "session": "session_id",
    "user": "user_id",
    "version": "app_version",
    "key": "api_key_hint",
}
"""What a run is known by, as the ledger's columns call it. A label of such a name is `label:user`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", default="7d", help="age (24h, 7d), date, today, yesterday or month (7d)")
    parser.add_argument("--until", default="now", help="the same, not included (now)")
    parser.add_argument(
        "--by",
        default="provider,model",
        metavar="DIMENSIONS",
        help=f"comma-separated: {DIMENSIONS}; any other word is a label of yours, e.g. team (provider,model)",
    )
    parser.add_argument(
        "--where", action="append", default=[], metavar="NAME=VALUE", help="only these; the same name again adds values"
    )
    parser.add_argument("--format", choices=("table", "csv", "json", "parquet"), default="table")
    parser.add_argument("--output", type=Path, help="write to this file instead of the terminal")
    parser.add_argument(
        "--tools", action="store_true", help="MCP tools too (LLM calls alone unless --by or --where say)"
    )
    parser.add_argument(
        "--percentiles",
        action="store_true",
        help="latency percentiles by labels too where there are many calls (read from every row: seconds, or minutes)",
    )
    parser.add_argument("--store", metavar="URL", help="another ledger than that of the settings")


def run(args: argparse.Namespace) -> int:
    """Print or write one report."""
    from datetime import UTC, datetime

    from tachograph.settings import load
    from tachograph.usage.reports import forecast, moment, report
    from tachograph.usage.reports.forecast import as_fields
    from tachograph.usage.reports.forms import as_csv, as_json, as_table, write_parquet
    from tachograph.usage.stores.query import Query, needs_rows

    now = datetime.now(UTC)
    since, until = moment(args.since, now=now), moment(args.until, now=now, where="--until")
    if since >= until:
        raise TachographError(
            f"the report would end ({until:%Y-%m-%d %H:%M}) before it begins ({since:%Y-%m-%d %H:%M})",
            where="--since, --until",
            do="Give an earlier --since.",
        )
    by = tuple(dimension(name) for name in args.by.split(",") if name.strip())
    where = conditions(args.where)
    if not args.tools and "kind" not in (*by, *where):
        where["kind"] = ("llm",)
    if args.format == "parquet" and args.output is None:
        raise TachographError(
            "Parquet is no text for a terminal", where="--format parquet", do="Add --output report.parquet."
        )
    store = open_for_reading(args.store)
    try:
        found = report(store, since=since, until=until, by=by, where=where, latency=args.percentiles or None)
        ahead = forecast(store, now=now, where=where)
        if needs_rows(Query(by=by, where=where), load().ledger.rollup_labels):
            note_removed_rows(store, since, until)
    finally:
        store.close()
    if args.format == "parquet":
        write_parquet(found, args.output)
        return 0
    if args.format == "csv":
        text = as_csv(found)
    elif args.format == "json":
        text = as_json(
            found,
            forecast=as_fields(ahead),
        )
    else:
        text = f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC\n\n{as_table(found)}\n{_notes(found, ahead)}"
    if args.output is None:
        sys.stdout.write(text)
    else:
        args.output.write_text(text, "utf-8")
    return 0


def _notes(found: object, ahead: object) -> str:
    from tachograph.usage.reports import Forecast, Report
    from tachograph.usage.reports.forecast import in_words
    from tachograph.usage.reports.forms import money
    from tachograph.usage.reports.report import MOST_ROWS

    assert isinstance(found, Report)
    assert isinstance(ahead, Forecast)
    notes = [in_words(ahead)]
    for at, name in enumerate(found.by):
        if name.startswith("label:") and not any(line.key[at] for line in found.lines):
            notes.append(f"No call has the label {name[6:]!r}. What the ledger has without labels: {DIMENSIONS}.")
    if found.total.unpriced:
        notes.append(
            f"Calls without a price: {found.total.unpriced:,}. Their cost is unknown, not zero; the console's drawer "
            "of each call says what was looked up. Add the models to your price file (setting pricing.file) and run: "
            "tachograph reprice"
        )
    if found.total.estimated_nano_usd:
        notes.append(f"{money(found.total.estimated_usd)} of the cost is estimated.")
    if found.total.usage_missing:
        notes.append(f"{found.total.usage_missing:,} calls reported no usage: their tokens are in no sum.")
    if found.total.calls > MOST_ROWS and found.lines and not any(line.latency_seconds for line in found.lines):
        notes.append("Latencies by labels would be read from every row: --percentiles has them.")
    if not found.total.calls:
        notes = ["No calls in this time. `tachograph ledger status` says where the ledger is and what waits."]
    return "\n".join(notes) + "\n"


def dimension(name: str) -> str:
    """A dimension as the ledger calls it: what is none of its own is a label of the user's."""
    name = name.strip()
    known = {*(word.strip() for word in DIMENSIONS.split(",")), *_OF_RUNS.values(), "parent_run_id"}
    name = _OF_RUNS.get(name, name)
    return name if name in known or name.startswith("label:") else f"label:{name}"


def conditions(texts: list[str]) -> dict[str, tuple[str, ...]]:
    """`model=gpt-5` and so on as a query's conditions.

    Raises:
        TachographError: One has no `=`.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise TachographError(f"{text!r} is not a condition", where="--where", do="Write it as model=gpt-5.")
        key = dimension(name)
        found[key] = (*found.get(key, ()), value)
    return found


def open_for_reading(url: str | None) -> Store:
    """The store of this URL or of the settings, for reading beside a writer.

    Raises:
        TachographError: There is none yet, or it cannot be used.
    """
    return _open(url, read_only=True)


def note_removed_rows(store: Store, since: datetime, until: datetime) -> None:
    """Say, beside an answer out of rows, that the oldest of its time are no longer kept."""
    from tachograph.usage.reports.when import rows_begin

    begin = rows_begin(store, since, until)
    if begin is not None:
        print(
            f"Rows from before {begin:%Y-%m-%d %H:%M} UTC are no longer kept (setting ledger.keep_rows_days) and "
            "not in these sums. Reports by provider, model, operation, outcome, day and ledger.rollup_labels have "
            "them.",
            file=sys.stderr,
        )


def open_for_writing(url: str | None) -> Store:
    """The same for appending corrections."""
    return _open(url, read_only=False)


def _open(url: str | None, *, read_only: bool) -> Store:
    import logging

    from tachograph.settings import load
    from tachograph.usage.ledger_paths import LedgerPaths
    from tachograph.usage.stores import open_store
    from tachograph.usage.stores.open import sqlite_path

    settings = load().ledger
    url = url or LedgerPaths(settings).url
    if url.startswith("clickhouse"):
        logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)  # its error is in ours
    if url.startswith("sqlite:") and not (path := sqlite_path(url)).is_file():
        raise TachographError(
            "this is not a file" if path.exists() else "there is no ledger yet",
            where=str(path),
            do="It is made at the first watched call. Another place: --store URL, or the setting ledger.data_dir.",
        )
    return open_store(url, rollup_labels=settings.rollup_labels, read_only=read_only, create=False)
