"""From a counter on /metrics to a page: real scrape, real rules, real routes; all times divided by sixty."""

from __future__ import annotations

import shutil

import pytest

from support.prometheus import poll
from tachograph import catalogue
from tachograph.catalogue.export.prometheus import rule_files
from tachograph.drill.receiver import ReceivedNotification
from tachograph.drill.stack import Intervals, Stack
from tachograph.llm.metrics.families import ERRORS, REQUEST_SECONDS
from tachograph.settings import load
from tachograph.signals.http import MetricsServer
from tachograph.signals.otlp import Otlp
from tachograph.signals.registry import Metrics
from tachograph_demo.incident_drill import hasten

SPEED = 60.0

needs_both = pytest.mark.skipif(
    not shutil.which("prometheus") or not (shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")),
    reason="prometheus and alertmanager are not on PATH (apt install prometheus prometheus-alertmanager)",
)


@needs_both
def test_a_revoked_key_pages_once_and_the_page_is_taken_back() -> None:
    rules = {name: hasten(text, SPEED) for name, text in rule_files(catalogue.rule_groups()).items()}
    metrics = Metrics((REQUEST_SECONDS, ERRORS))
    refused = metrics.cell(ERRORS, "openai", "gpt-5", "auth")
    server = MetricsServer(lambda: metrics, 0)
    intervals = Intervals(scrape=0.25, evaluation=0.5, group_wait=1, group_interval=2)
    try:
        address = server.url.split("//")[1].split("/")[0]
        with Stack(rules, {"tachograph": address}, intervals) as stack:

            def pages(status: str) -> list[ReceivedNotification]:
                return [n for n in stack.receiver.notifications if n.receiver == "page" and n.status == status]

            poll(lambda: stack.get("query", query="llm_provider_errors_total == 0")["result"], 60, "a scrape")
            refused.add(5)
            poll(lambda: is_firing(stack, "LLMProviderAuthFailure"), 60, "the alert fires")
            poll(lambda: pages("firing"), 60, "the page")
            poll(lambda: pages("resolved"), 120, "the page is taken back")
            sent = [one for one in stack.receiver.notifications if one.receiver == "page"]
    finally:
        server.close()
    assert [one.status for one in sent] == ["firing", "resolved"]
    assert {name for one in sent for name, _ in one.alerts} == {"LLMProviderAuthFailure"}


@needs_both
def test_a_revoked_key_pages_over_otlp_too(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({"alerts": {"profile": "push", "push_interval": 60}}, environ={})
    rules = {name: hasten(text, SPEED) for name, text in rule_files(catalogue.rule_groups(settings)).items()}
    metrics = Metrics((REQUEST_SECONDS, ERRORS))
    refused = metrics.cell(ERRORS, "openai", "gpt-5", "auth")
    failures: list[BaseException] = []
    intervals = Intervals(scrape=1, evaluation=0.5, group_wait=1, group_interval=2)
    with Stack(rules, {}, intervals, pushed=True) as stack:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", stack.otlp_url)
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", str(round(60_000 / SPEED)))
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")  # ours stay cumulative
        push = Otlp(metrics, failures.append)
        push.attach()
        try:
            found = poll(lambda: stack.get("query", query="llm_provider_errors_total == 0")["result"], 60, "a push")
            assert found[0]["metric"]["job"] == "shop"
            refused.add(5)
            poll(lambda: is_firing(stack, "LLMProviderAuthFailure"), 60, "the alert fires")
            pages = poll(lambda: [n for n in stack.receiver.notifications if n.receiver == "page"], 60, "the page")
        finally:
            push.close()
    assert failures == []
    assert {name for one in pages for name, _ in one.alerts} == {"LLMProviderAuthFailure"}


def is_firing(stack: Stack, name: str) -> bool:
    return any(alert.name == name and alert.state == "firing" for alert in stack.alerts())
