"""Each number of a bill: what a vendor's row becomes, and what each cause of a difference is worth, exactly."""

from __future__ import annotations

import contextlib
import json
import random
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import make_recorder
from tachograph.errors import TachographError
from tachograph.pricing import Pricer
from tachograph.records.cost import Cost
from tachograph.records.llm_call import LLMCall
from tachograph.records.usage import Usage
from tachograph.usage.reconcile import anthropic, compare, google, openai, reconcile
from tachograph.usage.reconcile.bill import CREDITS, Billed, gathered, money_line
from tachograph.usage.reconcile.causes import Cause, Explainer, near, used
from tachograph.usage.reconcile.compare import Difference, LedgerDay, undated
from tachograph.usage.reconcile.keys import by_key
from tachograph.usage.stores.query import Query

DAY = date(2026, 11, 10)
LONG_AFTER = datetime(2026, 11, 20, 12, tzinfo=UTC)
TOLERANCE = Decimal("0.005")


def one_dollar_a_thousand(call: LLMCall) -> Cost:
    """A price that heads can calculate: a token of prompt or answer costs $0.001; a batch half."""
    assert call.usage is not None
    tokens = (call.usage.input_tokens or 0) + (call.usage.output_tokens or 0)
    nano = tokens * 1_000_000
    return Cost(nano // 2 if call.service_tier == "batch" else nano, quality="priced")


def causes(own: LedgerDay | None, line: Billed | None, *, now: datetime = LONG_AFTER, priced: bool = True) -> list[Any]:
    explainer = Explainer("openai", one_dollar_a_thousand if priced else None, TOLERANCE, now)
    return [(cause.name, cause.usd) for cause in explainer.causes(DAY, own, line)]


def ours(**fields: int) -> LedgerDay:
    """Ten calls of 1,000 tokens of prompt and 100 of answer: $11."""
    whole = {"calls": 10, "succeeded": 10, "input_tokens": 10_000, "output_tokens": 1_000, "nano_usd": 11_000_000_000}
    return LedgerDay(**(whole | fields))


def billed(**fields: Any) -> Billed:
    """The same as the vendor reports it."""
    same = Billed(DAY, "m", requests=10, input_tokens=10_000, output_tokens=1_000, usd=Decimal(11))
    line = replace(same, **fields)
    line.parts = fields.get("parts", [line])
    return line


def test_what_agrees_has_no_cause() -> None:
    assert causes(ours(), billed()) == []


def test_a_bill_with_no_calls_of_ours_is_an_unseen_client() -> None:
    assert causes(None, billed()) == [("unseen_client", Decimal(11))]
    assert causes(None, billed(usd=Decimal(0))) == []


def test_calls_that_are_not_billed_are_late_rows_for_two_days_and_another_account_after() -> None:
    last_moment = datetime(2026, 11, 12, tzinfo=UTC)
    assert causes(ours(), None, now=last_moment - timedelta(seconds=1)) == [("late_rows", Decimal(-11))]
    assert causes(ours(), None, now=last_moment) == [("other_account", Decimal(-11))]


def test_a_report_without_money_moves_no_money() -> None:
    assert causes(ours(), billed(usd=None)) == []
    assert causes(ours(output_tokens=900), billed(usd=None)) == [("unseen_client", Decimal("0.1"))]


def test_a_credit_is_its_own_cause_and_the_rest_agrees() -> None:
    line = billed(usd=Decimal("10.5"), credit_usd=Decimal("-0.5"))
    assert causes(ours(), line) == [("credit", Decimal("-0.5"))]


def test_calls_without_a_price_are_worth_what_is_left() -> None:
    assert causes(ours(unpriced=4, nano_usd=7_000_000_000), billed()) == [("unpriced", Decimal(4))]


def test_a_report_s_own_digits_hide_half_a_digit_and_not_more() -> None:
    rounded = billed(usd=Decimal("11.004"), digits_usd=Decimal("0.005"))
    assert causes(ours(), rounded) == [("rounding", Decimal("0.004"))]
    beyond = billed(usd=Decimal("11.006"), digits_usd=Decimal("0.005"))
    assert causes(ours(), beyond) == [("unexplained", Decimal("0.006"))]


def test_the_same_tokens_at_another_price_are_a_price() -> None:
    assert causes(ours(), billed(usd=Decimal("12.1"), parts=[])) == [("price", Decimal("1.1"))]


def test_half_the_price_is_a_tier_that_no_call_reported() -> None:
    assert causes(ours(), billed(usd=Decimal("5.5"), parts=[])) == [("tier", Decimal("-5.5"))]
    assert causes(ours(), billed(usd=Decimal("6.6"), parts=[]))[0][0] == "price"


def test_a_tier_that_the_report_names_is_worth_its_own_prices() -> None:
    batch = Billed(DAY, "m", input_tokens=4_000, output_tokens=0, tier="batch")
    rest = Billed(DAY, "m", input_tokens=6_000, output_tokens=1_000, tier="standard")
    assert causes(ours(), billed(usd=Decimal(9), parts=[batch, rest])) == [("tier", Decimal(-2))]


def test_a_region_adds_a_tenth_to_its_part_only() -> None:
    american = Billed(DAY, "m", input_tokens=4_000, output_tokens=0, region="us")
    rest = Billed(DAY, "m", input_tokens=6_000, output_tokens=1_000, region="global")
    assert causes(ours(), billed(usd=Decimal("11.4"), parts=[american, rest])) == [("region", Decimal("0.4"))]


@pytest.mark.parametrize(
    ("own", "line", "expected"),
    [
        (ours(succeeded=9), billed(requests=11, input_tokens=12_000, usd=Decimal(13)), ("unseen_client", Decimal(2))),
        (
            ours(usage_missing=2),
            billed(requests=10, input_tokens=12_000, usd=Decimal(13)),
            ("usage_missing", Decimal(2)),
        ),
        (
            ours(succeeded=8, cancelled=2),
            billed(requests=10, input_tokens=12_000, usd=Decimal(13)),
            ("cancelled", Decimal(2)),
        ),
        (ours(), billed(requests=10, input_tokens=12_000, usd=Decimal(13)), ("unseen_client", Decimal(2))),
        (ours(), billed(requests=None, input_tokens=12_000, usd=Decimal(13)), ("unseen_client", Decimal(2))),
        (ours(), billed(requests=9, input_tokens=8_000, usd=Decimal(9)), ("other_account", Decimal(-2))),
        (ours(), billed(requests=9, output_tokens=500, usd=Decimal("10.5")), ("other_account", Decimal("-0.5"))),
    ],
)
def test_tokens_that_differ_are_worth_their_price(own: LedgerDay, line: Billed, expected: tuple[str, Decimal]) -> None:
    assert causes(own, line) == [expected]


def test_fewer_tokens_of_a_young_day_are_late_rows() -> None:
    young = datetime(2026, 11, 11, tzinfo=UTC)
    line = billed(requests=9, input_tokens=8_000, usd=Decimal(9))
    assert causes(ours(), line, now=young) == [("late_rows", Decimal(-2))]


def test_without_a_price_tokens_are_worth_their_share_of_the_bill() -> None:
    line = billed(requests=20, input_tokens=20_000, output_tokens=2_000, usd=Decimal(22))
    assert causes(ours(), line, priced=False) == [("unseen_client", Decimal(11))]


def test_without_a_price_prompts_are_compared_with_prompts_and_answers_with_answers() -> None:
    more_prompt = billed(input_tokens=12_000, usd=Decimal(12))
    assert causes(ours(), more_prompt, priced=False)[0] == ("unseen_client", Decimal(2))
    more_answer = billed(output_tokens=1_250, usd=Decimal(10))
    assert causes(ours(), more_answer, priced=False)[0] == ("unseen_client", Decimal(2))
    assert causes(ours(unpriced=3), more_answer, priced=False)[-1] == ("unseen_client", Decimal(-1))


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ({"input_tokens": 0, "usd": Decimal(1)}, ("other_account", Decimal(-10))),
        ({"input_tokens": None, "output_tokens": 900}, ("other_account", Decimal("-0.1"))),
        ({"input_tokens": 11_000, "output_tokens": None, "usd": Decimal(12)}, ("unseen_client", Decimal(1))),
        ({"output_tokens": 0, "usd": Decimal(10)}, ("other_account", Decimal(-1))),
    ],
)
def test_what_a_report_does_not_say_is_no_difference(line: dict[str, Any], cause: tuple[str, Decimal]) -> None:
    assert causes(ours(), billed(**line))[0] == cause


