"""Grafana dashboards as classic JSON (schemaVersion 42), and provisioning files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from tachograph.catalogue.export import visual, yaml
from tachograph.catalogue.panels import Annotation, Dashboard, Link, Panel, PanelQuery, Variable

SCHEMA_VERSION: Final = 42
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def dashboard_text(dashboard: Dashboard) -> str:
    """The file to import or to provision."""
    return json.dumps(classic(dashboard), indent=2, ensure_ascii=False) + "\n"


def classic(dashboard: Dashboard) -> dict[str, Any]:
    """One dashboard in the form that every Grafana since 8 reads."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": list(dashboard.tags),
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [_link(link) for link in dashboard.links],
        "annotations": {"list": [_annotation(annotation) for annotation in dashboard.annotations]},
        "templating": {
            "list": [_source_variable(), *(_variable(variable) for variable in dashboard.variables), _top_variable()]
        },
        "panels": _panels(dashboard),
    }


def _panels(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    identity, top = 0, 0
    for row in dashboard.rows:
        identity += 1
        header: dict[str, Any] = {
            "id": identity,
            "type": "row",
            "title": row.title,
            "collapsed": row.folded,
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": top},
            "panels": [],
        }
        found.append(header)
        top += 1
        inside = []
        shown = visual.drawn(row.panels)
        for panel, place in zip(shown, places(shown, top), strict=True):
            identity += 1
            inside.append(_panel(panel, identity, place))
        if row.folded:
            header["panels"] = inside
        else:
            found += inside
            top = max(item["gridPos"]["y"] + item["gridPos"]["h"] for item in inside)
    return found


def places(panels: Iterable[Panel], top: int) -> list[dict[str, int]]:
    """Where panels go on the grid of 24 columns: from left to right, then down."""
    found, x, y, tallest = [], 0, top, 0
    for panel in panels:
        if x + panel.width > 24:
            x, y, tallest = 0, y + tallest, 0
        found.append({"h": panel.height, "w": panel.width, "x": x, "y": y})
        x += panel.width
        tallest = max(tallest, panel.height)
    return found


def _panel(panel: Panel, identity: int, place: dict[str, int]) -> dict[str, Any]:
    moved = visual.transformations(panel)
    return {
        "id": identity,
        "type": visual.plugin(panel),
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            _target(query, letter)
            for query, letter in zip(
                (part for query in panel.queries for part in asked(panel, query)), "ABCDEF", strict=False
            )
        ],
        "options": visual.options(panel),
        "fieldConfig": visual.fields(panel),
        **({"transformations": moved} if moved else {}),
    }


def asked(panel: Panel, query: PanelQuery) -> tuple[PanelQuery, ...]:
    """The query for the series to draw, and where series are stacked another for the sum of all others."""
    if query.top is None:
        return (query,)
    by = ", ".join(query.top.by)
    chosen = f"{'bottomk' if query.top.lowest else 'topk'}($top, {query.top.rank})"
    shown = replace(query, expression=f"({query.expression}) and on ({by}) {chosen}")
    if not panel.stacked:
        return (shown,)
    kept = [label for label in re.findall(r"\{\{(\w+)\}\}", query.legend) if label not in query.top.by]
    others = f"sum by ({', '.join(kept)}) (({query.expression}) unless on ({by}) {chosen})"
    legend = " ".join(["all others", *(f"{{{{{label}}}}}" for label in kept)])
    return shown, replace(query, expression=others, legend=legend)


def target(query: PanelQuery) -> dict[str, Any]:
    """One query as Grafana's Prometheus data source takes it."""
    return {
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "format": visual.query_format(query),
        "instant": query.instant,
        "range": not query.instant,
        "exemplar": query.exemplars,
        "editorMode": "code",
    }


def _target(query: PanelQuery, letter: str) -> dict[str, Any]:
    return {"refId": letter, "datasource": _SOURCE, **target(query)}


def label_values(variable: Variable) -> str:
    """The query of a variable."""
    matchers = f"{{{variable.matchers}}}" if variable.matchers else ""
    return f"label_values({variable.metric}{matchers}, {variable.name})"


def _source_variable() -> dict[str, Any]:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "options": [],
    }


_TOP: Final = ("10", "20", "50", "200")


def _top_variable() -> dict[str, Any]:
    return {
        "type": "custom",
        "name": "top",
        "label": "Series drawn",
        "description": "Panels with a series for each model or tool draw so many: those with the most.",
        "query": ",".join(_TOP),
        "multi": False,
        "includeAll": False,
        "current": {"text": "20", "value": "20"},
        "options": [{"text": option, "value": option, "selected": option == "20"} for option in _TOP],
    }


def _variable(variable: Variable) -> dict[str, Any]:
    if variable.options:
        return {
            "type": "custom",
            "name": variable.name,
            "label": variable.label,
            "query": ",".join(variable.options),
            "multi": True,
            "includeAll": True,
            "allValue": ".+",
            "current": {"text": [variable.default], "value": [variable.default]},
            "options": [
                {"text": option, "value": option, "selected": option == variable.default} for option in variable.options
            ],
        }
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "datasource": _SOURCE,
        "query": {"query": label_values(variable), "refId": f"Variable-{variable.name}"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def _annotation(annotation: Annotation) -> dict[str, Any]:
    return {
        "name": annotation.name,
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": annotation.color,
        "expr": annotation.expression,
        "titleFormat": annotation.title,
        "textFormat": annotation.text,
        "step": "60s",
        "useValueForTime": False,
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


def provisioning(
    prometheus_url: str = "http://127.0.0.1:9090",
    trace_url: str = "",
    folder: str = "/var/lib/grafana/dashboards",
    interval: int = 15,
) -> dict[str, str]:
    """Files for Grafana's provisioning folder, by their path in it.

    Args:
        prometheus_url: Where Grafana finds Prometheus.
        trace_url: Where an exemplar leads, with `${__value.raw}` for the trace id; empty leaves exemplars without link.
        folder: Where Grafana finds the dashboards' JSON.
        interval: Seconds between two samples of a series.
    """
    data: dict[str, Any] = {"httpMethod": "POST", "timeInterval": f"{interval}s", "manageAlerts": True}
    if trace_url:
        data["exemplarTraceIdDestinations"] = [{"name": "trace_id", "url": trace_url, "urlDisplayLabel": "Open trace"}]
    source = {
        "name": "Prometheus",
        "uid": "tachograph-prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus_url,
        "isDefault": True,
        "jsonData": data,
    }
    provider = {
        "name": "tachograph",
        "folder": "Tachograph",
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": folder},
    }
    comment = "Made by `tachograph export`."
    return {
        "datasources/tachograph.yaml": yaml.dump({"apiVersion": 1, "datasources": [source]}, comment),
        "dashboards/tachograph.yaml": yaml.dump({"apiVersion": 1, "providers": [provider]}, comment),
    }
