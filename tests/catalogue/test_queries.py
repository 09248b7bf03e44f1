"""Every query of panels, annotations, rules and runbooks, run against a real Prometheus that scraped our demo."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.demo_data import WINDOW, Filled, filled_prometheus
from support.promql_names import parse, result_labels, wrong_names
from tachograph import catalogue
from tachograph.catalogue.boards.common import MODEL, TARGET, TOOL
from tachograph.catalogue.export.prometheus import rules_text
from tachograph.catalogue.panels import Dashboard, Panel, PanelQuery

DASHBOARDS = catalogue.dashboards()
PANELS = [(dashboard, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
QUERIES = [(panel, query) for _, panel in PANELS for query in panel.queries]
NAMES = catalogue.alert_names()

EMPTY: dict[str, str] = {}
"""Panels for which the demo has nothing to show; one that shows something does not belong here."""
SPARSE = {"Other requests p95": "the demo lists tools when it connects, and not again"}
"""Panels whose quantile has nothing to look at in the window."""


def title(value: object) -> str | None:
    return value.title if isinstance(value, Panel) else None


@pytest.fixture(scope="module")
def filled() -> Iterator[Filled]:
    with filled_prometheus(rules_text(catalogue.rule_groups()).replace("interval: '30s'", "interval: '2s'")) as found:
        yield found


def ask(filled: Filled, query: PanelQuery) -> list[dict[str, Any]]:
    expression = query.fill({"job": ".+", "instance": ".+"}, rate_interval=WINDOW, range="20s").replace(
        "[15m]", f"[{WINDOW}]"
    )
    if query.instant:
        return [{**one, "values": [one["value"]]} for one in filled.server.query(expression, time=filled.end)]
    result: list[dict[str, Any]] = filled.server.get(
        "/api/v1/query_range", query=expression, start=filled.start + 7.5, end=filled.end, step=2.5
    )["result"]
    return result


@pytest.mark.parametrize(("panel", "query"), QUERIES, ids=title)
def test_a_panels_query_gives_series_whose_labels_its_legend_names(
    panel: Panel, query: PanelQuery, filled: Filled
) -> None:
    found = ask(filled, query)
    if panel.title in EMPTY:
        assert found == [], f"no longer empty: {EMPTY[panel.title]}"
        return
    assert found, query.expression
    for series in found:
        for label in re.findall(r"\{\{(\w+)\}\}", query.legend):
            assert series["metric"].get(label), f"{label} is not in {series['metric']}"
    numbers = [float(value) for series in found for _, value in series["values"]]
    assert any(math.isfinite(number) for number in numbers) is (panel.title not in SPARSE)
    if "histogram_quantile" not in query.expression:  # a quantile of nothing is NaN, and is not drawn
        assert not any(math.isnan(number) for number in numbers)


@pytest.mark.parametrize(("panel", "query"), QUERIES, ids=title)
def test_a_panels_query_names_only_what_is_declared(panel: Panel, query: PanelQuery) -> None:
    assert wrong_names(query.expression) == []
    carried = result_labels(parse(query.expression))
    assert set(re.findall(r"\{\{(\w+)\}\}", query.legend)) <= carried
    if panel.matrix:
        assert set(panel.matrix) <= carried


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.title)
def test_annotations_and_variables_name_what_is_declared_and_run(dashboard: Dashboard, filled: Filled) -> None:
    for annotation in dashboard.annotations:
        assert wrong_names(annotation.expression) == []
        filled.server.query(PanelQuery(expression=annotation.expression).fill(rate_interval=WINDOW), time=filled.end)
    for variable in dashboard.variables:
        if not variable.options:
            selector = f"{variable.metric}{{{variable.matchers}}}"
            assert wrong_names(selector) == []
            values = filled.server.get(
                f"/api/v1/label/{variable.name}/values", **{"match[]": PanelQuery(expression=selector).fill()}
            )
            assert values, variable.name


def test_the_selectors_of_the_boards_name_labels_that_exist() -> None:
    assert wrong_names(f"llm_provider_tokens_total{{{MODEL}}}") == []
    assert wrong_names(f"mcp_tool_errors_total{{{TOOL}}}") == []
    assert wrong_names(f"llm_usage_persist_queue_size{{{TARGET}}}") == []
    assert wrong_names('llm_usage_persist_queue_size{server_id="x"}') != []


def test_every_rule_evaluates_in_prometheus(filled: Filled) -> None:
    def rules(server: Any) -> list[dict[str, Any]]:
        return [rule for group in server.get("/api/v1/rules")["groups"] for rule in group["rules"]]

    filled.server.wait_for(lambda server: all(rule["health"] != "unknown" for rule in rules(server)))
    bad = {rule["name"]: rule.get("lastError") for rule in rules(filled.server) if rule["health"] != "ok"}
    assert bad == {}
    names = {rule["name"] for rule in rules(filled.server) if rule["type"] == "alerting"}
    assert names == set(NAMES)


PROMQL = re.compile(r"```promql\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_a_runbooks_queries_name_what_is_declared_and_run(name: str, filled: Filled) -> None:
    queries = [query.strip() for query in PROMQL.findall(catalogue.runbook(name))]
    assert queries
    for query in queries:
        assert wrong_names(query) == [], query
        filled.server.query(query, time=filled.end)
