"""The vendors' usage and cost reports, as their admin APIs return them: made from what was served.

Google has no report by an API; `google_export` makes the rows of its export.

Source: the openai 3.54 SDK's `types/admin/organization`, and Anthropic's Usage and Cost API pages
(platform.claude.com/docs/en/api/admin), read on 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

from .operation import Filled, Operation, Rendered, json_bytes
from .prices import cost_nano_usd
from .served import Served
from .usage import ServedUsage

_DAYS_PER_PAGE = 7
"""Buckets in a page unless `limit` asks for more, at both vendors."""

REPORT: Final = "report"
"""The operation of every request here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillEntry:
    """A line of the vendor's bill: what it says that one model used on one day (UTC).

    `nano_usd` of None means: at the list price of the usage. `tier` and `region` are the vendor's words; `is_credit`
    makes it a credit of no model, with negative `nano_usd`. `key` is the vendor's id of the API key that paid.
    """

    day: date
    model: str
    requests: int
    usage: ServedUsage
    nano_usd: int | None = None
    tier: str = ""
    region: str = ""
    is_credit: bool = False
    key: str = ""


class Bill:
    """What a vendor bills: what it served, and what a test adds (or, with negative numbers, takes away).

    Attributes:
        rate_limits: Requests and tokens a minute by model, as the vendor's API of limits says them.
        keys: What the vendor's list of API keys shows of each, by its id.
        spend_limit_cents, is_enforcing: The organisation's hard limit of a month, if there is one.
    """

    def __init__(self, vendor: str, served: Served) -> None:
        self._vendor = vendor
        self._served = served
        self._added: list[BillEntry] = []
        self.rate_limits: dict[str, tuple[int, int]] = {}
        self.keys: dict[str, str] = {}
        self.spend_limit_cents: int | None = None
        self.is_enforcing = False

    def add(self, *entries: BillEntry) -> None:
        """Bill something that was never served, so that a bill and a ledger differ."""
        self._added.extend(entries)

    def clear(self) -> None:
        self._added.clear()
        self.rate_limits.clear()
        self.keys.clear()
        self.spend_limit_cents, self.is_enforcing = None, False

    def entries(self) -> list[BillEntry]:
        """One entry for each day and served model (and what was added by tier and region, and credits), sorted."""
        sums: dict[tuple[date, str, str, str, bool, str], tuple[int, ServedUsage, int]] = {}

        def count(
            day: date,
            model: str,
            requests: int,
            usage: ServedUsage,
            nano_usd: int,
            more: tuple[str, str, bool, str] = ("", "", False, ""),
        ) -> None:
            key = (day, model, *more)
            before = sums.get(key, (0, ServedUsage(), 0))
            sums[key] = (before[0] + requests, before[1] + usage, before[2] + nano_usd)

        for (vendor, _, model, day), totals in self._served.lines().items():
            if vendor == self._vendor and totals.billed_requests:
                count(day, model, totals.billed_requests, totals.billed_usage, totals.billed_nano_usd)
        for entry in self._added:
            nano_usd = entry.nano_usd
            if nano_usd is None:
                nano_usd = cost_nano_usd(self._vendor, entry.model, entry.usage) or 0
            more = (entry.tier, entry.region, entry.is_credit, entry.key)
            count(entry.day, entry.model, entry.requests, entry.usage, nano_usd, more)
        return [
            BillEntry(
                day=key[0],
                model=key[1],
                requests=requests,
                usage=usage,
                nano_usd=nano_usd,
                tier=key[2],
                region=key[3],
                is_credit=key[4],
                key=key[5],
            )
            for key, (requests, usage, nano_usd) in sorted(sums.items())
        ]


def route_openai(method: str, path: str, query: Iterable[tuple[str, str]], bill: Bill) -> Operation | None:
    """`GET /organization/usage/completions` (and `/embeddings`) and `GET /organization/costs`."""
    if method == "GET" and not path.startswith(("/organization/usage", "/organization/costs")):
        return _openai_limits(path, bill)
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


