"""No query ends the process, stops the page or takes its memory: every form of nesting and every size is bounded."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

from tachograph.console.promql import PromQLEngine, PromQLError, PromQLSyntaxError
from tachograph.console.promql.engine import Limits
from tachograph.console.promql.matchers import LabelMatcher
from tachograph.console.promql.syntax import parse
from tachograph.console.promql.types import RawSeries

FORMS = {
    "chain": "1" + "+1" * 5000,
    "powers": "1" + "^1" * 5000,
    "sets": "up" + " or up" * 5000,
    "comparisons": "up" + " >= bool up" * 5000,
    "matching": "up" + " + on(a) group_left up" * 1000,
    "signs": "-" * 5000 + "1",
    "brackets": "(" * 5000 + "1" + ")" * 5000,
    "functions": "abs(" * 5000 + "up" + ")" * 5000,
    "aggregations": "sum by (a) (" * 5000 + "up" + ")" * 5000,
    "subqueries": "max_over_time(" * 2000 + "up" + "[5m:1m])" * 2000,
    "a chain inside a chain": "(" * 100 + "1" + "+1)" * 100 + "+1" * 100,
    "every precedence": "1 or 1 and 1 == 1 + 1 * 1 ^ (" * 60 + "1" + ")" * 60,
    "signs before brackets": ("-" * 40 + "(") * 30 + "1" + ")" * 30,
}
IN_A_THREAD = """
import json, sys, threading
from tachograph.console.promql.errors import PromQLSyntaxError
from tachograph.console.promql.syntax import parse
threading.stack_size(512 * 1024)  # what threads have on macOS
def read(form, query):
    try:
        parse(query)
    except PromQLSyntaxError as error:
        print(form, error, sep=": ", flush=True)
for each in json.load(sys.stdin).items():
    thread = threading.Thread(target=read, args=each)
    thread.start()
    thread.join()
"""


def test_a_query_nested_without_end_is_refused_and_the_process_lives() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_THREAD], input=json.dumps(FORMS), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    refused = [line.partition(":")[0] for line in done.stdout.splitlines() if "nested or chained deeper than" in line]
    assert (refused, done.returncode) == ([*FORMS], 0), f"the process ended after {done.stdout.splitlines()[-1:]}"


def test_the_tree_of_a_query_is_kept_unless_the_query_is_long() -> None:
    long = f'rate({{a="{"b" * 5000}"}}[5m])'
    assert parse("rate(a[5m])") is parse("rate(a[5m])")
    assert parse(long) is not parse(long)
    assert parse(long) == parse(long)


@pytest.mark.parametrize(
    "query",
    [
        "1" + "+1" * 140,
        "up" + " or up" * 140,
        "(" * 70 + "1" + ")" * 70,
        " + ".join(f'sum(rate(x{{a="{number}"}}[5m]))' for number in range(100)),
        "label_join(up, 'a', ','" + ", 'b'" * 2000 + ")",
        'up{a=~"' + "-+*/" * 500 + '"}',
    ],
)
def test_a_long_query_that_people_write_is_still_read(query: str) -> None:
    parse(query.replace("*/", ".."))


class Many:
    """A source of 100 series with 100 samples each."""

    def select(self, matchers: tuple[LabelMatcher, ...], start: int, end: int) -> list[RawSeries]:
        times = np.arange(100, dtype=np.int64) * 1000
        return [RawSeries((("a", str(n)),), times, np.ones(100)) for n in range(100)]


def test_the_nodes_of_a_query_share_one_allowance() -> None:
    engine = PromQLEngine(Many(), Limits(max_samples=100_000))
    engine.range("sum(up) + sum(up)", 0, 99_000, 1000)
    with pytest.raises(PromQLError, match="too many samples"):
        engine.range("+".join(["sum(up)"] * 10), 0, 99_000, 1000)


def test_an_answer_is_bounded_more_tightly_than_what_it_is_made_from() -> None:
    engine = PromQLEngine(Many(), Limits(max_points=20_000))
    engine.range("sum(up)", 0, 99_000, 1000)
    with pytest.raises(PromQLError, match="too many samples"):
        engine.range("up", 0, 99_000, 1000)


def test_memory_that_is_not_there_fails_the_query_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*args: object) -> list[RawSeries]:
        raise MemoryError

    source = Many()
    monkeypatch.setattr(source, "select", too_much)
    with pytest.raises(PromQLError, match="too many samples"):
        PromQLEngine(source).instant("up", 0)


def test_a_stack_that_is_used_up_fails_the_query_alone() -> None:
    query = "1" + "+1" * 140

    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        else:
            PromQLEngine(Many()).instant(query, 0)

    with pytest.raises(PromQLSyntaxError, match="nested too deeply"):
        deep(sys.getrecursionlimit() - len(inspect.stack(0)) - 60)
