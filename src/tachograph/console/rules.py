"""Evaluates alerting and recording rules, with inactive, pending and firing as Prometheus has them.

An alert's life: its series comes out of the expression -> pending (since `activeAt`) -> after `for` firing ->
the series is gone -> resolved, or, with `keep_firing_for`, firing a while longer. A pending alert whose series goes
away is forgotten. Source: https://github.com/prometheus/prometheus/blob/main/rules/alerting.go (2026-11-23).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import msgspec

from tachograph.console.promql import Labels, PromQLError
from tachograph.console.promql.labels import NAME, labels_of, without_name
from tachograph.console.promql.numerics import exponential, plain_decimal
from tachograph.console.query import Querier
from tachograph.console.templates import expand
from tachograph.console.tsdb import TimeSeriesStore

logger = logging.getLogger("tachograph.console")

RESOLVED_RETENTION = 15 * 60_000
MAX_ALERTS_PER_RULE = 1000


@dataclass(slots=True)
class Rule:
    """One rule as data; lengths in milliseconds.

    `needs_recorded`: it reads recorded series over time, and none are recorded.
    """

    name: str
    expr: str
    alerting: bool
    hold: int = 0
    keep_firing: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    needs_recorded: bool = False
    # What the last evaluation left behind.
    active: dict[Labels, ActiveAlert] = field(default_factory=dict)
    health: str = "unknown"
    error: str = ""
    evaluated: int = 0
    seconds: float = 0.0

    @property
    def state(self) -> str:
        """The highest state of its alerts: inactive, pending or firing."""
        states = {alert.state for alert in self.active.values()}
        return "firing" if "firing" in states else "pending" if "pending" in states else "inactive"


@dataclass(slots=True)
class ActiveAlert:
    """One alert of a rule; times in milliseconds, 0 when not yet.

    `restored_until`: it fired before this process started, and goes on firing until then without being seen.
    """

    labels: Labels
    annotations: dict[str, str]
    value: float
    state: str
    active_at: int
    fired_at: int = 0
    resolved_at: int = 0
    keep_firing_since: int = 0
    restored_until: int = 0


class SavedAlert(msgspec.Struct, kw_only=True):
    """An active alert of a rule, to be kept for the next start; times in milliseconds."""

    labels: dict[str, str]
    annotations: dict[str, str]
    value: float
    state: str
    active_at: int
    fired_at: int


@dataclass(slots=True)
class Firing:
    """When one alert fired and resolved, in seconds since 1970."""

    labels: dict[str, str]
    fired: float
    resolved: float | None


@dataclass(slots=True)
class Group:
    """Rules that are evaluated one after the other, every `interval` milliseconds."""

    name: str
    interval: int
    rules: list[Rule]
    evaluated: int = 0
    seconds: float = 0.0


class Rules:
    """All rule groups with their state.

    Args:
        querier: Evaluates the expressions.
        store: Takes recorded series and ALERTS, or None when a real Prometheus holds the data.
        applies: Whether a rule can give a result here; one that cannot is inactive.
    """

    def __init__(
        self,
        groups: Iterable[Group],
        querier: Querier,
        store: TimeSeriesStore | None,
        applies: Callable[[Rule], bool] = lambda rule: True,
    ) -> None:
        self.groups = list(groups)
        self._querier = querier
        self._store = store
        self._applies = applies
        self._lock = threading.RLock()
        self.resolved: deque[dict[str, Any]] = deque(maxlen=200)
        self.generation = 0

    def due(self, now: int) -> list[Group]:
        """Return the groups whose interval has passed."""
        return [group for group in self.groups if now - group.evaluated >= group.interval]

    def evaluate_due(self, now: int) -> None:
        for group in self.due(now):
            self.evaluate(group, now)

    def evaluate(self, group: Group, now: int) -> None:
        """Evaluate every rule of a group at one time."""
        began = time.perf_counter()
        for position, rule in enumerate(group.rules):
            rule_began = time.perf_counter()
            try:
                rows: list[tuple[Labels, float]] = []
                result = self._querier.instant(rule.expr, now) if self._applies(rule) else None
                if result is None:
                    pass
                elif result.kind == "scalar":
                    rows = [((), float(result.series[0][2][0]))]
                else:
                    rows = [(labels, float(values[0])) for labels, _, values in result.series]
                with self._lock:
                    samples = self._alert(rule, rows, now) if rule.alerting else self._record(rule, rows)
                rule.health, rule.error = "ok", ""
                if self._store is not None:
                    self._store.ingest(f"rule:{group.name}/{position}", now, samples, is_computed=True)
            except PromQLError as error:
                rule.health, rule.error = "err", str(error)
                logger.debug("rule %s of group %s failed: %s", rule.name, group.name, error)
            rule.evaluated, rule.seconds = now, time.perf_counter() - rule_began
        group.evaluated, group.seconds = now, time.perf_counter() - began
        self.generation += 1

    def _record(self, rule: Rule, rows: list[tuple[Labels, float]]) -> list[tuple[Labels, float]]:
        samples = [
            (labels_of({**dict(without_name(labels)), **rule.labels, NAME: rule.name}), value) for labels, value in rows
        ]
        if len({labels for labels, _ in samples}) != len(samples):
            raise PromQLError("vector contains metrics with the same labelset after applying rule labels")
        return samples

    def _alert(self, rule: Rule, rows: list[tuple[Labels, float]], now: int) -> list[tuple[Labels, float]]:
        if len(rows) > MAX_ALERTS_PER_RULE:
            raise PromQLError(f"the expression gives {len(rows)} alerts, the limit is {MAX_ALERTS_PER_RULE}")
        seen = self._true_now(rule, rows, now)
        for labels, fresh in seen.items():
            alert = rule.active.get(labels)
            if alert is not None and alert.state != "inactive":
                alert.value, alert.annotations = fresh.value, fresh.annotations
            else:
                rule.active[labels] = fresh
        samples: list[tuple[Labels, float]] = []
        for labels, alert in list(rule.active.items()):
            if labels in seen:
                alert.keep_firing_since = alert.restored_until = 0
            elif not self._keeps_firing(rule, alert, now):
                if alert.state == "pending" or (alert.resolved_at and now - alert.resolved_at > RESOLVED_RETENTION):
                    del rule.active[labels]
                if alert.state == "firing":
                    alert.state, alert.resolved_at = "inactive", now
                    self.resolved.appendleft(self._resolved(rule, alert))
                continue
            if alert.state == "pending" and now - alert.active_at >= rule.hold:
                alert.state, alert.fired_at = "firing", now
            shown = {**dict(labels), "alertstate": alert.state, NAME: "ALERTS"}
            samples.append((labels_of(shown), 1.0))
            samples.append((labels_of({**dict(labels), NAME: "ALERTS_FOR_STATE"}), alert.active_at // 1000))
        return samples

    @staticmethod
    def _true_now(rule: Rule, rows: list[tuple[Labels, float]], now: int) -> dict[Labels, ActiveAlert]:
        """The alerts that the expression gives at this moment, pending, with their labels and texts."""
        seen: dict[Labels, ActiveAlert] = {}
        for source, value in rows:
            known = dict(source)
            pairs = dict(without_name(source))
            for name, template in rule.labels.items():
                pairs[name] = expand(template, known, value)
            pairs["alertname"] = rule.name
            labels = labels_of(pairs)
            if labels in seen:
                raise PromQLError("vector contains metrics with the same labelset after applying alert labels")
            annotations = {name: expand(text, known, value) for name, text in rule.annotations.items()}
            seen[labels] = ActiveAlert(labels, annotations, value, "pending", now)
        return seen

    @staticmethod
    def _keeps_firing(rule: Rule, alert: ActiveAlert, now: int) -> bool:
        if alert.state == "firing" and now < alert.restored_until:
            return True
        if alert.state != "firing":
            return False
        if not alert.keep_firing_since:
            alert.keep_firing_since = now
        return now - alert.keep_firing_since < rule.keep_firing

    @staticmethod
    def _resolved(rule: Rule, alert: ActiveAlert) -> dict[str, Any]:
        return {
            "name": rule.name,
            "labels": dict(alert.labels),
            "annotations": alert.annotations,
            "activeAt": stamp(alert.active_at),
            "firedAt": stamp(alert.fired_at),
            "resolvedAt": stamp(alert.resolved_at),
            "value": exponent_text(alert.value),
        }

    # -- across restarts --------------------------------------------------------------------------------------

    def _keyed(self) -> Iterator[tuple[tuple[str, int], Rule]]:
        """Every alerting rule by its name and its position among those of that name."""
        count: dict[str, int] = {}
        for group in self.groups:
            for rule in group.rules:
                if rule.alerting:
                    count[rule.name] = count.get(rule.name, -1) + 1
                    yield (rule.name, count[rule.name]), rule

    def active(self) -> dict[tuple[str, int], list[SavedAlert]]:
        """Return what is pending and firing, to be kept for the next start."""
        with self._lock:
            return {
                key: [
                    SavedAlert(
                        labels=dict(alert.labels),
                        annotations=alert.annotations,
                        value=alert.value,
                        state=alert.state,
                        active_at=alert.active_at,
                        fired_at=alert.fired_at,
                    )
                    for alert in rule.active.values()
                    if alert.state != "inactive"
                ]
                for key, rule in self._keyed()
                if rule.active
            }

    def restore(self, saved: Mapping[tuple[str, int], Iterable[SavedAlert]], until: int) -> None:
        """Take over what was active before this start.

        Args:
            saved: By rule, as `active` gave it. A rule that is no more is left out.
            until: Milliseconds; until then an alert that fired goes on firing though its series is not there yet.
        """
        with self._lock:
            for key, rule in self._keyed():
                for one in saved.get(key, ()):
                    labels = labels_of(one.labels)
                    rule.active[labels] = ActiveAlert(
                        labels, one.annotations, one.value, one.state, one.active_at, one.fired_at, restored_until=until
                    )

    # -- shown ------------------------------------------------------------------------------------------------

    def alerts(self) -> list[dict[str, Any]]:
        """Return pending and firing alerts in the shape of Prometheus' API."""
        with self._lock:
            return [described for group in self.groups for rule in group.rules for described in _active(rule)]

    def firings(self, name: str) -> list[Firing]:
        """When alerts of this name began to fire and resolved, as far as this console's memory goes."""
        with self._lock:
            own = [rule for group in self.groups for rule in group.rules if rule.alerting and rule.name == name]
            found = [
                Firing(dict(alert.labels), alert.fired_at / 1000, None)
                for rule in own
                for alert in rule.active.values()
                if alert.state == "firing"
            ]
            ended = [one for one in self.resolved if one["name"] == name]
        moment = datetime.fromisoformat
        return found + [
            Firing(one["labels"], moment(one["firedAt"]).timestamp(), moment(one["resolvedAt"]).timestamp())
            for one in ended
        ]

    def described(self, kind: str = "", names: Iterable[str] = (), groups: Iterable[str] = ()) -> list[dict[str, Any]]:
        """Return the groups in the shape of Prometheus' API."""
        wanted_names, wanted_groups = set(names), set(groups)
        found = []
        with self._lock:
            for group in self.groups:
                if wanted_groups and group.name not in wanted_groups:
                    continue
                rules = [
                    _describe(rule)
                    for rule in group.rules
                    if (not wanted_names or rule.name in wanted_names)
                    and (not kind or rule.alerting == (kind == "alert"))
                ]
                if not rules and (wanted_names or kind):
                    continue
                found.append(
                    {
                        "name": group.name,
                        "file": "tachograph",
                        "rules": rules,
                        "interval": group.interval / 1000,
                        "limit": 0,
                        "evaluationTime": group.seconds,
                        "lastEvaluation": stamp(group.evaluated),
                    }
                )
        return found


