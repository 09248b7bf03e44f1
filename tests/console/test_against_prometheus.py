"""The evaluator against a real Prometheus 2.42 on the same samples, where 2.42 and 3.x, which we follow, say the same.

No sample lies on the edge of a window, which 2.42 counts and 3.x does not (see support/random_promql.py).

`TACHOGRAPH_PROMQL_QUERIES=4000` asks more random queries than the few hundred of a normal run.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support import promql_answers, random_promql
from support.filled_prometheus import Answer, ask, difference, evaluate, filled, store_of
from tachograph.catalogue import dashboards, rule_groups
from tachograph.catalogue.panels import PanelQuery
from tachograph.catalogue.rules import RecordingRule
from tachograph.console.promql import PromQLEngine, PromQLUnsupported
from tachograph.runtime import join
from tachograph.signals.registry import Metrics

SEED = int(os.environ.get("TACHOGRAPH_PROMQL_SEED", "1"))
QUERIES = int(os.environ.get("TACHOGRAPH_PROMQL_QUERIES", "300"))
FROM, TO, STEP = random_promql.BETWEEN + 10 * 60_000, random_promql.BETWEEN + 35 * 60_000, 77_000


@dataclass(frozen=True)
class Known:
    """A difference between Prometheus 2.42 and us that is meant to be there."""

    query: str
    difference: str
    why: str


KNOWN = (
    Known(r"\batan2\b", "(missing|unexpected)", "2.42 keeps the metric name after atan2; 3.x drops it"),
    Known(
        r"predict_linear\(.* @ ",
        "steps differ|missing|unexpected",
        "2.42 loses the window of @ after some steps; 3.x keeps it",
    ),
    Known(r"topk|bottomk", "", "among equal values both are free to choose; compared by value below"),
    Known(
        r"std(dev|var)",
        r"ours nan, theirs|missing|unexpected|ours 1.0, theirs 0.0",
        "a group of one infinity deviates by 0 in 2.42, by NaN in 3.x",
    ),
    Known(
        r"predict_linear|deriv",
        r"ours -?inf, theirs nan",
        "an infinite sum stays infinite in 3.x; in 2.42 its compensation makes it NaN",
    ),
    Known(
        r"\b(rate|increase)\((?!req_total|lat_bucket)",
        r" at \d+: ours",
        "of what is no counter: 2.42 clamps at zero before it compares with the threshold, 3.x afterwards",
    ),
    Known(r"[<>=]", "ours failed: multiple matches", "3.x looks for many-to-many before it filters, 2.42 after"),
)


def known(query: str, found: str) -> bool:
    return any(re.search(k.query, query) and re.search(k.difference, found) for k in KNOWN)


@pytest.fixture(scope="module")
def random_data() -> Iterator[tuple[str, PromQLEngine]]:
    series = random_promql.series(SEED)
    engine = PromQLEngine(store_of(series))
    with filled(series) as url:
        yield url, engine


def test_random_queries_give_what_prometheus_gives(random_data: tuple[str, PromQLEngine]) -> None:
    url, engine = random_data
    queries = random_promql.Queries(SEED)
    asked = [queries.query() for _ in range(QUERIES)]
    answered, wrong = 0, []
    for query in asked:
        theirs = ask(url, query, FROM, TO, STEP)
        # Deviations depend on the order of the series, which Prometheus leaves open, in their last digits.
        tolerance = 1e-6 if "std" in query else 1e-9
        found = difference(evaluate(engine, query, FROM, TO, STEP), theirs, tolerance)
        answered += bool(theirs) and not isinstance(theirs, str)
        if found and not known(query, found):
            wrong.append(f"{query}\n    {found}")
    assert not wrong, "\n".join(wrong)
    assert answered > QUERIES / 2, "most random queries should have an answer"


@pytest.mark.parametrize("op", ["topk", "bottomk"])
def test_the_chosen_values_are_prometheus_s_even_where_the_series_are_not(
    random_data: tuple[str, PromQLEngine], op: str
) -> None:
    url, engine = random_data
    queries = random_promql.Queries(SEED + 1)
    for _ in range(40):
        query = f"{op} ({queries.pick('1', '2', '3')}, {queries.over_time(0)})"
        if "predict_linear" in query:
            continue
        theirs, ours = ask(url, query, FROM, TO, STEP), evaluate(engine, query, FROM, TO, STEP)
        assert isinstance(theirs, str) == isinstance(ours, str), query
        if isinstance(theirs, dict) and isinstance(ours, dict):
            assert _by_step(ours) == _by_step(theirs), query


def _by_step(answer: Answer) -> dict[int, list[str]]:
    steps: dict[int, list[str]] = {}
    for points in answer.values():
        for at, value in points.items():
            steps.setdefault(at, []).append(f"{value:.9g}")
    return {at: sorted(values) for at, values in steps.items()}


def test_known_differences_are_still_there(random_data: tuple[str, PromQLEngine]) -> None:
    url, engine = random_data
    inside = "[5m] @ " + f"{(random_promql.START + 600_000) / 1000:.0f}"
    for query, entry in (
        ("temp atan2 1", KNOWN[0]),
        (f"predict_linear(temp{inside}, 60)", KNOWN[1]),
        ("stddev(vector(Inf))", KNOWN[3]),
    ):
        found = difference(evaluate(engine, query, FROM, TO, STEP), ask(url, query, FROM, TO, STEP))
        assert found, f"no longer differs, so the entry is stale: {entry.why}"
        assert known(query, found)


NEWER = re.compile(
    r"unknown function|unexpected (\"\(\"|<(by|without)>|duration)|bad number or duration|invalid (\w+ )?label name"
    r"|overflows int64"
)
"""What 2.42 refuses, and 3.x does not: functions, durations as numbers, names in UTF-8, a k of less than zero."""
ANSWERS_DIFFER = (
    Known(r"histogram_fraction", "unexpected", "2.42 has it for native histograms alone"),
    Known(r"\[(7s|\d+m:\d+s|10m:1s|1m:7s)\]", "", "samples of a subquery lie on the edges of windows"),
    Known(r"offset (7|10)s|offset 5ms", "", "samples lie on the edges of windows"),
    Known(r"^g @ 1700000880", "missing", "the last sample is as old as the lookback"),
    Known(r"^quantile\(scalar", r" at \d+: ours", "2.42 keeps the first step's parameter where the vector has an @"),
    Known(r"avg_over_time\(\(?cancel", "", "3.x compensates sums of averages, 2.42 does not"),
    Known(r"std(dev|var)_over_time\(\(?-?big", "ours -?inf, theirs nan", "deviations beyond the largest number"),
)


def test_reviewed_answers_are_those_of_prometheus() -> None:
    memory = promql_answers.data()
    base = random_promql.START // 60_000 * 60_000
    series = [
        (labels, [(base + at, v) for at, v in sorted(points.items())]) for labels, points in memory.samples.items()
    ]
    engine, same, wrong = PromQLEngine(store_of(series)), 0, []
    start, end, step = promql_answers.RANGE
    with filled(series) as url:
        for question in (one for path in promql_answers.FILES for one in promql_answers.questions(path)):
            query = re.sub(r"@ (-?[\d.]+)", lambda found: f"@ {base / 1000 + float(found[1]):.3f}", question)
            theirs = ask(url, query, base + start, base + end, step)
            try:
                ours = evaluate(engine, query, base + start, base + end, step)
            except PromQLUnsupported:
                continue
            found = difference(ours, theirs)
            same += not found
            newer = isinstance(theirs, str) and NEWER.search(theirs)
            meant = any(re.search(k.query, query) and re.search(k.difference, found) for k in ANSWERS_DIFFER)
            if found and not newer and not meant and not known(query, found):
                wrong.append(f"{query}\n    {found} {theirs if isinstance(theirs, str) else ''}")
    assert not wrong, "\n".join(wrong)
    assert same > 1000


def catalogue_series() -> list[random_promql.Series]:
    """Random samples for every family that we have, and for every recorded series."""
    rng = random.Random(SEED)
    values = {
        "provider": ("openai", "anthropic"), "model": ("gpt-5", "claude"), "server_id": ("time", "git"),
        "tool_name": ("a", "b"), "name": ("openai",),
    }  # fmt: skip
    target = {"job": "tachograph", "instance": "app:9464"}
    out: list[random_promql.Series] = []
    stamps = random_promql.times(rng, "regular")
    for family in join(Metrics(())).metrics.families.values():
        sets = [dict(target)]
        for label in family.labels:
            choices = (family.values.get(label) or values.get(label) or ("x",))[:2]
            sets = [{**one, label: value} for one in sets for value in choices]
        for labels in sets:
            if family.kind == "histogram":
                out += _histogram(rng, family.name, labels, family.buckets, stamps)
            elif family.kind == "counter":
                out.append((random_promql.labelled(family.name, **labels), random_promql.counter(rng, stamps)))
            else:
                points = [(at, float(rng.randrange(50))) for at in stamps]
                out.append((random_promql.labelled(family.name, **labels), points))
    out.append((random_promql.labelled("up", **target), [(at, float(rng.random() > 0.1)) for at in stamps]))
    for group in rule_groups():
        for rule in group.rules:
            if isinstance(rule, RecordingRule):
                by = rule.name.partition(":")[0]
                for value in values.get(by, ("x",)):
                    labels = {by: value, **rule.labels}
                    points = [(at, rng.random() * 0.3) for at in stamps]
                    out.append((random_promql.labelled(rule.name, **labels), points))
    return list(dict(out).items())


def _histogram(
    rng: random.Random, name: str, labels: dict[str, str], bounds: tuple[float, ...], stamps: list[int]
) -> list[random_promql.Series]:
    columns: list[list[tuple[int, float]]] = [[] for _ in (*bounds, 0)]
    counts, total, sums = [0.0] * len(columns), 0.0, []
    for at in stamps:
        sums.append((at, total))
        for column, count in zip(columns, counts, strict=True):
            column.append((at, count))
        for _ in range(rng.randrange(5)):
            first = rng.randrange(len(columns))
            total += bounds[min(first, len(bounds) - 1)]
            for i in range(first, len(columns)):
                counts[i] += 1
    names = [*(f"{b:g}" for b in bounds), "+Inf"]
    rows = [
        (random_promql.labelled(f"{name}_bucket", **labels, le=le), c) for le, c in zip(names, columns, strict=True)
    ]
    count = (random_promql.labelled(f"{name}_count", **labels), columns[-1])
    return [*rows, count, (random_promql.labelled(f"{name}_sum", **labels), sums)]


def test_every_query_of_the_catalogue_gives_what_prometheus_gives() -> None:
    series = catalogue_series()
    engine = PromQLEngine(store_of(series))
    asked = [query.fill(range="30m") for board in dashboards() for panel in board.panels for query in panel.queries]
    asked += [PanelQuery(expression=mark.expression).fill() for board in dashboards() for mark in board.annotations]
    asked += [rule.expression for group in rule_groups() for rule in group.rules]
    asked = list(dict.fromkeys(asked))
    wrong, answered = [], 0
    with filled(series) as url:
        for query in asked:
            theirs = ask(url, query, FROM, TO, 60_000)
            found = difference(evaluate(engine, query, FROM, TO, 60_000), theirs)
            answered += bool(theirs)
            if found or isinstance(theirs, str):
                wrong.append(f"{query}\n    {found or theirs}")
    assert not wrong, "\n".join(wrong)
    assert answered > len(asked) / 2
