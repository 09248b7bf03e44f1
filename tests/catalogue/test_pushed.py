"""Rules for metrics that are pushed over OTLP: no `up`, no staleness markers, 60 s between two samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from support.exhaustive import part
from support.rules import recordings_of
from tachograph import catalogue
from tachograph.catalogue.alerts.parts import target
from tachograph.catalogue.drill import Drill, Gauge
from tachograph.catalogue.export.files import files
from tachograph.catalogue.export.prometheus import rules_text
from tachograph.catalogue.rules import Alert, RuleGroup
from tachograph.drill.rehearse import rehearse
from tachograph.errors import SettingsError
from tachograph.settings import Settings, load
from tachograph.settings.alerts import AlertsSettings

PUSHED = catalogue.resolved(load({"alerts": {"profile": "push", "push_interval": 60}}, environ={}))
GROUPS = catalogue.rule_groups(PUSHED)
SCRAPED = {
    (alert.name, alert.more_labels): alert for group in catalogue.rule_groups(Settings()) for alert in group.alerts
}


def name(alert: Alert) -> str:
    return "-".join([alert.name, *(value for label, value in alert.more_labels if label == "long")])


def is_as_scraped(alert: Alert) -> bool:
    """Whether its drill would be the same: scraped no more often than every minute, by the same rules."""
    other = SCRAPED.get((alert.name, alert.more_labels))
    if other is None or (other.expression, other.drill.step) != (alert.expression, alert.drill.step):
        return False
    scraped = {rule.name: rule for rule in recordings_of(other, catalogue.rule_groups(Settings()))}
    return all(scraped.get(rule.name) == rule for rule in recordings_of(alert, GROUPS))


RULES = [alert for group in GROUPS for alert in group.alerts if not is_as_scraped(alert)]


def rule_file(alert: Alert, tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    groups = [RuleGroup("recordings", recordings_of(alert, GROUPS)), RuleGroup("alerts", (alert,))]
    path.write_text(rules_text(groups), "utf-8")
    return path


def named(alert: str) -> Alert:
    return next(rule for group in GROUPS for rule in group.alerts if rule.name == alert)


@pytest.mark.parametrize("alert", part(RULES, *RULES[::3]), ids=name)
def test_it_is_quiet_then_fires_in_time_then_resolves(alert: Alert, tmp_path: Path, promtool: str) -> None:
    assert rehearse(alert, [rule_file(alert, tmp_path)], target(AlertsSettings())).problem == ""


def test_no_rule_reads_what_only_a_scrape_brings() -> None:
    text = rules_text(GROUPS)
    assert "up{" not in text
    assert "scrape_samples" not in text


def test_no_window_is_shorter_than_three_pushes() -> None:
    cost = named("HighProviderCost").expression
    assert cost == "rate(llm_provider_cost_usd_total[3m]) * 3600 > 100"
    often = load({"alerts": {"profile": "push", "push_interval": 15}}, environ={})
    groups = catalogue.rule_groups(often)
    cost = next(rule.expression for group in groups for rule in group.alerts if rule.name == "HighProviderCost")
    assert cost == "rate(llm_provider_cost_usd_total[1m]) * 3600 > 100"


def test_a_batch_that_ends_raises_nothing_and_a_service_does(tmp_path: Path, promtool: str) -> None:
    stopped = named("LLMMonitorPushStopped")
    batch = Drill(
        series=(Gauge("tachograph_build_info", {"version": "1"}, (1, None, None)),),
        within="20m",
        quiet="5h",
        trouble="40m",
        after="20m",
        step="1m",
        pushed=True,
    )
    from dataclasses import replace

    seen = rehearse(replace(stopped, drill=batch), [rule_file(stopped, tmp_path)], target(AlertsSettings()))
    assert seen.firing is None


def test_gauges_of_a_process_that_is_gone_are_left_out_after_two_and_a_half_minutes() -> None:
    assert "last_over_time(llm_calls_in_flight[2m30s])" in named("LLMProviderHanging").expression


@pytest.mark.parametrize(
    ("environ", "settings", "profile", "interval"),
    [
        ({}, {}, "scrape", None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, {}, "push", 60),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c", "OTEL_METRIC_EXPORT_INTERVAL": "15000"}, {}, "push", 15),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_METRICS_EXPORTER": "none"}, {}, "scrape", None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, {"metrics": {"port": 9464}}, "scrape", None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, {"otlp": {"metrics": False}}, "scrape", None),
    ],
)
def test_the_form_follows_from_the_settings(
    environ: dict[str, str],
    settings: dict[str, object],
    profile: str,
    interval: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    alerts = catalogue.resolved(load(settings, environ={})).alerts
    assert (alerts.profile, alerts.push_interval) == (profile, interval)


def test_a_push_that_is_too_seldom_for_any_rule_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "300000")
    with pytest.raises(SettingsError, match="OTEL_METRIC_EXPORT_INTERVAL"):
        catalogue.rule_groups(load({}, environ={}))


def test_the_export_scrapes_no_application_and_says_how_to_push() -> None:
    texts = files(PUSHED, only=("prometheus", "grafana"))
    text = texts["prometheus/prometheus.yml"]
    jobs = [job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]]
    assert jobs == ["prometheus"]
    assert "OTEL_METRIC_EXPORT_INTERVAL=60000" in text
    source = yaml.safe_load(texts["grafana/provisioning/datasources/tachograph.yaml"])["datasources"][0]
    assert source["jsonData"]["timeInterval"] == "60s"


def test_a_change_of_an_alert_of_the_other_form_is_no_mistake() -> None:
    change = {"LLMMonitorTargetDown": {"drop": True}}
    catalogue.rule_groups(load({"alerts": {"profile": "push", "change": change}}, environ={}))
    with pytest.raises(SettingsError, match="NoSuchAlert"):
        catalogue.rule_groups(load({"alerts": {"profile": "push", "change": {"NoSuchAlert": {}}}}, environ={}))
