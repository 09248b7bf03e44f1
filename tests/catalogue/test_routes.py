"""Alertmanager: the file is valid, each severity goes where it should, and one trouble pages once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from support.parts import program
from tachograph import catalogue
from tachograph.catalogue.rules import Alert

CONFIG = Path(__file__).parent.parent / "goldens/alertmanager/alertmanager.yml"
RULES = [alert for group in catalogue.rule_groups() for alert in group.alerts]


@pytest.fixture(scope="module")
def amtool() -> str:
    return program("amtool")


def test_amtool_accepts_the_configuration(amtool: str) -> None:
    done = subprocess.run([amtool, "check-config", str(CONFIG)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "4 receivers" in done.stdout


def receiver(amtool: str, labels: dict[str, str]) -> str:
    arguments = [f"{name}={value}" for name, value in labels.items()]
    done = subprocess.run(
        [amtool, "config", "routes", "test", f"--config.file={CONFIG}", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("alert", RULES, ids=lambda alert: "-".join([alert.name, alert.severity]))
def test_each_alert_goes_to_the_receiver_of_its_severity(alert: Alert, amtool: str) -> None:
    wanted = {
        "critical": "tachograph-page",
        "warning": "tachograph-ticket",
        "info": "tachograph-note",
        "none": "tachograph-watchdog",
    }[alert.severity]
    assert receiver(amtool, {"alertname": alert.name, **alert.labels}) == wanted


def test_an_alert_of_somebody_else_stays_a_ticket(amtool: str) -> None:
    assert receiver(amtool, {"alertname": "NodeDown", "severity": "critical"}) == "tachograph-ticket"
