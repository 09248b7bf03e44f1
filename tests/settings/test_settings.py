"""Settings: four places, one object; a name or value that is not allowed is refused with what is needed to fix it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tachograph import runtime
from tachograph.cli import main
from tachograph.errors import SettingsError
from tachograph.settings import Settings, load
from tachograph.settings.load import load_with_sources, paths
from tachograph.settings.reference import descriptions, markdown

ROOT = Path(__file__).parent.parent.parent


def read(overrides: dict[str, Any] | None = None, environ: dict[str, str] | None = None, path: Path = ROOT) -> Settings:
    return load(overrides, environ=environ or {}, directory=path)


def test_code_wins_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    (tmp_path / "tachograph.toml").write_text('[metrics]\nport = 1\naddress = "0.0.0.0"\nlabel_limit = 7\n')
    environ = {"TACHOGRAPH_METRICS_PORT": "2", "TACHOGRAPH_METRICS_LABEL_LIMIT": "8"}
    settings, sources = load_with_sources({"metrics": {"port": 3}}, environ=environ, directory=tmp_path)
    metrics = settings.metrics
    assert (metrics.port, metrics.label_limit, metrics.address, metrics.enabled) == (3, 8, "0.0.0.0", True)
    assert sources == {
        ("metrics", "port"): "configure()",
        ("metrics", "label_limit"): "environment variable TACHOGRAPH_METRICS_LABEL_LIMIT",
        ("metrics", "address"): str(tmp_path / "tachograph.toml"),
    }


def test_pyproject_is_read_where_there_is_no_tachograph_toml(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.tachograph.metrics]\nport = 1\n[project]\nname = 'x'\n")
    assert read(path=tmp_path).metrics.port == 1
    (tmp_path / "tachograph.toml").write_text("[metrics]\nport = 2\n")
    assert read(path=tmp_path).metrics.port == 2
    (tmp_path / "other.toml").write_text("[tool.tachograph.metrics]\nport = 3\n")
    assert read(environ={"TACHOGRAPH_CONFIG": str(tmp_path / "other.toml")}, path=tmp_path).metrics.port == 3


def test_a_pyproject_that_is_somebody_else_s_trouble_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("not toml [")
    assert read(path=tmp_path) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("METRICS_PORT", "9464", ("metrics", "port", 9464)),
        ("METRICS_PORT", "", ("metrics", "port", None)),
        ("METRICS_LABELS", "team, feature", ("metrics", "labels", ("team", "feature"))),
        ("METRICS_LABELS", "", ("metrics", "labels", ())),
        ("METRICS_ENABLED", "off", ("metrics", "enabled", False)),
        ("METRICS_ENABLED", "Yes", ("metrics", "enabled", True)),
        ("METRICS_ENABLED", "0", ("metrics", "enabled", False)),
        ("SPANS_NAMES", "otel", ("spans", "names", "otel")),
        ("LEDGER_INTERVAL_SECONDS", "0.5", ("ledger", "interval_seconds", 0.5)),
        ("LEDGER_KEEP_ROWS_DAYS", "none", ("ledger", "keep_rows_days", None)),
        (
            "INSTRUMENT_PROVIDERS",
            "a.com=acme, b.com=b=c",
            ("instrument", "providers", {"a.com": "acme", "b.com": "b=c"}),
        ),
    ],
)
def test_the_environment_is_read_as_text(name: str, text: str, value: tuple[str, str, Any]) -> None:
    section, field, expected = value
    assert getattr(getattr(read(environ={f"TACHOGRAPH_{name}": text}), section), field) == expected


@pytest.mark.parametrize(
    ("overrides", "environ", "said"),
    [
        ({"metrics": {"port": 70_000}}, {}, "setting metrics.port: .*70000.*configure.*whole number from 0 to 65535"),
        ({"metrics": {"port": "x"}}, {}, "setting metrics.port: .*'x'.*whole number"),
        ({"metrics": {"prot": 1}}, {}, r"no setting metrics\.prot .*Allowed: address, enabled, .*port"),
        ({"metric": {"port": 1}}, {}, "no setting metric .*Allowed: alerts, budgets, enabled, .*metrics"),
        ({"metrics": 3}, {}, "setting metrics: .*the value is 3"),
        ({"spans": {"names": "x"}}, {}, "setting spans.names: .*`contract`, `otel`"),
        ({"metrics": {"labels": ["ok", 3]}}, {}, "setting metrics.labels: "),
        ({}, {"TACHOGRAPH_METRICS_PORT": "-1"}, "environment variable TACHOGRAPH_METRICS_PORT"),
        ({}, {"TACHOGRAPH_METRICS_PROT": "1"}, "no setting TACHOGRAPH_METRICS_PROT.*TACHOGRAPH_METRICS_PORT"),
        ({}, {"TACHOGRAPH_INSTRUMENT_PROVIDERS": "acme"}, "expected key=value pairs, got 'acme'"),
        ({}, {"TACHOGRAPH_METRICS_PORT": "\udcff"}, "not valid UTF-8 .*environment variable TACHOGRAPH_METRICS_PORT"),
        ({"spans": {"names": "\udcff"}}, {}, "not valid UTF-8 .*configure"),
        ({"alerts": {"latency_seconds": float("inf")}}, {}, "alerts.latency_seconds: the value is inf .*finite"),
        ({}, {"TACHOGRAPH_LEDGER_SPOOL_LIMIT_MB": "inf"}, "ledger.spool_limit_mb: the value is inf .*SPOOL_LIMIT_MB"),
        ({"instrument": {"mcp_probe_seconds": -1}}, {}, "mcp_probe_seconds: .*>= 0"),
        ({"spans": {"content_limit": -1}}, {}, "content_limit: .*>= 0"),
        ({}, {"TACHOGRAPH_CONFIG": "/nowhere.toml"}, "cannot be read: No such file .*/nowhere.toml.*TACHOGRAPH_CONFIG"),
    ],
)
def test_what_is_not_allowed_is_refused_with_its_name_value_place_and_what_is(
    overrides: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        read(overrides, environ)


@pytest.mark.parametrize("name", ["METRICS_PORT", "SPANS_NAMES", "INSTRUMENT_PROVIDERS"])
def test_a_long_value_is_not_shown_whole(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read(environ={f"TACHOGRAPH_{name}": "x" * 100_000})
    assert len(str(refused.value)) < 800


def test_a_file_that_is_no_toml_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "tachograph.toml").write_text("[metrics\n")
    with pytest.raises(SettingsError, match=r"cannot be read: .*tachograph\.toml"):
        read(path=tmp_path)
    (tmp_path / "tachograph.toml").write_text("[metrics]\nport = 'x'\n")
    with pytest.raises(SettingsError, match=r"metrics\.port: .*tachograph\.toml"):
        read(path=tmp_path)


@pytest.mark.parametrize("label", ["bad-name", "__x", "1a", "model", "le", "outcome"])
def test_metric_labels_of_the_user_must_be_label_names_that_are_free(label: str) -> None:
    settings = load({"metrics": {"labels": [label]}, "ledger": {"enabled": False}}, environ={}, read_file=False)
    with pytest.raises(SettingsError, match=f"metrics.labels: '{label}'"):
        runtime.build(settings)


def test_other_people_s_variables_are_let_be() -> None:
    assert read(environ={"TACHOGRAPH_SOMETHING": "x", "PATH": "y"}) == Settings()


def test_every_setting_is_described_where_it_is_defined() -> None:
    defaults = Settings()
    missing = [
        ".".join(path)
        for path, *_ in paths()
        if not descriptions(type(getattr(defaults, path[0])) if len(path) > 1 else Settings).get(path[-1])
    ]
    assert missing == []


def test_the_page_of_settings_is_current() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert page == markdown(), "run: python -m tachograph.settings.reference docs/settings.md"


def test_the_command_shows_values_and_where_they_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TACHOGRAPH_METRICS_PORT", "9464")
    monkeypatch.setenv("TACHOGRAPH_LEDGER_URL", "postgresql://me:secret@db/usage")
    monkeypatch.setenv("TACHOGRAPH_LEDGER_HASH_KEY", "secret")
    assert main(["settings", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == {".".join(path) for path, *_ in paths()}
    assert shown["metrics.port"] == {"value": 9464, "source": "environment variable TACHOGRAPH_METRICS_PORT"}
    assert shown["metrics.address"]["source"] == "default"
    assert shown["ledger.url"]["value"] == "postgresql://me:***@db/usage"
    assert "secret" not in json.dumps(shown)
    assert main(["settings", "--changed"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_command_says_what_is_wrong_and_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TACHOGRAPH_METRICS_PORT", "99999")
    assert main(["settings"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("tachograph settings: setting metrics.port: ")
    assert "Traceback" not in said
