"""`tachograph collect`: serve OTLP of other senders into the ledger and the metrics."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from tachograph.option_values import port


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--port", type=port, default=4318, help="port to listen on; 0 takes a free one (default 4318)")
    parser.add_argument(
        "--listen",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; anything but loopback needs --token",
    )
    parser.add_argument(
        "--token",
        metavar="TOKEN",
        help="secret that senders and Prometheus show as `Authorization: Bearer TOKEN` (or TACHOGRAPH_CONSOLE_TOKEN)",
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a further name it may be asked by"
    )
    parser.add_argument("--ledger", metavar="URL", help="record into this usage ledger (default: that of the settings)")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from msgspec import structs

    from tachograph.errors import MissingExtraError, TachographError
    from tachograph.settings import load
    from tachograph.usage.ledger_paths import LedgerPaths
    from tachograph.usage.stores.open import store_class, without_password

    try:
        from tachograph.collect import start
    except ImportError as error:
        raise MissingExtraError("the collector", "collect", str(error.name)) from None
    token = args.token or os.environ.get("TACHOGRAPH_CONSOLE_TOKEN")
    if token is not None and len(token) < 16:
        raise TachographError("the token is shorter than 16 characters", where="--token", do="Use a long random one.")
    settings = load()
    if args.ledger is not None:
        store_class(args.ledger)
        settings = structs.replace(settings, ledger=structs.replace(settings.ledger, url=args.ledger))
    LedgerPaths(settings.ledger).make_or_refuse()
    with start(settings, host=args.listen, port=args.port, token=token, allow_hosts=args.allow_host) as running:
        print(
            f"Tachograph collector: OTEL_EXPORTER_OTLP_ENDPOINT={running.url} OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        )
        if token is not None:
            print("Senders need the token: OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer TOKEN'")
        print(f"It records into {without_password(running.ledger.place.url)} and serves {running.url}/metrics.")
        print("Stop it with Ctrl-C.", flush=True)
        # A service manager's stop stores what is kept, as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            running.wait()
        except KeyboardInterrupt:
            print("", file=sys.stderr)
    return 0
