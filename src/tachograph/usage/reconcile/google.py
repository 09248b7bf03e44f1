"""Google Cloud's billing export, as CSV or as rows of BigQuery: cost by day and SKU.

SKUs name the model and the kind of tokens in words.

Source: cloud.google.com/billing/docs/how-to/export-data-file and the console's cost table download (read 2026-11-23).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from tachograph.usage.reconcile.bill import Billed, BillError, in_usd, money_line, opened, understood

_COLUMNS: Final = {
    "day": ("usage start date", "usage_start_time", "usage start time", "date", "day"),
    "sku": ("sku description", "sku.description", "sku"),
    "cost": ("cost", "cost ($)", "cost (usd)", "subtotal ($)", "subtotal", "unrounded cost ($)"),
    "amount": ("usage amount", "usage.amount", "usage"),
    "service": ("service description", "service.description", "service"),
    "currency": ("currency",),
    "rate": ("currency_conversion_rate", "currency conversion rate"),
}
_GEMINI: Final = re.compile(
    r"gemini[ -]+((?:omni[ -]+)?\d+(?:\.\d+)?[ -]+(?:pro|flash[ -]lite|flash|ultra|nano)|embedding)"
    r"(?:[ -]+(image(?! input)|tts|native[ -]audio))?"
)
_MEDIA: Final = re.compile(r"(imagen|veo|lyria)[ -]+(\d+(?:\.\d+)?)(?:[ -]+(fast|ultra|lite))?")
_SERVICES: Final = frozenset({"gemini api", "generative language api"})
"""Whose every row is of the Gemini API, also where its SKU names no model."""
_UNSAID: Final = re.compile(r"-(generate|preview|\d{2}-\d{4})(?=-|$)")


def saved(paths: Sequence[Path]) -> Iterator[Billed]:
    """Read exported files.

    Raises:
        BillError: A file cannot be read, or lacks a column that is needed.
    """
    for path in paths:
        try:
            with opened(path) as file:
                if path.suffix in (".json", ".jsonl", ".ndjson"):
                    exported = (json.loads(text) for text in file if text.strip())
                    yield from understood(rows(exported, str(path)), str(path))
                else:
                    yield from understood(lines(csv.reader(file), str(path)), str(path))
        except OSError as error:
            raise BillError(
                f"the export cannot be read: {error}", where=str(path), do="Name a readable file."
            ) from error


def rows(exported: Iterable[Mapping[str, Any]], where: str) -> Iterator[Billed]:
    """Rows of the export to BigQuery, one JSON object a line; their credits stand beside the cost.

    `bq extract --destination_format NEWLINE_DELIMITED_JSON` writes them so.

    Source: cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/standard-usage (read 2026-11-27).
    """
    for row in exported:
        sku = str((row.get("sku") or {}).get("description") or "")
        model = _named(sku, (row.get("service") or {}).get("description"))
        if model is None:
            continue
        day = _day(str(row.get("usage_start_time")), where)
        amount = (row.get("usage") or {}).get("amount")
        found = _usage(sku, None if amount is None else int(Decimal(str(amount))))
        currency, rate = row.get("currency"), row.get("currency_conversion_rate")
        cost = money_line(day, model, *in_usd(Decimal(str(row.get("cost") or 0)), currency, where, rate))
        cost.input_tokens, cost.cache_read_tokens, cost.output_tokens = found
        cost.region = str((row.get("location") or {}).get("region") or "")
        yield cost
        for credit in row.get("credits") or ():
            usd, digits = in_usd(Decimal(str(credit.get("amount") or 0)), currency, where, rate)
            yield money_line(day, model, usd, digits, is_credit=True)


def _usage(sku: str, tokens: int | None) -> tuple[int | None, int | None, int | None]:
    """Prompt, cached and completion tokens of a row, by the words of its SKU."""
    words = sku.lower()
    if "token" not in words or tokens is None:
        return None, None, None
    cached = tokens if "cach" in words else None
    is_prompt = ("input" in words or "cach" in words) and "output" not in words
    return tokens if is_prompt else None, cached, tokens if "output" in words else None


def lines(rows: Iterable[Sequence[str]], where: str) -> Iterator[Billed]:
    """One line for each row that names a Gemini model."""
    at: Mapping[str, int] | None = None
    for row in rows:
        if at is None:
            at = _header(row)
            continue
        if len(row) <= max(at["day"], at["sku"], at["cost"]):
            continue
        service, amount_text, currency, rate = (
            row[at[name]] if name in at and len(row) > at[name] else None
            for name in ("service", "amount", "currency", "rate")
        )
        model = _named(row[at["sku"]], service)
        if model is None:
            continue
        day = _day(row[at["day"]], where)
        amount = None if amount_text is None else _number(amount_text)
        line = money_line(day, model, *in_usd(_money(row[at["cost"]], where), currency, where, rate))
        found = _usage(row[at["sku"]], None if amount is None else int(amount))
        line.input_tokens, line.cache_read_tokens, line.output_tokens = found
        yield line
    if at is None:
        raise BillError(
            "the export has no header with a day, a SKU and a cost",
            where=where,
            do="Export the cost table by day and SKU as CSV, in English.",
        )


def model_of(sku: str) -> str | None:
    """`Generate content input token count Gemini 2.5 Flash Lite text` is `gemini-2.5-flash-lite`.

    Images, videos and speech are billed by models of their own: `Gemini 3.0 Pro Image Output` is `gemini-3-pro-image`,
    `Veo 3.1 Fast Video + Audio Generation` is `veo-3.1-fast`. Source of these words: tables of the Cloud console that
    customers show, https://discuss.ai.google.dev/t/132241 (read 2026-11-27).
    """
    words = sku.lower()
    media = _MEDIA.search(words)
    if media is not None:
        return plain("-".join(filter(None, media.groups())))
    found = _GEMINI.search(words)
    if found is None:
        return None
    kind = found[2] or ("image" if re.search(r"\bimage output", words) else "")
    return plain("-".join(filter(None, ("gemini", found[1], kind))).replace(" ", "-"))


def plain(model: str) -> str:
    """A model's name without what its SKU does not say: `veo-3.0-fast-generate-preview` is `veo-3-fast`."""
    if not model.startswith(("gemini-", "imagen-", "veo-", "lyria-")):
        return model
    return re.sub(r"^([a-z]+-)(?!2\.0-(?:flash|pro))(\d+)\.0(?=-|$)", r"\1\2", _UNSAID.sub("", model))


def _named(sku: str, service: object) -> str | None:
    """The model of a row, the SKU where the Gemini API bills something beside models, None for other services."""
    return model_of(sku) or (sku if sku and str(service or "").strip().lower() in _SERVICES else None)


def _header(row: Sequence[str]) -> Mapping[str, int] | None:
    names = [cell.strip().lower() for cell in row]
    found = {}
    for column, words in _COLUMNS.items():
        for word in words:
            if word in names:
                found[column] = names.index(word)
                break
    return found if {"day", "sku", "cost"} <= found.keys() else None


def _day(text: str, where: str) -> date:
    text = text.strip()
    try:
        at = datetime.fromisoformat(text.replace(" UTC", "+00:00"))
        return (at.astimezone(UTC) if at.tzinfo else at).date()
    except ValueError:
        raise BillError(f"{text!r} is no day", where=where, do="Export with days as 2026-11-30.") from None


def _money(text: str, where: str) -> Decimal:
    amount = _number(text)
    if amount is None:
        raise BillError(f"{text!r} is no amount of money", where=where, do="Export amounts as 1234.56.")
    return amount


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace(",", "").replace("$", "").strip() or "0")
    except InvalidOperation:
        return None
