"""The forms a report is given in: a table for people, CSV, JSON and Parquet for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tachograph import spreadsheet
from tachograph.errors import MissingExtraError
from tachograph.usage.reports.report import PERCENTILES, Line, Report

COLUMNS = (
    "calls",
    "errors",
    "cancelled",
    "attempts",
    "wait_seconds",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_usd",
    "estimated_usd",
    "unpriced",
    "usage_missing",
    "mean_seconds",
)


def dimension_names(by: Sequence[str]) -> list[str]:
    """Column names of the dimensions: a label's own name."""
    return [name.removeprefix("label:") for name in by]


def values(line: Line) -> dict[str, Any]:
    """A line's numbers by column name, latencies as `p50_seconds` and so on (None when nothing succeeded)."""
    found = {name: getattr(line, name) for name in COLUMNS}
    for percentile in PERCENTILES:
        found[f"p{percentile}_seconds"] = line.latency_seconds.get(percentile)
    return found


def as_csv(report: Report) -> str:
    """One row a line, no total: sums are a program's own business. Text that a spreadsheet might run is quoted."""
    out = io.StringIO()
    rows = ([*(_plain(value) for value in line.key), *values(line).values()] for line in report.lines)
    spreadsheet.write(out, [*dimension_names(report.by), *values(report.total)], rows)
    return out.getvalue()


def as_json(report: Report, **extra: object) -> str:
    """One object: range, dimensions, lines, total. Money is text, exact."""
    names = dimension_names(report.by)
    body = {
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "by": list(report.by),
        "lines": [
            {**dict(zip(names, map(_plain, line.key), strict=True)), **_plain_values(line)} for line in report.lines
        ],
        "total": _plain_values(report.total),
        **extra,
    }
    return json.dumps(body, indent=2) + "\n"


def write_parquet(report: Report, path: Path) -> None:
    """One row a line; money as decimal(38, 9), times as timestamps.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("Parquet output", "parquet", "pyarrow") from None
    names = dimension_names(report.by)
    columns: dict[str, Any] = {}
    for index, name in enumerate(names):
        is_time = report.by[index] in ("hour", "day")
        kind = arrow.timestamp("us", tz="UTC") if is_time else arrow.string()
        columns[name] = arrow.array([line.key[index] for line in report.lines], kind)
    for name in values(report.total):
        of_lines = [values(line)[name] for line in report.lines]
        if name.endswith("_usd"):
            kind = arrow.decimal128(38, 9)
        elif name.endswith("_seconds"):
            kind = arrow.float64()
        else:
            kind = arrow.int64()
        columns[name] = arrow.array(of_lines, kind)
    parquet.write_table(arrow.table(columns), path)


def as_table(report: Report) -> str:
    """Aligned columns for a terminal, the total below."""
    names = dimension_names(report.by)
    head = [*names, "calls", "errors", "input", "cached", "output", "cost", "unpriced", "p50", "p95", "p99", "waited"]
    rows = [[*(_shown_key(value) for value in line.key), *_shown_numbers(line)] for line in report.lines]
    total = [*(["total"] + [""] * (len(names) - 1) if names else []), *_shown_numbers(report.total)]
    if not names:
        rows = []
    every = [head, *rows, total]
    widths = [max(len(row[index]) for row in every) for index in range(len(head))]
    left = len(names)

    def shown(row: list[str]) -> str:
        cells = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "-" * len(shown(head))
    body = [shown(head), rule, *(shown(row) for row in rows)]
    if rows:
        body.append(rule)
    return "\n".join([*body, shown(total)]) + "\n"


def money(usd: Decimal) -> str:
    """Dollars for people: cents from a dollar up, more digits below."""
    if usd == 0:
        return "$0"
    return f"${usd:,.2f}" if abs(usd) >= 1 else f"${usd:.6f}"


def seconds(value: float | None) -> str:
    """A duration for people."""
    if value is None:
        return "-"
    if value >= 60:
        return f"{value / 60:.1f} min"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def _shown_numbers(line: Line) -> list[str]:
    return [
        f"{line.calls:,}",
        f"{line.errors:,}",
        f"{line.input_tokens:,}",
        f"{line.cache_read_tokens:,}",
        f"{line.output_tokens:,}",
        money(line.cost_usd),
        f"{line.unpriced:,}" if line.unpriced else "",
        *(seconds(line.latency_seconds.get(percentile)) for percentile in PERCENTILES),
        seconds(line.wait_seconds) if line.wait_seconds else "",
    ]


def _shown_key(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d" if not value.hour else "%Y-%m-%d %H:%M")
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return text or "(none)"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value


def _plain_values(line: Line) -> dict[str, Any]:
    return {name: f"{value:f}" if isinstance(value, Decimal) else value for name, value in values(line).items()}
