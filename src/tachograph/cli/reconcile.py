"""`tachograph reconcile`: the ledger beside the provider's own report."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tachograph.errors import TachographError
from tachograph.option_values import number, port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from tachograph.usage.reconcile import Billed, Difference, Reconciled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("provider", choices=("openai", "anthropic", "google"), nargs="?")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="fetch and compare every day, and serve the result as metrics; without a provider, all that have a key",
    )
    parser.add_argument("--every", default="24h", metavar="AGE", help="with --watch: how often (24h)")
    parser.add_argument("--port", type=port, default=9467, help="with --watch: port of /metrics; 0: any free (9467)")
    parser.add_argument("--since", default="7d", help="age (7d), date or month; whole days, UTC (7d)")
    parser.add_argument("--until", default="now", help="the same, not included (now)")
    parser.add_argument(
        "--from",
        dest="files",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="saved answers of the reports' API, Google's billing export as CSV, or a bill in FOCUS form (.csv or "
        ".parquet); may be repeated",
    )
    parser.add_argument(
        "--by-key",
        action="store_true",
        help="show the sums of each API key too, from OpenAI's or Anthropic's admin API",
    )
    parser.add_argument("--base-url", help="another address of the provider's API")
    parser.add_argument("--key-env", metavar="NAME", help="environment variable with the admin key")
    parser.add_argument("--label", help="provider label of these calls in the ledger (openai, anthropic, gemini)")
    parser.add_argument(
        "--tolerance",
        type=number(0, 100),
        default=0.5,
        metavar="PERCENT",
        help="by which numbers may be apart (0.5)",
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--store", metavar="URL", help="another ledger than that of the settings")


def run(args: argparse.Namespace) -> int:
    """Compare; 1 when something differs."""
    from datetime import UTC, datetime
    from decimal import Decimal

    from tachograph.cli.report import note_removed_rows, open_for_reading
    from tachograph.pricing import Pricer
    from tachograph.settings import load
    from tachograph.usage.reconcile import reconcile
    from tachograph.usage.reports import moment

    if args.watch:
        return _watch(args)
    if args.provider is None:
        raise TachographError("there is no provider", where="tachograph reconcile", do="Name one, or give --watch.")
    now = datetime.now(UTC)
    since = moment(args.since, now=now).replace(hour=0, minute=0, second=0, microsecond=0)
    until = moment(args.until, now=now, where="--until")
    tolerance = Decimal(str(args.tolerance)) / 100
    provider: str = args.provider
    label: str = args.label or {"google": "gemini"}.get(provider, provider)
    keys = _keys(args, since, until)
    bill = list(_bill(args, since, until))
    price_file = load().pricing.file
    store = open_for_reading(args.store)
    try:
        found = reconcile(
            store, label, bill, since=since, until=until, tolerance=tolerance, now=now, pricer=Pricer(price_file),
            keys=keys,
        )  # fmt: skip
        note_removed_rows(store, since, until)
    finally:
        store.close()
    if args.format == "json":
        sys.stdout.write(as_json(found))
    else:
        sys.stdout.write(as_table(found))
    return 1 if found.differences else 0


def _watch(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime
    from decimal import Decimal

    from tachograph.cli.report import open_for_reading
    from tachograph.pricing import Pricer
    from tachograph.settings import load
    from tachograph.signals.http import MetricsServer
    from tachograph.signals.registry import Metrics
    from tachograph.usage.ledger_paths import LedgerPaths
    from tachograph.usage.reconcile.watch import Account, Watcher
    from tachograph.usage.reports import moment

    settings = load()
    now = datetime.now(UTC)
    every = (now - moment(args.every, now=now, where="--every")).total_seconds()
    accounts = [Account(*account) for account in _accounts(args)]
    if not accounts:
        raise TachographError(
            "there is no bill to watch",
            where="tachograph reconcile --watch",
            do="Set OPENAI_ADMIN_KEY or ANTHROPIC_ADMIN_KEY, or give `google --from export.jsonl`.",
        )
    metrics = Metrics(())
    watcher = Watcher(
        accounts,
        lambda: open_for_reading(args.store),
        LedgerPaths(settings.ledger).directory,
        metrics,
        Pricer(settings.pricing.file),
        tolerance=Decimal(str(args.tolerance)) / 100,
    )
    server = MetricsServer(lambda: metrics, args.port)
    print(f"watching the bills; metrics at {server.url}", flush=True)
    try:
        watcher.run(every, threading.Event())
    finally:
        server.close()
    return 0


def _accounts(args: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """The label of each bill that can be had, how it is fetched, and how the vendor's limits are."""
    from functools import partial

    from tachograph.usage.reconcile import anthropic, google, keys, limits, openai

    vendors: dict[str, Any] = {"openai": openai, "anthropic": anthropic}
    for name, vendor in vendors.items():
        key = _key(args.key_env or vendor.KEY)
        if key and args.provider in (None, name):
            base_url = (args.base_url if args.provider else None) or vendor.BASE_URL
            its_limits = partial(getattr(limits, name), key=key, base_url=base_url)
            its_keys = partial(getattr(keys, name), key=key, base_url=base_url)
            yield args.label or name, partial(vendor.billed, key=key, base_url=base_url), its_limits, its_keys
    if args.provider == "google" and args.files:
        yield args.label or "gemini", lambda since, until: google.saved(args.files)


