"""Incident: an alert from its first sign to its end, what it hits, whose fault it is by evidence, and what to do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tachograph.console.alertmanager import MAKER
from tachograph.console.api import catalogue
from tachograph.console.facts import Facts
from tachograph.console.notes import AlertNotes, Silence, notes_by_alert
from tachograph.console.promql import PromQLError
from tachograph.console.views import money, phrases
from tachograph.console.views.evidence import Evidence, evidence, fault, groups, subject
from tachograph.console.views.selection import TimeRange, filter_of, select

if TYPE_CHECKING:
    from tachograph.console.console import Console

BEFORE_SECONDS: Final = 1800.0
STEP_SECONDS: Final = 30
"""The metrics are read for an alert's history in such steps."""
_SILENT_SECONDS: Final = 60.0
"""Without a failing call for as long, the last one is worth telling."""
SPENT_SECONDS: Final = 900.0
"""At least as long is looked at for what calls cost."""
_QUERIES: Final = re.compile(r"```promql\n(.*?)```", re.DOTALL)
_LABELS: Final = ("provider", "model", "server_id", "tool_name")


def alerts(console: Console) -> list[dict[str, Any]]:
    """Every alerting rule with its state, the loudest first; silenced ones say until when."""
    notes = notes_by_alert(console.calls.notes(), time.time())
    elsewhere = console.alertmanager.silences() if console.alertmanager is not None else ()
    found = []
    for rule in console.alert_rules():
        said = notes.get(rule["name"], AlertNotes())
        silences = (*said.silences, *elsewhere)
        active = [
            {
                **one,
                "annotations": {name: phrases.plain(text) for name, text in one["annotations"].items()},
                "silenced_until": _silenced_until(silences, one["labels"]),
            }
            for one in rule["alerts"]
        ]
        active.sort(key=lambda one: one["silenced_until"] is not None)
        since = min((stamp(alert["activeAt"]) for alert in rule["alerts"]), default=None)
        is_seen = said.acknowledged_at is not None and since is not None and said.acknowledged_at >= since
        found.append(
            {
                **rule,
                "alerts": active,
                "since": since,
                "silenced_until": _rule_silenced_until(rule, active, silences),
                "silences": _told(rule, active, said.silences, elsewhere),
                "acknowledged": said.acknowledged_at if is_seen else None,
            }
        )
    order = {"firing": 0, "pending": 1}
    return sorted(
        found,
        key=lambda rule: (
            rule["labels"].get("severity") == "none", order.get(rule["state"], 2),
            {"critical": 0, "warning": 1}.get(rule["labels"].get("severity", ""), 2), rule["name"],
        ),
    )  # fmt: skip


def _known(rule: dict[str, Any]) -> dict[str, str]:
    """The labels that every alert of a rule has."""
    return {**{k: v for k, v in rule["labels"].items() if "{{" not in v}, "alertname": rule["name"]}


def _told(
    rule: dict[str, Any], active: list[dict[str, Any]], here: tuple[Silence, ...], elsewhere: tuple[Silence, ...]
) -> list[dict[str, Any]]:
    """The silences of a rule: those made here, and those of an Alertmanager that hide some of it."""
    own = {frozenset(one.matchers) for one in here}
    labels = [_known(rule), *(one["labels"] for one in active)]
    more = [
        one
        for one in elsewhere
        if any(one.hides(found) for found in labels) and not (one.by == MAKER and frozenset(one.matchers) in own)
    ]
    return [
        {"until": one.until, "where": one.where, "by": one.by, "text": one.text, "here": one.by in ("", MAKER)}
        for one in (*here, *more)
    ]


def _silenced_until(silences: Iterable[Silence], labels: dict[str, str]) -> float | None:
    return max((one.until for one in silences if one.hides(labels)), default=None)


def _rule_silenced_until(
    rule: dict[str, Any], active: list[dict[str, Any]], silences: tuple[Silence, ...]
) -> float | None:
    """Until when a rule sends nothing: all that is active is silenced, or all that may become so."""
    if not active:
        return max((one.until for one in silences if one.hides_all(_known(rule))), default=None)
    ends = [one["silenced_until"] for one in active]
    return None if None in ends else min(ends)


