"""Tables and progress on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_rows(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns, each as wide as it needs."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_progress(text: str) -> None:
    """Write over the last line, where a person watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
