"""Thresholds come from settings, and those that no histogram could answer are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tachograph import catalogue
from tachograph.catalogue.alerts.parts import percent
from tachograph.errors import SettingsError
from tachograph.settings import load


def expression(name: str, **alerts: object) -> str:
    groups = catalogue.rule_groups(load({"alerts": alerts}, environ={}))
    return next(alert.expression for group in groups for alert in group.alerts if alert.name == name)


def test_a_threshold_of_the_settings_goes_into_the_rule() -> None:
    assert (
        expression("HighProviderErrorRate", provider_errors_per_second=2) == "rate(llm_provider_errors_total[5m]) > 2"
    )
    assert "> 250" in expression("LLMCostTotalHigh", cost_usd_per_hour=250)
    assert "(14.4 * 0.001)" in expression("LLMProviderErrorBudgetBurn", availability_objective=0.999)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [("latency_seconds", 20, "30, 60"), ("latency_seconds", 120, "30, 60"), ("tool_seconds", 30, "5, 10")],
)
def test_a_threshold_that_is_no_bucket_bound_is_refused_with_those_that_are(
    field: str, value: float, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        catalogue.rule_groups(load({"alerts": {field: value}}, environ={}))
    assert field in str(caught.value)
    assert allowed in str(caught.value)


def test_an_objective_that_could_never_burn_is_refused() -> None:
    with pytest.raises(SettingsError, match="availability_objective"):
        load({"alerts": {"availability_objective": 0.5}}, environ={})


def test_several_jobs_become_one_matcher() -> None:
    assert expression("LLMMonitorTargetDown", job="api|worker") == 'up{job=~"api|worker"} == 0'


def test_the_dashboard_is_linked_when_its_address_is_known() -> None:
    groups = catalogue.rule_groups(load({"alerts": {"dashboard_url": "https://grafana.example/"}}, environ={}))
    links = {alert.name: alert.annotations["dashboard_url"] for group in groups for alert in group.alerts}
    assert links["LLMProviderDown"] == "https://grafana.example/d/tachograph-llm-provider"
    assert links["MCPToolTimeouts"] == "https://grafana.example/d/tachograph-mcp-tools"


def test_rulers_that_do_not_know_keep_firing_for_can_be_spared_it() -> None:
    from tachograph.catalogue.export.prometheus import rules_text

    assert "keep_firing_for" in rules_text(catalogue.rule_groups())
    assert "keep_firing_for" not in rules_text(
        catalogue.rule_groups(load({"alerts": {"keep_firing": False}}, environ={}))
    )


def test_importing_the_catalogue_loads_nothing_heavy() -> None:
    code = (
        "import sys, tachograph.catalogue as c; c.rule_groups(); c.dashboards()\n"
        "print([m for m in ('numpy','promql_parser','yaml','starlette','openai','mcp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("profile", ["scrape", "push"])
def test_each_alert_says_how_bad_it_is_and_where(profile: str) -> None:
    groups = catalogue.rule_groups(load({"alerts": {"profile": profile}}, environ={}))
    found = [alert for group in groups for alert in group.alerts if not alert.name.endswith("Watchdog")]
    assert {alert.severity for alert in found} <= {"info", "warning", "critical"}
    assert all(alert.component and alert.summary and alert.hold[-1] in "smhd" for alert in found)


def test_shares_are_written_as_percent() -> None:
    assert [percent(share) for share in (0.995, 0.29, 0.05, 1, 0.0001)] == ["99.5%", "29%", "5%", "100%", "0.01%"]
