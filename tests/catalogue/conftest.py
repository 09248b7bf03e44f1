"""Parts of the catalogue's tests: the catalogue itself, and Prometheus's programs."""

from __future__ import annotations

import pytest

from support.parts import program
from tachograph import catalogue
from tachograph.catalogue.panels import Dashboard
from tachograph.catalogue.rules import Alert, RuleGroup


@pytest.fixture(scope="session")
def groups() -> list[RuleGroup]:
    return catalogue.rule_groups()


@pytest.fixture(scope="session")
def alerts(groups: list[RuleGroup]) -> list[Alert]:
    return [alert for group in groups for alert in group.alerts]


@pytest.fixture(scope="session")
def dashboards() -> list[Dashboard]:
    return catalogue.dashboards()


@pytest.fixture(scope="session")
def promtool() -> str:
    return program("promtool")
