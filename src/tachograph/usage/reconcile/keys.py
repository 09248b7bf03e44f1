"""The bill by API key: what each key is billed for beside what the ledger has of it.

Reports name keys by the vendor's id; the lists of keys give the last characters that go with it, which the ledger
keeps (`records.keys`). OpenAI reports costs by key. Anthropic reports tokens by key and no money, so those are
priced by our prices. Google reports no keys.

Source: openai 3.54 SDK's types of costs and project API keys; https://platform.claude.com/docs/en/api/admin (Usage and
Cost API, API keys), read 2026-11-27.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from tachograph.records.keys import key_hint
from tachograph.usage.reconcile import anthropic as anthropic_reports
from tachograph.usage.reconcile import openai as openai_reports
from tachograph.usage.reconcile.bill import Billed, understood
from tachograph.usage.reconcile.causes import Explainer, used
from tachograph.usage.reconcile.limits import listed
from tachograph.usage.reconcile.pages import from_api
from tachograph.usage.reports.when import microseconds
from tachograph.usage.stores.base import Store
from tachograph.usage.stores.query import Query

UNKNOWN: Final = "unknown"
"""Calls whose key is not known: of clients that show none, and of the vendor's own playground."""


def openai(since: datetime, until: datetime, *, key: str, base_url: str) -> Iterator[Billed]:
    """Costs by key.

    Raises:
        BillError: The API refuses or does not answer.
    """
    root = f"{base_url.rstrip('/')}/organization"
    yield from understood(_openai(since, until, root, {"Authorization": f"Bearer {key}"}), root)


def _openai(since: datetime, until: datetime, root: str, headers: dict[str, str]) -> Iterator[Billed]:
    import httpx2

    hints: dict[str, str] = {}
    with httpx2.Client(timeout=60, headers=headers) as client:
        for project in listed(client, f"{root}/projects"):
            for one in listed(client, f"{root}/projects/{project['id']}/api_keys"):
                hints[str(one["id"])] = _hint(one.get("redacted_value"))
    span = [("start_time", str(int(since.timestamp()))), ("end_time", str(int(until.timestamp()))), ("limit", "31")]
    asked = [*span, ("bucket_width", "1d"), ("group_by[]", "line_item"), ("group_by[]", "api_key_id")]
    yield from _named(openai_reports.lines(from_api(f"{root}/costs", asked, headers)), hints)


def anthropic(since: datetime, until: datetime, *, key: str, base_url: str) -> Iterator[Billed]:
    """Tokens by key.

    Raises:
        BillError: The API refuses or does not answer.
    """
    root = f"{base_url.rstrip('/')}/v1/organizations"
    yield from understood(_anthropic(since, until, root, anthropic_reports.headers(key)), root)


def _anthropic(since: datetime, until: datetime, root: str, headers: dict[str, str]) -> Iterator[Billed]:
    import httpx2

    hints: dict[str, str] = {}
    with httpx2.Client(timeout=60, headers=headers) as client:
        for one in listed(client, f"{root}/api_keys", after="after_id"):
            hints[str(one["id"])] = _hint(one.get("partial_key_hint"))
    asked = anthropic_reports.asked(since, until, "api_key_id", "model", "service_tier", "inference_geo")
    yield from _named(anthropic_reports.lines(from_api(f"{root}/usage_report/messages", asked, headers)), hints)


def _hint(shown: object) -> str:
    """Our hint of a key, from what a vendor's list shows of it; empty where it shows nothing."""
    return key_hint(str(shown).rjust(16)) if shown else ""


def _named(lines: Iterable[Billed], hints: Mapping[str, str]) -> Iterator[Billed]:
    for line in lines:
        if not line.credit_usd:
            yield replace(line, key=hints.get(line.key) or line.key or UNKNOWN)


def by_key(
    store: Store, provider: str, lines: Iterable[Billed], explainer: Explainer, since: datetime, until: datetime
) -> dict[str, tuple[Decimal, Decimal]]:
    """Billed and ours in US dollars, by key; what is billed without money is priced by our prices."""
    found: dict[str, tuple[Decimal, Decimal]] = {}

    def add(key: str, billed: Decimal, ours: Decimal) -> None:
        before = found.get(key, (Decimal(0), Decimal(0)))
        found[key] = before[0] + billed, before[1] + ours

    for line in lines:
        usd = line.usd if line.usd is not None else explainer.worth(line.model, line.day, used(line), line.tier)
        add(line.key, usd or Decimal(0), Decimal(0))
    asked = {"kind": ("llm",), "provider": (provider,)}
    query = Query(microseconds(since), microseconds(until), by=("api_key_hint",), where=asked, raw=True)
    for row in store.usage(query):
        add(row["api_key_hint"] or UNKNOWN, Decimal(0), Decimal(int(row["cost_nusd"] or 0)).scaleb(-9))
    return {key: pair for key, pair in found.items() if any(pair)}
