"""Our rules have none of the faults that the linter has a check for, and each check finds its fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.promql_names import RECORDED, parse, result_labels, wrong_names
from support.rule_linter import lint
from tachograph import catalogue
from tachograph.catalogue.export.alertmanager import INHIBITIONS
from tachograph.catalogue.rules import Alert, RecordingRule, RuleGroup
from tachograph.settings import load

GROUPS = catalogue.rule_groups()
RULES = [alert for group in GROUPS for alert in group.alerts]
PUSHED_GROUPS = catalogue.rule_groups(load({"alerts": {"profile": "push"}}, environ={}))
PUSHED = [alert for group in PUSHED_GROUPS for alert in group.alerts]


@pytest.mark.parametrize("alert", RULES + PUSHED, ids=lambda alert: alert.name)
def test_our_rule_is_clean(alert: Alert) -> None:
    assert lint(alert) == []


def test_recordings_name_what_exists_and_their_level_is_what_comes_out() -> None:
    for group in GROUPS + PUSHED_GROUPS:
        for rule in group.rules:
            if isinstance(rule, RecordingRule):
                assert wrong_names(rule.expression) == []
                level = rule.name.split(":")[0]
                expected = {"job", *RECORDED[level]}
                assert result_labels(parse(rule.expression)) == expected


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("rate(llm_provider_errors_total[30s]) > 1", "fewer than four scrapes"),
        ("llm_provider_errors_total > 1", "is used raw"),
        ("rate(mcp_server_connections_active[5m]) > 1", "is a gauge"),
        ("delta(llm_provider_errors_total[5m]) > 1", "used raw"),
        ("histogram_quantile(0.95, rate(mcp_tool_execute_seconds_bucket[5m])) > 12", "no bucket bound"),
        ("histogram_quantile(0.95, rate(mcp_tool_execute_seconds_bucket[5m])) > 30", "top bucket"),
        ("sum(rate(llm_provider_errors_total[5m])) / sum(rate(llm_call_seconds_count[5m])) > 1", "may be zero"),
        ("rate(llm_provider_errors_total[5m])", "compares nothing"),
        ("rate(llm_provider_failures_total[5m]) > 1", "no family"),
        ('rate(llm_provider_errors_total{reason="auth"}[5m]) > 1', "no label reason"),
        ('rate(llm_provider_errors_total{error_type="authentication"}[5m]) > 1', "never 'authentication'"),
        ('rate(llm_provider_errors_total{error_type=~"auth|overloaded"}[5m]) > 1', "never matches 'overloaded'"),
        ('rate(mcp_tool_execute_seconds_bucket{le="20"}[5m]) > 1', "never '20'"),
        ("sum(rate(llm_provider_errors_total[5m])) > 1", "does not survive"),
    ],
)
def test_a_fault_is_seen(expression: str, fault: str) -> None:
    honest = next(alert for alert in RULES if alert.name == "HighProviderErrorRate")
    assert any(fault in problem for problem in lint(replace(honest, expression=expression)))


def test_a_rule_without_a_runbook_link_is_seen() -> None:
    bare = replace(RULES[0], more_annotations=())
    assert any("runbook_url" in problem for problem in lint(bare))


def test_every_alert_and_recording_name_is_unique_where_it_must_be(groups: list[RuleGroup]) -> None:
    recordings = [rule.name for group in groups for rule in group.rules if isinstance(rule, RecordingRule)]
    assert len(recordings) == len(set(recordings))
    rules = [(alert.name, tuple(sorted(alert.labels.items()))) for alert in RULES]
    assert len(rules) == len(set(rules))
    names = [group.name for group in groups]
    assert len(names) == len(set(names))
    assert all(name.startswith(("llm_", "mcp_")) for name in names), "LLMRuleEvaluationFailing looks for these"


def test_inhibitions_name_alerts_that_exist_and_labels_that_both_carry() -> None:
    carried = {alert.name: result_labels(parse(alert.expression)) | set(alert.labels) for alert in RULES + PUSHED}
    for one in INHIBITIONS:
        for name in (one.source, *one.targets):
            assert name in carried
            missing = set(one.equal) - carried[name]
            assert not missing, f"{one.source} -> {name}: equal {missing} is on one side only, and would never match"
        assert one.source not in one.targets
