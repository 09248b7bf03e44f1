"""Rules that belong together."""

from __future__ import annotations

from collections.abc import Sequence

from tachograph.catalogue.rules import Alert, RecordingRule, RuleGroup


def recordings_of(alert: Alert, groups: Sequence[RuleGroup]) -> tuple[RecordingRule, ...]:
    """The recordings that an alert reads, and those that they read, in the order in which they are evaluated."""
    known = [rule for group in groups for rule in group.rules if isinstance(rule, RecordingRule)]
    wanted: set[str] = set()
    expressions = [alert.expression]
    while expressions:
        expression = expressions.pop()
        for rule in known:
            if rule.name in expression and rule.name not in wanted:
                wanted.add(rule.name)
                expressions.append(rule.expression)
    return tuple(rule for rule in known if rule.name in wanted)
