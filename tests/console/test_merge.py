"""Two accounts of one call: its cost is one account's, never a mixture."""

from __future__ import annotations

import pytest

from tachograph.console.calls import Call, CallDetail, merge

PRICED = {"cost_usd": "0.5", "cost_quality": "priced", "price_source": "genai-prices/0.2.3"}
ESTIMATED = {
    "cost_usd": "0.1",
    "cost_quality": "estimated",
    "price_source": "a span",
    "cost_detail": "no price for file_search",
}
STATED = {
    "cost_usd": "0.7",
    "cost_quality": "stated",
    "price_source": "stated by openrouter",
    "list_cost_usd": "0.5",
    "stated_cost_usd": "0.7",
}
NOTHING: dict[str, str] = {}
NAMES = ("cost_usd", "cost_quality", "price_source", "cost_detail", "list_cost_usd", "stated_cost_usd")


def account(cost: dict[str, str]) -> CallDetail:
    call = Call(
        id="1",
        kind="llm",
        time=1.0,
        trace_id="t",
        span_id="s",
        provider="openai",
        model="gpt-5",
        outcome="success",
        duration_seconds=1.0,
        **cost,  # type: ignore[arg-type]
    )
    return CallDetail(call, [])


@pytest.mark.parametrize(
    ("known", "more", "wanted"),
    [
        (PRICED, ESTIMATED, PRICED),
        (ESTIMATED, PRICED, PRICED),
        (ESTIMATED, STATED, STATED),
        (STATED, ESTIMATED, STATED),
        (NOTHING, ESTIMATED, ESTIMATED),
        (STATED, NOTHING, STATED),
    ],
)
def test_the_cost_of_two_accounts_is_the_exact_ones(
    known: dict[str, str], more: dict[str, str], wanted: dict[str, str]
) -> None:
    merged = merge(account(known), account(more)).call
    assert {name: getattr(merged, name) for name in NAMES} == {name: wanted.get(name) for name in NAMES}
