"""The truth benchmark's own rows: every answer of ours is right, in metrics, ledger and spans alike."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.environments import BY_NAME
from benchmarks.truth import judge, reading
from benchmarks.truth.reading import Reading
from benchmarks.truth.scenarios import Scenario, scenarios

pytestmark = pytest.mark.timeout(1200)  # the first test waits for all scenarios, on however busy a machine


@pytest.fixture(scope="module")
def played() -> dict[str, Any]:
    """Every scenario, played once to us in a process of its own, in this environment."""
    return judge.play(BY_NAME[judge.OURS], Path(sys.executable))


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda scenario: scenario.name)
def test_every_answer_of_ours_is_right(played: dict[str, Any], scenario: Scenario) -> None:
    verdicts = [verdict for verdict in played["verdicts"] if verdict["scenario"] == scenario.name]
    assert len(verdicts) == len(scenario.truth)
    wrong = [verdict for verdict in verdicts if verdict["verdict"] != "right"]
    assert not wrong, json.dumps([wrong, played["emitted"][scenario.name]], indent=1)


def span(**attributes: Any) -> dict[str, Any]:
    return {
        "name": "chat",
        "scope": "peer",
        "attributes": attributes,
        "status": "UNSET",
        "kind": "CLIENT",
        "events": [],
        "started": 0.0,
    }


def test_a_peer_is_believed_the_better_of_two_readings() -> None:
    emitted = {"spans": [span(**{"gen_ai.usage.input_tokens": 7, "llm.usage.prompt_tokens": 120})], "metrics": []}
    readings = reading.read("input_tokens", emitted)
    assert {r.value for r in readings} == {7, 120}
    (scenario,) = [s for s in scenarios() if s.name == "plain openai_chat"]
    assert judge.judge(scenario, "input_tokens", 120, readings, strict=False).verdict == "right"
    assert judge.judge(scenario, "input_tokens", 120, readings, strict=True).verdict == "wrong"


def test_silence_is_missing_and_a_wrong_number_is_wrong() -> None:
    (scenario,) = [s for s in scenarios() if s.name == "unknown model"]
    verdicts = [
        judge.judge(scenario, "unpriced", "1 unpriced", reading.read("unpriced", emitted), strict=False).verdict
        for emitted in (
            {"spans": [span()], "metrics": []},
            {"spans": [span(**{"gen_ai.usage.cost": 0.0})], "metrics": []},
        )
    ]
    assert verdicts == ["missing", "wrong"]
    assert judge.judge(scenario, "input_tokens", 120, [Reading(0, "x")], strict=False).verdict == "missing"
    assert judge.judge(scenario, "input_tokens", 120, [], strict=True).verdict == "wrong"


def test_parts_of_tokens_are_not_taken_for_totals() -> None:
    emitted = {"spans": [span(**{"gen_ai.usage.cache_read.input_tokens": 64})], "metrics": []}
    assert not reading.read("input_tokens", emitted)
    assert {r.value for r in reading.read("cache_read", emitted)} == {64}
    assert not reading.read("cache_write", emitted)
