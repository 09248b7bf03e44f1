"""What alerts say is plain: every annotation is rendered with many values and read as a person would."""

from __future__ import annotations

import re

import pytest

from tachograph import catalogue
from tachograph.catalogue.rules import Alert
from tachograph.console.templates import expand

ALERTS = [alert for group in catalogue.rule_groups() for alert in group.alerts]
CONTRACT = {
    "Provider {{ $labels.provider }} error rate: {{ $value | humanize }}/sec",
    "Token consumption spike: {{ $value | humanize }} tokens/sec",
}
"""The user's own words, which stay; `title` says the same in plain numbers."""
VALUES = (0.00037, 0.0124, 0.1244, 0.5, 1.0, 7.2, 52.34, 200.4, 3725.0, 90061.0, 1234567.891)
PREFIX = re.compile(r"\b\d+(\.\d+)?(m|k|u|n|p|M|G)(\b|/)")
"""A metric prefix, as `humanize` writes it: 124.4m, 1.235M."""


def rendered(alert: Alert, value: float) -> dict[str, str]:
    labels = dict.fromkeys(re.findall(r"\$labels\.(\w+)", " ".join(alert.annotations.values())), "x")
    return {
        name: expand(text, {**labels, **alert.drill.labels}, value)
        for name, text in alert.annotations.items()
        if text not in CONTRACT and not name.endswith("_url")
    }


def test_the_users_own_summaries_stand_as_they_were_given() -> None:
    assert {alert.summary for alert in ALERTS} >= CONTRACT


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: "-".join([alert.name, *dict(alert.more_labels).values()]))
def test_numbers_are_written_as_people_write_them(alert: Alert) -> None:
    is_share = "humanizePercentage" in " ".join(alert.annotations.values())
    for value in VALUES:
        if is_share and value > 60:
            continue
        for name, text in rendered(alert, value).items():
            assert "<error" not in text, (name, text)
            assert not PREFIX.search(text), (name, text)
            assert "e+" not in text and "e-0" not in text, (name, text)  # noqa: PT018  # one fact: no exponent
            assert not re.search(r"\d\.\d{5,}", text), (name, text)
            assert "{{" not in text, (name, text)


@pytest.mark.parametrize(("share", "text"), [(0.4523, "45%"), (0.0124, "1.2%"), (0.00037, "0.037%"), (1.0, "100%")])
def test_a_share_is_written_in_percent_with_two_digits(share: float, text: str) -> None:
    writes = next(alert for alert in ALERTS if alert.name == "LLMUsagePersistErrorRatioHigh")
    assert rendered(writes, share)["summary"] == f"{text} of usage writes fail"


def test_no_alert_writes_a_share_with_more_digits() -> None:
    assert [alert.name for alert in ALERTS if "$value | humanizePercentage" in str(alert.annotations)] == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (200.4, "3 min 20 s"),
        (3725, "1 h 2 min 5 s"),
        (52.34, "52.34 s"),
        (0.0124, "12.4 ms"),
        (90061, "1 d 1 h 1 min 1 s"),
    ],
)
def test_a_duration_is_written_with_its_units_apart(seconds: float, text: str) -> None:
    stuck = next(alert for alert in ALERTS if alert.name == "LLMCallStuck")
    assert rendered(stuck, seconds)["summary"].endswith(f"a call runs for {text}")


def test_what_the_notification_and_the_summary_of_the_contract_say_is_the_same_number() -> None:
    alert = next(alert for alert in ALERTS if alert.name == "HighProviderErrorRate")
    assert rendered(alert, 0.1244)["title"] == "openai: 0.12 errors/s"
