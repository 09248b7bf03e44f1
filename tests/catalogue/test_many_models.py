"""The exported boards at 200 models and 200 tools, each query as Grafana would send it to a real Prometheus."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from benchmarks.rules import exposition, parsed

from support.prometheus import Prometheus, prometheus
from tachograph import catalogue
from tachograph.catalogue.export.grafana import asked, classic
from tachograph.catalogue.panels import Panel, PanelQuery
from tachograph.drill import remote_write

MANY, TOP, STEP = 200, 20, 60
SAMPLES = 8
BOUNDS = ("0.1", "10.0", "+Inf")
"""Buckets written: the others would only make the test slower."""
PANELS = [panel for board in catalogue.dashboards() for panel in board.panels]
NO_DATA = {"Wasted per hour by cause"}
SPLIT = {"type": 2, "error_kind": 8, "kind": 2, "outcome": 5, "method": 5}
"""How many values a label beside the ranked ones has, at most."""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Prometheus, int]]:
    """Its data: the exposition of a real recorder with so many models and tools, the higher numbered ones busier."""
    read = {name for panel in PANELS for query in panel.queries for name in re.findall(r"\w+(?=\{)", query.expression)}
    read |= {
        name
        for panel in PANELS
        for query in panel.queries
        if query.top
        for name in re.findall(r"\w+(?=\{)", query.top.rank)
    }
    end = int(time.time()) // STEP * STEP
    series = []
    for name, labels, value in parsed(exposition(MANY, MANY)):
        if name == "llm_provider_cost_usd_total" or ("error_type", "rate_limit") in labels:
            value = 1.0  # its calls have no price, and meet no limit
        if name not in read or not value or dict(labels).get("le", "10.0") not in BOUNDS:
            continue
        which = dict(labels).get("model") or dict(labels).get("tool_name") or "x-0"
        grown = value * (1 + int(which.rpartition("-")[2]))
        points = [((end - (SAMPLES - 1 - index) * STEP) * 1000, grown * index) for index in range(SAMPLES)]
        series.append(((("__name__", name), ("job", "tachograph"), ("instance", "app-1:9464"), *labels), points))
    with prometheus("global: {}\n", arguments=["--web.enable-remote-write-receiver"]) as found:
        remote_write.write(found.url, series)
        yield found, end


def ask(server: tuple[Prometheus, int], query: PanelQuery, expression: str | None = None) -> list[dict[str, Any]]:
    found, end = server
    chosen = query if expression is None else PanelQuery(expression=expression, instant=query.instant)
    text = chosen.fill({"job": ".+", "instance": ".+", "top": str(TOP)}, rate_interval="4m", range="7m")
    if query.instant:
        return found.query(text, time=end)
    result: list[dict[str, Any]] = found.get(
        "/api/v1/query_range", query=text, start=end - 4 * STEP, end=end, step=STEP
    )["result"]
    return result


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_a_panel_draws_no_more_series_than_a_person_can_read(panel: Panel, server: tuple[Prometheus, int]) -> None:
    for query in panel.queries:
        drawn = [ask(server, one) for one in asked(panel, query)]
        if query.top is None:
            assert query.table or len(drawn[0]) <= 30, query.expression
            continue
        ranked = {tuple(series["metric"].get(label) for label in query.top.by) for series in drawn[0]}
        assert len(ranked) <= TOP
        more = 1
        for label in set(re.findall(r"\{\{(\w+)\}\}", query.legend)) - set(query.top.by):
            more *= SPLIT[label]
        assert len(drawn[0]) <= TOP * more
        if panel.stacked:
            assert len(drawn[1]) <= more


@pytest.mark.parametrize("panel", [panel for panel in PANELS if panel.stacked], ids=lambda panel: panel.title)
def test_a_stack_is_as_high_as_without_a_choice(panel: Panel, server: tuple[Prometheus, int]) -> None:
    def heights(answers: list[list[dict[str, Any]]]) -> dict[float, float]:
        total: dict[float, float] = {}
        for series in (series for answer in answers for series in answer):
            for at, value in series["values"]:
                total[at] = total.get(at, 0.0) + float(value)
        return total

    for query in panel.queries:
        whole = heights([ask(server, query, query.expression)])
        assert whole or panel.title in NO_DATA
        assert heights([ask(server, one) for one in asked(panel, query)]) == pytest.approx(whole, rel=1e-9)


def test_the_busiest_models_are_drawn_all_the_time(server: tuple[Prometheus, int]) -> None:
    tokens = next(panel for panel in PANELS if panel.title == "Token usage rate")
    found = ask(server, asked(tokens, tokens.queries[0])[0])
    assert {series["metric"]["model"] for series in found} == {f"model-{n}" for n in range(MANY - TOP, MANY)}
    assert {len(series["values"]) for series in found} == {5}


def test_the_number_of_series_is_a_choice_above_the_board() -> None:
    for board in catalogue.dashboards():
        chosen = classic(board)["templating"]["list"][-1]
        assert (chosen["name"], chosen["current"]["value"], chosen["multi"]) == ("top", "20", False)


def test_legends_are_sorted_timelines_paged_and_lone_samples_drawn() -> None:
    for board in catalogue.dashboards():
        outer = classic(board)["panels"]
        for panel in [one for row in outer for one in ([row] if row["type"] != "row" else row["panels"])]:
            options, custom = panel["options"], panel["fieldConfig"]["defaults"]["custom"]
            if panel["type"] == "timeseries":
                assert options["legend"]["sortDesc"]
                assert options["legend"]["sortBy"].lower() in options["legend"]["calcs"]
                assert custom["showPoints"] == "auto"
            if panel["type"] == "state-timeline":
                assert options["perPage"] == 20
            if panel["type"] == "table":
                assert options["enablePagination"]
