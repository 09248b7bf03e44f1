"""Alert rules: inactive, pending, firing and resolved as Prometheus has them, and the templates of their texts."""

from __future__ import annotations

import json
import math
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from support.console_rules import groups_from
from support.parts import program
from tachograph.catalogue.rules import SHARE
from tachograph.console.promql import PromQLEngine
from tachograph.console.promql.labels import labels_of
from tachograph.console.rules import Firing, Rule, Rules, SavedAlert, exponent_text, stamp
from tachograph.console.templates import expand
from tachograph.console.tsdb import TimeSeriesStore

MINUTE = 60_000
BASE = 1_700_000_000_000


class World:
    """A store, one group of rules, and a clock that steps by 30 seconds."""

    def __init__(self, *rules: dict) -> None:
        self.store = TimeSeriesStore(retention_seconds=100 * 365 * 86400)
        groups = groups_from({"group": "g", "interval": "30s", **rule} for rule in rules)
        self.rules = Rules(groups, PromQLEngine(self.store), self.store)
        self.now = BASE

    def step(self, *, seconds: int = 30, **values: float) -> list[str]:
        """Write one sample per name and evaluate; returns the states of the alerts."""
        self.now += seconds * 1000
        samples = [(labels_of({"__name__": name, "job": "j"}), value) for name, value in values.items()]
        self.store.ingest("test", self.now, samples)
        self.rules.evaluate(self.rules.groups[0], self.now)
        return [alert["state"] for alert in self.rules.alerts()]


ALERT = {
    "alert": "High",
    "expr": "x > 5",
    "for": "1m",
    "labels": {"severity": "warning"},
    "annotations": {"summary": "{{ $labels.job }} at {{ $value | humanize }}"},
}


def test_an_alert_is_pending_then_fires_then_resolves() -> None:
    world = World(ALERT)
    assert world.step(x=1) == []
    assert world.step(x=7) == ["pending"]
    assert world.step(x=8) == ["pending"]
    assert world.step(x=9) == ["firing"]
    shown = world.rules.alerts()[0]
    assert shown == {
        "labels": {"alertname": "High", "job": "j", "severity": "warning"},
        "annotations": {"summary": "j at 9"},
        "state": "firing",
        "activeAt": "2023-11-14T22:14:20.000Z",
        "value": "9e+00",
    }
    assert world.step(x=1) == []
    assert world.rules.groups[0].rules[0].state == "inactive"
    assert [one["name"] for one in world.rules.resolved] == ["High"]


def test_a_pending_alert_that_goes_away_starts_anew() -> None:
    world = World(ALERT)
    world.step(x=7)
    assert world.step(x=1) == []
    assert world.step(x=7) == ["pending"]
    assert world.step(x=7) == ["pending"]
    assert not world.rules.resolved


def test_without_for_it_fires_at_once() -> None:
    world = World({**ALERT, "for": "0s"})
    assert world.step(x=7) == ["firing"]


def test_keep_firing_for_holds_it_over_a_gap() -> None:
    world = World({**ALERT, "for": "0s", "keep_firing_for": "1m"})
    assert world.step(x=7) == ["firing"]
    assert world.step(x=1) == ["firing"]
    assert world.step(x=1) == ["firing"]
    assert world.step(x=1) == []


def test_alerts_are_series_with_their_state() -> None:
    world = World(ALERT)
    world.step(x=7)
    engine = PromQLEngine(world.store)
    pending = engine.instant('ALERTS{alertstate="pending"}', world.now).series
    assert [dict(labels)["alertname"] for labels, _, _ in pending] == ["High"]
    world.step(x=7)
    world.step(x=7)
    assert not engine.instant('ALERTS{alertstate="pending"}', world.now).series
    assert engine.instant('ALERTS{alertstate="firing"}', world.now).series
    since = engine.instant("ALERTS_FOR_STATE", world.now).series
    assert float(since[0][2][0]) == BASE // 1000 + 30


def test_a_recorded_series_is_there_for_the_next_rule_and_goes_stale() -> None:
    world = World(
        {"record": "job:x:double", "expr": "x * 2", "labels": {"by": "us"}},
        {"alert": "Recorded", "expr": "job:x:double > 10"},
    )
    assert world.step(x=6) == ["firing"]
    assert world.rules.alerts()[0]["labels"] == {"alertname": "Recorded", "by": "us", "job": "j"}
    assert world.step() == []


