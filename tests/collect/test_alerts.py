"""Calls of other senders, reported over OTLP only, fire the exported alerts in a real Prometheus."""

from __future__ import annotations

import shutil
from itertools import count

import pytest

from collect.conftest import OPENAI, Collected, event, logs, span, traces
from support.prometheus import poll
from tachograph import catalogue
from tachograph.catalogue.export.prometheus import rule_files
from tachograph.drill.stack import Intervals, Stack
from tachograph_demo.incident_drill import hasten

WANTED = frozenset(("HighProviderErrorRate", "HighMCPToolErrorRate", "LLMProviderAuthFailure"))
"""Those that a busy machine cannot miss: rates over one minute are divided too."""


@pytest.mark.skipif(
    not shutil.which("prometheus") or not (shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")),
    reason="prometheus and alertmanager are not on PATH (apt install prometheus prometheus-alertmanager)",
)
def test_foreign_calls_fire_the_exported_alerts(collected: Collected) -> None:
    """Spans of an instrumentation, of an MCP server's client, and events of a coding agent; times divided by sixty."""
    rules = {name: hasten(text, 60) for name, text in rule_files(catalogue.rule_groups()).items()}
    numbers = count(1)

    def send() -> None:
        tool = {"mcp.method.name": "tools/call", "gen_ai.tool.name": "log", "mcp.server.name": "git"}
        failed = {"status": {"code": 2, "message": "failed"}}
        collected.send(
            traces(
                span(OPENAI | {"error.type": "500"}, number=next(numbers), **failed),
                span(tool, number=next(numbers), **failed),
            )
        )
        refused = {"model": "claude-sonnet-4-5", "status_code": "401", "error": "invalid x-api-key"}
        events = [event("claude_code.api_error", refused | {"request_id": f"r{next(numbers)}"})]
        collected.send(logs(*events, service="claude-code"), "/v1/logs")

    def firing(stack: Stack) -> bool:
        send()
        return {alert.name for alert in stack.alerts() if alert.state == "firing"} >= WANTED

    address = collected.running.url.removeprefix("http://")
    intervals = Intervals(scrape=0.25, evaluation=0.5, group_wait=1, group_interval=2)
    with Stack(rules, {"tachograph-collect": address}, intervals) as stack:
        poll(lambda: firing(stack), 120, "the alerts fire")
        alerts = {alert.name: dict(alert.labels) for alert in stack.alerts()}
    assert alerts["LLMProviderAuthFailure"]["provider"] == "anthropic"
    assert alerts["HighMCPToolErrorRate"]["server_id"] == "git"
