"""`tachograph fire-drill`, as a user runs it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tachograph.cli import main
from tachograph.cli.fire_drill import waits
from tachograph.drill import tools
from tachograph.settings import load
from tachograph_demo.incident_drill import hasten

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not on PATH (apt install prometheus)"
)


@needs_promtool
def test_the_drill_shows_a_table_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fire-drill", "--alert", "LLMProviderDown", "--alert", "HighMCPToolErrorRate"]) == 0
    said = capsys.readouterr().out
    assert "LLMProviderDown" in said
    assert "2 of 2 rules quiet before, firing in time and resolved after" in said


@needs_promtool
def test_the_users_own_files_are_what_is_drilled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path)]) == 0
    rules = tmp_path / "prometheus/rules/tachograph-required.yaml"
    rules.write_text(rules.read_text("utf-8").replace("[5m]) > 0.05", "[5m]) > 5000"), "utf-8")
    arguments = ["fire-drill", "--rules", str(tmp_path), "--alert"]
    assert main([*arguments, "HighMCPToolErrorRate"]) == 1
    assert "FAIL: it did not fire" in capsys.readouterr().out
    assert main([*arguments, "HighProviderErrorRate"]) == 0


@needs_promtool
def test_rules_that_prometheus_refuses_are_shown_with_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rules.yaml").write_text("groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: 'sum('\n")
    assert main(["fire-drill", "--rules", str(tmp_path), "--alert", "LLMProviderDown"]) == 2
    assert "promtool refuses the rules" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--alert", "NoSuchAlert"], "there is no alert NoSuchAlert"),
        (["--rules", "/nonexistent"], "there are no rule files"),
        (["--incident", "meteor"], "Choose one of"),
    ],
)
def test_a_mistake_is_answered_in_words(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fire-drill", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_without_prometheus_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["fire-drill", "--alert", "LLMProviderDown"]) == 2
    said = capsys.readouterr().err
    assert "'promtool' is not on PATH" in said
    assert "apt install prometheus" in said


def test_debians_name_of_alertmanager_is_found_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "prometheus-alertmanager"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.find("alertmanager") == str(program)


def test_speed_shortens_every_time_and_no_threshold() -> None:
    rules = (
        "    interval: '30s'\n"
        "        expr: 'c:rate5m * 300 >= 5 or sum_over_time(c:rate2m[1h]) * 30 > 1.4'\n"
        "        expr: 'rate(a[5m]) > 100 and b offset 1h or changes((c)[15m:30s]) >= 6'\n"
        "        for: '2m'\n"
        "        keep_firing_for: '10m'\n"
        "          runbook_url: 'http://127.0.0.1:9465/runbooks/A'\n"
    )
    assert hasten(rules, 10) == (
        "    interval: '3000ms'\n"
        "        expr: 'c:rate5m * 30 >= 5 or sum_over_time(c:rate2m[360000ms]) * 3 > 1.4'\n"
        "        expr: 'rate(a[30000ms]) > 100 and b offset 360000ms or changes((c)[90000ms:3000ms]) >= 6'\n"
        "        for: '12000ms'\n"
        "        keep_firing_for: '60000ms'\n"
        "          runbook_url: 'http://127.0.0.1:9465/runbooks/A'\n"
    )


def test_a_drill_waits_as_long_as_the_incident_s_alerts_may_take() -> None:
    settings = load(environ={}, read_file=False)
    assert waits(settings, ("LLMProviderDown",)) == (900, 1500)
    assert waits(settings, ("LLMWasteHigh", "HighProviderErrorRate")) == (4800, 4200)
    assert waits(settings, ()) == (900, 1200)