def test_less_than_nothing_is_worth_less_than_nothing_at_its_tier() -> None:
    explainer = Explainer("openai", one_dollar_a_thousand, TOLERANCE, LONG_AFTER)
    assert explainer.worth("m", DAY, Usage(-1000, -10)) == Decimal("-1.01")
    assert explainer.worth("m", DAY, Usage(-1000, 0), "batch") == Decimal("-0.5")
    assert explainer.worth("m", DAY, Usage(1000, 0), "batch") == Decimal("0.5")


def test_fewer_prompts_and_more_answers_are_worth_the_difference_of_both() -> None:
    assert causes(ours(), billed(input_tokens=9_000, output_tokens=1_500, usd=Decimal("10.5"))) == [
        ("unseen_client", Decimal("-0.5"))
    ]
    assert causes(ours(), billed(input_tokens=12_000, output_tokens=500, usd=Decimal("12.5"))) == [
        ("other_account", Decimal("1.5"))
    ]


def by_kind(call: LLMCall) -> Cost | None:
    """A plain token of the prompt costs 1, a cached one 10, a written one 100, one of the answer 1,000 nano-dollars."""
    usage = call.usage
    assert usage is not None
    assert usage.input_tokens is not None
    assert usage.output_tokens is not None
    cached, written = (usage.details.get(word, 0) for word in ("cache_read", "cache_write"))
    plain = usage.input_tokens - cached - written
    assert min(plain, usage.output_tokens, *usage.details.values(), 0) == 0
    if call.model == "unpriced" or (plain and call.model == "half"):
        return Cost(None, "unpriced")
    return Cost(plain + 10 * cached + 100 * written + 1_000 * usage.output_tokens, "priced")


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        (Usage(10, 2), 2_010),
        (Usage(-10, -2), -2_010),
        (Usage(-10, 2), 1_990),
        (Usage(10, -2), -1_990),
        (Usage(10, 0, {"cache_read": 4}), 46),
        (Usage(10, 0, {"cache_read": -4}), 14 - 40),
        (Usage(4, 0, {"cache_read": 10}), 100 - 6),
        (Usage(0, 0, {"cache_read": 3, "cache_write": -3}), 30 - 300),
        (Usage(-1, 1, {"cache_write": 2, "cache_write_1h": 2}), 200 - 3 + 1_000),
        (Usage(0, 0), 0),
        (Usage(None, None), 0),
    ],
)
def test_a_difference_is_worth_each_kind_of_token_by_itself(usage: Usage, nano: int) -> None:
    explainer = Explainer("openai", by_kind, TOLERANCE, LONG_AFTER)
    assert explainer.worth("m", DAY, usage) == Decimal(nano).scaleb(-9)
    if nano:
        assert explainer.worth("unpriced", DAY, usage) is None
        assert Explainer("openai", None, TOLERANCE, LONG_AFTER).worth("m", DAY, usage) is None


