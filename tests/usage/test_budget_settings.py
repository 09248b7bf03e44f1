"""Settings of budgets that can be used and do not do what they seem to say: one line each, and the call goes on."""

from __future__ import annotations

import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tachograph.errors import SettingsError
from tachograph.runtime import build
from tachograph.settings import load
from tachograph.settings.budgets import BudgetLimit, BudgetsSettings
from tachograph.usage.budgets.doubtful import check_apart, doubts
from usage.test_budget_reservations import balances, begin, end, recorder_with

SECRET = "sk-live-0123456789abcdef"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings that name a setting."""
    return [record.getMessage() for record in caplog.records if "setting budgets." in record.getMessage()]


@pytest.mark.parametrize(
    ("limit", "settings", "what", "do"),
    [
        ({"use_model": "nothing-9"}, {}, "no price for use_model = 'nothing-9', so no call is changed", "pricing.file"),
        (
            {"use_model": "nothing-9", "provider": "openai"},
            {},
            "no price for use_model = 'nothing-9', so its calls cost the budget nothing",
            "Correct the name",
        ),
        ({"steps": [0.5, 5]}, {}, "the step 5 is above the limit", "Give steps up to 1.0"),
        ({"key": SECRET}, {}, "no API key matches it", "Write key = '...cdef'"),
        ({"key": "prod"}, {}, "no API key matches it", "Write key = '...wxyz'"),
        ({}, {"fleet_url": "mysql://user:secret@host/db"}, "not a PostgreSQL URL", "Give postgresql://"),
        ({}, {"fleet_url": "db.example.com"}, "not a PostgreSQL URL", "Give postgresql://"),
    ],
    ids=["use_model", "use_model of a vendor", "step", "whole key", "no hint", "fleet_url", "fleet_url without scheme"],
)
def test_a_doubtful_setting_is_told_once_and_the_call_goes_on(
    limit: dict[str, Any],
    settings: dict[str, Any],
    what: str,
    do: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("psycopg")
    with caplog.at_level(logging.WARNING, "tachograph"):
        recorder = recorder_with(tmp_path, {"name": "mine", "usd": "1", **limit}, **settings)
        end(begin(recorder), "0.1")
        end(begin(recorder), "0.1")
    (line,) = said(caplog)
    assert what in line
    assert do in line
    assert "'mine'" in line or "budgets.fleet_url" in line
    assert SECRET not in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("limit", "settings"),
    [
        ({"use_model": "gpt-5-nano"}, {}),
        ({"use_model": "claude-haiku-4-5"}, {}),  # another vendor's: for its calls
        ({"steps": [2.0], "action": "warn"}, {}),
        ({"steps": [2.0]}, {"guard": "engine"}),  # watched calls go on above the limit
        ({"key": "...wxyz"}, {}),
        ({}, {"fleet_url": "none"}),
        ({}, {"fleet_url": "host=127.0.0.1 port=1 dbname=none"}),
    ],
    ids=["use_model", "of another vendor", "warn", "engine", "key", "no fleet", "libpq's words"],
)
def test_a_setting_that_can_be_is_not_told(
    limit: dict[str, Any], settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("psycopg")
    with caplog.at_level(logging.WARNING, "tachograph"):
        end(begin(recorder_with(tmp_path, {"name": "mine", "usd": "1", **limit}, **settings)), "0.1")
    assert said(caplog) == []


def test_two_budgets_of_one_name_hold_apart_and_their_gauges_are_told_to_be_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = [{"name": "team", "usd": "1", "labels": {"team": team}} for team in ("a", "b")]
    with caplog.at_level(logging.WARNING, "tachograph"):
        recorder = recorder_with(tmp_path, *limits, {"name": "team", "usd": "1", "period": "24h"})
        end(begin(recorder, team="a"), "0.1")
    (line,) = said(caplog)
    assert "a period of the kind 'day' has this name too" in line


def test_of_two_equal_budgets_the_first_counts_each_call_once(tmp_path: Path) -> None:
    limits = [{"name": "all", "usd": "1"}, {"name": "all", "usd": "0.5"}]
    settings = load(
        {"ledger": {"data_dir": str(tmp_path)}, "budgets": {"limits": limits, "guard": "all"}},
        environ={},
        read_file=False,
    )
    left_out: list[str] = []
    recorder = build(settings, lambda error, part: left_out.append(f"{part}: {error}"))
    end(begin(recorder), "0.2")
    assert balances(recorder) == {"all": (Decimal("0.2"), 0)}
    (line,) = left_out
    assert line.startswith("the budget 'all': another budget before it has the same name")


def budget(**fields: Any) -> BudgetLimit:
    return BudgetLimit(**{"name": "mine", "usd": Decimal(1), **fields})


OF_MINE = "setting budgets.limits, the budget 'mine'"
NO_URL = (
    "the fleet's database is not a PostgreSQL URL, so no budget can be checked with the fleet and calls are "
    "{} as budgets.when_store_is_away says"
)
GIVE_URL = "Give postgresql://user@host/database, or none for budgets of each host alone."
NO_HINT = "its key is not the last four characters of one, so no API key matches it"
TWICE = "another budget with a period of the kind {!r} has this name too, so gauges and alerts show only one of them"


@pytest.mark.parametrize(
    ("limits", "settings", "said"),
    [
        ([], {"fleet_url": "db"}, (NO_URL.format("allowed"), "setting budgets.fleet_url", GIVE_URL)),
        (
            [],
            {"fleet_url": "http://a=b", "when_store_is_away": "refuse"},
            (NO_URL.format("refused"), "setting budgets.fleet_url", GIVE_URL),
        ),
        *(
            ([], {"fleet_url": url}, None)
            for url in (None, "", "none", "postgres://a", "postgresql://a", "host=a", "host=a\ndbname=b")
        ),
        *(
            ([budget(key=key)], {}, (NO_HINT, OF_MINE, f"Write key = {hint!r}: whole keys do not belong in settings."))
            for key, hint in ((SECRET, "...cdef"), ("abc", "...wxyz"), ("....wxyz", "...wxyz"))
        ),
        ([budget(key="...wx\nz")], {}, None),
        (
            [budget(), budget(period="hour"), budget(user="u")],
            {},
            (TWICE.format("day"), OF_MINE, "Give each a name of its own."),
        ),
        (
            [budget(period="24h"), budget(period="7d")],
            {},
            (TWICE.format("rolling"), OF_MINE, "Give each a name of its own."),
        ),
        (
            [budget(steps=(0.5, 1.25, 2.0))],
            {"guard": "all"},
            (
                "the step 1.25 is above the limit, where calls are refused, so it is not reached",
                OF_MINE,
                'Give steps up to 1.0, or action = "warn".',
            ),
        ),
        ([budget(steps=(1.0,))], {"guard": "all"}, None),
        ([budget(steps=(2.0,), action="ask")], {"guard": "all"}, None),
        ([budget(steps=(2.0,))], {}, None),
    ],
)
def test_each_doubt_says_what_where_and_what_to_do(
    limits: list[BudgetLimit], settings: dict[str, Any], said: tuple[str, str, str] | None
) -> None:
    found = list(doubts(BudgetsSettings(limits=tuple(limits), **settings)))
    assert [(error.what, error.where, error.do) for error in found] == ([] if said is None else [said])


def test_a_budget_of_the_same_account_is_refused_and_one_of_another_is_noted() -> None:
    accounts: set[str] = set()
    check_apart(budget(), accounts)
    check_apart(budget(period="hour"), accounts)
    assert len(accounts) == 2
    with pytest.raises(SettingsError) as caught:
        check_apart(budget(usd=Decimal(2)), accounts)
    assert (caught.value.what, caught.value.where, caught.value.do) == (
        "another budget before it has the same name, period and scope, and both would count each call in one sum",
        OF_MINE,
        "Remove one, or give each a name of its own.",
    )
    assert len(accounts) == 2
