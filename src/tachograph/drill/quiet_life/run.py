"""Runs a shape through Prometheus's rule engine, and what fires through the exported routes and inhibitions.

The rule engine is `promtool test rules`. What Alertmanager would send is worked out here from the exported routes:
`group_by`, `group_wait` and `inhibit_rules`; tests compare this with a real Alertmanager.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tachograph.catalogue import durations
from tachograph.catalogue.rules import EVALUATION_INTERVAL
from tachograph.drill import tools
from tachograph.drill.quiet_life.shape import Shape
from tachograph.drill.quiet_life.world import World
from tachograph.drill.rehearse import RulesError

GROUP_WAIT: Final = 30.0
WATCHED: Final = 'ALERTS{alertstate="firing",alertname!="LLMMonitorWatchdog"}'
_BLOCK: Final = re.compile(
    r'expr: "(?:[^"\\]|\\.)*", time: ([0-9hmsd]+),\s+exp:.*?\n\s+got:(.*?)(?=\n\s+expr:|\Z)', re.DOTALL
)
_INTERVAL: Final = re.compile(r"^ +interval: *['\"]?(\w+)", re.MULTILINE)
_SAMPLE: Final = re.compile(r'\{(__name__="ALERTS".*?)\} ')
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Alert = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Notified:
    """One notification that opens something: when, to whom, and which alerts stood in it."""

    minute: float
    receiver: str
    alerts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a shape did.

    Attributes:
        shape: The shape.
        fired: Alerts that fired, with the minute of their first time.
        notified: What opened, in order.
    """

    shape: Shape
    fired: Mapping[str, float]
    notified: tuple[Notified, ...]

    def _to(self, receiver: str) -> list[Notified]:
        return [one for one in self.notified if one.receiver == receiver]

    @property
    def pages(self) -> int:
        """Number of pages."""
        return len(self._to("page"))

    @property
    def tickets(self) -> int:
        """Tickets that are opened."""
        return len(self._to("ticket"))

    @property
    def minutes_to_page(self) -> float | None:
        """From the moment in which the condition can be known to the first page."""
        pages = [one.minute for one in self._to("page") if one.minute >= self.shape.knowable - self.shape.within]
        return pages[0] - self.shape.knowable if pages else None

    @property
    def loudest(self) -> str:
        """page, ticket or nothing."""
        return "page" if self.pages else "ticket" if self.tickets else "nothing"

    @property
    def problem(self) -> str:
        """What is wrong, or an empty text."""
        shape = self.shape
        if self.loudest not in (shape.expected, *shape.may):
            who = ", ".join(f"{'+'.join(one.alerts)} at {one.minute:.1f}" for one in self.notified) or "nothing"
            return f"expected {shape.expected}, got {self.loudest}: {who}"
        if self.loudest == "page":
            late = self.minutes_to_page
            if late is None or late > shape.within:
                return f"paged {'never' if late is None else f'after {late:.1f} min'}, not within {shape.within:g}"
            if self.pages > shape.pages:
                when = ", ".join(f"{'+'.join(one.alerts)} at {one.minute:.1f}" for one in self._to("page"))
                return f"{self.pages} pages where {shape.pages} is right: {when}"
        return ""


def run(shape: Shape, rules: Mapping[str, str], routes: Mapping[str, Any]) -> Outcome:
    """Play one shape.

    Args:
        shape: The shape.
        rules: Rule files: name to text.
        routes: Alertmanager's configuration.

    Raises:
        RulesError: Prometheus does not accept the rules.
        MissingToolError: promtool is not on PATH.
    """
    firing = [
        (minute, frozenset(alert for alert in alerts if dict(alert)["alertname"] not in shape.ignore))
        for minute, alerts in _history(shape, rules)
    ]
    fired: dict[str, float] = {}
    for minute, alerts in firing:
        for alert in alerts:
            fired.setdefault(dict(alert)["alertname"], minute)
    return Outcome(shape, fired, tuple(notified(firing, routes)))


def _history(shape: Shape, rules: Mapping[str, str]) -> list[tuple[float, frozenset[Alert]]]:
    moments = [float(s) for s in range(shape.evaluate, int(shape.minutes * 60) + 1, shape.evaluate)]
    case = {
        "rule_files": list(rules),
        "evaluation_interval": _interval(rules),
        "tests": [
            {
                "interval": f"{shape.step}s",
                "input_series": [
                    {"series": selector, "values": _spelled(values)} for selector, values in World(shape).series()
                ],
                "promql_expr_test": [
                    {
                        "expr": WATCHED,
                        "eval_time": durations.text(moment),
                        "exp_samples": [{"labels": "never", "value": 0}],
                    }
                    for moment in moments
                ],
            }
        ],
    }
    with tempfile.TemporaryDirectory(prefix="tachograph-quiet-") as directory:
        for name, text in rules.items():
            (Path(directory) / name).write_text(text, "utf-8")
        (Path(directory) / "shape.yaml").write_text(json.dumps(case), "utf-8")  # JSON is YAML
        done = subprocess.run(
            [tools.find("promtool"), "test", "rules", "shape.yaml"],
            capture_output=True,
            text=True,
            check=False,
            cwd=directory,
        )
    said = done.stdout + done.stderr
    found = {
        durations.seconds(match[1]): frozenset(
            tuple(sorted(pair for pair in _LABEL.findall(sample) if pair[0] != "__name__"))
            for sample in _SAMPLE.findall(match[2])
        )
        for match in _BLOCK.finditer(said)
    }
    if len(found) != len(moments):
        raise RulesError(f"promtool refuses the rules: {said.strip()[:2000]}", do="Correct the rule files.")
    return [(moment / 60, found[moment]) for moment in moments]


