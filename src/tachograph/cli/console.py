"""`tachograph console`: serve the local web console."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from tachograph.option_values import number, port, whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--port", type=port, default=9465, help="port to listen on; 0 takes a free one (default 9465)")
    parser.add_argument(
        "--listen",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; anything but loopback needs --token",
    )
    parser.add_argument(
        "--token",
        metavar="TOKEN",
        help="secret for logging in and for tools (default: a random one; or TACHOGRAPH_CONSOLE_TOKEN)",
    )
    parser.add_argument("--no-auth", action="store_true", help="let anyone on this machine read without logging in")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name it may be asked by"
    )
    parser.add_argument(
        "--scrape", action="append", nargs="+", default=[], metavar="URL", help="/metrics to scrape, one or more"
    )
    parser.add_argument("--prometheus", metavar="URL", help="ask this Prometheus instead of keeping metrics here")
    parser.add_argument("--alertmanager", metavar="URL", help="silence alerts in this Alertmanager too")
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="where calls are kept (default: the user's data directory)"
    )
    parser.add_argument("--memory", action="store_true", help="keep calls in memory only")
    parser.add_argument("--step", type=number(0.2, 300), default=5.0, metavar="SECONDS", help="how often to scrape (5)")
    parser.add_argument(
        "--max-calls",
        type=whole(1, 100_000_000),
        default=500_000,
        metavar="N",
        help="how many calls to keep (default 500000)",
    )
    parser.add_argument("--ledger", metavar="URL", help="show calls of this usage ledger (default: the configured one)")
    parser.add_argument("--no-ledger", action="store_true", help="look into no ledger")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    from tachograph.console import start
    from tachograph.console.server import is_loopback
    from tachograph.errors import TachographError
    from tachograph.settings import load
    from tachograph.usage.ledger_paths import configured_ledger

    token = args.token or os.environ.get("TACHOGRAPH_CONSOLE_TOKEN")
    if not is_loopback(args.listen) and not token:
        raise TachographError(
            "a console that others can reach needs a token",
            where=f"--listen {args.listen}",
            do="Give --token, or set TACHOGRAPH_CONSOLE_TOKEN, to a long random text.",
        )
    settings = load()
    data_dir = None if args.memory else args.data_dir or default_data_dir()
    running = start(
        host=args.listen,
        port=args.port,
        scrape=[url for urls in args.scrape for url in urls],
        prometheus=args.prometheus,
        alertmanager=args.alertmanager,
        data_dir=data_dir,
        token=token,
        auth=not args.no_auth,
        allow_hosts=args.allow_host,
        step_seconds=args.step,
        max_calls=args.max_calls,
        settings=settings,
        ledger=None if args.no_ledger else configured_ledger(settings.ledger, args.ledger),
    )
    with running:
        shown = running.url if token or args.no_auth else running.login_url
        print(f"Tachograph console: {shown}")
        if shown == running.login_url and not args.no_auth:
            print(f"The link works once. Further browsers and tools need the token: {running.token}")
        print(f"Send OTLP to it:    OTEL_EXPORTER_OTLP_ENDPOINT={running.url.rstrip('/')}")
        print("Stop it with Ctrl-C.", flush=True)
        if args.open:
            import webbrowser

            webbrowser.open(running.login_url)
        # A service manager's stop writes what is queued, as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            running.wait()
        except KeyboardInterrupt:
            print("", file=sys.stderr)
    return 0


def default_data_dir() -> Path:
    """Where the console keeps what it has, unless another directory is given."""
    from platformdirs import user_data_path

    return user_data_path("tachograph") / "console"
