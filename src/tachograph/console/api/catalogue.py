"""The catalogue's dashboards as JSON for the page, and its rules for the evaluator."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tachograph.catalogue.panels import Dashboard, Panel, Query
    from tachograph.console.rules import Group
    from tachograph.settings import Settings


def dashboards(settings: Settings | None = None) -> list[dict[str, Any]]:
    """Return all dashboards in the page's shape."""
    from tachograph import catalogue

    return [_dashboard(one) for one in catalogue.dashboards(settings)]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _dashboard(one: Dashboard) -> dict[str, Any]:
    return {
        "id": one.uid,
        "uid": one.uid,
        "title": one.title,
        "description": one.description,
        "rows": [
            {
                "title": row.title,
                "collapsed": row.folded,
                "folded": row.folded,
                "panels": [_panel(panel) for panel in row.panels],
            }
            for row in one.rows
        ],
        "variables": [asdict(variable) for variable in one.variables],
        "annotations": [{**asdict(mark), "expr": mark.expression} for mark in one.annotations],
        "links": [asdict(link) for link in one.links],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    options = {
        "stacked": panel.stacked,
        "bars": panel.bars,
        "trend": panel.trend,
        "colors": dict(panel.colors),
        "minimum": panel.minimum,
        "matrix": panel.matrix,
        "required": panel.required,
        "reduce": panel.reduce,
    }
    return {
        "id": _slug(panel.title),
        "title": panel.title,
        "description": panel.description,
        "kind": panel.kind,
        "unit": panel.unit,
        "width": panel.width,
        "height": panel.height,
        "queries": [_query(query) for query in panel.queries],
        "thresholds": [asdict(threshold) for threshold in panel.thresholds],
        "options": options,
    }


def _query(query: Query) -> dict[str, Any]:
    shape = "heatmap" if query.buckets else "table" if query.table else "instant" if query.instant else "range"
    return {**asdict(query), "expr": query.expression, "format": shape}


def rule_groups(settings: Settings | None = None) -> list[Group]:
    """Return the catalogue's rules, ready to be evaluated."""
    from tachograph import catalogue
    from tachograph.catalogue.rules import Alert
    from tachograph.console.rules import Group, Rule

    found = []
    for group in catalogue.rule_groups(settings):
        rules = []
        for rule in group.rules:
            if isinstance(rule, Alert):
                hold, keep = int(rule.hold_seconds * 1000), int(rule.keep_seconds * 1000)
                rules.append(Rule(rule.name, rule.expression, True, hold, keep, rule.labels, rule.annotations))
            else:
                rules.append(Rule(rule.name, rule.expression, False, labels=rule.labels))
        found.append(Group(group.name, int(group.interval_seconds * 1000), rules))
    return found


def runbook(name: str, settings: Settings | None = None) -> str | None:
    """Return an alert's runbook as Markdown, or None."""
    from tachograph import catalogue

    try:
        return catalogue.runbook(name, settings)
    except KeyError:
        return None
