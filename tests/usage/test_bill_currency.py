"""A bill in another currency is converted by the rate that it says, and refused where it says none."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tachograph.usage.reconcile import anthropic, focus, google, openai
from tachograph.usage.reconcile.bill import BillError, gathered, in_usd

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


@pytest.mark.parametrize(
    ("amount", "rate", "usd", "digits"),
    [
        ("2", 0.88, "2.272727272727", "0"),  # not rounded to whole dollars
        ("7.5", 150, "0.05", "0.000333333333"),  # nor to a tenth: a row of some yen is money
        ("0.924", 0.88, "1.05", "0.000568181818"),
        ("-0.44", "0.88", "-0.5", "0.005681818182"),
        ("1e-13", 1, "0", "0"),
        ("300", 1.5, "200", "0"),
    ],
)
def test_an_amount_in_another_currency_keeps_its_value_and_what_its_digits_hide(
    amount: str, rate: object, usd: str, digits: str
) -> None:
    assert in_usd(Decimal(amount), "EUR", "a bill", rate) == (Decimal(usd), Decimal(digits))
    for code in ("USD", " usd ", "", None):
        exact = Decimal(amount)
        assert in_usd(exact, code, "a bill", rate)[0] == exact
    for none in (None, 0, -1, "0"):
        with pytest.raises(BillError) as caught:
            in_usd(Decimal(amount), "eur", "a bill", none)
        assert (caught.value.what, caught.value.where, caught.value.do) == (
            "its amounts are in EUR, and the ledger is in US dollars",
            "a bill",
            "Export it in US dollars, or convert the amounts and write USD as the currency.",
        )


def test_many_rows_of_some_yen_add_up_to_their_dollars(tmp_path: Path) -> None:
    row = {
        "sku": {"description": "Gemini 2.5 Pro"},
        "usage_start_time": "2026-11-02",
        "cost": 7.4,
        "currency": "JPY",
        "currency_conversion_rate": 148,
    }
    (tmp_path / "rows.jsonl").write_text("\n".join([json.dumps(row)] * 100), "utf-8")
    (line,) = gathered(google.saved([tmp_path / "rows.jsonl"])).values()
    assert (line.usd, line.digits_usd) == (Decimal(5), Decimal("0.0337837838"))


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