def test_a_difference_with_a_part_that_has_no_price_has_none() -> None:
    explainer = Explainer("openai", by_kind, TOLERANCE, LONG_AFTER)
    assert explainer.worth("half", DAY, Usage(0, 1)) == Decimal(1000).scaleb(-9)
    assert explainer.worth("half", DAY, Usage(-1, 1)) is None
    assert explainer.worth("half", DAY, Usage(1, -1)) is None


def test_a_line_is_priced_as_a_call_of_that_day_model_and_tier() -> None:
    priced: list[LLMCall] = []
    explainer = Explainer("azure", lambda call: priced.append(call) or Cost(7, "priced"), TOLERANCE, LONG_AFTER)
    line = Billed(DAY, "m", None, 10, 2, 5, cache_write_5m_tokens=3, cache_write_1h_tokens=4)
    assert [explainer.worth("m", DAY, used(line), tier) for tier in ("", "batch")] == [Decimal(7).scaleb(-9)] * 2
    details = {"cache_read": 2, "cache_write": 7, "cache_write_5m": 3, "cache_write_1h": 4}
    midnight_ns = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp()) * 10**9
    assert [(one.provider, one.model, one.started_unix_ns, one.usage, one.service_tier) for one in priced] == [
        ("azure", "m", midnight_ns, Usage(10, 5, details), tier) for tier in (None, "batch")
    ]


def test_cached_tokens_that_one_side_counts_beside_the_prompt_are_no_difference() -> None:
    own = ours(input_tokens=10_000, cache_read_tokens=4_000)
    assert causes(own, billed(input_tokens=6_000)) == [("cached_tokens", Decimal(0))]


def test_lines_of_a_day_and_model_are_added_up_and_what_no_report_says_stays_unknown() -> None:
    tokens = Billed(
        DAY,
        "m",
        requests=3,
        input_tokens=30,
        cache_read_tokens=5,
        output_tokens=7,
        cache_write_5m_tokens=1,
        cache_write_1h_tokens=2,
    )
    money = money_line(DAY, "m", Decimal("1.25"))
    both = gathered([tokens, tokens, money, money, Billed(DAY, "other")])
    found = both[DAY, "m"]
    assert (found.requests, found.input_tokens, found.cache_read_tokens, found.output_tokens) == (6, 60, 10, 14)
    assert (found.cache_write_5m_tokens, found.cache_write_1h_tokens) == (2, 4)
    assert (found.usd, found.credit_usd, found.digits_usd) == (Decimal("2.50"), 0, Decimal("0.01"))
    assert found.parts == [tokens, tokens]
    nothing = both[DAY, "other"]
    assert (nothing.requests, nothing.input_tokens, nothing.usd, nothing.parts) == (None, None, None, [])


