"""What is shipped is what was reviewed; `make goldens` writes it again, and the diff is for reading."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support import rule_texts
from tachograph import catalogue
from tachograph.catalogue.export.docs import refreshed
from tachograph.catalogue.export.files import files, write
from tachograph.cli import main
from tachograph.settings import Settings

GOLDENS = Path(__file__).parent.parent / "goldens"
PARTS = ("grafana", "prometheus", "alertmanager")


def test_the_default_export_is_the_reviewed_one() -> None:
    texts = files(Settings(), only=PARTS)
    shipped = {
        str(path.relative_to(GOLDENS)): path.read_text("utf-8")
        for part in PARTS
        for path in sorted((GOLDENS / part).rglob("*"))
        if path.is_file()
    }
    assert sorted(texts) == sorted(shipped)
    changed = [name for name, text in texts.items() if shipped[name] != text]
    assert not changed, f"run `make goldens` and review the diff of {changed}"


@pytest.mark.parametrize("name", sorted(path.name for path in rule_texts.FOLDER.iterdir()))
def test_drills_and_what_settings_change_are_the_reviewed_ones(name: str) -> None:
    expected = (rule_texts.FOLDER / name).read_text("utf-8")
    assert rule_texts.texts()[name] == expected, "run `make goldens` and review the diff"


def test_an_export_has_the_promised_places(tmp_path: Path) -> None:
    assert main(["export", str(tmp_path)]) == 0
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {
        "grafana/dashboards/llm-provider.json",
        "grafana/dashboards/mcp-tools.json",
        "prometheus/rules/tachograph-required.yaml",
        "prometheus/rules/tachograph-alerts.yaml",
        "prometheus/rules/tachograph-recording.yaml",
        "prometheus/prometheus.yml",
        "alertmanager/alertmanager.yml",
    } <= names
    assert {f"runbooks/{name}.md" for name in catalogue.alert_names()} <= names


def test_an_export_twice_writes_nothing_the_second_time(tmp_path: Path) -> None:
    texts = files(Settings())
    assert write(tmp_path, texts) == (len(texts), 0)
    assert write(tmp_path, files(Settings())) == (0, len(texts))


def test_check_tells_a_stale_export_from_a_fresh_one(tmp_path: Path) -> None:
    assert main(["export", str(tmp_path), "--check"]) == 1
    assert main(["export", str(tmp_path)]) == 0
    assert main(["export", str(tmp_path), "--check"]) == 0
    assert main(["export", str(tmp_path), "--check", "--job", "other"]) == 1


def test_the_job_and_the_runbook_address_go_into_rules_and_scrape(tmp_path: Path) -> None:
    arguments = ["--job", "checkout", "--runbook-url", "https://wiki.example/runbooks/"]
    assert main(["export", str(tmp_path), *arguments]) == 0
    rules = (tmp_path / "prometheus/rules/tachograph-alerts.yaml").read_text("utf-8")
    assert 'up{job="checkout"} == 0' in rules
    assert 'job="tachograph"' not in rules
    assert "https://wiki.example/runbooks/LLMProviderDown" in rules
    assert "job_name: checkout" in (tmp_path / "prometheus/prometheus.yml").read_text("utf-8")


def test_exemplars_lead_where_traces_live(tmp_path: Path) -> None:
    arguments = ["--trace-url", "https://t.example/${__value.raw}", "--prometheus-url", "http://prom:9090"]
    assert main(["export", str(tmp_path), "--only", "grafana", *arguments]) == 0
    text = (tmp_path / "grafana/provisioning/datasources/tachograph.yaml").read_text("utf-8")
    assert "url: 'https://t.example/${__value.raw}'" in text
    assert "name: trace_id" in text
    assert "url: 'http://prom:9090'" in text


def test_only_writes_what_was_asked_for(tmp_path: Path) -> None:
    assert main(["export", str(tmp_path), "--only", "alertmanager"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["alertmanager"]


def test_a_directory_that_cannot_be_written_is_said_in_words(tmp_path: Path, capsys: object) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert main(["export", str(blocked)]) == 2


def test_dashboards_are_json_of_the_promised_version() -> None:
    for name, text in files(Settings(), only=("grafana",)).items():
        if "/dashboards/" in name and name.endswith(".json"):
            assert json.loads(text)["schemaVersion"] == 42


def test_the_tables_of_the_docs_are_the_catalogues() -> None:
    docs = Path(__file__).parent.parent.parent / "docs"
    for name in ("alerts.md", "dashboards.md", "notifications.md"):
        text = (docs / name).read_text("utf-8")
        assert "<!-- made:" in text
        assert refreshed(text) == text, f"run `make goldens` and review the diff of docs/{name}"
