"""Rules without the recordings that they read as they stand now: for evaluators that cannot keep recorded series.

A Prometheus without our rules, asked by the console or for a user's past, has raw series only. A recording that is read
at the moment of evaluation is as well written out; one that is read over a window or with an offset must be kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from tachograph.catalogue.rules import RecordingRule, RuleGroup

_READ: Final = re.compile(r"(?<![\w:])(\w+:\w+:\w+)(?:\{([^}]*)\})?(?![\w:{])(\[| offset )?")
_RAW: Final = re.compile(r"(?<![\w:])([a-z_]+)(?:\{([^}]*)\})?\[")


def inlined(groups: Iterable[RuleGroup]) -> list[RuleGroup]:
    """The same rules; of the recordings, those that are read over windows."""
    groups = list(groups)
    recorded = {
        rule.name: rule.expression for group in groups for rule in group.rules if isinstance(rule, RecordingRule)
    }
    made = [
        replace(
            group,
            rules=tuple(replace(rule, expression=_written_out(rule.expression, recorded)) for rule in group.rules),
        )
        for group in groups
    ]
    read = {found[1] for group in made for rule in group.rules for found in _READ.finditer(rule.expression)}
    kept = [
        replace(
            group, rules=tuple(rule for rule in group.rules if not isinstance(rule, RecordingRule) or rule.name in read)
        )
        for group in made
    ]
    return [group for group in kept if group.rules]


def _written_out(expression: str, recorded: Mapping[str, str]) -> str:
    def one(found: re.Match[str]) -> str:
        name, matchers, window = found.groups()
        if window or name not in recorded:
            return found[0]
        return f"({_matching(_written_out(recorded[name], recorded), matchers)})"

    return _READ.sub(one, expression)


def _matching(expression: str, matchers: str | None) -> str:
    """A sum of one raw series by labels, of the series that match only."""
    if not matchers:
        return expression
    made, count = _RAW.subn(lambda found: f"{found[1]}{{{', '.join(filter(None, (found[2], matchers)))}}}[", expression)
    assert count == 1, f"{expression} reads several series, of which {{{matchers}}} chooses"
    return made
