"""Rules of a console, written as in a Prometheus rule file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tachograph.console.api.parameters import parse_duration
from tachograph.console.rules import Group, Rule


def groups_from(data: Iterable[Mapping[str, Any]]) -> list[Group]:
    """Groups from dicts with the keys of a Prometheus rule, and `group` and `interval` beside them."""
    groups: dict[str, Group] = {}
    for one in data:
        name = str(one.get("group", "tachograph"))
        interval = parse_duration(str(one.get("interval") or "30s"))
        group = groups.setdefault(name, Group(name, interval, []))
        group.rules.append(
            Rule(
                name=str(one.get("alert") or one["record"]),
                expr=str(one["expr"]),
                alerting="alert" in one,
                hold=parse_duration(str(one.get("for") or "0")),
                keep_firing=parse_duration(str(one.get("keep_firing_for") or "0")),
                labels=dict(one.get("labels") or {}),
                annotations=dict(one.get("annotations") or {}),
            )
        )
    return list(groups.values())
