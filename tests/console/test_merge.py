"""Two accounts of one call: its cost is one account's, never a mixture."""

from __future__ import annotations

import msgspec
import pytest

from tachograph.console.calls import Call, CallDetail, Span, merge, merge_spans

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


def test_a_call_reads_the_same_in_whichever_order_its_accounts_come() -> None:
    record, sent = account(PRICED), account(NOTHING)
    facts = {"stream": True, "counted": False, "retry_wait_seconds": 1.5, "attempts": 2}
    record.call = msgspec.structs.replace(record.call, **facts)
    sent.call = msgspec.structs.replace(sent.call, parent_span_id="ab", service="shop", labels={"team": "search"})
    sent.error, sent.content = "AuthenticationError: no", {"input": "hi"}
    assert merge(record, sent) == merge(sent, record)
    assert merge(sent, record).call.stream


def test_a_span_reads_the_same_in_whichever_order_its_accounts_come() -> None:
    bare = Span(trace_id="t", span_id="s", name="llm.complete", start_unix=1.0, duration_seconds=1.0)
    full = msgspec.structs.replace(bare, kind="client", status="error", parent_span_id="p")
    assert merge_spans(bare, full) == merge_spans(full, bare) == full
