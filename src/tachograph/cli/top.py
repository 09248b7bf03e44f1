"""`tachograph top`: the console's first page in a terminal, live."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from tachograph.console import reader
from tachograph.option_values import number

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"bad": "bold red", "warn": "bold yellow", "over": "yellow", "good": "bold green", "empty": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    reader.add_arguments(parser)
    parser.add_argument("--minutes", type=number(1, 57_600), default=15.0, help="how far back to look (default 15)")
    parser.add_argument("--every", type=number(1, 3600), default=5.0, metavar="SECONDS", help="how often (default 5)")
    parser.add_argument("--once", action="store_true", help="print once and leave")


def run(args: argparse.Namespace) -> int:
    """Show until Ctrl-C."""
    from tachograph.errors import MissingExtraError

    try:
        from rich.console import Console
        from rich.live import Live
    except ImportError as error:
        raise MissingExtraError("tachograph top", "console", str(error.name)) from None
    found = reader.open_reader(args.console, args.token)
    try:
        console = Console()
        if args.once or not sys.stdout.isatty():
            console.print(screen(_ask(found, args.minutes)))
            return 0
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(screen(_ask(found, args.minutes), console.height), refresh=True)
                time.sleep(args.every)
    except KeyboardInterrupt:
        return 0
    finally:
        found.close()


def _ask(found: reader.Reader, minutes: float) -> dict[str, Any]:
    at = time.time()
    answer: dict[str, Any] = found.get("console/now", **{"from": at - minutes * 60, "to": at})
    return answer


def screen(now: dict[str, Any], height: int = 50) -> RenderableType:
    """The first page: sentence, tiles, tables."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from tachograph.console.views import phrases

    sentence = Text(now["sentence"]["plain"], style=_STYLES[now["sentence"]["level"]])
    tiles = Table.grid(padding=(0, 3))
    tiles.add_row(*(Text(tile["title"], style="dim") for tile in now["tiles"]))
    tiles.add_row(*(Text(_shown(tile["value"], tile["unit"]), style="bold") for tile in now["tiles"]))
    tiles.add_row(*(Text("" if t["before"] is None else f"was {_shown(t['before'], t['unit'])}", style="dim")
                    for t in now["tiles"]))  # fmt: skip
    parts: list[RenderableType] = [sentence, Text(""), tiles]
    room = max((height - 14) // 2, 5)
    for name, heads in (("providers", ("provider", "model")), ("servers", ("server_id", "tool_name"))):
        rows = now[name]["rows"]
        if not rows:
            continue
        table = Table(box=None, header_style="dim", pad_edge=False)
        for head in (*(h.replace("_", " ") for h in heads), "calls", "failed", "error", "p95", "waits", "cost"):
            right = head in ("calls", "failed", "p95", "waits", "cost")
            table.add_column(head, justify="right" if right else "left", no_wrap=True)
        for row in rows[:room]:
            lost = row["failed"] + row["given_up"]
            bad = lost >= 3 and lost >= 0.05 * row["calls"]
            failed = f"{lost:,} ({phrases.share(lost, row['calls'])})" if lost else "0"
            table.add_row(
                row[heads[0]], row[heads[1]], f"{row['calls']:,}", failed,
                row["errors"][0][0] if row["errors"] else "", phrases.seconds(row["p95"]),
                phrases.seconds(row["wait"]) if row["wait"] else "",
                phrases.usd(row["cost"]) if name == "providers" else "",
                style="red" if bad else "",
            )  # fmt: skip
        hidden = now[name]["total"] - min(len(rows), room)
        parts += [Text(""), table, *([Text(f"and {hidden} more", style="dim")] if hidden > 0 else [])]
    return Group(*parts)


def _shown(value: float | None, unit: str) -> str:
    from tachograph.console.views import phrases

    if value is None:
        return "-"
    if unit == "s":
        return phrases.seconds(value)
    if unit == "currencyUSD":
        return phrases.usd(value)
    if unit == "percentunit":
        return f"{value:.1%}"
    return f"{value:.3g}/s"
