"""The vendors' usage and cost reports, as their admin APIs tell them: made from what was served.

Source: the openai 3.54 SDK's `types/admin/organization`, and Anthropic's Usage and Cost API pages
(platform.claude.com/docs/en/api/admin), read on 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from .operation import Filled, Operation, Rendered, json_bytes
from .prices import cost_nano_usd
from .served import Served
from .usage import ServedUsage

_DAYS_PER_PAGE = 7
"""Buckets in a page unless `limit` asks for more, at both vendors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillEntry:
    """A line of the vendor's bill: what it says that one model used on one day (UTC).

    `nano_usd` of None means: at the list price of the usage.
    """

    day: date
    model: str
    requests: int
    usage: ServedUsage
    nano_usd: int | None = None


class Bill:
    """What a vendor bills: what it served, and what a test adds (or, with negative numbers, takes away)."""

    def __init__(self, vendor: str, served: Served) -> None:
        self._vendor = vendor
        self._served = served
        self._added: list[BillEntry] = []

    def add(self, *entries: BillEntry) -> None:
        """Bill something that was never served, so that a bill and a ledger differ."""
        self._added.extend(entries)

    def clear(self) -> None:
        self._added.clear()

    def entries(self) -> list[BillEntry]:
        """One entry for each day and served model, sorted."""
        sums: dict[tuple[date, str], tuple[int, ServedUsage, int]] = {}

        def count(day: date, model: str, requests: int, usage: ServedUsage, nano_usd: int) -> None:
            before = sums.get((day, model), (0, ServedUsage(), 0))
            sums[day, model] = (before[0] + requests, before[1] + usage, before[2] + nano_usd)

        for (vendor, _, model, day), totals in self._served.lines().items():
            if vendor == self._vendor and totals.billed_requests:
                count(day, model, totals.billed_requests, totals.billed_usage, totals.billed_nano_usd)
        for entry in self._added:
            nano_usd = entry.nano_usd
            if nano_usd is None:
                nano_usd = cost_nano_usd(self._vendor, entry.model, entry.usage) or 0
            count(entry.day, entry.model, entry.requests, entry.usage, nano_usd)
        return [
            BillEntry(day=day, model=model, requests=requests, usage=usage, nano_usd=nano_usd)
            for (day, model), (requests, usage, nano_usd) in sorted(sums.items())
        ]


def route_openai(method: str, path: str, query: Iterable[tuple[str, str]], bill: Bill) -> Operation | None:
    """`GET /organization/usage/completions` (and `/embeddings`) and `GET /organization/costs`."""
    results = {
        "/organization/usage/completions": _openai_usage,
        "/organization/usage/embeddings": lambda entries, grouped: [],
        "/organization/costs": _openai_costs,
    }.get(path)
    if method != "GET" or results is None:
        return None
    asked = _Asked(query, "start_time", "end_time", "group_by")

    def bucket(day: date, entries: list[BillEntry]) -> dict[str, Any]:
        return {
            "object": "bucket",
            "start_time": _midnight(day),
            "end_time": _midnight(day + timedelta(days=1)),
            "results": results(entries, asked.groups),
        }

    return _operation(lambda: {"object": "page", **asked.page(bill.entries(), bucket)})


def _openai_usage(entries: list[BillEntry], groups: set[str]) -> list[dict[str, Any]]:
    rows: list[tuple[str | None, list[BillEntry]]] = [(e.model, [e]) for e in entries]
    if "model" not in groups:
        rows = [(None, entries)] if entries else []
    found = []
    for model, lines in rows:
        usage = sum((e.usage for e in lines), ServedUsage())
        found.append(
            {
                "object": "organization.usage.completions.result",
                "input_tokens": usage.prompt,
                "output_tokens": usage.completion,
                "input_cached_tokens": usage.cache_read,
                "input_cache_write_tokens": usage.cache_write,
                "input_uncached_tokens": usage.prompt - usage.cache_read - usage.cache_write,
                "input_audio_tokens": usage.audio_input,
                "output_audio_tokens": usage.audio_output,
                "num_model_requests": sum(e.requests for e in lines),
                "model": model,
                "project_id": None,
                "user_id": None,
                "api_key_id": None,
                "batch": None,
                "service_tier": None,
            }
        )
    return found


def _openai_costs(entries: list[BillEntry], groups: set[str]) -> list[dict[str, Any]]:
    lines: list[tuple[str | None, int]] = [(e.model, e.nano_usd or 0) for e in entries]
    if "line_item" not in groups:
        lines = [(None, sum(nano_usd for _, nano_usd in lines))] if lines else []
    return [
        {
            "object": "organization.costs.result",
            "amount": {"value": nano_usd / 1e9, "currency": "usd"},
            "line_item": line_item,
            "project_id": None,
        }
        for line_item, nano_usd in lines
    ]