def _interval(rules: Mapping[str, str]) -> str:
    """How often the groups are evaluated: promtool has one interval for all, and counts in the rules depend on it."""
    found = {interval for text in rules.values() for interval in _INTERVAL.findall(text)}
    return found.pop() if len(found) == 1 else EVALUATION_INTERVAL


def _spelled(values: Sequence[float | None]) -> str:
    """promtool's notation, with runs of the same growth as one item.

    A growth such as 0.8 is no run: added up by promtool it ends a little above the next value that is written out, and
    a counter that falls was reset.
    """
    items, index = [], 0
    while index < len(values):
        value = values[index]
        if value is None or math.isnan(value):
            items.append("_" if value is None else "stale")
            index += 1
            continue
        after, growth = index + 1, 0.0
        if after < len(values) and (following := values[after]) is not None and not math.isnan(following):
            growth = following - value
            whole = growth * 1024 % 1 == 0
            while whole and after < len(values) and (got := values[after]) is not None and not math.isnan(got):
                if abs(got - (value + growth * (after - index))) > 1e-9:
                    break
                after += 1
        repeats = after - index - 1
        if repeats > 1:
            items.append(f"{value:.12g}{'-' if growth < 0 else '+'}{abs(growth):.12g}x{repeats}")
        else:
            after = index + 1
            items.append(f"{value:.12g}")
        index = after
    return " ".join(items)


# -- what Alertmanager makes of it


def notified(firing: Sequence[tuple[float, frozenset[Alert]]], routes: Mapping[str, Any]) -> list[Notified]:
    """What opens: when, to whom, and which alerts are in it.

    Args:
        firing: Minute and the alerts that fire in it.
        routes: Alertmanager's configuration, as exported.
    """
    found: list[Notified] = []
    waiting: dict[tuple[str, Alert], float] = {}
    open_groups: set[tuple[str, Alert]] = set()
    group_by = routes["route"]["group_by"]
    for minute, alerts in firing:
        loud = [alert for alert in alerts if not is_inhibited(alert, alerts, routes["inhibit_rules"])]
        groups: dict[tuple[str, Alert], list[str]] = {}
        for alert in loud:
            labels = dict(alert)
            receiver = {"critical": "page", "warning": "ticket"}.get(labels["severity"], "note")
            key = (receiver, tuple((name, labels.get(name, "")) for name in group_by))
            groups.setdefault(key, []).append(labels["alertname"])
        for key, names in groups.items():
            if key in open_groups:
                continue
            since = waiting.setdefault(key, minute)
            if (minute - since) * 60 >= GROUP_WAIT:
                open_groups.add(key)
                found.append(Notified(minute, key[0], tuple(sorted(set(names)))))
        waiting = {key: since for key, since in waiting.items() if key in groups and key not in open_groups}
        ended = {key for key in open_groups if not _still(key, alerts, group_by)}
        open_groups -= ended
    return found


def _still(key: tuple[str, Alert], alerts: frozenset[Alert], group_by: Sequence[str]) -> bool:
    """Whether any alert of the group fires, inhibited or not: Alertmanager resolves what no longer fires."""
    severity = {"page": "critical", "ticket": "warning"}.get(key[0])
    for alert in alerts:
        labels = dict(alert)
        same = tuple((name, labels.get(name, "")) for name in group_by) == key[1]
        if same and (labels["severity"] == severity or severity is None):
            return True
    return False


def is_inhibited(alert: Alert, alerts: frozenset[Alert], rules: Sequence[Mapping[str, Any]]) -> bool:
    """Whether one of the alerts keeps this one silent."""
    labels = dict(alert)
    for rule in rules:
        if not _matches(rule["target_matchers"], labels):
            continue
        for other in alerts:
            source = dict(other)
            if other == alert or not _matches(rule["source_matchers"], source):
                continue
            if all(source.get(name, "") == labels.get(name, "") for name in rule.get("equal", [])):
                return True
    return False


_MATCHER: Final = re.compile(r'^(\w+)(=~|!~|!=|=)"(.*)"$')


def _matches(matchers: Sequence[str], labels: Mapping[str, str]) -> bool:
    for matcher in matchers:
        found = _MATCHER.match(matcher)
        assert found is not None, matcher
        name, sign, wanted = found.groups()
        value = labels.get(name, "")
        hit = re.fullmatch(wanted, value) is not None if "~" in sign else value == wanted
        if hit is ("!" in sign):
            return False
    return True
