"""Cells to the last character and number: what is written, which label sets may be, and what the archive keeps."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tachograph.signals import exposition, multiprocess
from tachograph.signals.families import LABEL_OVERFLOW
from tachograph.signals.family import Family
from tachograph.signals.multiprocess import MappedStorage
from tachograph.signals.registry import Metrics

WAITED = Family("waited_seconds", "histogram", (), 'How "long"\nit \\took.', unit="seconds", buckets=(0.5, 2))
TOOK = Family("took_seconds", "histogram", ("who",), "Took.", unit="seconds", buckets=(0.5, 2))
DONE = Family("done_total", "counter", ("who", "what"), "Done.", bounded=("who", "what"))
SPENT = Family("spent_usd_total", "counter", ("who",), "Spent.", unit="usd", bounded=("who",), scale=10**9)
LEVEL = Family("level", "gauge", ("who",), "Level.")
TRACE = (0xABC, 0.25, 1.5, 0)

PLAIN = r"""# HELP waited_seconds How "long"\nit \\took.
# TYPE waited_seconds histogram
waited_seconds_bucket{le="0.5"} 2
waited_seconds_bucket{le="2.0"} 2
waited_seconds_bucket{le="+Inf"} 3
waited_seconds_sum 8.75
waited_seconds_count 3
# HELP took_seconds Took.
# TYPE took_seconds histogram
took_seconds_bucket{who="a",le="0.5"} 1
took_seconds_bucket{who="a",le="2.0"} 3
took_seconds_bucket{who="a",le="+Inf"} 4
took_seconds_sum{who="a"} 13.25
took_seconds_count{who="a"} 4
# HELP done_total Done.
# TYPE done_total counter
done_total{who="a",what="x"} 3
# HELP spent_usd_total Spent.
# TYPE spent_usd_total counter
spent_usd_total{who="a"} 0.3
# HELP level Level.
# TYPE level gauge
level{who="a"} -2.5
"""
TRACED = PLAIN.replace('How "long"', r"How \"long\"")
TRACED = TRACED.replace("_seconds histogram\n", "_seconds histogram\n# UNIT {} seconds\n")
TRACED = TRACED.replace("{} seconds", "waited_seconds seconds", 1).replace("{} seconds", "took_seconds seconds")
TRACED = TRACED.replace("HELP done_total", "HELP done").replace("TYPE done_total", "TYPE done")
TRACED = TRACED.replace("HELP spent_usd_total", "HELP spent_usd")
TRACED = TRACED.replace("TYPE spent_usd_total counter\n", "TYPE spent_usd counter\n# UNIT spent_usd usd\n")
MARK = f' # {{trace_id="{0xABC:032x}"}} 0.25 1.500'
TRACED = TRACED.replace('waited_seconds_bucket{le="0.5"} 2', f'waited_seconds_bucket{{le="0.5"}} 2{MARK}')
TRACED = TRACED.replace('who="a",le="2.0"} 3', f'who="a",le="2.0"}} 3{MARK}') + "# EOF\n"


def fill(metrics: Metrics) -> None:
    for value, trace in ((0.5, TRACE), (0.25, None), (8, None)):
        metrics.histogram(WAITED).observe(value, trace)
    for value, trace in ((0.25, None), (1, None), (2, TRACE), (10, None)):
        metrics.histogram(TOOK, "a").observe(value, trace)
    metrics.cell(DONE, "a", "x").add()
    metrics.cell(DONE, "a", "x").add(2)
    for _ in range(3):
        metrics.cell(SPENT, "a").add(100_000_000)
    metrics.cell(LEVEL, "a").add(3)
    metrics.cell(LEVEL, "a").set(-2.5)


def shown(metrics: Metrics) -> dict[tuple[str, ...], list[float]]:
    return {(family.name, *one.labels): one.values for family, found in metrics.collect() for one in found}


def test_what_was_counted_is_written_to_the_letter() -> None:
    metrics = Metrics((WAITED, TOOK, DONE, SPENT, LEVEL))
    fill(metrics)
    assert exposition.write(metrics.collect()) == PLAIN
    assert exposition.write(metrics.collect(), "openmetrics") == TRACED
    assert [one[1][0].values for one in metrics.collect_own()] == list(shown(metrics).values())


def test_values_beyond_the_limit_become_other_and_are_counted() -> None:
    metrics = Metrics((DONE, SPENT, LEVEL, LABEL_OVERFLOW), limit=2)
    for who in ("a", "b", "c", "d", "a", "other"):
        metrics.cell(SPENT, who).add(10**9)
        metrics.cell(LEVEL, who).add(1)  # not bounded
    found = shown(metrics)
    assert [found["spent_usd_total", who] for who in ("a", "b", "other")] == [[2], [1], [3]]
    assert len([key for key in found if key[0] == "level"]) == 5
    assert found[LABEL_OVERFLOW.name, "spent_usd_total", "who"] == [2]


def test_pairs_beyond_five_for_each_value_lose_their_last_part() -> None:
    metrics = Metrics((DONE, LABEL_OVERFLOW), limit=6)
    for _ in range(2):
        for who in range(6):
            for what in range(6):
                metrics.cell(DONE, f"{who}", f"{what}").add()
    found = {key[1:]: value for key, value in shown(metrics).items() if key[0] == "done_total"}
    exact = {(f"{who}", f"{what}"): [2] for who in range(5) for what in range(6)}  # 30 pairs
    assert found == {**exact, ("5", "other"): [12]}
    assert shown(metrics)[LABEL_OVERFLOW.name, "done_total", "what"] == [12]
    assert (LABEL_OVERFLOW.name, "done_total", "who") not in shown(metrics)


def test_a_label_set_that_never_was_can_be_removed_and_gauges_are_asked_in_their_order() -> None:
    metrics = Metrics((LEVEL,))
    metrics.remove(LEVEL, "nobody")
    cell = metrics.cell(LEVEL, "a")
    cell.set(7)
    metrics.remove(LEVEL, "a")
    assert shown(metrics) == {}
    asked: list[str] = []
    for name, first in (("b", False), ("c", False), ("a", True)):
        metrics.before_collect(lambda name=name: asked.append(name), first=first)
    metrics.before_collect(lambda: asked.append("d"))
    metrics.collect_own()
    assert asked == ["a", "b", "c", "d"]


def test_a_forked_child_counts_from_zero() -> None:
    metrics = Metrics((WAITED, TOOK, LEVEL))
    told: list[str] = []
    metrics.when_rebound(lambda: told.append("rebound"))
    metrics.histogram(WAITED).observe(1)
    metrics.histogram(TOOK, "a").observe(1, TRACE)
    metrics.cell(LEVEL, "a").set(4)
    metrics._after_fork()
    zero = {("waited_seconds",): [0, 0, 0, 0], ("took_seconds", "a"): [0, 0, 0, 0], ("level", "a"): [0]}
    assert (shown(metrics), told) == (zero, ["rebound"])
    metrics.histogram(TOOK, "a").observe(1)
    assert shown(metrics)["took_seconds", "a"] == [1, 0, 1, 0]
    assert "trace_id" not in exposition.write(metrics.collect(), "openmetrics")


def on(directory: Path, limit: int = 200) -> Metrics:
    storage = MappedStorage(directory, pytest.fail, limit=limit)
    return Metrics((WAITED, TOOK, DONE, SPENT, LEVEL), storage=storage, limit=limit)


def test_living_and_ended_processes_sum_to_exact_numbers(tmp_path: Path) -> None:
    living, ended = on(tmp_path), on(tmp_path)
    for one in (living, ended):
        fill(one)
    both = shown(living)
    assert both["spent_usd_total", "a"] == [0.6]
    assert both["took_seconds", "a"] == [26.5, 2, 4, 2]
    assert both["level", "a"] == [-5]
    ended.storage.close()
    for _ in range(2):  # merged into the archive, then read from it
        found = shown(living)
        assert found == {**both, ("level", "a"): [-2.5]}
    archive = json.loads((tmp_path / multiprocess.ARCHIVE).read_text("utf-8"))
    assert set(archive) == {"version", "merged", "cells"}
    assert [name for name, _, _ in archive["cells"]].count("level") == 0
    assert len(list(tmp_path.glob("*.index"))) == len(list(tmp_path.glob("*.values"))) == 1


def test_numbers_in_later_parts_of_the_file_are_those_that_siblings_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocess, "FIRST_BYTES", 4096)
    monkeypatch.setattr(multiprocess, "MORE_BYTES", 8192)
    one, other = on(tmp_path), on(tmp_path)
    for number in range(500):  # 16,000 bytes
        one.histogram(TOOK, f"{number}").observe(number)
    for _ in range(2):
        found = shown(other)
        assert [found["took_seconds", f"{number}"][0] for number in range(500)] == list(range(500))
        one.storage.close()


def test_the_archive_is_bounded_too(tmp_path: Path) -> None:
    living = on(tmp_path, limit=2)
    for generation in (("a", "b"), ("b", "c"), ("other", "d")):
        ended = on(tmp_path, limit=2)
        for who in generation:
            ended.cell(SPENT, who).add(10**9)
        ended.storage.close()
        shown(living)
    found = {key[1]: value for key, value in shown(living).items() if key[0] == "spent_usd_total"}
    assert found == {"a": [1], "b": [2], "other": [3]}


def test_what_a_process_left_that_never_began_is_removed_after_a_minute(tmp_path: Path) -> None:
    living, ended = on(tmp_path), on(tmp_path)
    for name, age in (("old", 70), ("young", 50)):
        for suffix in (".new", ".values"):
            (tmp_path / f"{name}{suffix}").touch()
            os.utime(tmp_path / f"{name}{suffix}", (time.time() - age,) * 2)
    ended.storage.close()
    shown(living)
    assert sorted(path.name for path in tmp_path.glob("*.new")) == ["young.new"]
    assert [(tmp_path / f"{name}.values").exists() for name in ("old", "young")] == [False, True]