def test_a_rule_that_fails_says_so_and_the_others_go_on() -> None:
    world = World({"alert": "Broken", "expr": "x + on() {__name__=~'x|y'}"}, {**ALERT, "for": "0s"})
    assert world.step(x=7, y=8) == ["firing"]
    broken, fine = world.rules.described()[0]["rules"]
    assert broken["health"] == "err"
    assert "many-to-many" in broken["lastError"]
    assert fine["health"] == "ok"


def test_two_alerts_with_the_same_labels_are_an_error() -> None:
    world = World({**ALERT, "expr": "{__name__=~'x|y'} > 5"})
    world.step(x=7, y=8)
    assert "same labelset" in world.rules.described()[0]["rules"][0]["lastError"]


def test_groups_have_the_fields_of_prometheus() -> None:
    world = World(ALERT, {"record": "r", "expr": "x"})
    world.step(x=7)
    group = world.rules.described()[0]
    assert group.keys() == {"name", "file", "rules", "interval", "limit", "evaluationTime", "lastEvaluation"}
    alerting, recording = group["rules"]
    assert alerting.keys() == {
        "state", "name", "query", "duration", "keepFiringFor", "labels", "annotations", "alerts", "health",
        "evaluationTime", "lastEvaluation", "type",
    }  # fmt: skip
    assert recording.keys() == {
        "name", "query", "labels", "health", "evaluationTime", "lastEvaluation", "type",
    }  # fmt: skip
    assert world.rules.described("record")[0]["rules"] == [recording]
    assert world.rules.described("", ["High"])[0]["rules"] == [alerting]


def test_the_whole_of_a_group_is_described() -> None:
    alert = {**ALERT, "keep_firing_for": "1500ms", "for": "90s"}
    world = World(alert, {"record": "r", "expr": "x", "labels": {"by": "us"}}, {"record": "b", "expr": "x +"})
    assert world.rules.described()[0]["lastEvaluation"] == "0001-01-01T00:00:00Z"
    assert [rule["health"] for rule in world.rules.described()[0]["rules"]] == ["unknown"] * 3
    world.step(x=7)
    (group,) = world.rules.described()
    spent = [group.pop("evaluationTime"), *(rule.pop("evaluationTime") for rule in group["rules"])]
    assert 0 < sum(spent[1:]) <= spent[0] < 5
    at = "2023-11-14T22:13:50.000Z"
    assert group == {
        "name": "g",
        "file": "tachograph",
        "interval": 30.0,
        "limit": 0,
        "lastEvaluation": at,
        "rules": [
            {
                "state": "pending",
                "name": "High",
                "query": "x > 5",
                "duration": 90.0,
                "keepFiringFor": 1.5,
                "labels": {"severity": "warning"},
                "annotations": ALERT["annotations"],
                "alerts": [
                    {
                        "labels": {"alertname": "High", "job": "j", "severity": "warning"},
                        "annotations": {"summary": "j at 7"},
                        "state": "pending",
                        "activeAt": at,
                        "value": "7e+00",
                    }
                ],
                "health": "ok",
                "lastEvaluation": at,
                "type": "alerting",
            },
            {
                "name": "r",
                "query": "x",
                "labels": {"by": "us"},
                "health": "ok",
                "lastEvaluation": at,
                "type": "recording",
            },
            {
                "name": "b",
                "query": "x +",
                "labels": {},
                "health": "err",
                "lastError": 'invalid parameter "query": 1:1: parse error: invalid promql query',
                "lastEvaluation": at,
                "type": "recording",
            },
        ],
    }


def test_groups_and_rules_are_asked_for_by_name_and_kind() -> None:
    groups = groups_from(
        [
            {"group": "one", "alert": "A", "expr": "x"},
            {"group": "one", "record": "r", "expr": "x"},
            {"group": "two", "alert": "B", "expr": "x"},
            {"group": "three", "record": "s", "expr": "x"},
        ]
    )
    rules = Rules(groups, PromQLEngine(TimeSeriesStore()), None)

    def shown(*asked: object) -> dict[str, list[str]]:
        return {group["name"]: [rule["name"] for rule in group["rules"]] for group in rules.described(*asked)}

    assert shown() == {"one": ["A", "r"], "two": ["B"], "three": ["s"]}
    assert shown("alert") == {"one": ["A"], "two": ["B"]}
    assert shown("record") == {"one": ["r"], "three": ["s"]}
    assert shown("", ["B", "r"]) == {"one": ["r"], "two": ["B"]}
    assert shown("alert", ["B", "r"]) == {"two": ["B"]}
    assert shown("", [], ["three", "one"]) == {"one": ["A", "r"], "three": ["s"]}
    assert shown("alert", [], ["three", "two"]) == {"two": ["B"]}


