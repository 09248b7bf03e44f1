"""The ledger as FOCUS 1.2 rows (FinOps Open Cost and Usage Specification), for cost tools that read any vendor's bill.

A row is one call, or all calls of an hour that were alike. Costs are what the ledger holds. What has no price is left
out and counted: FOCUS has no word for an unknown cost.

Source: https://focus.finops.org/focus-specification/v1-2/, read 2026-11-27.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tachograph.errors import MissingExtraError
from tachograph.files import private
from tachograph.spreadsheet import cell
from tachograph.usage.row import Row
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.query import Query

if TYPE_CHECKING:
    from types import ModuleType

    import pyarrow
    from pyarrow import csv, parquet

VERSION: Final = "1.2"
_HOUR_US: Final = 3_600_000_000
_BATCH: Final = 50_000
PUBLISHERS: Final = {"openai": "OpenAI", "anthropic": "Anthropic", "gemini": "Google"}

TEXT, MONEY, PRICE, NUMBER, TIME = "text", "money", "price", "number", "time"
COLUMNS: Final[dict[str, str]] = {
    "AvailabilityZone": TEXT,
    "BilledCost": MONEY,
    "BillingAccountId": TEXT,
    "BillingAccountName": TEXT,
    "BillingAccountType": TEXT,
    "BillingCurrency": TEXT,
    "BillingPeriodEnd": TIME,
    "BillingPeriodStart": TIME,
    "CapacityReservationId": TEXT,
    "CapacityReservationStatus": TEXT,
    "ChargeCategory": TEXT,
    "ChargeClass": TEXT,
    "ChargeDescription": TEXT,
    "ChargeFrequency": TEXT,
    "ChargePeriodEnd": TIME,
    "ChargePeriodStart": TIME,
    "CommitmentDiscountCategory": TEXT,
    "CommitmentDiscountId": TEXT,
    "CommitmentDiscountName": TEXT,
    "CommitmentDiscountQuantity": NUMBER,
    "CommitmentDiscountStatus": TEXT,
    "CommitmentDiscountType": TEXT,
    "CommitmentDiscountUnit": TEXT,
    "ConsumedQuantity": NUMBER,
    "ConsumedUnit": TEXT,
    "ContractedCost": MONEY,
    "ContractedUnitPrice": PRICE,
    "EffectiveCost": MONEY,
    "InvoiceId": TEXT,
    "InvoiceIssuerName": TEXT,
    "ListCost": MONEY,
    "ListUnitPrice": PRICE,
    "PricingCategory": TEXT,
    "PricingCurrency": TEXT,
    "PricingCurrencyContractedUnitPrice": PRICE,
    "PricingCurrencyEffectiveCost": MONEY,
    "PricingCurrencyListUnitPrice": PRICE,
    "PricingQuantity": NUMBER,
    "PricingUnit": TEXT,
    "ProviderName": TEXT,
    "PublisherName": TEXT,
    "RegionId": TEXT,
    "RegionName": TEXT,
    "ResourceId": TEXT,
    "ResourceName": TEXT,
    "ResourceType": TEXT,
    "ServiceCategory": TEXT,
    "ServiceName": TEXT,
    "ServiceSubcategory": TEXT,
    "SkuId": TEXT,
    "SkuMeter": TEXT,
    "SkuPriceDetails": TEXT,
    "SkuPriceId": TEXT,
    "SubAccountId": TEXT,
    "SubAccountName": TEXT,
    "SubAccountType": TEXT,
    "Tags": TEXT,
}
_FIXED: Final[dict[str, Any]] = {
    "BillingCurrency": "USD",
    "ChargeCategory": "Usage",
    "ChargeFrequency": "Usage-Based",
    "PricingCategory": "Standard",
    "PricingCurrency": "USD",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceSubcategory": "Generative AI",
}
_json: Final = msgspec.json.Encoder(order="deterministic").encode
_Key = tuple[int, str, str, str, str, str, str, str, str]
_UNITS: Final = {"image": "Images", "video_second": "Seconds", "character": "Characters"}


@dataclass(slots=True)
class Exported:
    """What was written.

    Attributes:
        rows: Of the file.
        calls: That they hold.
        unpriced: Calls that were left out, since their cost is not known.
        nano_usd: The sum of billed costs.
    """

    rows: int = 0
    calls: int = 0
    unpriced: int = 0
    nano_usd: int = 0


@dataclass(slots=True)
class _Line:
    """What becomes one row."""

    nano: int = 0
    listed: int = 0
    thousandths: int = 0


def export(
    store: Store, path: Path, *, since_us: int, until_us: int, account: str, by: str = "hour", as_csv: bool = False
) -> Exported:
    """Write the calls of this time.

    Args:
        store: Opened for reading.
        path: The file.
        since_us, until_us: UTC, microseconds since the epoch, half open.
        account: BillingAccountId.
        by: `hour` for sums of calls that were alike, `call` for each call.
        as_csv: CSV instead of Parquet.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtraError("FOCUS export", "parquet", "pyarrow") from error
    done = Exported()
    counted = _counted(store.rows(Query(since_us, until_us, where={"kind": ("llm",)}, raw=True)), done)
    lines: Iterable[tuple[_Key, _Line]] = _by_hour(counted) if by == "hour" else _by_call(counted)
    width = _HOUR_US if by == "hour" else 0
    schema = pyarrow.schema([(name, _type(pyarrow, kind, as_csv=as_csv)) for name, kind in COLUMNS.items()])
    with open(path, "wb", opener=private) as file, _writer(file, schema, as_csv=as_csv) as writer:
        for batch in _batches(lines):
            writer.write_table(_table(pyarrow, schema, batch, account, width, as_csv=as_csv))
            done.rows += len(batch)
    return done