def stamp(text: str) -> float:
    """Seconds of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


def incident(console: Console, name: str) -> dict[str, Any] | None:
    """One alert; None when no rule has this name."""
    own = [rule for rule in alerts(console) if rule["name"] == name]
    if not own:
        return None
    # A Prometheus without our recordings has them written out; the catalogue says the same more briefly.
    says = next((one for group in console.catalogue_rules for one in group.alerts if one.name == name), None)
    rule = {**own[0], "query": says.expression} if says is not None else own[0]
    now = time.time()
    active = [alert for rule in own for alert in rule["alerts"]]
    history = _history(console, name)
    since = min((stamp(alert["activeAt"]) for alert in active), default=None)
    if since is None:
        since = max((one["from"] for one in history), default=now - BEFORE_SECONDS)
    chosen = TimeRange(since - BEFORE_SECONDS, now)
    labels = {key: sorted({a["labels"][key] for a in active if a["labels"].get(key)}) for key in _LABELS}
    fields = {key: tuple(values) for key, values in labels.items() if values}
    everything = select(console, chosen)
    found = evidence(console, rule, active, select(console, chosen, filter_of(fields)))
    about, runbook = subject(rule), catalogue.runbook(name, console.catalogue_rules)
    versions = _versions(everything.llm)
    return {
        "name": name,
        "rules": own,
        "since": since,
        "now": now,
        "active": active,
        "about": about,
        "hits": _hits(found),
        "spent": _spent(console, TimeRange(min(since, now - SPENT_SECONDS), now), fields, active)
        if about == "cost"
        else None,
        "fault": fault(found, everything, since, versions),
        "groups": groups(console, found),
        "timeline": sorted(
            _timeline(console, own, active, history, versions, chosen) + _moments(found, active, now),
            key=lambda event: event["at"],
        ),
        "history": history,
        "notes": [dict(zip(("at", "alert", "kind", "until", "text", "matchers"), note, strict=True))
                  for note in console.calls.notes(name)],
        "runbook": runbook,
        "queries": queries(console, runbook or ""),
    }  # fmt: skip


def queries(console: Console, runbook: str) -> list[dict[str, Any]]:
    """The runbook's queries with what they give now."""
    found = []
    for query in _QUERIES.findall(runbook):
        try:
            result = console.querier.instant(query.strip(), int(time.time() * 1000))
            rows = [
                {"labels": {k: v for k, v in labels if k != "__name__"}, "value": _finite(float(values[0]))}
                for labels, _, values in sorted(result.series, key=lambda one: -float(np.nan_to_num(one[2][0])))
            ]
            found.append({"query": query.strip(), "rows": rows[:10], "more": max(len(rows) - 10, 0), "error": None})
        except PromQLError as error:
            found.append({"query": query.strip(), "rows": [], "more": 0, "error": str(error)})
    return found


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") and value == value else None


def _spent(
    console: Console, chosen: TimeRange, fields: dict[str, tuple[str, ...]], active: list[dict[str, Any]]
) -> dict[str, Any]:
    """What calls cost in a range, who spends it, of which budget, and why it is not what the period before cost."""
    named = {alert["labels"]["budget"] for alert in active if "budget" in alert["labels"]}
    here, before = (select(console, one, filter_of(fields)) for one in (chosen, chosen.before))
    return {
        "usd": here.llm.cost(),
        "tokens": [one.llm.total("input") + one.llm.total("output") for one in (here, before)],
        "seconds": chosen.end - chosen.start,
        "by": {
            name: money.spenders(here.llm, name)[:5] for name in ("provider", "model", "service", "agent", "user_id")
        },
        "why": money.why(here, before),
        "waste": [row for row in money.waste(console, here) if row["usd"]],
        "budgets": [
            one for one in money.budgets(console, chosen.end) if named & {one["name"], one["name"].split(" (")[0]}
        ]
        if named
        else [],
    }


def _hits(found: Evidence) -> dict[str, Any]:
    """How many calls show it, of whom, and why none does."""

    def counted(name: str) -> list[dict[str, Any]]:
        groups, index = found.hit.group((name,))
        sums = np.bincount(index, found.hit.weight, len(groups))
        pairs = [(int(n), g[name]) for g, n in zip(groups, sums, strict=True) if g[name] and n]
        return [{"value": value, "calls": n} for n, value in sorted(pairs, reverse=True)[:10]]

    names = ("provider", "model", "server_id", "tool_name", "service", "agent", "app_version", "error")
    return {
        "shows": found.shows,
        "verb": found.verb,
        "calls": found.calls.count,
        "hit": found.hit.count,
        "none": "" if found.hit.count else found.none,
        "by": {name: counted(name) for name in names},
    }


def _versions(facts: Facts) -> dict[str, float]:
    """When each version of the application was first seen in the range."""
    groups, index = facts.group(("app_version",))
    return {
        g["app_version"]: float(facts.numbers["time"][index == n].min())
        for n, g in enumerate(groups)
        if g["app_version"] and (index == n).any()
    }