def route_anthropic(method: str, path: str, query: Iterable[tuple[str, str]], bill: Bill) -> Operation | None:
    """`GET /v1/organizations/usage_report/messages` and `GET /v1/organizations/cost_report`."""
    results = {
        "/v1/organizations/usage_report/messages": _anthropic_usage,
        "/v1/organizations/cost_report": _anthropic_costs,
    }.get(path)
    if method != "GET" or results is None:
        return None
    asked = _Asked(query, "starting_at", "ending_at", "group_by[]")

    def bucket(day: date, entries: list[BillEntry]) -> dict[str, Any]:
        return {
            "starting_at": f"{day.isoformat()}T00:00:00Z",
            "ending_at": f"{(day + timedelta(days=1)).isoformat()}T00:00:00Z",
            "results": results(entries, asked.groups),
        }

    return _operation(lambda: asked.page(bill.entries(), bucket))


def _anthropic_usage(entries: list[BillEntry], groups: set[str]) -> list[dict[str, Any]]:
    rows: list[tuple[str | None, list[BillEntry]]] = [(e.model, [e]) for e in entries]
    if "model" not in groups:
        rows = [(None, entries)] if entries else []
    found = []
    for model, lines in rows:
        usage = sum((e.usage for e in lines), ServedUsage())
        found.append(
            {
                "uncached_input_tokens": usage.prompt - usage.cache_read - usage.cache_write,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": usage.cache_write_5m,
                    "ephemeral_1h_input_tokens": usage.cache_write_1h,
                },
                "cache_read_input_tokens": usage.cache_read,
                "output_tokens": usage.completion,
                "server_tool_use": {"web_search_requests": usage.web_searches},
                "model": model,
                "api_key_id": None,
                "workspace_id": None,
                "service_tier": None,
                "context_window": None,
            }
        )
    return found


def _anthropic_costs(entries: list[BillEntry], groups: set[str]) -> list[dict[str, Any]]:
    lines: list[tuple[str | None, int]] = [(e.model, e.nano_usd or 0) for e in entries]
    if "description" not in groups:
        lines = [(None, sum(nano_usd for _, nano_usd in lines))] if lines else []
    return [
        {
            "currency": "USD",
            # in cents, as a decimal string
            "amount": str(Decimal(nano_usd).scaleb(-7).normalize()),
            "description": None if model is None else f"{model} Usage",
            "cost_type": None if model is None else "tokens",
            "model": model,
            "token_type": None,
            "service_tier": None,
            "context_window": None,
            "workspace_id": None,
        }
        for model, nano_usd in lines
    ]


class _Asked:
    """The period, the groups and the page that a report was asked for."""

    def __init__(self, query: Iterable[tuple[str, str]], start: str, end: str, group: str) -> None:
        pairs = list(query)
        given = dict(pairs)
        self.groups = {value for name, value in pairs if name in (group, group.removesuffix("[]"), f"{group}[]")}
        self._first = _day(given.get(start)) or datetime.now(UTC).date()
        last = _day(given.get(end), is_end=True)
        self._last = last or datetime.now(UTC).date()
        self._limit = int(given.get("limit") or _DAYS_PER_PAGE)
        self._skip = int((given.get("page") or "page_0").removeprefix("page_"))

    def page(
        self, entries: list[BillEntry], bucket: Callable[[date, list[BillEntry]], dict[str, Any]]
    ) -> dict[str, Any]:
        days = [self._first + timedelta(days=n) for n in range((self._last - self._first).days + 1)]
        shown = days[self._skip : self._skip + self._limit]
        has_more = self._skip + self._limit < len(days)
        return {
            "data": [bucket(day, [e for e in entries if e.day == day]) for day in shown],
            "has_more": has_more,
            "next_page": f"page_{self._skip + self._limit}" if has_more else None,
        }


def _day(text: str | None, *, is_end: bool = False) -> date | None:
    """The day of a Unix time or an RFC 3339 stamp; of an (exclusive) end, the last day before it."""
    if not text:
        return None
    at = datetime.fromtimestamp(int(text), UTC) if text.isdigit() else datetime.fromisoformat(text)
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    return (at - timedelta(microseconds=1)).date() if is_end else at.date()


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _operation(body: Callable[[], dict[str, Any]]) -> Operation:
    def whole(filled: Filled) -> Rendered:
        return Rendered(body=json_bytes(body()), usage=None)

    return Operation(name="report", model="", whole=whole, produces_text=False)


def query_pairs(raw: str) -> list[tuple[str, str]]:
    """All pairs of a query string, repeated names included."""
    return parse_qsl(raw)
