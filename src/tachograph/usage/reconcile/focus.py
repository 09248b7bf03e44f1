"""A bill in FOCUS form: a file of the FinOps Open Cost and Usage Specification, CSV or Parquet, by any tool.

Its rows say what was charged by day and resource, and no tokens by kind, so money alone is compared.

Source: https://focus.finops.org/focus-specification/v1-2/, read 2026-11-27.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from tachograph.errors import MissingExtraError
from tachograph.files import open_named
from tachograph.spreadsheet import text_of
from tachograph.usage.focus import PUBLISHERS
from tachograph.usage.reconcile.bill import Billed, BillError, in_usd, money_line, opened, understood

NEEDED: Final = ("BilledCost", "ChargePeriodStart", "ProviderName")
_READ: Final = (*NEEDED, "BillingCurrency", "ResourceId", "RegionId", "ChargeCategory")


def is_focus(path: Path) -> bool:
    """Whether a file is one of these, by its ending and its header."""
    if path.suffix == ".parquet":
        return True
    if path.suffix != ".csv":
        return False
    try:
        with opened(path, takes_pipes=False) as file:  # what is read of a pipe is gone
            return set(NEEDED) <= set(next(csv.reader(file), ()))
    except (OSError, UnicodeDecodeError, csv.Error, BillError):
        return False


def saved(paths: Sequence[Path], provider: str) -> Iterator[Billed]:
    """Read what these files charge for one provider, by its label in the ledger.

    Raises:
        BillError: A file cannot be read, or is not a FOCUS file.
        MissingExtraError: A Parquet file, and pyarrow is not installed.
    """
    wanted = PUBLISHERS.get(provider, provider).lower()
    for path in paths:
        yield from understood(_lines(path, wanted), str(path))


def _lines(path: Path, wanted: str) -> Iterator[Billed]:
    for row in _rows(path):
        if str(row["ProviderName"]).lower() != wanted:
            continue
        try:
            usd, digits = in_usd(Decimal(str(row["BilledCost"])), row.get("BillingCurrency"), str(path))
            day = _day(row["ChargePeriodStart"])
        except (InvalidOperation, ValueError) as error:
            raise BillError(
                f"a row has no cost or no day: {error}", where=str(path), do="Export it in FOCUS 1.0 or later."
            ) from error
        is_credit = row.get("ChargeCategory") == "Credit"
        line = money_line(day, str(row.get("ResourceId") or ""), usd, digits, is_credit=is_credit)
        line.region = str(row.get("RegionId") or "")
        yield line


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        if path.suffix == ".parquet":
            try:
                from pyarrow import ArrowException, parquet
            except ImportError as error:
                raise MissingExtraError("Bills in Parquet", "parquet", "pyarrow") from error
            try:
                open_named(path, 1 << 40).close()  # pyarrow would wait for a pipe
                file = parquet.ParquetFile(path)
                names = set(file.schema_arrow.names)
                _check(names, path)
                for batch in file.iter_batches(columns=[name for name in _READ if name in names]):
                    yield from batch.to_pylist()
            except ArrowException as error:
                raise BillError(f"the file is not Parquet: {error}", where=str(path), do="Export it again.") from error
            return
        with opened(path) as text:
            reader = csv.DictReader(text)
            _check(set(reader.fieldnames or ()), path)
            for row in reader:
                yield {name: text_of(value) if isinstance(value, str) else value for name, value in row.items()}
    except (OSError, UnicodeDecodeError) as error:
        raise BillError(f"the file cannot be read: {error}", where=str(path), do="Name a readable file.") from error


def _check(names: set[str], path: Path) -> None:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise BillError(
            f"the file has no column {', '.join(missing)}", where=str(path), do="Export it in FOCUS 1.0 or later."
        )


def _day(value: object) -> date:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return at.astimezone(UTC).date() if at.tzinfo else at.date()