@pytest.mark.parametrize(("usd", "digits"), [("3", "0"), ("3.1", "0.05"), ("3.25", "0.005"), ("1E+2", "0")])
def test_a_line_of_money_is_as_exact_as_its_last_digit(usd: str, digits: str) -> None:
    assert money_line(DAY, "m", Decimal(usd)).digits_usd == Decimal(digits)


def test_a_credit_of_no_model_is_kept_under_a_name_of_its_own() -> None:
    line = money_line(DAY, "", Decimal("-2.5"), is_credit=True)
    assert (line.model, line.usd, line.credit_usd) == (CREDITS, Decimal("-2.5"), Decimal("-2.5"))
    assert money_line(DAY, "m", Decimal("-2.5"), is_credit=True).model == "m"


def test_every_field_of_openai_s_usage_and_costs_is_read() -> None:
    noon = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp())
    usage = {
        "model": "gpt-5",
        "num_model_requests": 3,
        "input_tokens": 30,
        "input_cached_tokens": 5,
        "output_tokens": 7,
        "service_tier": "flex",
    }
    buckets = [
        {"start_time": noon, "results": [usage, usage | {"batch": True}]},
        {"start_time": noon, "results": [{"amount": {"value": 1.25}, "line_item": "gpt-5, input"}]},
        {"start_time": noon, "results": [{"amount": {"value": -0.5}, "line_item": "Promotional credit"}]},
        {"start_time": noon, "results": None},
    ]
    flex = Billed(DAY, "gpt-5", requests=3, input_tokens=30, cache_read_tokens=5, output_tokens=7, tier="flex")
    assert list(openai.lines(iter(buckets))) == [
        flex,
        replace(flex, tier="batch"),
        money_line(DAY, "gpt-5", Decimal("1.25")),
        money_line(DAY, "", Decimal("-0.5"), is_credit=True),
    ]


def test_every_field_of_anthropic_s_usage_and_costs_is_read() -> None:
    usage = {
        "model": "claude-haiku-4-5",
        "uncached_input_tokens": 100,
        "cache_read_input_tokens": 40,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 3},
        "output_tokens": 7,
        "service_tier": "priority",
        "inference_geo": "us",
    }
    cost = {"amount": "123.45", "description": "Web Search Usage", "cost_type": "web_search"}
    credit = {"amount": "-50", "description": "Promotional Credit", "cost_type": "credits"}
    bucket = {"starting_at": "2026-11-10T00:00:00Z", "results": [usage, cost, cost | {"model": "claude"}, credit]}
    assert list(anthropic.lines(iter([bucket]))) == [
        Billed(
            DAY,
            "claude-haiku-4-5",
            input_tokens=163,
            cache_read_tokens=40,
            output_tokens=7,
            cache_write_5m_tokens=20,
            cache_write_1h_tokens=3,
            tier="priority",
            region="us",
        ),
        money_line(DAY, "Web Search", Decimal("1.2345")),
        money_line(DAY, "claude", Decimal("1.2345")),
        money_line(DAY, "", Decimal("-0.50"), is_credit=True),
    ]


@pytest.mark.parametrize(
    ("kind", "prompt", "cached", "answer"),
    [
        ("input token count", 900, None, None),
        ("cached input token count", 900, 900, None),
        ("output token count", None, None, 900),
        ("grounding queries", None, None, None),
    ],
)
def test_every_kind_of_google_s_skus_is_read_from_rows_and_from_tables(
    kind: str, prompt: int | None, cached: int | None, answer: int | None
) -> None:
    sku = f"Generate content {kind} Gemini 2.5 Flash Lite text"
    row = {
        "sku": {"description": sku},
        "usage_start_time": "2026-11-10 08:00:00 UTC",
        "usage": {"amount": 900},
        "cost": 1.25,
        "location": {"region": "europe-west4"},
        "credits": [{"amount": -0.25}],
    }
    line, credit = google.rows([row, {"sku": {"description": "Compute Engine"}}], "f")
    assert line == replace(
        money_line(DAY, "gemini-2.5-flash-lite", Decimal("1.25")),
        input_tokens=prompt,
        cache_read_tokens=cached,
        output_tokens=answer,
        region="europe-west4",
    )
    assert credit == money_line(DAY, "gemini-2.5-flash-lite", Decimal("-0.25"), is_credit=True)
    table = [
        ["Billing report"],
        ["Usage start date", "SKU description", "Cost ($)", "Usage amount"],
        ["2026-11-10", sku, "$1,000.25", "900"],
        ["", "a total"],
    ]
    (read,) = google.lines(table, "f")
    assert read == replace(line, region="", usd=Decimal("1000.25"))