def test_a_group_is_evaluated_when_its_interval_has_passed() -> None:
    world = World(ALERT, {**ALERT, "group": "slow", "interval": "1m"})
    fast, slow = world.rules.groups
    for milliseconds, due in (
        (0, [fast, slow]),
        (29_999, []),
        (30_000, [fast]),
        (59_999, [fast]),
        (60_000, [fast, slow]),
    ):
        fast.evaluated = slow.evaluated = BASE
        if not milliseconds:
            fast.evaluated = slow.evaluated = 0
        assert world.rules.due(BASE + milliseconds) == due
    before = world.rules.generation
    world.rules.evaluate_due(BASE + 60_000)
    assert (world.rules.generation - before, fast.evaluated, slow.evaluated) == (2, BASE + 60_000, BASE + 60_000)
    assert 0 < slow.rules[0].seconds <= slow.seconds


def test_an_alert_that_is_kept_firing_says_since_when_and_fires_so_long() -> None:
    world = World({**ALERT, "for": "0s", "keep_firing_for": "1m"})
    world.step(x=7)
    assert "keepFiringSince" not in world.rules.alerts()[0]
    world.step(x=1)
    assert world.rules.alerts()[0]["keepFiringSince"] == "2023-11-14T22:14:20.000Z"
    world.step(x=7)
    assert "keepFiringSince" not in world.rules.alerts()[0]
    world.step(x=1)
    world.step(x=1, seconds=59)
    assert [one["keepFiringSince"] for one in world.rules.alerts()] == ["2023-11-14T22:15:20.000Z"]
    assert world.step(x=1, seconds=1) == []


def test_an_alert_that_resolved_is_remembered_for_a_quarter_of_an_hour() -> None:
    world = World({**ALERT, "for": "0s"})
    rule = world.rules.groups[0].rules[0]
    assert world.step(x=7) == ["firing"]
    assert world.step(x=1) == []
    assert [(a.state, a.resolved_at) for a in rule.active.values()] == [("inactive", BASE + 60_000)]
    world.step(x=1, seconds=15 * 60)
    assert len(rule.active) == 1
    assert world.step(x=8) == ["firing"]  # once more, as a new one
    assert world.rules.alerts()[0]["activeAt"] == stamp(world.now)
    world.step(x=1)
    world.step(x=1, seconds=15 * 60 + 1)
    assert rule.active == {}
    assert [(one["firedAt"], one["resolvedAt"]) for one in world.rules.resolved] == [
        ("2023-11-14T22:29:50.000Z", "2023-11-14T22:30:20.000Z"),
        ("2023-11-14T22:13:50.000Z", "2023-11-14T22:14:20.000Z"),
    ]
    assert world.rules.resolved[1] == {
        "name": "High",
        "labels": {"alertname": "High", "job": "j", "severity": "warning"},
        "annotations": {"summary": "j at 7"},
        "activeAt": "2023-11-14T22:13:50.000Z",
        "firedAt": "2023-11-14T22:13:50.000Z",
        "resolvedAt": "2023-11-14T22:14:20.000Z",
        "value": "7e+00",
    }


def test_when_alerts_of_a_name_fired_and_resolved() -> None:
    world = World({**ALERT, "for": "0s"}, {**ALERT, "alert": "Other", "for": "0s"}, {"record": "High", "expr": "x"})
    world.step(x=7)
    world.step(x=1)
    world.step(x=7)
    labels = {"alertname": "High", "job": "j", "severity": "warning"}
    seconds = BASE / 1000
    assert world.rules.firings("High") == [
        Firing(labels, seconds + 90, None),
        Firing(labels, seconds + 30, seconds + 60),
    ]
    assert world.rules.firings("Low") == []