def _key(name: str) -> str:
    """The admin key, without the line end that a file of secrets may have put behind it."""
    key = os.environ.get(name, "").strip()
    if key.isascii() and key.isprintable():
        return key
    raise TachographError(
        "the admin key has characters that no key has",
        where=f"environment variable {name}",
        do="Set it as the provider shows it.",
    )


def _bill(args: argparse.Namespace, since: datetime, until: datetime) -> Iterable[Billed]:
    from tachograph.usage.reconcile import anthropic, focus, google, openai

    if args.files and all(map(focus.is_focus, args.files)):
        provider: str = args.provider
        return list(focus.saved(args.files, args.label or {"google": "gemini"}.get(provider, provider)))
    if args.provider == "google":
        if not args.files:
            raise TachographError(
                "Google has no usage report API to ask",
                where="tachograph reconcile google",
                do="Export the cost table by day and SKU as CSV and name it with --from.",
            )
        return google.saved(args.files)
    vendor: Any = openai if args.provider == "openai" else anthropic
    if args.files:
        return list(vendor.saved(args.files))
    name = args.key_env or vendor.KEY
    key = _key(name)
    if not key:
        raise TachographError(
            "there is no admin key for the provider's reports",
            where=f"environment variable {name}",
            do=f"Set {name}, name another with --key-env, or give saved reports with --from.",
        )
    return list(vendor.billed(since, until, key=key, base_url=args.base_url or vendor.BASE_URL))


def _keys(args: argparse.Namespace, since: datetime, until: datetime) -> list[Billed] | None:
    """The report by API key, where it was asked for."""
    from tachograph.usage.reconcile import anthropic, keys, openai

    if not args.by_key:
        return None
    vendor: Any = {"openai": openai, "anthropic": anthropic}.get(args.provider)
    key = None if vendor is None else _key(args.key_env or vendor.KEY)
    if vendor is None or not key:
        raise TachographError(
            "the bill by key comes from the admin API of OpenAI or Anthropic",
            where="--by-key",
            do="Set OPENAI_ADMIN_KEY or ANTHROPIC_ADMIN_KEY, or leave --by-key away.",
        )
    return list(getattr(keys, args.provider)(since, until, key=key, base_url=args.base_url or vendor.BASE_URL))


def as_table(found: Reconciled) -> str:
    """What differs, and the sums."""
    from tachograph.usage.reports.forms import money

    lines = []
    for one in found.differences:
        lines.append(f"{one.day}  {one.model}  {_apart(one)}")
        lines += [f"            {cause.name}  {money(cause.usd)}  {cause.text}" for cause in one.causes]
    for key, (billed, ours) in sorted(found.keys.items()):
        seen = "" if ours else "  no call of this key is in the ledger: it is not watched"
        lines.append(f"key {key}  ours / billed: {money(ours)} / {money(billed)}{seen}")
    total = f"ours {money(found.ours_usd)}, billed {money(found.billed_usd)}"
    verdict = "all agree" if not found.differences else f"{len(found.differences)} differ"
    lines.append(f"{found.agreeing} days and models agree, {verdict}; {total}")
    return "\n".join(lines) + "\n"


def _apart(one: Difference) -> str:
    from tachograph.usage.reports.forms import money

    own, line = one.ours, one.billed
    parts = []
    for name in ("input_tokens", "output_tokens"):
        ours = getattr(own, name) if own else 0
        theirs = getattr(line, name) if line else None
        if theirs is not None or line is None:
            parts.append(f"{name.removesuffix('_tokens')} {ours:,} / {theirs or 0:,}")
    if line is None or line.usd is not None:
        parts.append(f"cost {money(own.usd) if own else '$0'} / {money(line.usd) if line and line.usd else '$0'}")
    return "ours / billed: " + ", ".join(parts)


def as_json(found: Reconciled) -> str:
    """The same for programs; money as text, exact."""
    return (
        json.dumps(
            {
                "agreeing": found.agreeing,
                "ours_usd": f"{found.ours_usd:f}",
                "billed_usd": f"{found.billed_usd:f}",
                "causes": {name: f"{usd:f}" for name, usd in sorted(found.causes.items())},
                "keys": {
                    key: {"billed_usd": f"{billed:f}", "ours_usd": f"{ours:f}"}
                    for key, (billed, ours) in sorted(found.keys.items())
                },
                "differences": [
                    {
                        "day": one.day.isoformat(),
                        "model": one.model,
                        "ours": None
                        if one.ours is None
                        else {
                            "calls": one.ours.calls,
                            "input_tokens": one.ours.input_tokens,
                            "output_tokens": one.ours.output_tokens,
                            "usd": f"{one.ours.usd:f}",
                        },
                        "billed": None
                        if one.billed is None
                        else {
                            "requests": one.billed.requests,
                            "input_tokens": one.billed.input_tokens,
                            "output_tokens": one.billed.output_tokens,
                            "usd": None if one.billed.usd is None else f"{one.billed.usd:f}",
                        },
                        "causes": [cause.text for cause in one.causes],
                        "named": {cause.name: f"{cause.usd:f}" for cause in one.causes},
                    }
                    for one in found.differences
                ],
            },
            indent=2,
        )
        + "\n"
    )