def test_a_table_without_amounts_has_money_and_no_tokens() -> None:
    table = [["day", "sku", "cost"], ["2026-11-10", "Gemini 2.5 Pro input token count", "2"]]
    (read,) = google.lines(table, "f")
    assert read == money_line(DAY, "gemini-2.5-pro", Decimal(2))


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ([["day", "sku"]], "no header with a day, a SKU and a cost"),
        ([["day", "sku", "cost"], ["Tuesday", "Gemini 2.5 Pro", "2"]], "'Tuesday' is no day"),
    ],
)
def test_an_export_that_cannot_be_read_says_where_and_what_to_do(table: list[list[str]], what: str) -> None:
    with pytest.raises(TachographError) as refused:
        list(google.lines(table, "costs.csv"))
    assert what in str(refused.value)
    assert "costs.csv" in str(refused.value)
    assert "Export " in str(refused.value)


@pytest.mark.parametrize("name", ["costs.json", "costs.jsonl", "costs.ndjson"])
def test_rows_of_bigquery_are_read_from_every_usual_name(tmp_path: Path, name: str) -> None:
    row = {"sku": {"description": "Gemini 2.5 Pro"}, "usage_start_time": "2026-11-10T08:00:00Z", "cost": 2}
    (tmp_path / name).write_text(json.dumps(row) + "\n\n")
    assert [line.usd for line in google.saved([tmp_path / name])] == [Decimal(2)]


def test_the_ledger_s_day_is_added_up_by_model_and_outcome(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    pricer = Pricer()

    def call(outcome: str, usage: Usage | None, *, model: str = "gpt-5", day: int = 10, answered: str = "") -> None:
        one = recorder.start_llm_call("openai", model)
        one.started_unix_ns = int(datetime(2026, 11, day, 6, tzinfo=UTC).timestamp() * 1e9)
        one.begin_attempt().end(outcome)
        one.usage, one.response_model = usage, answered or None
        one.cost = pricer(one)
        one.finish(outcome)

    for _ in range(3):
        call("success", Usage(1_000, 10, {"cache_read": 400}), answered="gpt-5-2025-08-07")
    call("cancelled", None, answered="gpt-5-2025-08-07")
    call("success", Usage(50, 5), model="never-heard-of")
    call("server_error", None, model="gpt-4.1")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    bill = [
        Billed(date(2026, 11, 10), "gpt-5", requests=9, input_tokens=9_000, output_tokens=90, usd=Decimal("0.5")),
        Billed(date(2026, 11, 9), "gpt-5", requests=1, input_tokens=9, output_tokens=9, usd=Decimal(1)),
        Billed(date(2026, 11, 12), "gpt-5", requests=1, input_tokens=9, output_tokens=9, usd=Decimal(1)),
    ]
    with contextlib.closing(recorder.ledger.open_store(read_only=True)) as store:
        found = reconcile(
            store,
            "openai",
            bill,
            since=datetime(2026, 11, 10, tzinfo=UTC),
            until=datetime(2026, 11, 11, tzinfo=UTC),
            now=LONG_AFTER,
        )
    by_model = {one.model: one.ours for one in found.differences}
    gpt = by_model["gpt-5"]
    assert gpt == LedgerDay(
        calls=4,
        succeeded=3,
        cancelled=1,
        input_tokens=3_000,
        output_tokens=30,
        cache_read_tokens=1_200,
        nano_usd=gpt.nano_usd if gpt else 0,
        usage_missing=gpt.usage_missing if gpt else 0,
    )
    assert by_model["never-heard-of"] == LedgerDay(calls=1, succeeded=1, input_tokens=50, output_tokens=5, unpriced=1)
    assert set(by_model) == {"gpt-5", "never-heard-of"}
    assert found.billed_usd == Decimal("0.5")
    assert found.models["gpt-5"] == (Decimal("0.5"), found.ours_usd)


def test_a_ledger_beside_an_empty_bill_has_drifted_by_nothing_it_can_say() -> None:
    assert undated("GPT-5-2025-08-07") == "gpt-5"
    assert undated("claude-haiku-4-5@20251001") == "claude-haiku-4-5"
    assert undated("gpt-5.5") == "gpt-5.5"


@pytest.mark.parametrize(("billed_tokens", "agrees"), [(10_050, True), (10_051, False), (9_950, True), (9_949, False)])
def test_tokens_agree_within_the_tolerance_and_not_beyond(billed_tokens: int, agrees: bool) -> None:
    """Half of one per cent of the larger number: 50.25 of 10,050, and 50 of our 10,000."""
    found = causes(ours(), billed(input_tokens=billed_tokens, usd=None))
    assert (found == []) is agrees


@pytest.mark.parametrize(("usd", "cause"), [("11.055", "unexplained"), ("11.056", "price")])
def test_money_agrees_within_the_tolerance_and_not_beyond(usd: str, cause: str) -> None:
    assert causes(ours(), billed(usd=Decimal(usd), parts=[])) == [(cause, Decimal(usd) - 11)]


@pytest.mark.parametrize(
    ("left", "right", "tolerance", "is_near"),
    [
        ("1000", "995", "0.005", True),
        ("995", "1000", "0.005", True),
        ("1000", "994.99", "0.005", False),
        ("-1000", "-995", "0.005", True),
        ("0", "0.000001", "0", True),
        ("0", "0.0000011", "0", False),
    ],
)
def test_numbers_are_near_that_differ_by_the_tolerance(left: str, right: str, tolerance: str, is_near: bool) -> None:
    assert near(Decimal(left), Decimal(right), Decimal(tolerance)) is is_near


def test_a_bucket_of_openai_s_is_a_day_of_utc_wherever_the_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = {"start_time": 1_794_268_800, "results": [{"input_tokens": 5, "output_tokens": 1, "model": "m"}]}
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "America/Lima")
        time.tzset()
        days = [line.day for line in openai.lines([bucket])]
    time.tzset()
    assert days == [datetime.fromtimestamp(1_794_268_800, UTC).date()]


