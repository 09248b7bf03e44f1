"""`tachograph demo`: the whole product live, against simulators and real MCP servers on this machine."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import warnings

HELP = "run the product live against local simulators and real MCP servers; needs no API key"

INCIDENTS = ("rate-limit-storm", "provider-outage", "slow-tool", "dead-mcp-server", "cost-spike", "bad-key")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the demo."""
    parser.add_argument("--duration", type=_positive, metavar="SECONDS", help="end after this time (default: Ctrl-C)")
    parser.add_argument(
        "--rate", type=_positive, default=4.0, metavar="CALLS_PER_SECOND", help="LLM calls per second (default: 4)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="same seed, same calls and answers (default: 0)"
    )
    parser.add_argument("--incident", choices=INCIDENTS, help="a trouble that begins during the demo")
    parser.add_argument(
        "--incident-at", type=float, default=20.0, metavar="SECONDS", help="when it begins (default: 20)"
    )
    parser.add_argument(
        "--incident-for", type=_positive, metavar="SECONDS", help="how long it lasts (default: to the end)"
    )
    parser.add_argument(
        "--metrics-port",
        type=int,
        default=9464,
        metavar="PORT",
        help="port of /metrics; 0: any free (default: 9464)",
    )
    parser.add_argument("--plain", action="store_true", help="lines instead of the live board, as in a pipe")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when it ended in an orderly way and all books agree, 1 when they do not."""
    warnings.simplefilter("ignore")  # SDKs announce deprecations in the middle of the board
    logging.getLogger("tachograph").setLevel(logging.CRITICAL)  # the troubles on show are not news
    return asyncio.run(_show(args))


async def _show(args: argparse.Namespace) -> int:
    from tachograph.demo.scenario import Demo
    from tachograph.demo.view import Status, make_view

    demo = Demo(
        rate=args.rate,
        seed=args.seed,
        incident=args.incident,
        incident_at=args.incident_at,
        incident_for=args.incident_for,
        metrics_port=args.metrics_port,
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    view = make_view(is_plain=True if args.plain else None)
    async with demo:
        print(f"metrics on {demo.metrics_url}; seed {args.seed}; Ctrl-C ends it", flush=True)
        addresses = [("metrics", demo.metrics_url or "none")]
        showing = asyncio.create_task(demo.run(args.duration, ended))
        view.open()
        try:
            while not showing.done():
                status = Status(
                    elapsed_seconds=demo.elapsed_seconds,
                    rate=args.rate,
                    seed=args.seed,
                    addresses=addresses,
                    incident=args.incident,
                    incident_phase=demo.incident_phase,
                )
                view.show(demo.board(), status)
                await asyncio.wait({showing}, timeout=1.0)
        finally:
            view.close()
        await showing
    assert demo.truth is not None
    print(demo.truth, flush=True, file=sys.stdout if demo.truth.is_true else sys.stderr)
    return 0 if demo.truth.is_true else 1