def _active(rule: Rule) -> list[dict[str, Any]]:
    shown = []
    for alert in rule.active.values():
        if alert.state == "inactive":
            continue
        described = {
            "labels": dict(alert.labels),
            "annotations": alert.annotations,
            "state": alert.state,
            "activeAt": stamp(alert.active_at),
            "value": exponent_text(alert.value),
        }
        if alert.keep_firing_since:
            described["keepFiringSince"] = stamp(alert.keep_firing_since)
        shown.append(described)
    return shown


def _describe(rule: Rule) -> dict[str, Any]:
    common: dict[str, Any] = {"health": rule.health}
    if rule.error:
        common["lastError"] = rule.error
    common |= {"evaluationTime": rule.seconds, "lastEvaluation": stamp(rule.evaluated)}
    if not rule.alerting:
        return {"name": rule.name, "query": rule.expr, "labels": rule.labels, **common, "type": "recording"}
    return {
        "state": rule.state,
        "name": rule.name,
        "query": rule.expr,
        "duration": rule.hold / 1000,
        "keepFiringFor": rule.keep_firing / 1000,
        "labels": rule.labels,
        "annotations": rule.annotations,
        "alerts": _active(rule),
        **common,
        "type": "alerting",
    }


def stamp(milliseconds: int) -> str:
    """Write a time as Go does: RFC 3339, and year 1 for a time that has not come."""
    if not milliseconds:
        return "0001-01-01T00:00:00Z"
    text = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def exponent_text(value: float) -> str:
    """Write an alert's value as Prometheus does: 1 is 1e+00."""
    return exponential(value) if isfinite(value) else plain_decimal(value)