def _timeline(
    console: Console, rules: list[dict[str, Any]], active: list[dict[str, Any]], history: list[dict[str, Any]],
    versions: dict[str, float], chosen: TimeRange,
) -> list[dict[str, Any]]:  # fmt: skip
    """What happened to the alert, the application and its processes.

    A text has {until} for the time `until`, which the reader's clock writes.
    """
    found: list[dict[str, Any]] = []
    for alert in active:
        about = " ".join(f"{k}={v}" for k, v in alert["labels"].items() if k in _LABELS)
        began = stamp(alert["activeAt"])
        found.append({"at": began, "kind": "pending", "text": f"Condition met {about}".strip()})
        if alert["state"] == "firing":
            hold = min(rule["duration"] for rule in rules)
            own = [one.fired for one in console.rules.firings(rules[0]["name"]) if one.labels == alert["labels"]]
            found.append({"at": max([began + hold, *own]), "kind": "firing", "text": f"Firing {about}".strip()})
        if alert.get("keepFiringSince"):
            over = stamp(alert["keepFiringSince"])
            kept = max(rule.get("keepFiringFor", 0.0) for rule in rules)
            found.append({"at": over, "kind": "kept", "text": f"Condition over {about}".strip()})
            found.append({"at": over + kept, "kind": "due", "text": f"Resolves then, unless it is met again {about}"})
    fired = [event["at"] for event in found if event["kind"] == "firing"]
    for one in history:
        if one["from"] >= chosen.start and not any(abs(one["from"] - at) < 3 * STEP_SECONDS for at in fired):
            found.append({"at": one["from"], "kind": "firing", "text": "Fired"})
        if one["to"] is not None and one["to"] >= chosen.start:
            found.append({"at": one["to"], "kind": "resolved", "text": "Resolved"})
    if len(versions) > 1:
        found += [
            {"at": at, "kind": "deploy", "text": f"Version {version} first seen"} for version, at in versions.items()
        ]
    found += [
        {"at": at, "kind": "restart", "text": f"{instance} started"} for at, instance in _restarts(console, chosen)
    ]
    for at, _, kind, until, text, where in console.calls.notes(rules[0]["name"]):
        if at >= chosen.start:
            ended = until <= at + 1  # one of no length
            silenced = "Silence ended" if ended else "Silenced until {until}"
            said = "Acknowledged" if kind == "acknowledge" else f"{silenced}{' where ' + where if where else ''}"
            found.append({"at": at, "kind": kind, "until": until, "text": f"{said}{': ' + text if text else ''}"})
    return found


def _moments(found: Evidence, active: list[dict[str, Any]], now: float) -> list[dict[str, Any]]:
    """When the first of the calls began, and the last where the trouble is over: exact, by the calls."""
    calls = found.calls if found.shows == "stopped" else found.hit
    if not len(calls):
        return []
    first, last = (float(at) for at in (calls.numbers["time"].min(), calls.numbers["time"].max()))
    if found.shows == "stopped":
        return [{"at": last, "kind": "last", "text": "Last call"}]
    events = [{"at": first, "kind": "first", "text": f"First of the calls that {found.verb}"}]
    if last > first and (not active or now - last > _SILENT_SECONDS):
        events.append({"at": last, "kind": "last", "text": f"Last of the calls that {found.verb}"})
    return events


def _restarts(console: Console, chosen: TimeRange) -> list[tuple[float, str]]:
    try:
        result = console.querier.range(
            "process_start_time_seconds and on (job, instance) tachograph_build_info",
            int(chosen.start * 1000),
            int(chosen.end * 1000),
            30_000,
        )
    except PromQLError:
        return []
    found = []
    for labels, _, values in result.series:
        starts = sorted({float(v) for v in values if chosen.start <= float(v) <= chosen.end})
        instance = dict(labels).get("instance", "a process")
        found += [(at, "The application" if instance == "in-process" else instance) for at in starts]
    return found


def _history(console: Console, name: str) -> list[dict[str, Any]]:
    """Earlier and present firings, as far back as the metrics go, the newest first.

    `exact` says that this console evaluated the rule and remembers the moments; else they are read in steps.
    """
    now = time.time()
    start = now - console.store.retention_ms / 1000
    found: list[dict[str, Any]] = []
    try:
        asked = f'max by (alertname) (ALERTS{{alertname={json.dumps(name)},alertstate="firing"}})'
        result = console.querier.range(asked, int(start * 1000), int(now * 1000), STEP_SECONDS * 1000)
    except PromQLError:
        return []
    for _, times, values in result.series:
        begin = last = None
        for at, value in zip(times.tolist(), values.tolist(), strict=True):
            if value != value:
                continue
            if begin is None or last is None:
                begin = at
            elif at - last > 3000 * STEP_SECONDS:
                found.append({"from": begin / 1000, "to": last / 1000})
                begin = at
            last = at
        if begin is not None and last is not None:
            found.append({"from": begin / 1000, "to": None if now - last / 1000 < 3 * STEP_SECONDS else last / 1000})
    known = console.rules.firings(name)
    for one in found:
        began = [k.fired for k in known if abs(k.fired - one["from"]) < 3 * STEP_SECONDS]
        if one["to"] is None and known and all(k.resolved for k in known):
            one["to"] = now  # it resolved within the last steps
        ended = [k.resolved for k in known if k.resolved and abs(k.resolved - (one["to"] or 0)) < 3 * STEP_SECONDS]
        one["exact"] = bool(began) and (one["to"] is None or bool(ended))
        one["from"] = min(began, default=one["from"])
        one["to"] = max(ended, default=one["to"])
    return found[::-1]