def _openai_limits(path: str, bill: Bill) -> Operation | None:
    """`GET /organization/spend_limit`, `/organization/projects` and `/organization/projects/{id}/rate_limits`."""
    if path == "/organization/spend_limit" and bill.spend_limit_cents is not None:
        status = "enforcing" if bill.is_enforcing else "inactive"
        found = {
            "object": "organization.spend_limit",
            "currency": "USD",
            "interval": "month",
            "threshold_amount": bill.spend_limit_cents,
            "enforcement": {"status": status},
        }
        return _operation(lambda: found)
    rows: list[dict[str, Any]]
    if path == "/organization/projects":
        rows = [
            {"object": "organization.project", "id": "proj_1", "name": "shop", "created_at": 1, "archived_at": None}
        ]
    elif path == "/organization/projects/proj_1/api_keys":
        rows = [
            {"object": "organization.project.api_key", "id": key, "name": key, "redacted_value": shown}
            for key, shown in bill.keys.items()
        ]
    elif path == "/organization/projects/proj_1/rate_limits":
        rows = [
            {
                "object": "project.rate_limit",
                "id": f"rl-{model}",
                "model": model,
                "max_requests_per_1_minute": requests,
                "max_tokens_per_1_minute": tokens,
            }
            for model, (requests, tokens) in bill.rate_limits.items()
        ]
    else:
        return None
    last = rows[-1]["id"] if rows else None
    return _operation(lambda: {"object": "list", "data": rows, "last_id": last, "has_more": False})


def _by_model(entries: list[BillEntry], groups: set[str]) -> list[tuple[str | None, list[BillEntry]]]:
    """Rows of a usage report: apart by model, tier and region where that was asked for."""
    used = [e for e in entries if not e.is_credit]
    if "model" not in groups:
        return [(None, used)] if used else []
    is_fine = not groups.isdisjoint({"service_tier", "batch", "inference_geo"})
    rows: dict[tuple[str, str, str, str], list[BillEntry]] = {}
    for e in used:
        tier, region = (e.tier, e.region) if is_fine else ("", "")
        rows.setdefault((e.model, tier, region, e.key if "api_key_id" in groups else ""), []).append(e)
    return [(key[0], lines) for key, lines in rows.items()]


def _openai_usage(entries: list[BillEntry], groups: set[str]) -> list[dict[str, Any]]:
    found = []
    for model, lines in _by_model(entries, groups):
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
                "api_key_id": (lines[0].key or None) if "api_key_id" in groups else None,
                "batch": any(e.tier == "batch" for e in lines) if "batch" in groups else None,
                "service_tier": (lines[0].tier.replace("batch", "") or "default") if "service_tier" in groups else None,
            }
        )
    return found


def _openai_costs(entries: list[BillEntry], groups: set[str]) -> list[dict[str, Any]]:
    sums: dict[tuple[str | None, str | None], int] = {}
    for e in entries:
        item = "credits" if e.is_credit else e.model
        line = (item if "line_item" in groups else None, (e.key or None) if "api_key_id" in groups else None)
        sums[line] = sums.get(line, 0) + (e.nano_usd or 0)
    return [
        {
            "object": "organization.costs.result",
            "amount": {"value": nano_usd / 1e9, "currency": "usd"},
            "line_item": line_item,
            "project_id": None,
            "api_key_id": key,
        }
        for (line_item, key), nano_usd in sums.items()
    ]


def route_anthropic(method: str, path: str, query: Iterable[tuple[str, str]], bill: Bill) -> Operation | None:
    """`GET /v1/organizations/usage_report/messages` and `GET /v1/organizations/cost_report`."""
    if method == "GET" and path == "/v1/organizations/rate_limits":
        return _operation(lambda: {"data": _anthropic_limits(bill), "next_page": None})
    if method == "GET" and path == "/v1/organizations/api_keys":
        keys = [{"type": "api_key", "id": key, "partial_key_hint": shown} for key, shown in bill.keys.items()]
        last = keys[-1]["id"] if keys else None
        return _operation(lambda: {"data": keys, "has_more": False, "last_id": last})
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


