"""Each alerting rule is quiet, fires within its time, and resolves, in Prometheus's own rule engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.exhaustive import part
from support.rules import recordings_of
from tachograph import catalogue
from tachograph.catalogue.alerts.parts import target
from tachograph.catalogue.export.prometheus import rules_text
from tachograph.catalogue.rules import Alert, RuleGroup
from tachograph.drill.rehearse import rehearse
from tachograph.settings.alerts import AlertsSettings

GROUPS = catalogue.rule_groups()
RULES = [alert for group in GROUPS for alert in group.alerts]


def name(alert: Alert) -> str:
    return "-".join([alert.name, *(value for label, value in alert.more_labels if label == "long")])


def only(alert: Alert, tmp_path: Path) -> Path:
    """A rule file with this rule and the recordings that it reads."""
    recordings = recordings_of(alert, GROUPS)
    path = tmp_path / "rules.yaml"
    path.write_text(rules_text([RuleGroup("recordings", recordings), RuleGroup("alerts", (alert,))]), "utf-8")
    return path


@pytest.mark.parametrize(
    "alert",
    part(RULES, *(alert for alert in RULES if "long" not in dict(alert.more_labels) or name(alert).endswith("-1h"))),
    ids=name,
)
def test_it_is_quiet_then_fires_in_time_then_resolves(alert: Alert, tmp_path: Path, promtool: str) -> None:
    seen = rehearse(alert, [only(alert, tmp_path)], target(AlertsSettings()))
    assert seen.problem == ""
    if not alert.drill.always:
        assert seen.quiet
        assert seen.firing is not None
        assert seen.resolved is not None
        if alert.hold_seconds >= 60 and alert.drill.step == "15s":  # longer drills look too seldom to see it pending
            assert seen.pending is not None
            assert seen.firing - seen.pending >= alert.hold_seconds * 0.9


def test_a_rule_that_never_fires_is_told_apart(tmp_path: Path, promtool: str) -> None:
    broken = next(alert for alert in RULES if alert.name == "HighProviderErrorRate")
    path = only(broken, tmp_path)
    path.write_text(path.read_text("utf-8").replace("> 0.1", "> 100000"), "utf-8")
    assert "did not fire" in rehearse(broken, [path], target(AlertsSettings())).problem


def test_a_rule_that_fires_without_trouble_is_told_apart(tmp_path: Path, promtool: str) -> None:
    broken = next(alert for alert in RULES if alert.name == "HighProviderErrorRate")
    path = only(broken, tmp_path)
    path.write_text(path.read_text("utf-8").replace("> 0.1", ">= 0"), "utf-8")
    assert "before there was trouble" in rehearse(broken, [path], target(AlertsSettings())).problem
