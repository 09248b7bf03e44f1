"""`tachograph top`: the console's first page in a terminal, live."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

from tachograph.console import reader
from tachograph.console.views import phrases
from tachograph.option_values import number

if TYPE_CHECKING:
    from rich.console import RenderableType

_NAMES_NEED = 28
"""Cells for the two names of a row; below it, columns go in the order of _LEAST."""
_LEAST = ("waits", "error", "cost", "calls")
_TILES_NEED = 72
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
            console.print(screen(_ask(found, args.minutes), width=console.width))
            return 0
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(screen(_ask(found, args.minutes), console.height, console.width), refresh=True)
                time.sleep(args.every)
    except KeyboardInterrupt:
        return 0
    finally:
        found.close()


def _ask(found: reader.Reader, minutes: float) -> dict[str, Any]:
    at = time.time()
    answer: dict[str, Any] = found.get("console/now", **{"from": at - minutes * 60, "to": at})
    return answer


def screen(now: dict[str, Any], height: int = 50, width: int = 80) -> RenderableType:
    """The first page: sentence, tiles, tables."""
    from rich.console import Group
    from rich.text import Text

    sentence = Text(now["sentence"]["plain"], style=_STYLES[now["sentence"]["level"]])
    parts: list[RenderableType] = [sentence, Text(""), _tiles(now["tiles"], width)]
    found = [(name, heads) for name, heads in _TABLES.items() if now[name]["rows"]]
    room = max((height - 14) // max(len(found), 1), 5)
    for name, heads in found:
        rows = now[name]["rows"][:room]
        hidden = now[name]["total"] - len(rows)
        parts += [Text(""), _table(rows, heads, width)]
        parts += [Text(f"and {hidden} more", style="dim")] if hidden > 0 else []
    return Group(*parts)


_TABLES = {"providers": ("provider", "model"), "servers": ("server_id", "tool_name")}


def _tiles(tiles: list[dict[str, Any]], width: int) -> RenderableType:
    """The tiles beside each other, in a narrow window below each other."""
    from rich.table import Table
    from rich.text import Text

    titles = [Text(tile["title"], style="dim") for tile in tiles]
    values = [Text(_shown(tile["value"], tile["unit"]), style="bold") for tile in tiles]
    before = [Text("" if t["before"] is None else f"was {_shown(t['before'], t['unit'])}", style="dim") for t in tiles]
    table = Table.grid(padding=(0, 3))
    for row in (titles, values, before) if width >= _TILES_NEED else zip(titles, values, before, strict=True):
        table.add_row(*row)
    return table


def _table(rows: list[dict[str, Any]], heads: tuple[str, str], width: int) -> RenderableType:
    """Rows by trouble. Numbers are never cut: names are shortened, and columns go where the window has no room."""
    from rich.cells import cell_len
    from rich.table import Table

    columns = {
        "calls": [f"{row['calls']:,}" for row in rows],
        "failed": [_failed(row) for row in rows],
        "error": [row["errors"][0][0] if row["errors"] else "" for row in rows],
        "p95": [phrases.seconds(row["p95"]) for row in rows],
        "waits": [phrases.seconds(row["wait"]) if row["wait"] else "" for row in rows],
        "cost": [phrases.usd(row["cost"]) if heads[0] == "provider" else "" for row in rows],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    sizes = {name: 2 + max(map(len, (name, *cells))) for name, cells in columns.items()}
    for name in _LEAST:
        if width - 2 - sum(sizes[one] for one in columns) < _NAMES_NEED:
            columns.pop(name, None)
    room = width - 2 - sum(sizes[one] for one in columns)
    longest = max(cell_len(row[heads[0]]) for row in rows)
    first = max(len(heads[0]), min(longest, room * 2 // 5))
    table = Table(box=None, header_style="dim", pad_edge=False)
    for head in (*(head.replace("_", " ") for head in heads), *columns):
        left = head not in columns or head == "error"
        table.add_column(head, justify="left" if left else "right", no_wrap=True)
    for index, row in enumerate(rows):
        names = _fit(row[heads[0]], first), _fit(row[heads[1]], room - first)
        style = "red" if _is_bad(row) else ""
        table.add_row(*names, *(cells[index] for cells in columns.values()), style=style)
    return table


def _is_bad(row: dict[str, Any]) -> bool:
    lost = row["failed"] + row["given_up"]
    return bool(lost >= 3 and lost >= 0.05 * row["calls"])


def _failed(row: dict[str, Any]) -> str:
    lost = row["failed"] + row["given_up"]
    return f"{lost:,} ({phrases.share(lost, row['calls'])})" if lost else "0"


def _fit(name: str, room: int) -> str:
    """A name with its middle left out, where it has more cells than there are: names of models differ at their ends."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(name) <= room:
        return name
    head = set_cell_size(name, max(0, (room - 1) * 2 // 5)).rstrip()
    tail = set_cell_size(name[::-1], max(0, room - 1 - cell_len(head)))[::-1].lstrip()
    return f"{head}…{tail}"


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "s":
        return phrases.seconds(value)
    if unit == "currencyUSD":
        return phrases.usd(value)
    if unit == "percentunit":
        return f"{value:.1%}"
    return f"{value:.3g}/s"
