"""Anthropic's organisation reports: usage of messages and costs, by day and model.

Cached tokens stand beside the others there, so they are added up to the whole prompt. Costs are in cents.

Source: platform.claude.com/docs/en/api/admin, Usage and Cost API (read 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tachograph.usage.reconcile.bill import Billed, in_usd, money_line, understood
from tachograph.usage.reconcile.pages import from_api, from_files

KEY: Final = "ANTHROPIC_ADMIN_KEY"
BASE_URL: Final = "https://api.anthropic.com"
_VERSION: Final = "2023-06-01"


def billed(since: datetime, until: datetime, *, key: str, base_url: str = BASE_URL) -> Iterator[Billed]:
    """Fetch the reports of these days.

    Raises:
        BillError: The API refuses or does not answer.
    """
    root = f"{base_url.rstrip('/')}/v1/organizations"
    usage = asked(since, until, "model", "service_tier", "inference_geo")
    yield from understood(lines(from_api(f"{root}/usage_report/messages", usage, headers(key))), root)
    costs = [pair for pair in asked(since, until, "description") if pair[0] != "bucket_width"]
    yield from understood(lines(from_api(f"{root}/cost_report", costs, headers(key))), root)


def headers(key: str) -> dict[str, str]:
    """What every request of the admin API says."""
    return {"x-api-key": key, "anthropic-version": _VERSION}


def asked(since: datetime, until: datetime, *groups: str) -> list[tuple[str, str]]:
    """The parameters of a report by day and these groups."""
    span = [("starting_at", _stamp(since)), ("ending_at", _stamp(until)), ("limit", "31"), ("bucket_width", "1d")]
    return [*span, *(("group_by[]", name) for name in groups)]


def saved(paths: Sequence[Path]) -> Iterator[Billed]:
    """Read saved answers of the same reports."""
    return understood(lines(from_files(paths)), ", ".join(map(str, paths)))


def lines(buckets: Iterator[dict[str, Any]]) -> Iterator[Billed]:
    """One line for each result of each bucket."""
    for bucket in buckets:
        day = date.fromisoformat(str(bucket.get("starting_at"))[:10])
        for result in bucket.get("results") or []:
            yield _line(day, result)


def _line(day: date, result: Mapping[str, Any]) -> Billed:
    model = str(result.get("model") or "")
    if "amount" in result:
        name = model or str(result.get("description") or "").removesuffix(" Usage")
        usd, digits = in_usd(Decimal(str(result["amount"])).scaleb(-2), result.get("currency"), "Anthropic's costs")
        is_credit = "credit" in f"{result.get('cost_type')} {result.get('description')}".lower()
        return money_line(day, "" if is_credit else name, usd, digits, is_credit=is_credit)
    written = result.get("cache_creation") or {}
    cached = int(result.get("cache_read_input_tokens") or 0)
    cache_write = sum(int(value or 0) for value in written.values())
    return Billed(
        day,
        model,
        input_tokens=int(result.get("uncached_input_tokens") or 0) + cached + cache_write,
        cache_read_tokens=cached,
        output_tokens=int(result.get("output_tokens") or 0),
        cache_write_5m_tokens=int(written.get("ephemeral_5m_input_tokens") or 0),
        cache_write_1h_tokens=int(written.get("ephemeral_1h_input_tokens") or 0),
        tier=str(result.get("service_tier") or ""),
        region=str(result.get("inference_geo") or ""),
        key=str(result.get("api_key_id") or ""),
    )


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
