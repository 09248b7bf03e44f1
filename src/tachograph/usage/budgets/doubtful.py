"""Settings of budgets that can be used and do not do what they seem to say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tachograph.errors import SettingsError
from tachograph.records.keys import key_hint
from tachograph.settings.budgets import BudgetLimit, BudgetsSettings
from tachograph.usage.budgets.scope import Scope, place

_HINT: Final = re.compile(r"\.\.\..{4}", re.DOTALL)
_POSTGRES: Final = re.compile(r"(postgresql|postgres)://|(?!.*://).*=", re.DOTALL)
"""What libpq takes: a URL, or `host=... dbname=...`."""


def check_apart(limit: BudgetLimit, accounts: set[str]) -> None:
    """Of budgets that would share an account only the first can be: each call would count in it twice.

    Args:
        limit: The next budget.
        accounts: Those of the budgets before it; its own is added.

    Raises:
        SettingsError: There is one with its account, or it cannot be used as it is.
    """
    account = Scope(limit).file_name()
    if account in accounts:
        raise SettingsError(
            "another budget before it has the same name, period and scope, and both would count each call in one sum",
            where=place(limit),
            do="Remove one, or give each a name of its own.",
        )
    accounts.add(account)


def doubts(settings: BudgetsSettings) -> Iterator[SettingsError]:
    """One for each setting that does not do what it seems to say; calls go on."""
    url = settings.fleet_url
    if url and url != "none" and not _POSTGRES.match(url):
        yield SettingsError(
            "the fleet's database is not a PostgreSQL URL, so no budget can be checked with the fleet and calls are "
            f"{'refused' if settings.when_store_is_away == 'refuse' else 'allowed'} as budgets.when_store_is_away says",
            where="setting budgets.fleet_url",
            do="Give postgresql://user@host/database, or none for budgets of each host alone.",
        )
    shown: set[tuple[str, str]] = set()
    for limit in settings.limits:
        gauges = limit.name, Scope(limit).window.kind
        if gauges in shown:
            yield SettingsError(
                f"another budget with a period of the kind {gauges[1]!r} has this name too, so gauges and alerts show "
                "only one of them",
                where=place(limit),
                do="Give each a name of its own.",
            )
        shown.add(gauges)
        if limit.key is not None and not _HINT.fullmatch(limit.key):
            hint = key_hint(limit.key)
            yield SettingsError(
                "its key is not the last four characters of one, so no API key matches it",
                where=place(limit),
                do=f"Write key = {hint or '...wxyz'!r}: whole keys do not belong in settings.",
            )
        above = [step for step in limit.steps if step > 1]
        if above and settings.guard == "all" and limit.action == "refuse":
            yield SettingsError(
                f"the step {above[0]:g} is above the limit, where calls are refused, so it is not reached",
                where=place(limit),
                do='Give steps up to 1.0, or action = "warn".',
            )
