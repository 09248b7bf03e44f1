"""Shapes of real operation: quiet where they should be quiet, paged in time where they should be paged."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from support.alertmanager import Alertmanager, alertmanager, wait_for_silence
from support.exhaustive import part
from support.parts import program
from tachograph import catalogue
from tachograph.catalogue.export.alertmanager import config
from tachograph.catalogue.export.prometheus import rule_files
from tachograph.cli import main
from tachograph.drill.quiet_life.run import Outcome, is_inhibited, run
from tachograph.drill.quiet_life.shape import Fault, Level, Shape, Target, Traffic
from tachograph.drill.quiet_life.shapes import SHAPES
from tachograph.drill.quiet_life.world import World
from tachograph.settings import load
from tachograph_demo.incidents import INCIDENTS

RECEIVERS = ("page", "ticket", "note", "watchdog")
ROUTES = config(*RECEIVERS)
QUICK = (
    "scrape-gap-90s",
    "second-call-of-a-new-model-fails",
    "one-of-three-replicas-dead",
    "second-application",
    "provider-hangs",
)
"""One of each kind; `tachograph quiet-life` plays all, a shape takes five seconds."""


@pytest.fixture(scope="module")
def promtool() -> str:
    return program("promtool")


@cache
def play(shape: Shape) -> Outcome:
    """What it does, once for all tests: five seconds."""
    return run(shape, rule_files(catalogue.rule_groups(interval=f"{shape.evaluate}s")), ROUTES)


def named(name: str) -> Shape:
    return next(shape for shape in SHAPES if shape.name == name)


@pytest.mark.parametrize("name", part(QUICK, "scrape-gap-90s", "provider-hangs"))
def test_a_shape_ends_as_it_should(name: str, promtool: str) -> None:
    assert play(named(name)).problem == ""


def test_there_are_fifty_shapes_and_every_incident_of_the_demo_is_one() -> None:
    names = [shape.name for shape in SHAPES]
    assert len(names) == len(set(names)) >= 50
    assert {f"incident-{name}" for name in INCIDENTS} <= set(names)


def test_what_a_new_cluster_brings_along_is_not_judged_by_a_target_of_the_same_name_elsewhere(promtool: str) -> None:
    old = Level(name="llm_calls_unpriced_total", labels=(("provider", "openai"), ("model", "ft:x")), values=((0, 3),))
    shape = Shape(
        name="second-cluster-joins",
        story="",
        expected="nothing",
        targets=(
            Target(labels=(("cluster", "a"),)),
            Target(labels=(("cluster", "b"),), unseen=((0, 40),)),
        ),
        levels=(old,),
        minutes=70,
        identity=("cluster", "job"),
    )
    settings = load({"alerts": {"identity": ["cluster", "job"]}}, environ={}, read_file=False)
    outcome = run(shape, rule_files(catalogue.rule_groups(settings)), config(*RECEIVERS, identity=shape.identity))
    assert dict(outcome.fired) == {}


def test_requests_are_not_taken_for_slow_ones_when_a_batch_ends(promtool: str) -> None:
    traffic = Traffic(per_minute=60, begin=10, end=20)
    outcome = play(Shape(name="batch-ends", story="", expected="nothing", traffic=(traffic,), minutes=45))
    assert dict(outcome.fired) == {}


def test_a_false_page_and_a_late_page_are_told(promtool: str) -> None:
    shape = named("provider-hangs")
    outcome = play(shape)
    assert outcome.problem == ""
    (paged,) = (one.minute for one in outcome.notified if one.receiver == "page")
    assert "expected nothing, got page" in replace(outcome, shape=replace(shape, expected="nothing")).problem
    assert "paged after" in replace(outcome, shape=replace(shape, knowable=paged - 3, within=0.5)).problem


def test_a_missing_page_is_told(promtool: str) -> None:
    quiet = Shape(name="quiet", story="", expected="page", traffic=(Traffic(per_minute=60),), minutes=30)
    assert "expected page, got nothing" in play(quiet).problem


def test_a_target_that_cannot_be_scraped_leaves_a_staleness_marker_and_goes_on_counting() -> None:
    shape = Shape(
        name="gap",
        story="",
        expected="nothing",
        traffic=(Traffic(every=1, errors=0),),
        targets=(Target(unreachable=((2, 3),)),),
        minutes=4,
        step=60,
    )
    series = dict(World(shape).series())
    up = next(values for name, values in series.items() if name.startswith("up{"))
    calls = next(v for n, v in series.items() if n.startswith("llm_call_seconds_count") and 'outcome="success"' in n)
    assert up == [1, 1, 0, 1, 1]
    assert calls[1] == 1
    assert calls[2] is not None
    assert math.isnan(calls[2])
    assert calls[3:] == [3, 4]


def test_a_call_that_is_retried_is_one_call_and_several_requests() -> None:
    shape = Shape(
        name="retries",
        story="",
        expected="nothing",
        traffic=(Traffic(every=1, errors=0, faults=(Fault(begin=0, attempts=4),)),),
        minutes=1,
        step=60,
    )
    series = dict(World(shape).series())
    last = {name.split(",instance")[0]: values[-1] for name, values in series.items()}
    assert last['llm_call_seconds_count{provider="openai",model="gpt-5",outcome="error"'] == 1
    assert last['llm_provider_request_seconds_count{provider="openai",model="gpt-5",outcome="error"'] == 4


def test_inhibitions_are_judged_as_a_real_alertmanager_judges_them() -> None:
    rules = {alert.name: alert.labels for group in catalogue.rule_groups() for alert in group.alerts}

    def firing(name: str, **labels: str) -> dict[str, str]:
        return {"alertname": name, **rules[name], "job": "tachograph", **labels}

    alerts = [
        firing("LLMProviderDown", provider="openai"),
        firing("LLMModelDown", provider="openai", model="gpt-5"),
        firing("LLMModelDown", provider="gemini", model="flash"),
        firing("LLMCallsFailing", provider="gemini", model="flash"),
        firing("LLMCallsFailing", provider="gemini", model="flash", job="other"),
        # two Prometheus servers send to one Alertmanager, each with an external label
        firing("LLMProviderAuthFailure", provider="anthropic", cluster="staging"),
        firing("LLMProviderDown", provider="anthropic", cluster="prod"),
        firing("LLMModelDown", provider="anthropic", model="opus", cluster="prod"),
    ]
    every = frozenset(tuple(sorted(labels.items())) for labels in alerts)
    ours = sorted(
        dict(alert)["alertname"] for alert in every if not is_inhibited(alert, every, ROUTES["inhibit_rules"])
    )
    assert "LLMProviderAuthFailure" in ours
    assert ours.count("LLMProviderDown") == 2  # staging keeps production's not silent
    with alertmanager() as server:
        assert _paged(server, alerts) == ours


def _paged(server: Alertmanager, alerts: list[dict[str, str]]) -> list[str]:
    server.post(alerts)
    wait_for_silence(server, "page")
    return sorted(name for one in server.sent("page") for name, _ in one.alerts)


def test_the_command_plays_one_shape_and_writes_the_page(
    tmp_path: Path, promtool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    assert main(["quiet-life", "--shape", "ledger-database-away-4m", "--markdown", str(page)]) == 0
    assert "1 of 1 shapes as they should be, 0 false pages" in capsys.readouterr().out
    assert "| `ledger-database-away-4m` |" in page.read_text("utf-8")


def test_a_shape_that_does_not_exist_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quiet-life", "--shape", "nothing-of-the-kind"]) == 2
    assert "--list" in capsys.readouterr().err


def test_the_page_in_the_docs_has_every_shape_and_none_is_wrong() -> None:
    text = (Path(__file__).parent.parent.parent / "docs/quiet-life.md").read_text("utf-8")
    assert f"{len(SHAPES)} of {len(SHAPES)} shapes as they should be, 0 false pages" in text
    assert all(f"| `{shape.name}` | {shape.story} |" in text for shape in SHAPES)