def _anthropic_limits(bill: Bill) -> list[dict[str, Any]]:
    return [
        {
            "type": "rate_limit",
            "id": f"rl_{model}",
            "group": {"type": "model_group", "id": f"rlg_{model}", "display_name": model},
            "models": [model],
            "limits": [
                {"type": "requests_per_minute", "value": requests},
                {"type": "input_tokens_per_minute_cache_aware", "value": tokens},
            ],
        }
        for model, (requests, tokens) in bill.rate_limits.items()
    ]


def _anthropic_usage(entries: list[BillEntry], groups: set[str]) -> list[dict[str, Any]]:
    found = []
    for model, lines in _by_model(entries, groups):
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
                "api_key_id": (lines[0].key or None) if "api_key_id" in groups else None,
                "workspace_id": None,
                "service_tier": (lines[0].tier or "standard") if "service_tier" in groups else None,
                "inference_geo": (lines[0].region or "global") if "inference_geo" in groups else None,
                "context_window": None,
            }
        )
    return found


def _anthropic_costs(entries: list[BillEntry], groups: set[str]) -> list[dict[str, Any]]:
    lines: list[tuple[str | None, int]] = [("" if e.is_credit else e.model, e.nano_usd or 0) for e in entries]
    if "description" not in groups:
        lines = [(None, sum(nano_usd for _, nano_usd in lines))] if lines else []
    return [
        {
            "currency": "USD",
            # in cents, as a decimal string
            "amount": str(Decimal(nano_usd).scaleb(-7).normalize()),
            "description": None if model is None else f"{model} Usage" if model else "Credits",
            "cost_type": None if model is None else "tokens" if model else "credits",
            "model": model or None,
            "token_type": None,
            "service_tier": None,
            "context_window": None,
            "workspace_id": None,
        }
        for model, nano_usd in lines
    ]


def google_export(bill: Bill) -> Iterator[dict[str, Any]]:
    """The rows that Google Cloud's export to BigQuery has for this bill: one for each day, model and kind of tokens.

    Source: cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/standard-usage, read on 2026-11-27.
    """
    for entry in bill.entries():
        usage, left = entry.usage, entry.nano_usd or 0
        plain = usage.prompt - usage.cache_read
        kinds = (("input token count", plain), ("cached content token count input", usage.cache_read),
                 ("output token count", usage.completion))  # fmt: skip
        shown = [(words, tokens) for words, tokens in kinds if tokens] or [("output token count", 0)]
        for index, (words, tokens) in enumerate(shown):
            share = left if index == len(shown) - 1 else (entry.nano_usd or 0) * tokens // max(1, usage.total)
            left -= share
            family, _, size = entry.model.removeprefix("gemini-").partition("-")
            credits = [{"name": "Promotion", "amount": share / 1e9}] if entry.is_credit else []
            yield {
                "service": {"id": "AEFD-7695-64FA", "description": "Gemini API"},
                "sku": {
                    "id": "0",
                    "description": f"Generate content {words} Gemini {family} {size.replace('-', ' ')} text",
                },
                "usage_start_time": f"{entry.day.isoformat()} 00:00:00 UTC",
                "location": {"location": entry.region or "global", "region": entry.region},
                "cost": 0.0 if entry.is_credit else share / 1e9,
                "currency": "USD",
                "usage": {"amount": float(tokens), "unit": "requests", "pricing_unit": "count"},
                "credits": credits,
                "invoice": {"month": entry.day.strftime("%Y%m")},
                "cost_type": "regular",
            }


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

    return Operation(name=REPORT, model="", whole=whole, produces_text=False)


def query_pairs(raw: str) -> list[tuple[str, str]]:
    """All pairs of a query string, repeated names included."""
    return parse_qsl(raw)
