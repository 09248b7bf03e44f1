"""Who writes the ledger is the user's choice: no way of doing it raises a false loss, and a real loss is still seen."""

from __future__ import annotations

import pytest

from tachograph import catalogue
from tachograph.catalogue.export import alertmanager
from tachograph.catalogue.export.prometheus import rule_files
from tachograph.drill.quiet_life.run import Outcome, run
from tachograph.drill.quiet_life.shape import Level, Shape, Target

LOSS = {
    "LLMUsageLossSuspected",
    "LLMUsageRecordsLost",
    "LLMUsagePersistStalled",
    "LLMUsagePersistLag",
    "LLMUsagePersistBacklog",
}
ROUTES = alertmanager.config("page", "ticket", "note", "watchdog")
A, B, WRITER = "app-1:9464", "app-2:9464", "writer:9465"


def accepted(instance: str, per_minute: float = 60) -> Level:
    return Level(
        name="llm_usage_records_accepted_total", values=((0, 0),), slopes=((0, per_minute),), instance=instance
    )


def written(instance: str, per_minute: float) -> Level:
    return Level(
        name="llm_usage_persist_seconds_count",
        labels=(("outcome", "success"),),
        values=((0, 0),),
        slopes=((0, per_minute),),
        instance=instance,
    )


def gauge(name: str, value: float, instance: str) -> Level:
    return Level(name=name, values=((0, value),), instance=instance)


def waiting(instance: str, records: float = 3) -> Level:
    return gauge("llm_usage_persist_queue_size", records, instance)


def alive(instance: str, is_alive: float) -> Level:
    return gauge("llm_usage_writer_alive", is_alive, instance)


def oldest(instance: str, seconds: float) -> Level:
    return gauge("llm_usage_persist_oldest_age_seconds", seconds, instance)


def play(*levels: Level, instances: tuple[str, ...] = (A,), writer: bool = False) -> Outcome:
    targets = [Target(instance=one) for one in instances]
    if writer:
        targets.append(Target(instance=WRITER, job="ledger-writer"))
    shape = Shape(
        name="writers",
        story="",
        expected="nothing",
        traffic=(),
        targets=tuple(targets),
        levels=levels,
        minutes=110,
    )
    groups = [group for group in catalogue.rule_groups() if group.name == "llm_usage_persist"]
    return run(shape, rule_files(groups), ROUTES)


WAYS = {
    "an external writer under a job of its own": (
        (accepted(A), waiting(A), written(A, 0), alive(A, 0), written(WRITER, 60), alive(WRITER, 1)),
        (A,),
        True,
    ),
    "an external writer that this Prometheus does not scrape": (
        (accepted(A), waiting(A), written(A, 0), oldest(A, 1.5), alive(A, 1)),
        (A,),
        False,
    ),
    "a writer in each replica": (
        (accepted(A), accepted(B), waiting(A), waiting(B), written(A, 60), written(B, 60), alive(A, 1), alive(B, 1)),
        (A, B),
        False,
    ),
    "two replicas that share a data directory, where one of them writes for both": (
        (accepted(A), accepted(B), waiting(A), waiting(B), written(A, 120), written(B, 0), alive(A, 1), alive(B, 0)),
        (A, B),
        False,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_writing_raises_a_false_loss(way: str, promtool: str) -> None:
    levels, instances, writer = WAYS[way]
    outcome = play(*levels, instances=instances, writer=writer)
    assert not LOSS & set(outcome.fired), dict(outcome.fired)


def test_a_loss_is_still_seen_when_the_writer_is_another_process(promtool: str) -> None:
    outcome = play(accepted(A), waiting(A), written(WRITER, 40), alive(WRITER, 1), writer=True)
    assert "LLMUsageLossSuspected" in outcome.fired


def test_records_that_wait_with_no_writer_anywhere_are_a_stall(promtool: str) -> None:
    grows = Level(name="llm_usage_persist_queue_size", values=((0, 3),), slopes=((0, 60),), instance=A)
    outcome = play(accepted(A), grows, written(A, 0), alive(A, 0))
    assert "LLMUsagePersistStalled" in outcome.fired


def test_a_writer_that_lives_and_writes_nothing_is_a_stall_though_it_is_not_scraped(promtool: str) -> None:
    grows = Level(name="llm_usage_persist_oldest_age_seconds", values=((0, 1),), slopes=((10, 60),), instance=A)
    outcome = play(accepted(A), waiting(A, 600), written(A, 0), grows, alive(A, 1))
    assert 10 < outcome.fired["LLMUsagePersistStalled"] < 20