def _counted(rows: Iterator[Row], done: Exported) -> Iterator[Row]:
    for row in rows:
        if row.cost_nusd is None:
            done.unpriced += row.is_unpriced
            continue
        done.calls += 1
        done.nano_usd += row.cost_nusd
        yield row


def _key(row: Row, begins_us: int, unit: str, item: str) -> _Key:
    tags = dict(row.labels or {})
    for name in ("agent", "app_version"):
        value = getattr(row, name)
        if value:
            tags[f"tachograph/{name}"] = value
    return (
        begins_us,
        row.provider,
        row.response_model or row.model,
        row.operation,
        row.service_tier or "",
        row.region or "",
        _json(tags).decode() if tags else "",
        unit,
        item,
    )


def _measured(row: Row) -> tuple[str, str, int]:
    """What a call consumed: the unit, the item where its price depends on more than the model, and thousandths."""
    tokens = (row.input_tokens or 0) + (row.output_tokens or 0)
    if tokens:
        return "Tokens", "", tokens * 1000
    if row.audio_seconds:
        return "Seconds", "", round(row.audio_seconds * 1000)
    for item, number in (row.tool_uses or {}).items():
        kind = item.partition("/")[0]
        if kind in _UNITS and number:
            return _UNITS[kind], "" if kind == "character" else item, number * 1000
    return "Requests", "", 1000


def _add(line: _Line, row: Row, thousandths: int) -> None:
    cost = row.cost_nusd or 0
    line.nano += cost
    line.listed += cost if row.list_cost_nusd is None else row.list_cost_nusd
    line.thousandths += thousandths


def _by_call(rows: Iterator[Row]) -> Iterator[tuple[_Key, _Line]]:
    for row in rows:
        line = _Line()
        unit, item, thousandths = _measured(row)
        _add(line, row, thousandths)
        yield _key(row, row.ts_us, unit, item), line


