"""The live board, drawn with rich."""

from __future__ import annotations

from collections.abc import Callable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .summary import Board, ModelRow, Status

_COLOURS = {"openai": "green", "anthropic": "dark_orange", "gemini": "dodger_blue1"}
_SPARKS = " ▁▂▃▄▅▆▇█"
_TALL = 36
"""Lines from which there is room for frames and blank lines."""


class Live:
    """Redraws the board in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = RichLive(console=self._console, auto_refresh=False, transient=False, vertical_overflow="crop")
        self._calls: list[float] = []

    def open(self) -> None:
        self._live.start()

    def show(self, board: Board, status: Status) -> None:
        self._calls = [*self._calls, board.calls_per_second][-30:]
        self._live.update(self.draw(board, status), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def draw(self, board: Board, status: Status) -> RenderableType:
        """The whole picture of one moment."""
        width, height = self._console.size
        is_low = height < _TALL
        side = Table.grid(expand=True, padding=(0, 2))
        for ratio in (4, 4, 3):
            side.add_column(ratio=ratio)
        side.add_row(_errors(board), _waits(board), _connections(board))
        numbers = self._numbers(board)
        return Group(
            _header(status),
            _addresses(status),
            numbers if is_low else Panel(numbers, box=box.ROUNDED, border_style="grey50", padding=(0, 1)),
            side,
            _models(board, is_low, is_narrow=width < 90),
            _tools(board, is_low, columns=2 if width >= 100 else 1),
        )

    def _numbers(self, board: Board) -> RenderableType:
        top = max(self._calls, default=0.0) or 1.0
        sparks = "".join(_SPARKS[round(value / top * (len(_SPARKS) - 1))] for value in self._calls)
        cells = [
            ("calls per second", f"{board.calls_per_second:.1f}", sparks[-16:]),
            (
                "tokens per second",
                f"{board.prompt_tokens_per_second:,.0f}",
                f"in, {board.completion_tokens_per_second:,.0f} out",
            ),
            ("cost per hour", f"${board.usd_per_hour:,.2f}", f"${board.usd_total:,.4f} so far"),
            ("first token p95", _seconds(board.first_token_p95_seconds), f"{_share(board.cached_share)} cached"),
            ("errors per minute", f"{board.errors_per_second * 60:.1f}", f"{sum(e[3] for e in board.errors)} so far"),
        ]
        table = Table.grid(expand=True, padding=(0, 1))
        for _ in cells:
            table.add_column(justify="center", ratio=1)
        table.add_row(*(Text(title, style="dim") for title, _, _ in cells))
        table.add_row(*(Text(value, style="bold") for _, value, _ in cells))
        table.add_row(*(Text(more, style="dim cyan") for _, _, more in cells))
        return table


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _header(status: Status) -> RenderableType:
    minutes, seconds = divmod(int(status.elapsed_seconds), 60)
    text = Text.assemble(
        (" tachograph demo ", "bold reverse"),
        f"  {minutes:02}:{seconds:02}  ",
        (f"{status.rate:g} calls/s asked for, seed {status.seed}, Ctrl-C ends it  ", "dim"),
    )
    if status.news and not status.incident:
        text.append(status.news[-1][1], "dim italic")
    text.no_wrap, text.overflow = True, "ellipsis"
    if status.incident:
        is_on = status.incident_phase.startswith("since")
        text.append(f" {status.incident} {status.incident_phase} ", "bold white on red" if is_on else "bold yellow")
    return text


def _wide_table(is_low: bool) -> Table:
    if is_low:
        return Table(box=None, expand=True, padding=(0, 1), pad_edge=False, header_style="dim")
    return Table(box=box.SIMPLE_HEAD, expand=True, padding=(0, 1), pad_edge=False)


_MODEL_COLUMNS: dict[str, Callable[[ModelRow], Text]] = {
    "calls/s": lambda row: Text(f"{row.calls:.2f}"),
    "p50": lambda row: Text(_seconds(row.p50_seconds)),
    "p95": lambda row: Text(_seconds(row.p95_seconds)),
    "first token": lambda row: Text(_seconds(row.first_token_seconds)),
    "tokens/s": lambda row: Text(f"{row.tokens:,.0f}"),
    "$/hour": lambda row: Text(f"{row.usd_per_hour:,.2f}"),
    "err/min": lambda row: _error_rate(row.errors),
}


def _error_rate(per_second: float) -> Text:
    return Text(f"{per_second * 60:.1f}", style="bold red" if per_second * 60 >= 1 else "dim")


def _models(board: Board, is_low: bool, is_narrow: bool) -> RenderableType:
    table = _wide_table(is_low)
    table.add_column("model", no_wrap=True, min_width=14)
    shown = ("calls/s", "p95", "$/hour", "err/min") if is_narrow else tuple(_MODEL_COLUMNS)
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True)
    slowest = max((m.p95_seconds or 0.0 for m in board.models), default=0.0)
    for row in board.models:
        cells = [_MODEL_COLUMNS[title](row) for title in shown]
        if row.p95_seconds is not None and row.p95_seconds == slowest:
            cells[shown.index("p95")].stylize("bold yellow")
        table.add_row(Text(row.model, style=_COLOURS.get(row.provider, "")), *cells)
    return table


def _small(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="dim", box=None, padding=(0, 1), pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True, header_style="dim")
    return table


def _errors(board: Board) -> RenderableType:
    table = _small("errors by type", "", "per min", "total")
    for provider, kind, rate, total in board.errors[:5]:
        name = Text.assemble((provider, _COLOURS.get(provider, "")), f" {kind}")
        table.add_row(name, Text(f"{rate * 60:.1f}", style="bold red" if rate * 60 >= 1 else ""), str(total))
    if not board.errors:
        table.add_row(Text("none yet", style="dim"), "", "")
    return table


def _waits(board: Board) -> RenderableType:
    table = _small("rate-limit waits", "", "s/s", "p95", "total")
    for provider, per_second, p95, total in board.waits:
        name = Text(provider, style=_COLOURS.get(provider, ""))
        table.add_row(name, f"{per_second:.2f}", _seconds(p95) if p95 else "-", str(total))
    if not board.waits:
        table.add_row(Text("none yet", style="dim"), "", "", "")
    for model, kind, share in board.headroom[:1]:
        table.caption = f"least left: {share:.0%} of {kind}, {model}"
        table.caption_justify, table.caption_style = "left", "dim"
    return table


def _connections(board: Board) -> RenderableType:
    table = _small("mcp servers", "", "connections")
    for server, count in board.connections:
        table.add_row(server, Text(str(count), style="green" if count else "bold red"))
    return table


def _tools(board: Board, is_low: bool, columns: int) -> RenderableType:
    table = _wide_table(is_low)
    for _ in range(columns):
        table.add_column("tool", no_wrap=True)
        for title in ("calls/s", "p95", "err/min"):
            table.add_column(title, justify="right", no_wrap=True)
    cells = []
    for row in board.tools:
        slow = row.p95_seconds is not None and row.p95_seconds > 5
        p95 = Text(_seconds(row.p95_seconds), style="bold yellow" if slow else "")
        cells.append(
            (Text.assemble((f"{row.server} ", "dim"), row.tool), f"{row.calls:.2f}", p95, _error_rate(row.errors))
        )
    half = -(-len(cells) // columns)
    for i in range(half):
        line = [cell for c in range(columns) if i + c * half < len(cells) for cell in cells[i + c * half]]
        table.add_row(*line)
    return table


def _addresses(status: Status) -> RenderableType:
    text = Text(" ")
    for name, address in status.addresses:
        text.append(f"{name} ", "dim")
        text.append(address, f"underline link {address}" if address.startswith("http") else "")
        text.append("   ")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
