"""How each kind of panel is drawn in Grafana: plugin, options, field configuration. Both dashboard forms use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from tachograph.catalogue.panels import Panel, PanelQuery

PLUGINS: Final = {
    "timeseries": "timeseries",
    "stat": "stat",
    "gauge": "gauge",
    "heatmap": "heatmap",
    # Grafana's own histogram panel counts raw values; buckets that are counted already go into a bar gauge, where the
    # query format `heatmap` turns cumulative buckets into single ones. Source: Grafana docs, "Bar gauge", 2026-11-23.
    "histogram": "bargauge",
    "state-timeline": "state-timeline",
    "table": "table",
}

_UNITS: Final = {"tokens/s": "short"}
_LAST: Final = {"calcs": ["lastNotNull"], "fields": "", "values": False}


def drawn(panels: Iterable[Panel]) -> tuple[Panel, ...]:
    """The panels as Grafana can draw them: a histogram of several queries becomes one panel for each.

    Grafana turns cumulative buckets into single ones by sorting series by their names, so a name must be the bound
    alone, and hits and misses would mix.
    """
    found: list[Panel] = []
    for panel in panels:
        if panel.kind != "histogram":
            found.append(panel)
            continue
        found += (
            replace(
                panel,
                title=f"{panel.title.split(',')[0]}: {query.legend.split(' ')[0]}",
                queries=(replace(query, legend="{{le}}"),),
                width=panel.width // len(panel.queries),
            )
            for query in panel.queries
        )
    return tuple(found)


def plugin(panel: Panel) -> str:
    """The Grafana plugin that draws it."""
    return PLUGINS[panel.kind]


def query_format(query: PanelQuery) -> str:
    """How Grafana shapes the answer."""
    return "heatmap" if query.buckets else "table" if query.table else "time_series"


def options(panel: Panel) -> dict[str, Any]:
    """The plugin's options."""
    return _OPTIONS[panel.kind] | _special(panel)


def _special(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {"graphMode": "area" if panel.trend else "none"}
    if panel.kind == "timeseries":
        order = "Mean" if panel.stacked else "Max"
        place = "right" if panel.width == 24 else "bottom"
        return {"legend": {**_LEGEND, "placement": place, "sortBy": order, "sortDesc": True}}
    if panel.kind == "heatmap" and panel.queries[0].buckets:
        return {"yAxis": {"axisPlacement": "left", "unit": panel.unit}}
    if panel.kind == "heatmap":  # one row of cells per series; colour is the value
        top = max((step.value or 0.0 for step in panel.thresholds), default=0.0)
        return {
            "color": {**_COLOR, "scheme": "RdYlGn", "reverse": True, "min": 0, **({"max": top} if top else {})},
            "cellValues": {"unit": panel.unit},
            "yAxis": {"axisPlacement": "left"},
        }
    return {}


_COLOR: Final = {
    "mode": "scheme",
    "scheme": "Blues",
    "exponent": 0.5,
    "fill": "dark-orange",
    "reverse": False,
    "scale": "exponential",
    "steps": 64,
}

_LEGEND: Final = {"displayMode": "table", "showLegend": True, "calcs": ["mean", "max"]}

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "timeseries": {
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "colorMode": "value",
        "justifyMode": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": _LAST,
        "orientation": "auto",
        "showPercentChange": False,
        "textMode": "auto",
        "wideLayout": True,
    },
    "gauge": {
        "minVizHeight": 75,
        "minVizWidth": 75,
        "orientation": "auto",
        "reduceOptions": _LAST,
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
        "sizing": "auto",
    },
    "heatmap": {
        "calculate": False,
        "cellGap": 1,
        "color": _COLOR,
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
    },
    "histogram": {
        "displayMode": "gradient",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "maxVizHeight": 300,
        "minVizHeight": 8,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": _LAST,
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    },
    "state-timeline": {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "mergeValues": True,
        "perPage": 20,
        "rowHeight": 0.9,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    },
    "table": {"cellHeight": "sm", "showHeader": True, "enablePagination": True},
}


def fields(panel: Panel) -> dict[str, Any]:
    """The field configuration: unit, thresholds, colours, and how lines are drawn."""
    defaults: dict[str, Any] = {
        "unit": _UNITS.get(panel.unit, panel.unit),
        "color": {"mode": "palette-classic-by-name"},
        "custom": _custom(panel),
    }
    if panel.kind in ("stat", "gauge", "state-timeline", "table"):
        defaults["color"] = {"mode": "thresholds"}
    if panel.kind == "histogram":
        defaults["color"] = {"mode": "continuous-blues"}
    if panel.minimum is not None and panel.kind != "heatmap":
        defaults["min"] = panel.minimum
    if panel.unit == "percentunit" and panel.minimum is not None:
        defaults["max"] = 1
    if panel.thresholds:
        defaults["thresholds"] = {
            "mode": "absolute",
            "steps": [{"color": step.color, "value": step.value} for step in panel.thresholds],
        }
    return {"defaults": defaults, "overrides": [_fixed(name, color) for name, color in panel.colors]}


def _fixed(name: str, color: str) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}],
    }


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {
            "drawStyle": "bars" if panel.bars else "line",
            "fillOpacity": 70 if panel.stacked else 0,
            "lineWidth": 0 if panel.stacked else 1,
            "showPoints": "auto",  # a lone sample between gaps is no line
            "pointSize": 4,
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if panel.stacked else "none"},
            **({"thresholdsStyle": {"mode": "line"}} if panel.thresholds else {}),
        }
    if panel.kind == "state-timeline":
        return {"fillOpacity": 80, "lineWidth": 0}
    if panel.kind == "table":
        return {"align": "auto", "cellOptions": {"type": "color-background", "mode": "basic"}}
    return {}


def transformations(panel: Panel) -> list[dict[str, Any]]:
    """What happens to the answer before it is drawn."""
    if panel.matrix is None:
        return []
    row, column = panel.matrix
    return [
        {
            "id": "groupingToMatrix",
            "options": {"columnField": column, "rowField": row, "valueField": "Value", "emptyValue": "empty"},
        }
    ]