def test_alerts_live_on_in_the_next_process() -> None:
    two = [{**ALERT, "labels": {"severity": severity}} for severity in ("warning", "critical")]
    slow = {**ALERT, "alert": "Slow", "for": "5m"}
    gone = {**ALERT, "alert": "Gone", "expr": "y > 5", "for": "0s"}
    never = {**ALERT, "alert": "Never", "expr": "z"}
    world = World(*two, slow, gone, never, {"record": "r", "expr": "x"})
    for x in (7, 8, 9):
        world.step(x=x, y=6)
    world.step(x=9, y=1)
    saved = world.rules.active()

    def expected(name: str, severity: str, **more: object) -> SavedAlert:
        given = {
            "labels": {"alertname": name, "job": "j", "severity": severity},
            "annotations": {"summary": "j at 9"},
            "value": 9.0,
            "active_at": BASE + 30_000,
            "state": "firing",
            "fired_at": BASE + 90_000,
        }
        return SavedAlert(**{**given, **more})

    assert saved == {
        ("High", 0): [expected("High", "warning")],
        ("High", 1): [expected("High", "critical")],
        ("Slow", 0): [expected("Slow", "warning", state="pending", fired_at=0)],
        ("Gone", 0): [],
    }
    later = World(*two, slow, gone, never)
    later.now = world.now
    later.rules.restore({**saved, ("Removed", 0): saved["Slow", 0]}, until=world.now + 60_000)
    assert later.rules.active() == {key: alerts for key, alerts in saved.items() if alerts}
    # Without samples what fired goes on until then, and what was pending is forgotten.
    assert later.step(seconds=59) == ["firing", "firing"]
    assert later.step(x=9, seconds=0) == ["firing", "firing", "pending"]
    assert later.rules.active()["High", 0] == saved["High", 0]
    third = World(*two)
    third.now = world.now
    third.rules.restore(saved, until=world.now + 60_000)
    assert third.step(seconds=60) == []
    assert [one["firedAt"] for one in third.rules.resolved] == [stamp(BASE + 90_000)] * 2


def test_recorded_series_have_the_rule_s_name_and_labels() -> None:
    world = World(
        {"record": "r", "expr": "x", "labels": {"by": "us", "job": "ours"}}, {"record": "t", "expr": "time()"}
    )
    world.step(x=7)
    engine = PromQLEngine(world.store)
    for name, labels, value in (("r", {"by": "us", "job": "ours"}, 7.0), ("t", {}, world.now / 1000)):
        ((found, _, values),) = engine.instant(name, world.now).series
        assert (dict(found), values.tolist()) == ({"__name__": name, **labels}, [value])
    both = World({"record": "r", "expr": "{__name__=~'x|y'}", "labels": {"by": "us"}})
    both.step(x=1, y=2)
    assert both.rules.described()[0]["rules"][0]["lastError"] == (
        "vector contains metrics with the same labelset after applying rule labels"
    )


def test_labels_of_a_rule_are_templates_and_go_over_the_series_own() -> None:
    world = World({**ALERT, "for": "0s", "labels": {"job": "all", "level": "{{ $labels.job }} {{ $value }}"}})
    world.step(x=7)
    assert world.rules.alerts()[0]["labels"] == {"alertname": "High", "job": "all", "level": "j 7"}
    same = World({**ALERT, "expr": "{__name__=~'x|y'} > 5", "labels": {"alertname": "no"}})
    same.step(x=7, y=8)
    assert same.rules.described()[0]["rules"][0]["lastError"] == (
        "vector contains metrics with the same labelset after applying alert labels"
    )


def test_a_number_makes_an_alert_without_labels() -> None:
    world = World({"alert": "Always", "expr": "time() / 0"})
    assert world.step() == ["firing"]
    assert world.rules.alerts()[0]["labels"] == {"alertname": "Always"}
    assert world.rules.alerts()[0]["value"] == "+Inf"


def test_a_rule_gives_at_most_a_thousand_alerts() -> None:
    world = World({"alert": "Many", "expr": "x"})
    samples = [(labels_of({"__name__": "x", "i": str(i)}), 1.0) for i in range(1001)]
    for count, error in ((1000, ""), (1001, "the expression gives 1001 alerts, the limit is 1000")):
        world.now += 30_000
        world.store.ingest("test", world.now, samples[:count])
        world.rules.evaluate(world.rules.groups[0], world.now)
        assert world.rules.groups[0].rules[0].error == error
        assert len(world.rules.alerts()) == 1000