def test_parts_of_a_bill_are_priced_at_their_tier_and_region() -> None:
    priced: list[tuple[Usage | None, str | None]] = []

    def noted(call: LLMCall) -> Cost:
        priced.append((call.usage, call.service_tier))
        return one_dollar_a_thousand(call)

    batch = Billed(DAY, "m", input_tokens=4_000, output_tokens=0, tier="batch", region="US")
    rest = Billed(DAY, "m", input_tokens=6_000, output_tokens=1_000, region="global")
    line = billed(usd=Decimal("9.2"), parts=[batch, rest])
    found = Explainer("openai", noted, TOLERANCE, LONG_AFTER).causes(DAY, ours(), line)
    assert [(one.name, one.usd) for one in found] == [("tier", Decimal(-2)), ("region", Decimal("0.2"))]
    whole = [Usage(4_000, 0), Usage(6_000, 1_000)]
    assert priced == [
        (whole[0], "batch"), (whole[1], None), (whole[0], None), (whole[1], None), (whole[0], "batch"),
        (whole[1], None),
    ]  # fmt: skip


def test_a_bill_by_key_without_money_is_priced_and_the_ledger_stands_beside_it() -> None:
    asked: list[Query] = []

    class FakeStore:
        def usage(self, query: Query) -> list[dict[str, Any]]:
            asked.append(query)
            rows = [("...aaaa", 3_000_000_000), (None, "1"), ("", 4), ("...gone", None)]
            return [{"api_key_hint": key, "cost_nusd": nano} for key, nano in rows]

    lines = [
        Billed(DAY, "m", input_tokens=1_000, output_tokens=0, tier="batch", key="...aaaa"),
        Billed(DAY, "m", input_tokens=1_000, output_tokens=500, key="...aaaa"),
        Billed(DAY, "m", usd=Decimal(7), input_tokens=9, key="...bbbb"),
        Billed(DAY, "m", usd=Decimal(0), input_tokens=9, key="...none"),
    ]
    explainer = Explainer("openai", one_dollar_a_thousand, TOLERANCE, LONG_AFTER)
    since, until = datetime(2026, 11, 10, tzinfo=UTC), datetime(2026, 11, 11, tzinfo=UTC)
    assert by_key(FakeStore(), "openai", lines, explainer, since, until) == {
        "...aaaa": (Decimal(2), Decimal(3)),
        "...bbbb": (Decimal(7), Decimal(0)),
        "unknown": (Decimal(0), Decimal(5).scaleb(-9)),
    }
    begin, end = (int(moment.timestamp() * 1e6) for moment in (since, until))
    where = {"kind": ("llm",), "provider": ("openai",)}
    assert asked == [Query(begin, end, by=("api_key_hint",), where=where, raw=True)]
    bare = Explainer("openai", None, TOLERANCE, LONG_AFTER)
    assert by_key(FakeStore(), "openai", lines[:1], bare, since, until)["...aaaa"] == (0, 3)


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ({"outcome": "success", "n": 2}, {"calls": 2, "succeeded": 2}),
        ({"outcome": "cancelled", "n": 2}, {"calls": 2, "cancelled": 2}),
        ({"outcome": "error", "n": 2}, None),  # nothing that could be billed
        ({"outcome": "error", "input_tokens": 3}, {"calls": 1, "input_tokens": 3}),
        ({"outcome": "error", "output_tokens": 3}, {"calls": 1, "output_tokens": 3}),
        ({"outcome": "error", "cost_nusd": 3}, {"calls": 1, "nano_usd": 3}),
        (
            {"outcome": "success", "cache_read_tokens": 1, "cache_write_tokens": 2, "unpriced": 3, "usage_missing": 4},
            {
                "calls": 1, "succeeded": 1, "cache_read_tokens": 1, "cache_write_tokens": 2, "unpriced": 3,
                "usage_missing": 4,
            },
        ),
    ],
)  # fmt: skip
def test_rows_of_the_ledger_are_added_up_where_they_may_be_billed(
    row: dict[str, Any], counts: dict[str, int] | None
) -> None:
    asked: list[Query] = []
    day_us = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp()) * 10**6
    none = dict.fromkeys(
        ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_nusd", "unpriced",
         "usage_missing")
    )  # fmt: skip

    class FakeStore:
        def usage(self, query: Query) -> list[dict[str, Any]]:
            asked.append(query)
            return [
                {**none, "day": day_us, "model": "m", "response_model": model, "n": 1, **row} for model in (None, "m")
            ]

    since, until = datetime(2026, 11, 10, tzinfo=UTC), datetime(2026, 11, 11, tzinfo=UTC)
    twice = None if counts is None else {name: 2 * count for name, count in counts.items()}
    found = compare._ours(FakeStore(), "openai", since, until)
    assert found == ({} if twice is None else {(DAY, "m"): LedgerDay(**twice)})
    where = {"kind": ("llm",), "provider": ("openai",)}
    by = ("day", "model", "response_model", "outcome")
    assert asked == [Query(day_us, day_us + 86_400 * 10**6, by=by, where=where, raw=True)]


