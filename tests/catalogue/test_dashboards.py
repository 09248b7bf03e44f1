"""The boards are laid out as the contract says, and pass the rules of Grafana's dashboard-linter."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tachograph import catalogue
from tachograph.catalogue.export.grafana import classic
from tachograph.catalogue.panels import Dashboard

DASHBOARDS = catalogue.dashboards()
CLASSIC = [classic(dashboard) for dashboard in DASHBOARDS]

# CONTRACT 1.3: rows, order, and how each panel is drawn.
LAYOUT = {
    "LLM Provider": [
        [("Request latency p95 by model", "timeseries", False, False)],
        [("Token usage rate", "timeseries", True, False), ("Estimated cost per hour", "stat", False, False)],
        [("Error rate by type", "timeseries", True, True), ("Rate-limit events", "state-timeline", False, False)],
    ],
    "MCP Tools": [
        [("Tool execution latency p95 by server", "heatmap", False, False)],
        [
            ("Active connections", "gauge", False, False),
            ("Registry lookup time, hit and miss", "histogram", False, False),
        ],
        [("Error rate by tool and kind", "timeseries", True, False)],
    ],
}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.title)
def test_the_first_three_rows_are_the_contracts(dashboard: Dashboard) -> None:
    rows = dashboard.rows[:3]
    assert [[(panel.title, panel.kind, panel.stacked, panel.bars) for panel in row.panels] for row in rows] == LAYOUT[
        dashboard.title
    ]
    assert all(panel.required for row in rows for panel in row.panels)
    assert all(sum(panel.width for panel in row.panels) == 24 for row in rows)


def test_cost_is_a_dollar_value_with_its_trend() -> None:
    cost = next(panel for panel in DASHBOARDS[0].panels if panel.title == "Estimated cost per hour")
    assert (cost.unit, cost.trend) == ("currencyUSD", True)
    exported = next(panel for panel in panels(CLASSIC[0]) if panel["title"] == "Estimated cost per hour")
    assert exported["options"]["graphMode"] == "area"


def test_hits_and_misses_are_two_histograms_to_grafana_in_the_place_of_one() -> None:
    lookups = [panel for panel in panels(CLASSIC[1]) if panel["title"].startswith("Registry lookup time")]
    assert [panel["title"] for panel in lookups] == ["Registry lookup time: hit", "Registry lookup time: miss"]
    for panel in lookups:
        (target,) = panel["targets"]
        assert (target["legendFormat"], target["format"], target["instant"]) == ("{{le}}", "heatmap", True)
    assert sum(panel["gridPos"]["w"] for panel in lookups) == 12


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.title)
def test_what_is_ours_comes_below_and_only_calls_are_open(dashboard: Dashboard) -> None:
    ours = dashboard.rows[3:]
    assert [row.title for row in ours if not row.folded] == ["Calls"]
    assert [row.folded for row in ours] == sorted(row.folded for row in ours)
    assert ours[0].panels[0].title == "Success ratio"
    assert sum(panel.width for panel in ours[0].panels) == 24
    assert not any(panel.required for row in ours for panel in row.panels)


def test_variables_cover_what_people_choose_by() -> None:
    names = {variable["name"] for board in CLASSIC for variable in board["templating"]["list"]}
    assert {"datasource", "job", "instance", "provider", "model", "server_id", "tool_name"} <= names


def test_the_boards_link_to_each_other_and_to_the_runbooks() -> None:
    for board, other in zip(CLASSIC, reversed(CLASSIC), strict=True):
        urls = [link["url"] for link in board["links"]]
        assert f"/d/{other['uid']}" in urls
        assert any("alert=" in url for url in urls)


def test_annotations_show_firing_alerts_rate_limits_and_restarts() -> None:
    for board in CLASSIC:
        assert [one["name"] for one in board["annotations"]["list"]] == ["Alerts firing", "Rate limited", "Restarts"]


def test_latency_asks_for_exemplars_and_the_data_source_leads_them_to_traces() -> None:
    from tachograph.catalogue.export.grafana import provisioning

    latency = next(panel for panel in panels(CLASSIC[0]) if "p95 by model" in panel["title"])
    assert latency["targets"][0]["exemplar"] is True
    assert (
        "exemplarTraceIdDestinations"
        in provisioning(trace_url="http://t/${__value.raw}")["datasources/tachograph.yaml"]
    )


# -- the rules of github.com/grafana/dashboard-linter, by their names there (checked 2026-11-23)


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for outer in board["panels"] for panel in ([outer] if outer["type"] != "row" else outer["panels"])]


def targets(board: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(panel, target) for panel in panels(board) for target in panel["targets"]]


boards = pytest.mark.parametrize("board", CLASSIC, ids=lambda board: board["title"])


@boards
def test_template_datasource_rule(board: dict[str, Any]) -> None:
    source = board["templating"]["list"][0]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert source["label"] == "Data source"


@boards
@pytest.mark.parametrize(("name", "label"), [("job", "Job"), ("instance", "Instance")])
def test_template_job_and_instance_rule(board: dict[str, Any], name: str, label: str) -> None:
    variable = next(one for one in board["templating"]["list"] if one["name"] == name)
    assert variable["type"] == "query"
    assert variable["label"] == label
    assert variable["datasource"]["uid"] == "${datasource}"
    assert variable["multi"] is True
    assert variable["allValue"] == ".+"


@boards
def test_template_on_time_change_reload_and_label_promql_rule(board: dict[str, Any]) -> None:
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            assert variable["refresh"] == 2
            assert re.fullmatch(r"label_values\(\w+(\{.*\})?, \w+\)", variable["query"]["query"])


@boards
def test_panel_datasource_title_description_units_and_targets_rule(board: dict[str, Any]) -> None:
    titles = [panel["title"] for panel in panels(board)]
    assert len(titles) == len(set(titles))
    for panel in panels(board):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["title"]
        assert len(panel["description"]) > 20
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEF"[: len(panel["targets"])])


@boards
def test_target_job_and_instance_rule(board: dict[str, Any]) -> None:
    for panel, target in targets(board):
        for matchers in re.findall(r"\{([^{}]*)\}", target["expr"]):
            assert 'job=~"$job"' in matchers, panel["title"]
            assert 'instance=~"$instance"' in matchers, panel["title"]


LONG_WINDOWS = {"Estimated cost per hour", "Success ratio"}
"""Numbers that are read, not watched, over a quarter of an hour: target-rate-interval-rule does not fit them."""


@boards
def test_target_rate_interval_rule(board: dict[str, Any]) -> None:
    for panel, target in targets(board):
        windows = set(re.findall(r"\[([^\]]+)\]", target["expr"]))
        allowed = {"$__rate_interval", "$__range"} | ({"15m"} if panel["title"] in LONG_WINDOWS else set())
        assert windows <= allowed, panel["title"]


SINCE_THE_START = {"Factory creation time, mean"}
"""A mean over the life of the process: target-counter-agg-rule does not fit it."""


@boards
def test_target_counter_agg_rule(board: dict[str, Any]) -> None:
    for panel, target in targets(board):
        if panel["title"] in SINCE_THE_START:
            continue
        for match in re.finditer(r"(\w+)\((\w+_(?:total|count|sum|bucket))\{", target["expr"]):
            assert match.group(1) in ("rate", "increase"), panel["title"]


@boards
def test_uneditable_dashboard_rule(board: dict[str, Any]) -> None:
    assert board["editable"] is False


@boards
def test_panels_have_their_own_ids_and_places(board: dict[str, Any]) -> None:
    everything = [*board["panels"], *(panel for outer in board["panels"] for panel in outer.get("panels", []))]
    ids = [panel["id"] for panel in everything]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
