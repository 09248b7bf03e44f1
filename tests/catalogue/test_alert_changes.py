"""A platform team changes alerts by settings alone: seen in the exported rules, in promtool and in the console."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from support.console_client import Client
from tachograph import catalogue
from tachograph.cli import main
from tachograph.console import RunningConsole, start
from tachograph.console.api import catalogue as console_catalogue
from tachograph.console.console import Console
from tachograph.errors import SettingsError
from tachograph.records import Cost, Usage
from tachograph.runtime import build
from tachograph.settings import Settings, load

CHANGES = """
[alerts]
labels = { team = "ai-platform" }

[alerts.change.LLMProviderErrorRatioHigh]
severity = "critical"
hold = "1m"
set = { error_share = 0.2 }

[alerts.change.LLMCallStuck]
drop = true

[alerts.change.HighProviderErrorRate]
labels = { pager = "none" }

[alerts.change.LLMProviderErrorBudgetBurn]
set = { availability_objective = 0.95 }
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of the file above, as every command reads them."""
    path = tmp_path / "tachograph.toml"
    path.write_text(CHANGES)
    monkeypatch.setenv("TACHOGRAPH_CONFIG", str(path))
    return load()


@pytest.fixture
def exported(settings: Settings, tmp_path: Path) -> Path:
    """The rule files that `tachograph export` writes with them."""
    assert main(["export", str(tmp_path / "out"), "--only", "prometheus"]) == 0
    return tmp_path / "out" / "prometheus" / "rules"


def rules(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.yaml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    found.setdefault(rule["alert"], []).append(rule)
    return found


def test_the_exported_rules_carry_the_changes_and_nothing_else_moves(exported: Path, promtool: str) -> None:
    changed = rules(exported)
    checked = subprocess.run(
        [promtool, "check", "rules", *map(str, sorted(exported.glob("*.yaml")))], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "LLMCallStuck" not in changed
    assert all(rule["labels"]["team"] == "ai-platform" for found in changed.values() for rule in found)
    (ratio,) = changed["LLMProviderErrorRatioHigh"]
    assert (ratio["labels"]["severity"], ratio["for"]) == ("critical", "1m")
    assert "> 0.2" in ratio["expr"]
    assert changed["HighProviderErrorRate"][0]["labels"]["pager"] == "none"
    assert len(changed["LLMProviderErrorBudgetBurn"]) == 4
    assert all("0.05" in rule["expr"] for rule in changed["LLMProviderErrorBudgetBurn"])
    plain = {alert.name: alert for group in catalogue.rule_groups() for alert in group.alerts}
    for name in set(changed) - {"LLMProviderErrorRatioHigh", "LLMProviderErrorBudgetBurn"}:
        if len(changed[name]) == 1:
            assert changed[name][0]["expr"] == plain[name].expression, name


def _errors(share: float) -> list[dict[str, str]]:
    """Two requests a second to one model, of which a share fails."""
    series = {"success": 30 * (1 - share), "error": 30 * share}
    labels = 'job="tachograph",instance="a:1",provider="openai",model="gpt-5"'
    found = [
        {"series": f'llm_provider_request_seconds_count{{{labels},outcome="{outcome}"}}', "values": f"0+{step:g}x120"}
        for outcome, step in series.items()
    ]
    return [
        *found,
        {
            "series": f'llm_provider_errors_total{{{labels},error_type="server_error"}}',
            "values": f"0+{30 * share:g}x120",
        },
    ]


@pytest.mark.parametrize(("share", "fires"), [(0.1, False), (0.4, True)])
def test_promtool_sees_the_new_threshold_grade_and_label(
    exported: Path, tmp_path: Path, promtool: str, share: float, fires: bool
) -> None:
    (rule,) = rules(exported)["LLMProviderErrorRatioHigh"]
    firing = f'sum by (severity, team) (ALERTS{{alertname="{rule["alert"]}",alertstate="firing"}})'
    expected = [{"labels": '{severity="critical", team="ai-platform"}', "value": 1}] if fires else []
    test = {
        "rule_files": [str(path) for path in sorted(exported.glob("*.yaml"))],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "15s",
                "input_series": _errors(share),
                "promql_expr_test": [{"expr": firing, "eval_time": "20m", "exp_samples": expected}],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(json.dumps(test))
    done = subprocess.run([promtool, "test", "rules", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("share", "fires"), [(0.1, False), (0.4, True)])
def test_the_console_evaluates_with_the_same_changes(settings: Settings, share: float, fires: bool) -> None:
    console = Console(rule_groups=console_catalogue.rule_groups(settings), settings=settings)
    labels = (("instance", "a:1"), ("job", "tachograph"), ("model", "gpt-5"))
    start_ms = 1_700_000_000_000
    for step in range(60):
        now = start_ms + step * 15_000
        samples = [
            ((("__name__", name), *labels, (key, value), ("provider", "openai")), step * 30 * part)
            for name, key, value, part in (
                ("llm_provider_request_seconds_count", "outcome", "success", 1 - share),
                ("llm_provider_request_seconds_count", "outcome", "error", share),
                ("llm_provider_errors_total", "error_type", "server_error", share),
            )
        ]
        console.store.ingest("test", now, [(tuple(sorted(pairs)), value) for pairs, value in samples])
        console.tick(now)
    found = {one["labels"]["alertname"]: one for one in console.rules.alerts() if one["state"] == "firing"}
    console.close()
    assert ("LLMProviderErrorRatioHigh" in found) == fires
    assert all(one["labels"]["team"] == "ai-platform" for one in found.values())
    if fires:
        assert found["LLMProviderErrorRatioHigh"]["labels"]["severity"] == "critical"
        assert found["HighProviderErrorRate"]["labels"]["pager"] == "none"


@pytest.mark.parametrize(
    ("alerts", "said"),
    [
        ({"labels": {"team name": "x"}}, "alerts.labels"),
        ({"labels": {"severity": "page"}}, "severity"),
        ({"change": {"LLMModelDown": {"labels": {"alertname": "x"}}}}, "alertname"),
        ({"change": {"LLMModelDwon": {"drop": True}}}, "there is no alert LLMModelDwon"),
        ({"change": {"LLMModelDown": {"set": {"job": 1}}}}, "job is no threshold"),
        ({"change": {"LLMModelDown": {"severity": "urgent"}}}, "alerts.change"),
    ],
)
def test_a_change_that_cannot_be_is_refused(alerts: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        catalogue.rule_groups(load({"alerts": alerts}, environ={}, read_file=False))


# -- budgets ----------------------------------------------------------------------------------------------------


def _spend(directory: Path, usd: str, **overrides: Any) -> dict[str, dict[str, Any]]:
    """One call of this cost, with these settings; returns what fires in the console two minutes later."""
    base = {"ledger": {"data_dir": str(directory)}, "pricing": {"enabled": False}}
    settings = load(base | overrides, environ={}, read_file=False)
    recorder = build(settings)
    call = recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt().end("success")
    call.usage = Usage(10, 10)
    call.cost = Cost(int(float(usd) * 1e9), "priced", "test")
    call.finish("success")
    recorder.settle()
    console = Console(rule_groups=console_catalogue.rule_groups(settings), settings=settings)
    console.watch(recorder.metrics)
    for step in range(9):
        console.tick(1_700_000_000_000 + step * 15_000)
    found = {one["labels"]["alertname"]: one for one in console.rules.alerts() if one["state"] == "firing"}
    console.close()
    assert recorder.ledger is not None
    recorder.ledger.close(20)
    return found


def test_a_budget_of_the_user_that_is_spent_fires_by_its_own_limit(tmp_path: Path) -> None:
    budgets = {"limits": [{"name": "search", "usd": "2", "period": "month", "action": "warn"}]}
    assert "LLMBudgetSpent" not in _spend(tmp_path / "a", "1.5", budgets=budgets)
    spent = _spend(tmp_path / "b", "2.25", budgets=budgets)["LLMBudgetSpent"]
    assert spent["labels"]["budget"] == "search"
    assert spent["annotations"]["summary"] == "Budget search is spent: $2.25"


def test_the_old_setting_of_a_daily_budget_is_a_budget_and_warns(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match=r"budgets\.limits"):
        fired = _spend(tmp_path, "12", alerts={"daily_budget_usd": 10})
    assert fired["LLMBudgetSpent"]["labels"] | {"budget": "daily", "period": "day"} == fired["LLMBudgetSpent"]["labels"]


def test_a_budget_named_daily_wins_over_the_old_setting() -> None:
    both = {"alerts": {"daily_budget_usd": 10}, "budgets": {"limits": [{"name": "daily", "usd": "20"}]}}
    limits = load(both, environ={}, read_file=False).budgets.limits
    assert [(one.name, one.usd) for one in limits] == [("daily", 20)]


def test_no_alert_about_budgets_has_a_limit_of_its_own() -> None:
    with pytest.warns(DeprecationWarning, match="daily_budget_usd"):
        old = catalogue.rule_groups(load({"alerts": {"daily_budget_usd": 10}}, environ={}, read_file=False))
    assert [a.expression for g in old for a in g.alerts] == [
        a.expression for g in catalogue.rule_groups() for a in g.alerts
    ]


# -- where the links lead ---------------------------------------------------------------------------------------


@contextmanager
def _served(directory: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_every_runbook_link_leads_to_the_page_that_is_exported(tmp_path: Path) -> None:
    with _served(tmp_path) as address:
        url = f"{address}/out/runbooks/{{alert}}.md"
        assert main(["export", str(tmp_path / "out"), "--runbook-url", url]) == 0
        links = {
            rule["annotations"]["runbook_url"]: name
            for name, found in rules(tmp_path / "out" / "prometheus" / "rules").items()
            for rule in found
        }
        assert len(links) == len(catalogue.alert_names())
        for link, name in links.items():
            with urllib.request.urlopen(link) as answer:
                assert answer.read().decode().startswith(f"# {name}\n")


@pytest.fixture
def running() -> Iterator[RunningConsole]:
    with start(port=0, step_seconds=300) as served:
        yield served


def test_by_default_every_link_leads_to_the_alert_in_the_console(running: RunningConsole) -> None:
    client = Client(running.url, running.token)
    assert client.request("GET", "/").status == 200
    for group in catalogue.rule_groups():
        for alert in group.alerts:
            page, _, query = urlsplit(alert.annotations["runbook_url"]).fragment.partition("?")
            assert page == "/alerts"
            (name,) = parse_qs(query)["alert"]
            book = client.request("GET", f"/api/console/runbooks/{name}").json
            assert (name, book["title"]) == (alert.name, alert.name)