OWN, LINE = LedgerDay(calls=1, succeeded=1), Billed(DAY, "x", usd=Decimal(1))


@pytest.mark.parametrize(
    ("ours_of", "billed_of", "pairs"),
    [
        (["gpt-5"], ["gpt-5"], [("gpt-5", True, True)]),
        (["gpt-5-2025-08-07"], ["gpt-5"], [("gpt-5", True, True)]),
        (["gpt-5"], ["gpt-5-2025-08-07"], [("gpt-5-2025-08-07", True, True)]),
        (["gpt-5-2025-08-07", "gpt-5-latest"], ["gpt-5"], [("gpt-5-2025-08-07", True, False),
         ("gpt-5-latest", True, False), ("gpt-5", False, True)]),
        (["b", "gpt-5", "a"], ["c", "a"], [("a", True, True), ("b", True, False), ("gpt-5", True, False),
         ("c", False, True)]),
    ],
)  # fmt: skip
def test_a_dated_name_goes_with_the_undated_one_where_there_is_one_of_each(
    ours_of: list[str], billed_of: list[str], pairs: list[tuple[str, bool, bool]]
) -> None:
    found = compare._paired({(DAY, model): OWN for model in ours_of}, {(DAY, model): LINE for model in billed_of})
    assert [(model, own is OWN, line is LINE) for _, model, own, line in found] == pairs
    other_day = {(DAY + timedelta(days=1), model): LINE for model in billed_of}
    apart = compare._paired({(DAY, model): OWN for model in ours_of}, other_day)
    assert [(own is None, line is None) for _, _, own, line in apart] == [(False, True)] * len(ours_of) + [
        (True, False)
    ] * len(billed_of)


@pytest.mark.parametrize(
    ("ours_fields", "line_fields", "agree"),
    [
        ({}, {}, True),
        ({"input_tokens": 1}, {}, True),  # the report does not say
        ({"input_tokens": 1}, {"input_tokens": 2}, False),
        ({"output_tokens": 1}, {"output_tokens": 2}, False),
        ({"nano_usd": 10**9}, {"usd": Decimal(2)}, False),
        ({"nano_usd": 10**9, "input_tokens": 5}, {"usd": Decimal(1), "input_tokens": 5}, True),
        (None, {"usd": Decimal(1)}, False),
        (None, {"input_tokens": 1}, False),
        (None, {"output_tokens": 1}, False),
        (None, {"requests": 1, "usd": Decimal(0)}, True),
        ({"succeeded": 1}, None, False),
        ({"nano_usd": 1}, None, False),
        ({"calls": 1, "cancelled": 1}, None, True),
        (None, None, True),
    ],
)
def test_two_sides_agree_in_all_that_both_say(
    ours_fields: dict[str, int] | None, line_fields: dict[str, Any] | None, agree: bool
) -> None:
    own = None if ours_fields is None else LedgerDay(**ours_fields)
    line = None if line_fields is None else Billed(DAY, "m", **line_fields)
    assert compare._agree(own, line, TOLERANCE) is agree


