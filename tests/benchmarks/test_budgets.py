"""The short form of the proof that budgets hold: agents race in several processes, some of which are killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.budgets import Result, run

from support.postgres import postgres_server


def holds(result: Result) -> None:
    assert result.kills >= 1, result
    assert result.overspent <= result.largest_call, result
    assert result.left_percent < 1.0, result
    assert result.presumed_percent < 5.0, result  # few calls here, and a kill leaves ten of them unsettled


def test_a_host_s_budget_holds_while_agents_race_and_die(tmp_path: Path) -> None:
    holds(run("sqlite", tmp_path, calls=1500, processes=4, agents=40, kills=1, timeout=60))


def test_a_fleet_s_budget_holds_while_agents_race_and_die(tmp_path: Path) -> None:
    with postgres_server() as server:
        url = server.url()
        try:
            holds(run("postgresql", tmp_path, calls=1500, processes=4, agents=40, kills=1, url=url, timeout=60))
        except FileNotFoundError as error:  # pragma: no cover - no initdb here
            pytest.skip(str(error))
