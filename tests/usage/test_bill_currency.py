"""A bill in another currency is converted by the rate that it says, and refused where it says none."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tachograph.usage.reconcile import anthropic, focus, google, openai
from tachograph.usage.reconcile.bill import BillError

EUROS = {
    "bill.csv": "BilledCost,ChargePeriodStart,ProviderName,BillingCurrency\n2,2026-11-02,OpenAI,EUR\n",
    "rows.jsonl": json.dumps(
        {"sku": {"description": "Gemini 2.5 Pro"}, "usage_start_time": "2026-11-02", "cost": 2, "currency": "EUR"}
    ),
    "table.csv": "day,sku,cost,currency\n2026-11-02,Gemini 2.5 Pro,2,EUR\n",
    "openai.json": json.dumps({"data": [{"results": [{"amount": {"value": 2, "currency": "eur"}}]}]}),
    "anthropic.json": json.dumps(
        {"data": [{"starting_at": "2026-11-02T00:00:00Z", "results": [{"amount": "2", "currency": "EUR"}]}]}
    ),
}
READERS: dict[str, Callable[[list[Path]], Any]] = {
    "bill.csv": lambda paths: focus.saved(paths, "openai"),
    "rows.jsonl": google.saved,
    "table.csv": google.saved,
    "openai.json": openai.saved,
    "anthropic.json": anthropic.saved,
}


@pytest.mark.parametrize("name", EUROS)
def test_a_bill_in_euros_without_a_rate_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(EUROS[name], "utf-8")
    with pytest.raises(BillError, match="its amounts are in EUR, and the ledger is in US dollars"):
        list(READERS[name]([path]))
    path.write_text(EUROS[name].replace("EUR", "USD").replace("eur", "usd"), "utf-8")
    (line,) = READERS[name]([path])
    assert line.usd == Decimal("0.02" if name.startswith("anthropic") else 2)


def test_google_s_rate_makes_dollars_of_a_bill_in_euros(tmp_path: Path) -> None:
    row = {
        "sku": {"description": "Gemini 2.5 Pro"},
        "usage_start_time": "2026-11-02",
        "cost": 0.924,
        "currency": "EUR",
        "currency_conversion_rate": 0.88,
        "credits": [{"amount": -0.44}],
    }
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), "utf-8")
    cost, credit = google.saved([tmp_path / "rows.jsonl"])
    assert (cost.usd, credit.credit_usd) == (Decimal("1.050"), Decimal("-0.50"))
    table = "day,sku,cost,currency,currency_conversion_rate\n2026-11-02,Gemini 2.5 Pro,0.924,EUR,0.88\n"
    (tmp_path / "table.csv").write_text(table, "utf-8")
    (line,) = google.saved([tmp_path / "table.csv"])
    assert line.usd == Decimal("1.050")
