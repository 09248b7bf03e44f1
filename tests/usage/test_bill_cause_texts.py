"""What a person reads of each cause of a difference, and the money of cached and written tokens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tachograph.records.cost import Cost
from tachograph.records.llm_call import LLMCall
from tachograph.usage.reconcile.bill import Billed
from tachograph.usage.reconcile.causes import Explainer
from tachograph.usage.reconcile.compare import LedgerDay

DAY = date(2026, 11, 10)
YOUNG, OLD = datetime(2026, 11, 11, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)


def by_parts(call: LLMCall) -> Cost:
    """A token of prompt or answer costs $0.001, a cached one a tenth, a written one twice (and a quarter more for five
    minutes, half of one for an hour); a batch half of all."""
    assert call.usage is not None
    assert (call.usage.input_tokens or 0) >= 0 <= (call.usage.output_tokens or 0)
    found = call.usage.details
    milli = Decimal((call.usage.input_tokens or 0) + (call.usage.output_tokens or 0))
    milli += found.get("cache_write", 0) - Decimal("0.9") * found.get("cache_read", 0)
    milli += Decimal("0.25") * found.get("cache_write_5m", 0) + Decimal("0.5") * found.get("cache_write_1h", 0)
    return Cost(int(milli * 1_000_000) // (2 if call.service_tier == "batch" else 1), quality="priced")


OURS = LedgerDay(calls=10, succeeded=10, input_tokens=10_000, output_tokens=1_000, nano_usd=11_000_000_000)
LINE = Billed(DAY, "m", requests=10, input_tokens=10_000, output_tokens=1_000, usd=Decimal(11))


def line(**fields: Any) -> Billed:
    made = replace(LINE, **fields)
    made.parts = fields.get("parts", [made])
    return made


def causes(own: LedgerDay | None, billed: Billed | None, now: datetime = OLD) -> list[tuple[str, Decimal, str]]:
    found = Explainer("openai", by_parts, Decimal("0.005"), now).causes(DAY, own, billed)
    return [(cause.name, cause.usd, cause.text) for cause in found]


BATCH = Billed(DAY, "m", input_tokens=4_000, output_tokens=0, tier="batch")
FLEX = Billed(DAY, "m", input_tokens=0, output_tokens=0, tier="flex")
AMERICAN = Billed(DAY, "m", input_tokens=4_000, output_tokens=0, region="us")
EUROPEAN = Billed(DAY, "m", input_tokens=1_000, output_tokens=0, region="EU")
REST = Billed(DAY, "m", input_tokens=6_000, output_tokens=1_000, tier="standard", region="global")


@pytest.mark.parametrize(
    ("own", "billed", "now", "usd", "name", "text"),
    [
        (None, line(), OLD, 11, "unseen_client",
         "not in the ledger: calls that are not watched (another application or key), or the ledger was off"),
        (OURS, None, YOUNG, -11, "late_rows",
         "not in the report yet: the provider completes a day after a day or so"),
        (OURS, None, OLD, -11, "other_account",
         "not in the report: another organisation's key, or a compatible server under this provider's label"),
        (OURS, line(usd=Decimal("10.5"), credit_usd=Decimal("-0.5")), OLD, "-0.5", "credit",
         "credits or refunds of the provider"),
        (replace(OURS, unpriced=3), line(usd=Decimal(12)), OLD, 1, "unpriced",
         "3 calls have no price here: add it to the price file and run tachograph reprice"),
        (OURS, line(usd=Decimal("11.001"), digits_usd=Decimal("0.001")), OLD, "0.001", "rounding",
         "the report's own digits"),
        (OURS, line(usd=Decimal("11.01")), OLD, "0.01", "unexplained", "within the tolerance"),
        (OURS, line(usd=Decimal("12.1"), parts=[]), OLD, "1.1", "price",
         "the same tokens at 1.100 of our price: a discount, a tier, or a price that has changed"),
        (replace(OURS, nano_usd=0), line(parts=[]), OLD, 11, "unexplained", "no likely cause found"),
        (OURS, line(usd=Decimal("5.5"), parts=[]), OLD, "-5.5", "tier",
         "half the price: a batch discount or a flexible service tier that the calls did not report"),
        (OURS, line(usd=Decimal(9), parts=[BATCH, REST, FLEX]), OLD, -2, "tier",
         "the service tier batch, flex, which the calls did not report"),
        (OURS, line(usd=Decimal("11.5"), parts=[AMERICAN, EUROPEAN, REST]), OLD, "0.5", "region",
         "requests processed in EU, us cost more"),
        (replace(OURS, cache_read_tokens=4_000), line(input_tokens=6_000), OLD, 0, "cached_tokens",
         "cached tokens: one side counts them in the prompt and the other beside it"),
        (OURS, line(requests=9, input_tokens=8_000, usd=Decimal(9)), YOUNG, -2, "late_rows",
         "the report of this day is not complete yet"),
        (OURS, line(requests=9, input_tokens=8_000, usd=Decimal(9)), OLD, -2, "other_account",
         "fewer tokens are billed: another organisation's key, or a compatible server"),
        (replace(OURS, succeeded=8, cancelled=1), line(requests=11, input_tokens=12_000, usd=Decimal(13)), OLD, 2,
         "unseen_client", "2 billed requests are not in the ledger: not watched"),
        (replace(OURS, usage_missing=2), line(input_tokens=12_000, usd=Decimal(13)), OLD, 2, "usage_missing",
         "2 calls reported no usage, but are billed"),
        (replace(OURS, succeeded=8, cancelled=2), line(input_tokens=12_000, usd=Decimal(13)), OLD, 2, "cancelled",
         "2 calls were given up before their usage came; providers bill what was made by then"),
        (OURS, line(input_tokens=12_000, usd=Decimal(13)), OLD, 2, "unseen_client",
         "more tokens are billed than the ledger has: calls that are not watched"),
    ],
)  # fmt: skip
def test_a_cause_says_what_it_is_and_what_it_is_worth(
    own: LedgerDay | None, billed: Billed | None, now: datetime, usd: Any, name: str, text: str
) -> None:
    assert causes(own, billed, now) == [(name, Decimal(usd), text)]


def test_tokens_that_were_cached_or_written_are_worth_their_own_prices() -> None:
    own = replace(OURS, cache_read_tokens=1_000, cache_write_tokens=500, nano_usd=10_600_000_000)
    more = line(
        input_tokens=14_000, cache_read_tokens=2_000, cache_write_5m_tokens=600, cache_write_1h_tokens=400,
        usd=Decimal("14.2"),
    )  # fmt: skip
    ((name, usd, _),) = causes(own, more)
    assert (name, usd) == ("unseen_client", Decimal("3.6"))  # 4,000 more, 1,000 of them cached and 500 written
    less = line(requests=9, input_tokens=8_000, cache_read_tokens=500, cache_write_5m_tokens=100, usd=Decimal("8.65"))
    ((name, usd, _),) = causes(own, less)
    assert (name, usd) == ("other_account", Decimal("-1.95"))  # 2,000 less, 500 of them cached and 400 written


def test_a_part_s_tier_that_brings_the_bill_no_nearer_is_no_cause() -> None:
    expensive = line(usd=Decimal(13), parts=[BATCH, REST])
    assert [name for name, _, _ in causes(OURS, expensive)] == ["price"]
    even = Billed(DAY, "m", input_tokens=2_000, output_tokens=0, tier="batch")
    apart = line(usd=Decimal("10.5"), parts=[even, REST])
    assert [name for name, _, _ in causes(OURS, apart)] == ["price"]  # $1 less would be as far off as $0.5 more


def test_a_region_s_surcharge_is_a_tenth_of_all_that_its_part_used() -> None:
    part = replace(AMERICAN, cache_write_5m_tokens=1_000, cache_write_1h_tokens=500)  # $4 and $1.50 and two quarters
    ((name, usd, _),) = causes(OURS, line(usd=Decimal("11.6"), parts=[part, REST]))
    assert (name, usd) == ("region", Decimal("0.6"))
    nearer_by_nothing = line(usd=Decimal("11.2"), parts=[AMERICAN, REST])
    assert [name for name, _, _ in causes(OURS, nearer_by_nothing)] == ["price"]


def test_half_the_price_is_found_beside_credits_and_cached_tokens() -> None:
    credited = line(usd=Decimal(5), credit_usd=Decimal("-0.5"), parts=[])
    assert [(name, usd) for name, usd, _ in causes(OURS, credited)] == [
        ("credit", Decimal("-0.5")),
        ("tier", Decimal("-5.5")),
    ]
    beside = line(input_tokens=6_000, usd=Decimal("5.5"), parts=[])
    assert [(name, usd) for name, usd, _ in causes(replace(OURS, cache_read_tokens=4_000), beside)] == [
        ("cached_tokens", Decimal(0)),
        ("tier", Decimal("-5.5")),
    ]
