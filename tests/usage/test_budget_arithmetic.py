"""The arithmetic of a budget: its window, its scope, its account, and what a call may cost at most."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tachograph.errors import SettingsError
from tachograph.records import NOWHERE, LLMCall, Run, Usage
from tachograph.records.cost import Cost
from tachograph.records.reservation import Asked
from tachograph.records.sound import MOST_SECONDS
from tachograph.settings.budgets import BudgetLimit
from tachograph.usage.budgets.estimate import Estimates, _most
from tachograph.usage.budgets.scope import Scope, scope_of
from tachograph.usage.budgets.windows import FOREVER, Window

WEDNESDAY = datetime(2026, 12, 30, 13, 45, 12, 345678, tzinfo=UTC)
EPOCH = datetime.fromtimestamp(0, UTC)


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "begins", "ends", "number"),
    [
        ("hour", at(2026, 12, 30, 13), at(2026, 12, 30, 14), int(at(2026, 12, 30, 13).timestamp()) // 3600),
        ("day", at(2026, 12, 30), at(2026, 12, 31), int(at(2026, 12, 30).timestamp()) // 3600),
        ("week", at(2026, 12, 28), at(2027, 1, 4), int(at(2026, 12, 28).timestamp()) // 3600),
        ("month", at(2026, 12, 1), at(2027, 1, 1), int(at(2026, 12, 1).timestamp()) // 3600),
        ("total", EPOCH, FOREVER, 1),
    ],
)
def test_a_calendar_period_is_one_bucket_from_its_begin_to_its_end(
    period: str, begins: datetime, ends: datetime, number: int
) -> None:
    window = Window(period)
    assert (window.buckets, window.kind, window.period) == (1, period, period)
    assert window.bounds(WEDNESDAY.timestamp()) == (begins, ends)
    for moment in (WEDNESDAY, begins, ends - timedelta(seconds=1), WEDNESDAY):
        assert window.number(moment.timestamp()) == number
    if period != "total":
        assert window.number(ends.timestamp()) > number
        assert window.number((begins - timedelta(seconds=1)).timestamp()) < number


@pytest.mark.parametrize(("period", "width"), [("90m", 225), ("24h", 3600), ("7d", 25_200)])
def test_a_rolling_time_is_24_buckets_and_the_one_being_filled(period: str, width: int) -> None:
    window = Window(period)
    now = 100 * width + 7.0
    assert (window.buckets, window.kind) == (25, "rolling")
    assert [window.number(now), window.number(101.0 * width - 1), window.number(101.0 * width)] == [100, 100, 101]
    assert window.bounds(now) == (EPOCH + timedelta(seconds=76 * width), EPOCH + timedelta(seconds=101 * width))


@pytest.mark.parametrize("period", ["", "0h", "01h", "100000h", "3w", "h", "1h ", "Day"])
def test_another_period_is_refused_with_those_that_there_are(period: str) -> None:
    with pytest.raises(
        ValueError, match=r"^allowed: hour, day, week, month, total, or a rolling time such as 90m, 24h or 7d$"
    ):
        Window(period)


def limit(**fields: Any) -> BudgetLimit:
    return BudgetLimit(**{"name": "b", "usd": Decimal(1), **fields})


@pytest.mark.parametrize(
    ("fields", "what", "do"),
    [
        ({"period": "soon"}, "the period 'soon' is unknown",
         "allowed: hour, day, week, month, total, or a rolling time such as 90m, 24h or 7d."),
        ({"per": ("team",)}, "there are no budgets per 'team'",
         "Allowed: provider, model, agent, user, session, run, execution, key, or label:<name>."),
        *(
            ({"usd": Decimal(usd)}, f"the limit {usd} is not an amount of money",
             "Give US dollars, from 0 to 9,000,000,000.")
            for usd in ("-1", "NaN", "Infinity", "9000000001")
        ),
    ],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_refused_by_name(fields: dict[str, Any], what: str, do: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Scope(limit(**fields))
    where = "setting budgets.limits, the budget 'b'"
    assert (caught.value.what, caught.value.where, caught.value.do) == (what, where, do)


def call(provider: str = "openai", model: str = "gpt-5", labels: dict[str, str] | None = None) -> LLMCall:
    made = LLMCall(NOWHERE, provider, model)
    made.labels = labels or {}
    return made


RUN = Run("run-1", "refunds", session_id="s1", user_id="u1", execution_id="e1")


@pytest.mark.parametrize(
    ("fields", "covered", "where"),
    [
        ({}, True, {}),
        ({"provider": "openai", "model": "gpt-5"}, True, {"provider": ("openai",), "model": ("gpt-5",)}),
        ({"provider": "anthropic"}, False, {"provider": ("anthropic",)}),
        ({"model": "gpt-5-mini"}, False, {"model": ("gpt-5-mini",)}),
        ({"agent": "refunds"}, True, {"agent": ("refunds",)}),
        ({"user": "u1"}, True, {"user_id": ("u1",)}),
        ({"session": "s2"}, False, {"session_id": ("s2",)}),
        ({"run": "run-1"}, True, {"run_id": ("run-1",)}),
        ({"execution": "e1"}, True, {"execution_id": ("e1",)}),
        ({"key": "abcd"}, True, {"api_key_hint": ("abcd",)}),
        ({"labels": {"team": "a"}}, True, {"label:team": ("a",)}),
        ({"labels": {"team": "b"}}, False, {"label:team": ("b",)}),
    ],
)
def test_a_budget_pays_for_the_calls_of_its_scope(
    fields: dict[str, Any], covered: bool, where: dict[str, tuple[str, ...]]
) -> None:
    made = call(labels={"team": "a", "else": "x"})
    made.run, made.api_key_hint = RUN, "abcd"
    scope = Scope(limit(**fields))
    assert scope.covers(made) is covered
    assert scope.where(scope.key(made)) == {"kind": ("llm",), **where}
    assert (scope.rows, scope.account(scope.key(made))) == (1, "b")


def test_each_value_of_a_scope_has_an_account_of_its_own() -> None:
    scope = Scope(limit(per=("user", "label:team"), model="gpt-5"))
    one, same, other = (call(labels={"team": team, "user": "u1"}) for team in ("a", "a", "b"))
    assert scope.key(one) == scope.key(same) != scope.key(other)
    assert scope.rows == 4096
    assert scope.key(one) & 2
    assert scope.account(scope.key(other)) == "b (user=u1, label:team=b)"
    assert scope.where(scope.key(other)) == {
        "kind": ("llm",), "model": ("gpt-5",), "user_id": ("u1",), "label:team": ("b",),
    }  # fmt: skip
    with_run = call(labels={"team": "a", "user": "of the label"})
    with_run.run = RUN
    assert scope.account(scope.key(with_run)) == "b (user=u1, label:team=a)"


def test_budgets_that_mean_the_same_share_a_file_whatever_their_limit() -> None:
    names = {
        Scope(limit(**fields)).file_name()
        for fields in ({}, {"usd": Decimal(2)}, {"period": "day"}, {"per": ("user",)}, {"user": "u"}, {"agent": "u"},
                       {"name": "c"})
    }  # fmt: skip
    assert len(names) == 5


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "8b50e842a2f0b83a"),
        ({"usd": Decimal(7)}, "8b50e842a2f0b83a"),
        ({"period": "24h"}, "36933a9242e8ebec"),
        ({"per": ("user", "label:team")}, "e11c7defb17b7793"),
        ({"user": "u", "model": "m", "labels": {"b": "2", "a": "1"}}, "66cf919e59c0a01b"),
        ({"user": "u", "model": "m", "labels": {"a": "1", "b": "2"}}, "66cf919e59c0a01b"),
        ({"name": "n\ud800"}, "d5c37d36d83d4a60"),
    ],
)
def test_the_file_of_a_budget_has_the_same_name_in_every_version(fields: dict[str, Any], name: str) -> None:
    assert Scope(limit(**fields)).file_name() == name


@pytest.mark.parametrize(
    ("user", "team", "key"),
    [("u1", "a", 4105692402957064394), ("u1", "", 2580001883670500802), ("\ud800", "\u00fc", 3231204227603843214)],
)
def test_an_account_has_the_same_number_in_every_version(user: str, team: str, key: int) -> None:
    scope = Scope(limit(per=("user", "label:team")))
    made = call(labels={"user": user, "team": team} if team else {"user": user})
    assert scope.key(made) == scope.key(made) == key
    assert scope.values[key] == (user, team)


def test_the_names_of_accounts_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tachograph.usage.budgets.scope._PER_ROWS", 1)
    scope = Scope(limit(per=("user",)))
    keys = [scope.key(call(labels={"user": str(number)})) for number in range(4)]
    assert [scope.account(key) for key in keys] == [f"b (user={number})" for number in range(4)]
    last = scope.key(call(labels={"user": "4"}))
    assert scope.values == {last: ("4",)}
    assert [scope.account(key) for key in (keys[0], last)] == ["b", "b (user=4)"]
    assert [scope.key(call(labels={"user": str(number)})) for number in range(4)] == keys


@pytest.mark.parametrize(
    ("name", "of_run", "of_label", "neither"),
    [("agent", "refunds", "l", ""), ("user", "u1", "l", ""), ("session", "s1", "l", ""), ("run", "run-1", "l", ""),
     ("execution", "e1", "l", ""), ("label:team", "l", "l", ""), ("provider", *["openai"] * 3),
     ("model", *["gpt-5"] * 3), ("key", *["...abcd"] * 2, "")],
)  # fmt: skip
def test_the_value_of_a_scope_is_the_run_s_or_the_label_s(name: str, of_run: str, of_label: str, neither: str) -> None:
    labels = {name.removeprefix("label:"): "l"}
    with_run, with_label, bare = call(labels=labels), call(labels=labels), call()
    with_run.run, with_label.run = RUN, Run("", "")
    if name == "key":
        with_run.api_key_hint = with_label.api_key_hint = "...abcd"
        assert scope_of(call(labels={"key": "of a proxy"}), name) == "of a proxy"
    assert [scope_of(made, name) for made in (with_run, with_label, bare)] == [of_run, of_label, neither]
    bare.labels = None
    assert scope_of(bare, name) == neither


@pytest.mark.parametrize("usd", ["0", "0.000000001", "1.5", "9000000000"])
def test_a_limit_is_counted_in_nano_dollars(usd: str) -> None:
    assert Scope(limit(usd=Decimal(usd))).limit_nano == int(Decimal(usd) * 10**9)


def price(made: LLMCall) -> Cost:
    """A token of prompt costs 1 nano-dollar, one of completion 1,000, a character 7, a second of sound a million."""
    assert made.usage is not None
    nano = (made.usage.input_tokens or 0) + 1_000 * (made.usage.output_tokens or 0)
    nano += 7 * made.usage.tool_uses.get("character", 0) + int(1_000_000 * (made.usage.audio_seconds or 0))
    return Cost(nano * (2 if made.service_tier == "priority" else 1) * (3 if made.speed == "fast" else 1), "priced")


def asked(size: int = 300, most: int | None = None, *, is_open: bool = False, **facts: Any) -> Asked:
    made = Asked(size, most, is_open)
    for name, value in facts.items():
        setattr(made, name, value)
    return made


def ended(usage: Usage, labels: dict[str, str] | None = None, cost: int | None = None) -> LLMCall:
    made = call(labels=labels)
    made.usage = usage
    made.cost = None if cost is None else Cost(cost, "priced")
    return made


def of(operation: str) -> LLMCall:
    made = call()
    made.operation = operation
    return made


@pytest.mark.parametrize(
    ("made", "request_", "nano"),
    [
        (call(), asked(300, 10), 101 + 10_000),  # a third of a token for each character, and one
        (call(), asked(300), 101 + 2_048_000),
        (call(), asked(300, 10, answers=3), 101 + 30_000),
        (call(), asked(300, 10, tier="priority"), 2 * (101 + 10_000)),
        (call(), asked(300, 10, speed="fast"), 3 * (101 + 10_000)),
        (of("image_generation"), asked(300), 101 + 7_024_000),
        (of("speech"), asked(300, 10), 2_100),
        (of("transcription"), asked(sound_seconds=1.01), 21 + 11_000 + 1_010_000),
        (of("transcription"), asked(), int(MOST_SECONDS * (20 + 10_000 + 1_000_000))),
    ],
)
def test_a_call_of_a_model_never_seen_may_cost_what_it_asks_for(made: LLMCall, request_: Asked, nano: int) -> None:
    assert Estimates().nano_usd(made, request_, price) == nano
    assert (made.usage, made.service_tier, made.speed) == (None, None, None)


def test_what_calls_were_like_lately_says_what_the_next_may_cost() -> None:
    estimates = Estimates()
    estimates.learn(ended(Usage(200, 50)), asked(400))  # half a token for each character
    assert estimates.nano_usd(call(), asked(100), price) == 51 + 50_000
    assert estimates.nano_usd(call(), asked(100, 7), price) == 51 + 7_000
    assert estimates.nano_usd(call(model="other"), asked(300, 7), price) == 101 + 7_000
    estimates.learn(ended(Usage(100, 40)), asked(400))  # less: the most seen comes down by a fiftieth of the way
    assert estimates.nano_usd(call(), asked(10_000), price) == 4_951 + 49_000
    estimates.learn(ended(Usage(4_000, 60)), asked(400, answers=2))  # no text has ten tokens a character: two at most
    assert estimates.nano_usd(call(), asked(100), price) == 201 + 49_000
    estimates.learn(ended(Usage(63, 60)), asked(63))  # too short to say anything of the prompt
    assert estimates.nano_usd(call(), asked(100), price) == 201 + 60_000


def test_what_stands_beside_the_text_is_learned_from_open_prompts() -> None:
    estimates = Estimates()
    estimates.learn(ended(Usage(1_100, 10)), asked(300, is_open=True))
    assert estimates.nano_usd(call(), asked(300, 1), price) == 101 + 1_000
    assert estimates.nano_usd(call(), asked(300, 1, is_open=True), price) == 1_101 + 1_000
    estimates.learn(ended(Usage(50, 10)), asked(300, is_open=True))
    assert estimates.nano_usd(call(), asked(300, 1, is_open=True), price) == 1_081 + 1_000


def test_calls_with_the_same_labels_say_more_than_all_of_the_model() -> None:
    estimates = Estimates()
    estimates.learn(ended(Usage(100, 900), {"team": "a"}), asked(300))
    estimates.learn(ended(Usage(100, 10), {"team": "b"}), asked(300))
    found = [estimates.nano_usd(call(labels={"team": team}), asked(300), price) for team in ("a", "b", "c")]
    assert found == [101 + 900_000, 101 + 10_000, 101 + 882_000]


def test_without_a_price_a_call_may_cost_the_most_that_one_did() -> None:
    estimates = Estimates()
    assert estimates.nano_usd(call(), asked(), None) == 0
    estimates.learn(ended(Usage(1, 1), cost=500), None)
    estimates.learn(ended(Usage(1, 1), cost=400), None)
    assert estimates.nano_usd(call(), asked(), None) == 498
    assert estimates.nano_usd(call(), asked(), lambda _: None) == 498
    assert estimates.nano_usd(call(), asked(), lambda _: Cost(None, "unpriced")) == 498


def test_a_transcription_whose_length_cannot_be_seen_may_cost_the_most_that_one_did() -> None:
    estimates = Estimates()
    estimates.learn(ended(Usage(1, 1), cost=500), None)
    assert estimates.nano_usd(of("transcription"), asked(), price) == 500
    assert estimates.nano_usd(of("transcription"), asked(sound_seconds=1.0), price) == 20 + 10_000 + 1_000_000


def test_what_was_seen_of_too_many_models_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tachograph.usage.budgets.estimate._MOST_KEYS", 2)
    estimates = Estimates()

    def learn(model: str) -> None:
        made = ended(Usage(1, 1), cost=500)
        made.model = model
        estimates.learn(made, None)

    def known() -> list[int]:
        return [estimates.nano_usd(call(model=model), asked(), None) for model in "abc"]

    learn("a")
    learn("b")
    learn("b")
    assert known() == [500, 500, 0]
    learn("c")
    assert known() == [0, 0, 500]


def test_the_most_seen_rises_at_once_and_comes_down_by_a_fiftieth_of_the_way() -> None:
    assert [_most(100.0, value) for value in (100.0, 101.0, 50.0, 0.0)] == [100.0, 101.0, 99.0, 98.0]


@pytest.mark.parametrize(
    ("usage", "cost", "request_", "nano"),
    [
        (Usage(200, 50), None, None, 101 + 50_000),  # no request is known: the answer alone is learned
        (Usage(200, 51), None, asked(400, answers=3), 151 + 17_000),
        (Usage(32, 1), None, asked(64), 151 + 1_000),  # long enough to say half a token for each character
        (Usage(64, None), None, asked(64), 301 + 2_048_000),
        (Usage(128, None), None, asked(64), 601 + 2_048_000),
        (Usage(129, None), None, asked(64), 601 + 2_048_000),  # two tokens for each character at most
        (Usage(None, 7), None, asked(64), 101 + 7_000),
        (Usage(0, 0), 0, asked(64), 101 + 2_048_000),
        (None, 5, asked(64), 101 + 2_048_000),
    ],
)  # fmt: skip
def test_each_part_of_a_call_that_ended_is_learned_where_it_is_known(
    usage: Usage | None, cost: int | None, request_: Asked | None, nano: int
) -> None:
    estimates = Estimates()
    made = call()
    made.usage, made.cost = usage, None if cost is None else Cost(cost, "priced")
    estimates.learn(made, request_)
    assert estimates.nano_usd(call(), asked(300), price) == nano
    assert estimates.nano_usd(call(), asked(300), None) == (cost or 0)


def test_of_media_that_are_billed_by_number_the_first_usage_with_a_price_counts() -> None:
    seen: list[Usage | None] = []

    def by_item(made: LLMCall) -> Cost | None:
        seen.append(made.usage)
        assert made.usage is not None
        return Cost(70, "priced") if made.usage.tool_uses else Cost(0, "unpriced")

    request_ = asked(300, 10, media={"image": 4})
    assert Estimates().nano_usd(of("image_generation"), request_, by_item) == 70
    assert seen == [Usage(101, 10), Usage(tool_uses={"image": 4})]
    seen.clear()
    assert Estimates().nano_usd(of("video_generation"), request_, by_item) == 70
    assert seen == [Usage(tool_uses={"image": 4})]
    assert Estimates().nano_usd(of("video_generation"), asked(300, 10), by_item) == 0


def test_a_price_that_fails_leaves_nothing_of_the_estimate_on_the_call() -> None:
    made = call()

    def fails(_: LLMCall) -> Cost | None:
        raise LookupError

    with pytest.raises(LookupError):
        Estimates().nano_usd(made, asked(300, 10, tier="flex", speed="fast"), fails)
    assert (made.usage, made.service_tier, made.speed) == (None, None, None)


def test_sound_that_is_to_be_written_down_is_asked_for_as_time_and_as_tokens() -> None:
    seen: list[Usage | None] = []
    Estimates().nano_usd(of("transcription"), asked(sound_seconds=2.01), lambda made: seen.append(made.usage))
    assert seen == [Usage(41, 21, {"audio_input": 41}, audio_seconds=2.01)]
    seen.clear()
    Estimates().nano_usd(of("speech"), asked(300, 10), lambda made: seen.append(made.usage))
    Estimates().nano_usd(call(), asked(300, 10), lambda made: seen.append(made.usage))
    assert seen == [Usage(tool_uses={"character": 300}), Usage(101, 10)]
