"""OpenAI's organisation reports: usage of completions and embeddings, and costs, by day and model.

Source: platform.openai.com/docs/api-reference/usage, as typed in the openai SDK 3.54 (read 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tachograph.usage.reconcile.bill import Billed, in_usd, money_line, understood
from tachograph.usage.reconcile.pages import from_api, from_files

KEY: Final = "OPENAI_ADMIN_KEY"
BASE_URL: Final = "https://api.openai.com/v1"


def billed(since: datetime, until: datetime, *, key: str, base_url: str = BASE_URL) -> Iterator[Billed]:
    """Fetch the reports of these days.

    Raises:
        BillError: The API refuses or does not answer.
    """
    span = [("start_time", str(int(since.timestamp()))), ("end_time", str(int(until.timestamp()))), ("limit", "31")]
    headers = {"Authorization": f"Bearer {key}"}
    root = base_url.rstrip("/")
    for report in ("usage/completions", "usage/embeddings"):
        groups = [("group_by[]", name) for name in ("model", "batch", "service_tier")]
        asked = [*span, ("bucket_width", "1d"), *(groups if report.endswith("completions") else groups[:1])]
        yield from understood(lines(from_api(f"{root}/organization/{report}", asked, headers)), root)
    asked = [*span, ("bucket_width", "1d"), ("group_by[]", "line_item")]
    yield from understood(lines(from_api(f"{root}/organization/costs", asked, headers)), root)


def saved(paths: Sequence[Path]) -> Iterator[Billed]:
    """Read saved answers of the same reports."""
    return understood(lines(from_files(paths)), ", ".join(map(str, paths)))


def lines(buckets: Iterator[dict[str, Any]]) -> Iterator[Billed]:
    """One line for each result of each bucket."""
    for bucket in buckets:
        day = datetime.fromtimestamp(int(bucket.get("start_time") or 0), UTC).date()
        for result in bucket.get("results") or []:
            yield _line(day, result)


def _line(day: date, result: Mapping[str, Any]) -> Billed:
    amount = result.get("amount")
    if isinstance(amount, dict):
        item = str(result.get("line_item") or "")
        usd, digits = in_usd(Decimal(str(amount.get("value") or 0)), amount.get("currency"), "OpenAI's costs")
        name = item.partition(",")[0].strip()
        line = money_line(
            day, "" if "credit" in item.lower() else name, usd, digits, is_credit="credit" in item.lower()
        )
        line.key = str(result.get("api_key_id") or "")
        return line
    return Billed(
        day,
        str(result.get("model") or ""),
        requests=int(result.get("num_model_requests") or 0),
        input_tokens=int(result.get("input_tokens") or 0),
        cache_read_tokens=int(result.get("input_cached_tokens") or 0),
        output_tokens=int(result.get("output_tokens") or 0),
        tier="batch" if result.get("batch") else str(result.get("service_tier") or ""),
    )