def test_a_rule_that_does_not_apply_is_not_asked() -> None:
    groups = groups_from([{"alert": "Yes", "expr": "1"}, {"alert": "No", "expr": "1"}, {"alert": "Bad", "expr": "x +"}])
    rules = Rules(groups, PromQLEngine(TimeSeriesStore()), None, lambda rule: rule.name == "Yes")
    rules.evaluate(rules.groups[0], BASE)
    assert [(rule.name, rule.state, rule.health, rule.error) for rule in groups[0].rules] == [
        ("Yes", "firing", "ok", ""), ("No", "inactive", "ok", ""), ("Bad", "inactive", "ok", ""),
    ]  # fmt: skip


def test_a_rule_has_the_highest_state_of_its_alerts() -> None:
    world = World({**ALERT, "for": "1m"})
    rule = world.rules.groups[0].rules[0]
    world.step(x=7)
    world.step(x=7)
    (alert,) = rule.active.values()
    assert rule.state == "pending"
    for states, state in ((("pending", "firing"), "firing"), (("inactive", "pending"), "pending")):
        rule.active = {((str(i), ""),): replace(alert, state=one) for i, one in enumerate(states)}
        assert rule.state == state
    assert Rule("a", "b", alerting=True) == Rule("a", "b", True, 0, 0, {}, {}, False, {}, "unknown", "", 0, 0.0)


def test_a_time_is_written_as_go_does() -> None:
    assert [stamp(milliseconds) for milliseconds in (0, 1, BASE + 5)] == [
        "0001-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z", "2023-11-14T22:13:20.005Z",
    ]  # fmt: skip


TEMPLATES = (
    "{{ $value }}",
    "{{ $value | humanize }}",
    "{{ $value | humanize1024 }}",
    "{{ $value | humanizePercentage }}",
    SHARE,
    "{{ $value | humanizeDuration }}",
    '{{ printf "%.2f" $value }} and {{ $value | printf "%g" }}',
    "{{ $labels.job }}/{{ $labels.nothing }}/{{ .Labels.job }}",
    "{{ if gt $value 10.0 }}much{{ else if gt $value 1.0 }}some{{ else }}little{{ end }}",
    '{{ if and (eq $labels.job "j") (lt $value 0.5) }}a{{- else -}} b {{ end }}!',
    '{{ $labels.job | toUpper }} {{ reReplaceAll "(.)" "<$1>" $labels.job }} {{ match "j" $labels.job }}',
    "plain text, no template",
)
VALUES = (0.0, 1.0, 0.05, 12.3456, 1234567.891, 1e-5, 93784.5, 3600.0, 59.99, 0.999, 1e18, -7200.25, 1e6)


def test_templates_give_what_prometheus_gives(tmp_path: Path) -> None:
    promtool = program("promtool")
    rules = [
        {
            "alert": f"A{i}",
            "expr": f"x{i}",
            "annotations": {f"t{n}": template for n, template in enumerate(TEMPLATES)},
        }
        for i in range(len(VALUES))
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": f'x{i}{{job="j"}}', "values": f"{value!r}x5"}],
            "alert_rule_test": [
                {
                    "eval_time": "2m",
                    "alertname": f"A{i}",
                    "exp_alerts": [
                        {
                            "exp_labels": {"job": "j"},
                            "exp_annotations": {
                                f"t{n}": expand(template, {"job": "j"}, value) for n, template in enumerate(TEMPLATES)
                            },
                        }
                    ],
                }
            ],
        }
        for i, value in enumerate(VALUES)
    ]
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": tests}))
    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "test.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("template", ["{{ query `up` }}", "{{ $nope }}", "{{ if true }}x", "{{ range $x }}{{ end }}"])
def test_a_template_that_cannot_be_expanded_says_so_in_its_place(template: str) -> None:
    assert expand(template, {}, 1.0).startswith("<error expanding template: ")


def test_values_are_written_with_an_exponent() -> None:
    values = (1.0, 0.05, 12345.6, 0.0, -0.0, 100.0, -1e100, math.inf, -math.inf, math.nan)
    assert [exponent_text(value) for value in values] == [
        "1e+00", "5e-02", "1.23456e+04", "0e+00", "-0e+00", "1e+02", "-1e+100", "+Inf", "-Inf", "NaN",
    ]  # fmt: skip


def test_the_catalogue_s_rules_all_evaluate() -> None:
    from tachograph.console.api.catalogue import rule_groups

    store = TimeSeriesStore()
    rules = Rules(rule_groups(), PromQLEngine(store), store)
    for group in rules.groups:
        rules.evaluate(group, BASE)
    errors = [(r["name"], r["lastError"]) for g in rules.described() for r in g["rules"] if r["health"] != "ok"]
    assert not errors
