"""`tachograph notify`: evaluate the alert rules and notify people, without a page; and test the receivers."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tachograph.option_values import number

if TYPE_CHECKING:
    from tachograph.console.notify.message import Notification
    from tachograph.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options."""
    parser.add_argument(
        "--test",
        nargs="*",
        metavar="RECEIVER",
        help="send a test alert and its resolved notice to these receivers (all unless named), and exit",
    )
    parser.add_argument(
        "--scrape", action="append", nargs="+", default=[], metavar="URL", help="/metrics to scrape, one or more"
    )
    parser.add_argument("--prometheus", metavar="URL", help="ask this Prometheus instead of scraping")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="where the state is kept (default: the user's data directory)"
    )
    parser.add_argument("--step", type=number(0.2, 300), default=5.0, metavar="SECONDS", help="how often to scrape (5)")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, or test the receivers."""
    from tachograph.errors import SettingsError, TachographError
    from tachograph.settings import load

    settings = load()
    if not settings.notify.receivers:
        raise SettingsError(
            "no receiver is set",
            where="setting notify.receivers",
            do="Add a table [notify.receivers.NAME] to tachograph.toml; docs/notifications.md shows one of each kind.",
        )
    if args.test is not None:
        return test(settings, args.test)
    if not args.prometheus and not any(args.scrape):
        raise TachographError("there is nothing to look at", do="Give --scrape URL or --prometheus URL.")
    return serve(args, settings)


def serve(args: argparse.Namespace, settings: Settings) -> int:
    """Evaluate and send until a signal comes."""
    from tachograph.cli.console import default_data_dir
    from tachograph.console.server import check_installed
    from tachograph.errors import TachographError

    check_installed()
    from tachograph.console.api import catalogue
    from tachograph.console.console import Console

    console = Console(
        scrape=[url for urls in args.scrape for url in urls],
        prometheus_url=args.prometheus,
        data_dir=args.data_dir or default_data_dir(),
        rule_groups=catalogue.rule_groups(settings, keeps_recorded=args.prometheus is None),
        step_seconds=args.step,
        job=settings.alerts.job.split("|")[0],
        settings=settings,
    )
    if console.notifier is None:
        console.close()
        raise TachographError(
            f"no notifications are sent from here: {console.notify_error}",
            where="--data-dir",
            do="Stop the other one, or give each its own directory.",
        )
    stopped = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.set())
    console.start()
    names = ", ".join(settings.notify.receivers)
    print(f"Tachograph sends alerts to: {names}. Stop it with Ctrl-C.", flush=True)
    stopped.wait()
    console.close()
    return 0


def test(settings: Settings, names: list[str]) -> int:
    """Send a test alert and its resolved notice to receivers; 1 where one did not accept them."""
    from tachograph.console.notify.delivery import DeliveryError
    from tachograph.console.notify.receivers import deliver
    from tachograph.errors import SettingsError

    known = settings.notify.receivers
    for name in names:
        if name not in known:
            raise SettingsError(
                f"there is no receiver {name!r}", where="--test", do=f"Known: {', '.join(known) or 'none'}."
            )
    failed = False
    for name in names or known:
        kind = known[name].__struct_config__.tag
        try:
            said = [deliver(known[name], one, settings.notify.timeout_seconds) for one in _tests(settings, name)]
        except DeliveryError as error:
            failed = True
            print(f"{name} ({kind}): not delivered: {error}", file=sys.stderr)
        else:
            warning = next((f", but {one}" for one in said if one), "")
            print(f"{name} ({kind}): delivered a test alert and its resolved notice{warning}")
    return int(failed)


def _tests(settings: Settings, receiver: str) -> Iterator[Notification]:
    import msgspec

    from tachograph.console.notify.message import Notification, NotifiedAlert

    now = time.time()
    alert = NotifiedAlert(
        labels={"alertname": "TachographTest", "severity": "info", "component": "telemetry"},
        annotations={
            "summary": f"Test of receiver {receiver}",
            "description": "This is a test by `tachograph notify --test`: nothing is wrong. A resolved notice follows.",
        },
        since=now,
    )
    about = {"receiver": receiver, "key": f"test-{now:.3f}", "labels": {}, "console_url": settings.notify.console_url}
    yield Notification(firing=(alert,), at=now, **about)  # type: ignore[arg-type]  # a dict of mixed values
    ended = msgspec.structs.replace(alert, resolved_at=now + 1)
    yield Notification(firing=(), resolved=(ended,), at=now + 1, **about)  # type: ignore[arg-type]  # as above
