"""The catalogue's dashboards as JSON for the page, and its rules for the evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tachograph.console.views.dashboard import slug

if TYPE_CHECKING:
    from tachograph.catalogue.panels import Dashboard
    from tachograph.catalogue.rules import RuleGroup
    from tachograph.console.rules import Group
    from tachograph.settings import Settings


def dashboards(settings: Settings | None = None) -> list[dict[str, Any]]:
    """Return all dashboards in the page's shape: the catalogue's, each panel with its id (see `schema`)."""
    from tachograph import catalogue

    return [_board(one) for one in catalogue.dashboards(settings)]


def _board(one: Dashboard) -> dict[str, Any]:
    rows = [
        {
            "title": row.title,
            "folded": row.folded,
            "panels": [{**asdict(p), "id": slug(p.title), "colors": dict(p.colors)} for p in row.panels],
        }
        for row in one.rows
    ]
    return {**asdict(one), "rows": rows}


def rule_groups(settings: Settings | None = None, *, keeps_recorded: bool = True) -> list[Group]:
    """Return the catalogue's rules, ready to be evaluated.

    Args:
        settings: Thresholds, objectives, labels.
        keeps_recorded: What the rules record can be asked again. Otherwise (a Prometheus answers, which has none of our
            rules) recordings are written out where they are read, and alerts that need their past are marked.
    """
    from tachograph import catalogue
    from tachograph.catalogue.inlining import inlined
    from tachograph.catalogue.rules import Alert, RecordingRule
    from tachograph.console.rules import Group, Rule

    found = []
    groups = catalogue.rule_groups(settings)
    recorded: tuple[str, ...] = ()
    if not keeps_recorded:
        groups = inlined(groups)
        recorded = tuple(rule.name for group in groups for rule in group.rules if isinstance(rule, RecordingRule))
    for group in groups:
        rules = []
        for rule in group.rules:
            if isinstance(rule, Alert):
                hold, keep = int(rule.hold_seconds * 1000), int(rule.keep_seconds * 1000)
                needs = any(name in rule.expression for name in recorded)
                rules.append(Rule(rule.name, rule.expression, True, hold, keep, rule.labels, rule.annotations, needs))
            else:
                rules.append(Rule(rule.name, rule.expression, False, labels=rule.labels))
        found.append(Group(group.name, int(group.interval_seconds * 1000), rules))
    return found


def runbook(name: str, groups: Sequence[RuleGroup]) -> str | None:
    """Return an alert's runbook as Markdown, or None."""
    from tachograph.catalogue.runbook_pages import page

    try:
        return page(name, groups)
    except KeyError:
        return None
