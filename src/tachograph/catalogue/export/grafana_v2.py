"""Grafana dashboards in the v2 form (`dashboard.grafana.app/v2`), which Grafana 13 writes itself."""

from __future__ import annotations

import json
from typing import Any, Final

from tachograph.catalogue.export import visual
from tachograph.catalogue.export.grafana import label_values, places, target
from tachograph.catalogue.panels import Annotation, Dashboard, Link, Panel, Query, Row, Variable

API_VERSION: Final = "dashboard.grafana.app/v2"
PLUGIN_VERSION: Final = "13.2.3"
_SOURCE: Final = {"name": "${datasource}"}


def dashboard_text(dashboard: Dashboard) -> str:
    """The resource, as JSON."""
    resource = {
        "apiVersion": API_VERSION,
        "kind": "Dashboard",
        "metadata": {"name": dashboard.uid},
        "spec": spec(dashboard),
    }
    return json.dumps(resource, indent=2, ensure_ascii=False) + "\n"


def spec(dashboard: Dashboard) -> dict[str, Any]:
    """The `spec` of one dashboard."""
    elements: dict[str, Any] = {}
    rows = []
    for row in dashboard.rows:
        names = []
        for panel in visual.drawn(row.panels):
            name = f"panel-{len(elements) + 1}"
            names.append(name)
            elements[name] = _element(panel, len(elements) + 1)
        rows.append(_row(row, names))
    return {
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": list(dashboard.tags),
        "editable": False,
        "liveNow": False,
        "preload": False,
        "cursorSync": "Crosshair",
        "timeSettings": {
            "timezone": "browser",
            "from": "now-3h",
            "to": "now",
            "autoRefresh": "30s",
            "autoRefreshIntervals": ["10s", "30s", "1m", "5m", "15m"],
            "hideTimepicker": False,
            "fiscalYearStartMonth": 0,
        },
        "links": [_link(link) for link in dashboard.links],
        "annotations": [_annotation(annotation) for annotation in dashboard.annotations],
        "variables": [_source_variable(), *(_variable(variable) for variable in dashboard.variables)],
        "elements": elements,
        "layout": {"kind": "RowsLayout", "spec": {"rows": rows}},
    }


def _row(row: Row, names: list[str]) -> dict[str, Any]:
    items = [
        {
            "kind": "GridLayoutItem",
            "spec": {
                "x": place["x"],
                "y": place["y"],
                "width": place["w"],
                "height": place["h"],
                "element": {"kind": "ElementReference", "name": name},
            },
        }
        for name, place in zip(names, places(visual.drawn(row.panels), 0), strict=True)
    ]
    return {
        "kind": "RowsLayoutRow",
        "spec": {
            "title": row.title,
            "collapse": row.folded,
            "layout": {"kind": "GridLayout", "spec": {"items": items}},
        },
    }


def _element(panel: Panel, identity: int) -> dict[str, Any]:
    transformations = [
        {"kind": "Transformation", "group": moved["id"], "spec": {"options": moved["options"]}}
        for moved in visual.transformations(panel)
    ]
    return {
        "kind": "Panel",
        "spec": {
            "id": identity,
            "title": panel.title,
            "description": panel.description,
            "links": [],
            "data": {
                "kind": "QueryGroup",
                "spec": {
                    "queries": [_query(query, letter) for query, letter in zip(panel.queries, "ABCDEF", strict=False)],
                    "transformations": transformations,
                    "queryOptions": {},
                },
            },
            "vizConfig": {
                "kind": "VizConfig",
                "group": visual.plugin(panel),
                "version": PLUGIN_VERSION,
                "spec": {"options": visual.options(panel), "fieldConfig": visual.fields(panel)},
            },
        },
    }


def _data(values: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "DataQuery", "group": "prometheus", "version": "v0", "datasource": _SOURCE, "spec": values}


def _query(query: Query, letter: str) -> dict[str, Any]:
    return {"kind": "PanelQuery", "spec": {"refId": letter, "hidden": False, "query": _data(target(query))}}


def _annotation(annotation: Annotation) -> dict[str, Any]:
    return {
        "kind": "AnnotationQuery",
        "spec": {
            "name": annotation.name,
            "enable": True,
            "hide": False,
            "iconColor": annotation.color,
            "query": _data(
                {
                    "expr": annotation.expression,
                    "titleFormat": annotation.title,
                    "textFormat": annotation.text,
                    "step": "60s",
                }
            ),
        },
    }


def _source_variable() -> dict[str, Any]:
    return {
        "kind": "DatasourceVariable",
        "spec": {
            "name": "datasource",
            "label": "Data source",
            "pluginId": "prometheus",
            "refresh": "onDashboardLoad",
            "regex": "",
            "current": {"text": "", "value": ""},
            "options": [],
            "multi": False,
            "includeAll": False,
            "hide": "dontHide",
            "skipUrlSync": False,
            "allowCustomValue": True,
        },
    }


def _variable(variable: Variable) -> dict[str, Any]:
    shared = {
        "name": variable.name,
        "label": variable.label,
        "hide": "dontHide",
        "skipUrlSync": False,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "allowCustomValue": True,
    }
    if variable.options:
        return {
            "kind": "CustomVariable",
            "spec": {
                **shared,
                "query": ",".join(variable.options),
                "current": {"text": [variable.default], "value": [variable.default]},
                "options": [
                    {"text": option, "value": option, "selected": option == variable.default}
                    for option in variable.options
                ],
            },
        }
    return {
        "kind": "QueryVariable",
        "spec": {
            **shared,
            "current": {"text": ["All"], "value": ["$__all"]},
            "refresh": "onTimeRangeChanged",
            "query": _data({"query": label_values(variable), "refId": f"Variable-{variable.name}"}),
            "definition": label_values(variable),
            "regex": "",
            "sort": "alphabeticalAsc",
            "options": [],
        },
    }


def _link(link: Link) -> dict[str, Any]:
    return {
        "type": "link",
        "title": link.title,
        "url": f"/d/{link.uid}" if link.uid else link.url,
        "icon": "dashboard" if link.uid else "doc",
        "tooltip": "",
        "tags": [],
        "asDropdown": False,
        "targetBlank": not link.uid,
        "includeVars": bool(link.uid),
        "keepTime": bool(link.uid),
    }
