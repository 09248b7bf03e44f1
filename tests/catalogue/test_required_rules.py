"""The contract's five rules: verbatim in the export, and firing with exactly these labels and annotations."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tachograph.catalogue.rules import RuleGroup

CONTRACT = {
    "llm_providers": [
        (
            "HighProviderErrorRate",
            "rate(llm_provider_errors_total[5m]) > 0.1",
            "2m",
            "Provider {{ $labels.provider }} error rate: {{ $value | humanize }}/sec",
        ),
        (
            "ExcessiveTokenUsage",
            "rate(llm_provider_tokens_total[5m]) > 50000",
            "5m",
            "Token consumption spike: {{ $value | humanize }} tokens/sec",
        ),
        (
            "HighProviderCost",
            "rate(llm_provider_cost_usd_total[1m]) * 3600 > 100",
            "5m",
            "Estimated cost exceeds $100/hour",
        ),
    ],
    "mcp_tools": [
        (
            "HighMCPToolErrorRate",
            "rate(mcp_tool_errors_total[5m]) > 0.05",
            "2m",
            "MCP tool {{ $labels.tool_name }} error rate high",
        ),
        (
            "SlowToolExecution",
            "histogram_quantile(0.95, rate(mcp_tool_execute_seconds_bucket[5m])) > 10",
            "5m",
            "Tool execution p95 > 10s",
        ),
    ],
}
BASE = "http://127.0.0.1:9465/#/alerts?alert="
TARGET = {"job": "tachograph", "instance": "app:9464"}


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    every = ",".join(f'{key}="{value}"' for key, value in {**labels, **TARGET}.items())
    return {"series": f"{name}{{{every}}}", "values": values}


def case(
    alert: str,
    inputs: list[dict[str, str]],
    quiet: str,
    firing: str,
    resolved: str,
    labels: dict[str, str],
    summary: str,
    description: str,
    **more: str,
) -> dict[str, object]:
    expected = {
        "exp_labels": {**labels, **TARGET},
        "exp_annotations": {"summary": summary, "description": description, "runbook_url": BASE + alert, **more},
    }
    return {
        "name": alert,
        "interval": "15s",
        "input_series": inputs,
        "alert_rule_test": [
            {"eval_time": quiet, "alertname": alert, "exp_alerts": []},
            {"eval_time": firing, "alertname": alert, "exp_alerts": [expected]},
            {"eval_time": resolved, "alertname": alert, "exp_alerts": []},
        ],
    }


GPT = {"provider": "openai", "model": "gpt-5"}
WEATHER = {"server_id": "weather", "tool_name": "forecast"}

CASES = [
    case(
        "HighProviderErrorRate",
        # quiet for 10m, then 0.2 a second for 10m, then quiet
        [series("llm_provider_errors_total", "0x40 3+3x39 120x80", **GPT, error_type="server_error")],
        "10m",
        "16m",
        "30m",
        {**GPT, "error_type": "server_error", "severity": "warning", "component": "llm_provider"},
        "Provider openai error rate: 200m/sec",
        "0.20 server_error errors/s from openai/gpt-5 on app:9464 over the last 5 min, above 0.1/s for 2 min.",
        title="openai: 0.20 errors/s",
        vendor_status="https://status.openai.com",
    ),
    case(
        "ExcessiveTokenUsage",
        # 1 000 tokens a second, then 60 000
        [series("llm_provider_tokens_total", "0+15000x40 1500000+900000x79 72600000x80", **GPT, type="prompt")],
        "10m",
        "25m",
        "45m",
        {**GPT, "type": "prompt", "severity": "warning", "component": "llm_provider"},
        "Token consumption spike: 60k tokens/sec",
        "openai/gpt-5 on app:9464 uses 60000 prompt tokens per second (times 60 for a TPM limit).",
        title="openai: 60000 tokens/s",
    ),
    case(
        "HighProviderCost",
        # nothing, then 180 dollars an hour
        [series("llm_provider_cost_usd_total", "0x40 0.75+0.75x79 60x80", **GPT)],
        "10m",
        "25m",
        "35m",
        {**GPT, "severity": "warning", "component": "llm_provider"},
        "Estimated cost exceeds $100/hour",
        "openai/gpt-5 spends $180.00/hour by its 1 min rate; this is one model on app:9464 only.",
    ),
    case(
        "HighMCPToolErrorRate",
        [series("mcp_tool_errors_total", "0x40 3+3x39 120x80", **WEATHER, error_kind="timeout")],
        "10m",
        "16m",
        "30m",
        {**WEATHER, "error_kind": "timeout", "severity": "warning", "component": "mcp"},
        "MCP tool forecast error rate high",
        "0.20 timeout errors/s from tool forecast of weather on app:9464 over the last 5 min.",
    ),
    case(
        "SlowToolExecution",
        # one call a second: in half a second, then in 10 to 30 seconds
        [
            series(
                "mcp_tool_execute_seconds_bucket", "0+15x40 600x79 615+15x80", **WEATHER, outcome="success", le="10"
            ),
            series("mcp_tool_execute_seconds_bucket", "0+15x200", **WEATHER, outcome="success", le="30"),
            series("mcp_tool_execute_seconds_bucket", "0+15x200", **WEATHER, outcome="success", le="+Inf"),
        ],
        "10m",
        "25m",
        "45m",
        {**WEATHER, "outcome": "success", "severity": "warning", "component": "mcp"},
        "Tool execution p95 > 10s",
        "p95 of success executions of forecast on weather is 29 s "
        "(30 s stands for 30 s or more: it is the highest bucket).",
    ),
]


def test_their_groups_carry_exactly_them(groups: list[RuleGroup]) -> None:
    found = {group.name: group for group in groups if group.name in CONTRACT}
    assert list(found) == list(CONTRACT)
    for name, group in found.items():
        assert group.interval == "30s"
        assert [(a.name, a.expression, a.hold, a.summary) for a in group.alerts] == CONTRACT[name]
        assert len(group.rules) == len(group.alerts)


def test_they_stand_alone_in_their_file() -> None:
    text = (Path(__file__).parent.parent / "goldens/prometheus/rules/tachograph-required.yaml").read_text("utf-8")
    assert [line.split(": ")[1] for line in text.splitlines() if "- alert:" in line] == [
        rule[0] for rules in CONTRACT.values() for rule in rules
    ]


@pytest.mark.parametrize("one", CASES, ids=lambda one: one["name"])
def test_it_fires_with_these_labels_and_annotations(one: dict[str, object], tmp_path: Path, promtool: str) -> None:
    rules = Path(__file__).parent.parent / "goldens/prometheus/rules/tachograph-required.yaml"
    path = tmp_path / "test.yaml"
    path.write_text(
        json.dumps({"rule_files": [str(rules.resolve())], "evaluation_interval": "30s", "tests": [one]}), "utf-8"
    )
    done = subprocess.run([promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
