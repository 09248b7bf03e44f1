"""Comma-separated values that a spreadsheet cannot run: every CSV of ours is written here.

Names and labels come from outside. A cell that begins with `=`, `+`, `-`, `@`, a tab or a line break is a formula to
Excel, LibreOffice and Google Sheets, so such text gets a quote before it. Numbers stay numbers.
Source: https://owasp.org/www-community/attacks/CSV_Injection (checked 2026-11-27).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import IO, Any, Final

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def write(out: IO[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table: None is an empty cell, a Decimal all its digits."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([cell(name) for name in header])
    for row in rows:
        writer.writerow([cell(value) for value in row])


def cell(value: object) -> object:
    """One value, harmless to a spreadsheet."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, (int, float)):
        return value
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")  # a bare carriage return would end the row
    return f"'{text}" if text.lstrip("' ").startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def text_of(shown: str) -> str:
    """The text of which `cell` made this one."""
    return shown[1:] if shown.startswith("'") and cell(shown[1:]) == shown else shown
