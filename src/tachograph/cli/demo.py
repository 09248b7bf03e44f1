"""`tachograph demo`: the whole product live, against simulators and real MCP servers on this machine."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import warnings
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from tachograph.cli.demo_package import check_demo
from tachograph.errors import TachographError
from tachograph.option_values import not_negative, port, positive, seed

if TYPE_CHECKING:
    from tachograph_demo.scenario import Demo


INCIDENTS = (
    "rate-limit-storm",
    "provider-outage",
    "slow-tool",
    "dead-mcp-server",
    "cost-spike",
    "bad-key",
    "broken-streams",
    "hang-ups",
    "repeated-questions",
    "lost-cache",
    "agent-loop",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the demo."""
    parser.add_argument("--duration", type=positive, metavar="SECONDS", help="end after this time (default: Ctrl-C)")
    parser.add_argument(
        "--rate", type=positive, default=3.0, metavar="CALLS_PER_SECOND", help="LLM calls per second (default: 3)"
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="same seed, same calls and answers (default: 0)"
    )
    parser.add_argument("--incident", choices=INCIDENTS, help="a trouble that begins during the demo")
    parser.add_argument(
        "--incident-at",
        type=not_negative,
        metavar="SECONDS",
        help="when it begins (default: 20, or after a third of a shorter --duration)",
    )
    parser.add_argument(
        "--incident-for", type=positive, metavar="SECONDS", help="how long it lasts (default: to the end)"
    )
    parser.add_argument(
        "--metrics-port",
        type=port,
        default=9464,
        metavar="PORT",
        help="port of /metrics; 0: any free (default: 9464)",
    )
    parser.add_argument(
        "--console-port",
        type=port,
        default=9465,
        metavar="PORT",
        help="port of the console; 0: any (default: 9465)",
    )
    parser.add_argument("--no-console", action="store_true", help="do not serve the console")
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="keep the ledger here (default: a temporary directory)",
    )
    parser.add_argument("--plain", action="store_true", help="lines instead of the live board, as in a pipe")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when it ended in an orderly way and all books agree, 1 when they do not."""
    check_demo()
    ends = inf if args.duration is None else args.duration
    if args.incident_at is None:
        args.incident_at = min(20.0, ends / 3)
    if args.incident is not None and args.incident_at >= ends:
        raise TachographError(
            "the incident would begin when the demo has ended",
            where="--incident-at",
            do="Begin it earlier, or give a longer --duration.",
        )
    warnings.simplefilter("ignore")  # SDKs announce deprecations in the middle of the board
    logging.getLogger("tachograph").setLevel(logging.CRITICAL)  # the troubles on show are not news
    return asyncio.run(_show(args))


async def _show(args: argparse.Namespace) -> int:
    from tachograph_demo.scenario import Demo
    from tachograph_demo.summary import Status
    from tachograph_demo.view import make_view

    demo = Demo(
        rate=args.rate,
        seed=args.seed,
        incident=args.incident,
        incident_at=args.incident_at,
        incident_for=args.incident_for,
        metrics_port=args.metrics_port,
        console_port=None if args.no_console else args.console_port,
        directory=args.data_dir,
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ended.set)
    view = make_view(is_plain=True if args.plain else None)
    async with demo:
        showing = asyncio.create_task(demo.run(args.duration, ended))
        tracing = asyncio.create_task(demo.trace_to_console())
        view.open()
        try:
            while not showing.done():
                status = Status(
                    elapsed_seconds=demo.elapsed_seconds,
                    rate=args.rate,
                    seed=args.seed,
                    addresses=_addresses(demo),
                    news=[(moment.elapsed_seconds, moment.what) for moment in demo.timeline],
                    incident=args.incident,
                    incident_phase=demo.incident_phase,
                )
                view.show(demo.board(), status)
                await asyncio.wait({showing}, timeout=1.0)
        finally:
            view.close()
            tracing.cancel()
        await showing
    assert demo.truth is not None
    print(demo.truth, flush=True, file=sys.stdout if demo.truth.is_true else sys.stderr)
    if args.data_dir is not None:
        print(f"the ledger is kept: TACHOGRAPH_LEDGER_DATA_DIR={demo.directory / 'ledger'} tachograph report")
    return 0 if demo.truth.is_true else 1


def _addresses(demo: Demo) -> list[tuple[str, str]]:
    """What can be opened or read by now."""
    known = (("metrics", demo.metrics_url), ("console", demo.console_url), ("ledger", str(demo.directory / "ledger")))
    return [(name, address) for name, address in known if address]
