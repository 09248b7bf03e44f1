"""Alerting and recording rules, as data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from tachograph.catalogue import durations
from tachograph.catalogue.drill import Drill

Severity = Literal["critical", "warning", "info", "none"]
Component = Literal["llm_provider", "mcp", "factory", "usage", "telemetry"]

EVALUATION_INTERVAL: Final = "30s"

SHARE: Final = '{{ $value | printf "%.2g" | humanizePercentage }}'
"""An alert's value in percent, to two digits: 45%, 1.2%."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alerting rule. Several rules may share a name (burn rates over several windows).

    Attributes:
        name: `alertname`; its runbook has the same name.
        expression: PromQL; a series that comes out is an alert.
        hold: Prometheus's `for`: how long it must come out before the alert fires.
        keep: Prometheus's `keep_firing_for`: how long it goes on firing when its series is gone, so that alerts about
            its consequences, whose windows look further back, stay inhibited until they are over too.
        severity: critical pages, warning makes a ticket, info is a note, none goes to the watchdog.
        component: What it is about.
        summary: One line, with Prometheus's templates.
        description: What was seen and what it means, with templates.
        more_labels: Labels of the rule beyond severity and component.
        more_annotations: Annotations beyond summary and description.
        drill: Synthetic series that must make it fire, and how soon.
    """

    name: str
    expression: str
    hold: str
    severity: Severity
    component: Component
    summary: str
    description: str
    drill: Drill
    keep: str = "0s"
    more_labels: tuple[tuple[str, str], ...] = ()
    more_annotations: tuple[tuple[str, str], ...] = ()

    @property
    def labels(self) -> dict[str, str]:
        return {"severity": self.severity, "component": self.component, **dict(self.more_labels)}

    @property
    def annotations(self) -> dict[str, str]:
        return {"summary": self.summary, "description": self.description, **dict(self.more_annotations)}

    @property
    def hold_seconds(self) -> float:
        return durations.seconds(self.hold)

    @property
    def keep_seconds(self) -> float:
        return durations.seconds(self.keep)

    def annotated(self, **annotations: str) -> Alert:
        """The same with more annotations."""
        return replace(self, more_annotations=(*self.more_annotations, *annotations.items()))


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """One recording rule, named `level:metric:operations`."""

    name: str
    expression: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated together, one after the other."""

    name: str
    rules: tuple[Alert | RecordingRule, ...]
    interval: str = EVALUATION_INTERVAL

    @property
    def alerts(self) -> tuple[Alert, ...]:
        return tuple(rule for rule in self.rules if isinstance(rule, Alert))

    @property
    def interval_seconds(self) -> float:
        return durations.seconds(self.interval)
