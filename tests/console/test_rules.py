"""Alert rules: inactive, pending, firing and resolved as Prometheus has them, and the templates of their texts."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import pytest

from support.console_rules import groups_from
from support.parts import program
from tachograph.catalogue.rules import SHARE
from tachograph.console.promql import PromQLEngine
from tachograph.console.promql.labels import labels_of
from tachograph.console.rules import Rules, exponent_text
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
    assert [exponent_text(v) for v in (1.0, 0.05, 12345.6, 0.0, math.inf)] == [
        "1e+00", "5e-02", "1.23456e+04", "0e+00", "+Inf",
    ]  # fmt: skip


def test_the_catalogue_s_rules_all_evaluate() -> None:
    from tachograph.console.api.catalogue import rule_groups

    store = TimeSeriesStore()
    rules = Rules(rule_groups(), PromQLEngine(store), store)
    for group in rules.groups:
        rules.evaluate(group, BASE)
    errors = [(r["name"], r["lastError"]) for g in rules.described() for r in g["rules"] if r["health"] != "ok"]
    assert not errors