def test_days_that_agree_together_end_at_another_hour_and_others_do_not() -> None:
    def apart(day: int, model: str, own: int | None, theirs: int | None) -> Difference:
        sides = (
            LedgerDay(output_tokens=own or 0, nano_usd=10**9),
            Billed(DAY, model, output_tokens=theirs, usd=Decimal(3)),
        )
        return Difference(
            DAY + timedelta(days=day), model, None if own is None else sides[0], None if theirs is None else sides[1],
            (),
        )  # fmt: skip

    shifted = [
        apart(0, "a", 100, 60),
        apart(1, "a-2025-08-07", 100, 140),
        apart(3, "b", None, 50),
        apart(4, "b", 50, None),
    ]
    others = [
        apart(6, "c", 100, 60), apart(7, "c", 100, 142), apart(9, "d", 100, 60), apart(11, "d", 100, 140),
        apart(13, "e", 100, 100), apart(14, "e", 100, 100), apart(16, "f", 100, 60), apart(17, "g", 100, 140),
        apart(19, "h", 0, 5), apart(20, "h", 0, -5),
    ]  # fmt: skip
    found = compare._with_day_boundaries([*shifted, *others], TOLERANCE)
    told = "two days that agree together: the report's day ends at another hour than UTC's"
    assert found == [*(replace(one, causes=(Cause("day_boundary", one.usd, told),)) for one in shifted), *others]
    assert [one.usd for one in found[:4]] == [2, 2, 3, -1]


def test_whatever_differs_the_money_of_all_causes_adds_up_to_billed_less_ours() -> None:
    draw = random.Random(5)

    def either(*values: Any) -> Any:
        return draw.choice(values)

    for _ in range(600):
        own = LedgerDay(
            calls=10, succeeded=either(0, 8, 10), cancelled=either(0, 2), input_tokens=either(0, 9_000, 10_000, 12_000),
            output_tokens=either(0, 900, 1_000, 1_500), cache_read_tokens=either(0, 3_000),
            cache_write_tokens=either(0, 500), nano_usd=either(0, 5, 11) * 10**9, unpriced=either(0, 0, 3),
            usage_missing=either(0, 2),
        )  # fmt: skip
        parts = [
            Billed(
                DAY, "m", requests=either(None, 10, 11), input_tokens=either(None, 0, 6_000, 10_000, 12_000),
                cache_read_tokens=either(None, 0, 2_000), output_tokens=either(None, 0, 1_000, 1_500),
                cache_write_5m_tokens=either(0, 100), cache_write_1h_tokens=either(0, 50),
                tier=either("", "batch", "flex"), region=either("", "us", "EU", "global"),
            )
            for _ in range(either(1, 2, 3))
        ]  # fmt: skip
        money = money_line(DAY, "m", Decimal(either("11", "5.5", "11.005", "0", "12.34")))
        credit = [money_line(DAY, "m", Decimal("-0.5"), is_credit=True)] * either(0, 1)
        line = gathered([*parts, money, *credit])[DAY, "m"]
        now = either(LONG_AFTER, datetime(2026, 11, 11, tzinfo=UTC))
        found = Explainer("openai", either(one_dollar_a_thousand, None), TOLERANCE, now).causes(DAY, own, line)
        assert line.usd is not None
        assert sum(cause.usd for cause in found) == pytest.approx(line.usd - own.usd, abs=Decimal("0.000001"))


def test_what_is_left_after_the_other_causes_is_weighed_with_them() -> None:
    near_by = billed(input_tokens=12_000, usd=Decimal("13.01"))
    found = Explainer("openai", one_dollar_a_thousand, TOLERANCE, LONG_AFTER).causes(DAY, ours(), near_by)
    assert [(cause.name, cause.usd, cause.text) for cause in found[1:]] == [
        ("unexplained", Decimal("0.01"), "within the tolerance")
    ]
    assert causes(ours(unpriced=1), billed(usd=None)) == []


def test_lines_of_no_model_are_other_money_or_nothing() -> None:
    lines = [Billed(DAY, "", input_tokens=1), Billed(DAY, "", usd=Decimal(0)), Billed(DAY, "", usd=Decimal(2))]
    assert {model: line.usd for (_, model), line in gathered(lines).items()} == {"": 0, "other": 2}
