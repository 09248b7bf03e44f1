"""PromQL test scripts run against our evaluator: ours, and Prometheus' own where their folder is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from support.promqltest import Outcome, run_script
from support.promqltest_unsupported import UNSUPPORTED

OURS = Path(__file__).parent / "promql"


@pytest.mark.parametrize("script", sorted(OURS.glob("*.test")), ids=lambda path: path.stem)
def test_every_case_of_ours_passes(script: Path) -> None:
    outcomes = run_script(script)
    assert outcomes
    assert [f"{o.case.name} {o.case.query}: {o.reason}" for o in outcomes if o.status != "passed"] == []


@pytest.fixture(scope="module")
def outcomes(promqltest_dir: Path) -> list[Outcome]:
    found = [outcome for path in sorted(promqltest_dir.glob("*.test")) for outcome in run_script(path)]
    assert found, f"no scripts in {promqltest_dir}"
    return found


def test_every_case_of_a_supported_function_passes(outcomes: list[Outcome]) -> None:
    failed = [f"{o.case.name} {o.case.query}\n    {o.reason}" for o in outcomes if o.status == "failed"]
    assert not failed, "\n".join(failed)


def test_most_cases_are_supported(outcomes: list[Outcome]) -> None:
    counts = Counter(o.status for o in outcomes if o.case.script not in _OTHER_SUBJECTS)
    assert counts["passed"] > 20 * counts["unsupported"]


_OTHER_SUBJECTS = {script for scripts, _ in UNSUPPORTED.values() for script in scripts}


def test_every_unsupported_case_has_a_recorded_reason(outcomes: list[Outcome]) -> None:
    unknown = {
        f"{o.case.name}: {o.reason}" for o in outcomes if o.status == "unsupported" and o.reason not in UNSUPPORTED
    }
    assert not unknown


def test_no_recorded_reason_is_stale(outcomes: list[Outcome]) -> None:
    present = {o.case.script for o in outcomes}
    given = {(o.case.script, o.reason) for o in outcomes if o.status == "unsupported"}
    stale = [
        (script, reason)
        for reason, (scripts, _) in UNSUPPORTED.items()
        for script in scripts
        if script in present and (script, reason) not in given
    ]
    assert not stale
