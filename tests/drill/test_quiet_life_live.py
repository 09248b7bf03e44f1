"""`tachograph quiet-life --real`: a shape in real time, by a real Prometheus and a real Alertmanager."""

from __future__ import annotations

import pytest

from tachograph.cli import main
from tachograph.drill.quiet_life.live import Targets, begin_of, play, real_minutes
from tachograph.drill.quiet_life.shape import Fault, Shape, Target, Traffic
from tachograph.drill.quiet_life.shapes import SHAPES

RULES = """
groups:
  - name: recorded
    interval: 1s
    rules:
      - record: job:failures:increase10m
        expr: sum by (job) (increase(llm_call_seconds_count{outcome="error"}[10m]))
      - record: job:failures:max20m
        expr: max_over_time(job:failures:increase10m[20m])
  - name: alerts
    interval: 1s
    rules:
      - alert: FailuresWereSeen
        expr: |
          min_over_time(job:failures:max20m[2m]) > 5
          and count_over_time(job:failures:max20m[2m]) > 60
          and on (job) up == 1
        labels: {severity: critical, component: llm_provider}
"""
"""The alert needs a minute of recordings of recordings: it fires at once only where these were written for the past."""

OUTAGE = Shape(
    name="outage",
    story="",
    expected="page",
    traffic=(Traffic(per_minute=60, faults=(Fault(begin=20),)),),
    minutes=31.0,
    knowable=30.0,
    step=1,
    evaluate=1,
)


def test_past_and_present_of_a_shape_reach_real_servers_and_page_once() -> None:
    outcome = play(OUTAGE, {"own.yaml": RULES}, ("job",), begin=30.0, group_wait=0.1, until_paged=True)
    assert [one.alerts for one in outcome.notified] == [("FailuresWereSeen",)]
    assert outcome.problem == ""
    assert set(outcome.fired) == {"FailuresWereSeen"}


def test_targets_show_what_a_scrape_of_that_moment_would_bring() -> None:
    shape = Shape(
        name="moments",
        story="",
        expected="nothing",
        traffic=(Traffic(every=1, errors=0),),
        targets=(
            Target(instance="old", end=5),
            Target(instance="new", start=5, labels=(("cluster", "eu"),), unreachable=((7, 8),)),
        ),
        minutes=10,
        step=60,
    )
    targets = Targets(shape)
    try:
        seen = {}
        for targets.index in range(10):
            seen[targets.index] = [one["labels"]["instance"] for one in targets.present()]
            if targets.index == 6:
                page = (targets.page(1) or b"").decode()
                assert 'llm_call_seconds_count{provider="openai",model="gpt-5",outcome="success"} 2' in page
                assert "instance" not in page
                assert targets.present()[0]["labels"]["cluster"] == "eu"
            assert (targets.page(1) is None) is (targets.index < 5 or targets.index == 7)
        assert seen == {index: ["old"] if index < 5 else ["new"] for index in range(10)}
    finally:
        targets.close()


def test_a_shape_begins_a_minute_before_its_first_event() -> None:
    assert (begin_of(OUTAGE), real_minutes(OUTAGE)) == (19.0, 12.0)
    away = next(shape for shape in SHAPES if shape.name == "prometheus-away-10m")
    assert real_minutes(away) == float("inf")


def test_what_cannot_be_played_in_time_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quiet-life", "--real", "--shape", "quiet-day"]) == 2
    assert "no chosen shape can be played within 31 minutes" in capsys.readouterr().err
    assert main(["quiet-life", "--real", "--markdown", "table.md"]) == 2
    assert "Leave --real out" in capsys.readouterr().err
