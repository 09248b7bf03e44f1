"""The demo's picture: a live board in a terminal, one line at a time for pipes."""

from __future__ import annotations

import sys
from typing import Protocol

from .summary import Board, Status


class View(Protocol):
    """Shows boards until it is closed."""

    def open(self) -> None:
        """Begin to show."""

    def show(self, board: Board, status: Status) -> None:
        """Show this moment."""

    def close(self) -> None:
        """Leave the last board standing."""


class Plain:
    """One line every few seconds, for pipes and logs."""

    def __init__(self, every_seconds: float = 2.0) -> None:
        self._every = every_seconds
        self._next = 0.0
        self._told: set[tuple[str, str]] = set()
        self._news_told = 0

    def open(self) -> None:
        """Nothing to prepare."""

    def show(self, board: Board, status: Status) -> None:
        for name, address in status.addresses:
            if (name, address) not in self._told:
                self._told.add((name, address))
                print(f"{name} {address}", flush=True)
        for at, what in status.news[self._news_told :]:
            print(f"{at:5.0f}s | {what}", flush=True)
        self._news_told = len(status.news)
        if status.elapsed_seconds < self._next or not board.calls_total:
            return
        self._next = status.elapsed_seconds + self._every
        slowest = max((m for m in board.models if m.p95_seconds), key=lambda m: m.p95_seconds or 0.0, default=None)
        parts = [
            f"{status.elapsed_seconds:5.0f}s",
            f"calls/s {board.calls_per_second:.1f} (total {board.calls_total})",
            f"tokens/s {board.prompt_tokens_per_second:.0f} in {board.completion_tokens_per_second:.0f} out",
            f"${board.usd_per_hour:.2f}/h",
            f"p95 {slowest.p95_seconds:.1f}s {slowest.model}" if slowest else "p95 -",
            f"errors/min {board.errors_per_second * 60:.1f}",
            f"waits {board.waits_total}",
            f"tools/s {sum(t.calls for t in board.tools):.1f}",
            "mcp " + " ".join(f"{server}={count}" for server, count in board.connections),
        ]
        if status.incident:
            parts.append(f"incident {status.incident} {status.incident_phase}")
        print(" | ".join(parts), flush=True)

    def close(self) -> None:
        """Nothing to leave behind."""


def make_view(is_plain: bool | None = None) -> View:
    """A live board when stdout is a terminal (and rich is there), lines otherwise."""
    if is_plain is None:
        is_plain = not sys.stdout.isatty()
    if not is_plain:
        try:
            from .live import Live
        except ModuleNotFoundError:
            return Plain()
        return Live()
    return Plain()