def _by_hour(rows: Iterator[Row]) -> list[tuple[_Key, _Line]]:
    found: dict[_Key, _Line] = {}
    for row in rows:
        unit, item, thousandths = _measured(row)
        key = _key(row, row.ts_us // _HOUR_US * _HOUR_US, unit, item)
        line = found.get(key)
        if line is None:
            line = found[key] = _Line()
        _add(line, row, thousandths)
    return sorted(found.items(), key=lambda item: item[0])


def _batches(lines: Iterable[tuple[_Key, _Line]]) -> Iterator[list[tuple[_Key, _Line]]]:
    batch: list[tuple[_Key, _Line]] = []
    for line in lines:
        batch.append(line)
        if len(batch) >= _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _type(arrow: ModuleType, kind: str, *, as_csv: bool) -> pyarrow.DataType:
    if kind == MONEY:
        return arrow.decimal128(38, 9)
    if kind == PRICE:
        return arrow.decimal128(38, 15)
    if kind == NUMBER:
        return arrow.decimal128(38, 3)
    return arrow.string() if kind == TEXT or as_csv else arrow.timestamp("us", tz="UTC")


def _writer(file: object, schema: pyarrow.Schema, *, as_csv: bool) -> parquet.ParquetWriter | csv.CSVWriter:
    if as_csv:
        from pyarrow import csv

        return csv.CSVWriter(file, schema)
    from pyarrow import parquet

    return parquet.ParquetWriter(file, schema, compression="zstd")


def _table(
    arrow: ModuleType,
    schema: pyarrow.Schema,
    batch: list[tuple[_Key, _Line]],
    account: str,
    width: int,
    *,
    as_csv: bool,
) -> pyarrow.Table:
    keys = [key for key, _ in batch]
    lines = [line for _, line in batch]
    months: dict[int, tuple[int, int]] = {}
    periods = [_month(key[0], months) for key in keys]
    costs = [line.nano for line in lines]
    listed = [line.listed for line in lines]
    prices = [_unit(line.nano, line.thousandths) for line in lines]
    quantities = [line.thousandths for line in lines]
    units = [key[7] for key in keys]
    skus = ["/".join(filter(None, (key[1], key[2], key[4], key[8]))) for key in keys]
    names = [PUBLISHERS.get(key[1], key[1]) for key in keys]
    made: dict[str, list[Any]] = {
        "BilledCost": costs,
        "EffectiveCost": costs,
        "ContractedCost": costs,
        "PricingCurrencyEffectiveCost": costs,
        "ListCost": listed,
        "ContractedUnitPrice": prices,
        "PricingCurrencyContractedUnitPrice": prices,
        "ListUnitPrice": (listed_prices := [_unit(line.listed, line.thousandths) for line in lines]),
        "PricingCurrencyListUnitPrice": listed_prices,
        "BillingPeriodStart": [period[0] for period in periods],
        "BillingPeriodEnd": [period[1] for period in periods],
        "ChargePeriodStart": [key[0] for key in keys],
        "ChargePeriodEnd": [key[0] + (width or 1) for key in keys],
        "ChargeDescription": [f"{key[3]} with {key[2]}" for key in keys],
        "ConsumedQuantity": quantities,
        "PricingQuantity": quantities,
        "ConsumedUnit": units,
        "PricingUnit": units,
        "SkuMeter": units,
        "ProviderName": names,
        "PublisherName": names,
        "InvoiceIssuerName": names,
        "ServiceName": [f"{name} API" for name in names],
        "RegionId": [key[5] or None for key in keys],
        "RegionName": [key[5] or None for key in keys],
        "ResourceId": [key[2] for key in keys],
        "ResourceName": [key[2] for key in keys],
        "SkuId": skus,
        "SkuPriceId": skus,
        "Tags": [key[6] or None for key in keys],
    }
    fixed = {
        **_FIXED,
        "BillingAccountId": (payer := cell(account) if as_csv else account),
        "BillingAccountName": payer,
        "BillingAccountType": "Organization",
        "ResourceType": "Model",
    }
    columns = []
    for field in schema:
        if field.name in made:
            values: list[Any] = made[field.name]
            if COLUMNS[field.name] == TIME and field.type == arrow.string():
                values = [_stamp(value) for value in values]
            elif as_csv and COLUMNS[field.name] == TEXT:
                harmless = {value: value and cell(value) for value in set(values)}
                values = [harmless[value] for value in values]
            is_decimal = COLUMNS[field.name] in (MONEY, PRICE, NUMBER)
            columns.append(_decimals(arrow, values, field.type) if is_decimal else arrow.array(values, field.type))
        elif field.name in fixed:
            columns.append(arrow.repeat(arrow.scalar(fixed[field.name], field.type), len(batch)))
        else:
            columns.append(arrow.nulls(len(batch), field.type))
    return arrow.Table.from_arrays(columns, schema=schema)


def _unit(nano: int, thousandths: int) -> int:
    """The price of one unit in the last digit of PRICE: 1e-15 dollars, rounded down."""
    return min(nano * 1_000_000_000 // (thousandths or 1), 2**63 - 1)


def _decimals(arrow: ModuleType, digits: list[int], kind: pyarrow.DataType) -> pyarrow.Array:
    """Decimals out of whole numbers of their last digit: each is 16 bytes, little-endian, here never below zero."""
    words = array("q", bytes(16 * len(digits)))
    words[::2] = array("q", digits)
    return arrow.Array.from_buffers(kind, len(digits), [None, arrow.py_buffer(words)])


def _month(at_us: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Where the month of this moment begins and ends, microseconds."""
    day = at_us // 86_400_000_000
    found = known.get(day)
    if found is None:
        begins = datetime.fromtimestamp(at_us / 1e6, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        ends = begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)
        found = known[day] = (int(begins.timestamp()) * 1_000_000, int(ends.timestamp()) * 1_000_000)
    return found


def _stamp(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
