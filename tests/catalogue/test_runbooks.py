"""Every alert has a page that a tired engineer can work with, and no page is left over."""

from __future__ import annotations

import re
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from tachograph import catalogue
from tachograph.catalogue.runbook_pages import names_a_vendor
from tachograph.catalogue.vendor_pages import VENDORS, VendorPages
from tachograph.console.templates import expand
from tachograph.settings import Settings, load

NAMES = catalogue.alert_names()
ALERTS = [alert for group in catalogue.rule_groups() for alert in group.alerts]
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "False alarm")
"""What a person writes under for every alert, in this order; `Vendor` and `Escalation`, which are made, follow."""
SEVERITIES = ("critical", "warning", "info", "none")


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_has_its_sections_and_says_something_in_each(name: str) -> None:
    page = catalogue.runbook(name)
    assert page.startswith(f"# {name}\n")
    headings = tuple(re.findall(r"^## (.+)$", page, re.MULTILINE))
    assert headings in ((*SECTIONS, "Escalation"), (*SECTIONS, "Vendor", "Escalation"))
    for section in re.split(r"^## .+$", page, flags=re.MULTILINE)[1:]:
        assert len(section.split()) >= 4
    assert "```promql" in page.split("## Diagnosis")[1].split("## Mitigation")[0]


def test_no_runbook_is_left_over() -> None:
    pages = {page.name.removesuffix(".md") for page in files("tachograph.catalogue").joinpath("runbooks").iterdir()}
    pushed = load({"alerts": {"profile": "push"}}, environ={})
    assert pages == set(NAMES) | set(catalogue.alert_names(pushed))


@pytest.mark.parametrize("name", NAMES)
def test_what_a_runbook_mentions_exists(name: str) -> None:
    body = catalogue.runbook(name).split("## Meaning")[1]
    for other in re.findall(r"\b((?:LLM|MCP|High)[A-Z]\w+[a-z]\w+)\b", body):
        assert other in NAMES, other
    settings = Settings()
    for section, field in re.findall(r"`(alerts|metrics|pricing)\.(\w+)`", body):
        assert hasattr(getattr(settings, section), field), f"{section}.{field}"


@pytest.mark.parametrize(
    "name",
    ["LLMProviderDown", "LLMModelDown", "LLMCallsFailing", "LLMProviderErrorBudgetBurn", "HighProviderErrorRate"],
)
def test_every_branch_of_the_expression_has_its_mitigation_429_too(name: str) -> None:
    mitigation = catalogue.runbook(name).split("## Mitigation")[1].split("## False alarm")[0]
    for error_type in ("server_error", "timeout", "connection", "rate_limit", "quota", "auth"):
        assert f"`{error_type}`" in mitigation, error_type
    assert "(429)" in mitigation


def test_no_query_of_a_runbook_leaves_out_what_its_alert_counts() -> None:
    page = catalogue.runbook("LLMProviderErrorBudgetBurn")
    diagnosis = page.split("## Diagnosis")[1].split("## Mitigation")[0]
    assert "rate_limit" not in "".join(re.findall(r'error_type!~"([^"]*)"', diagnosis))


@pytest.mark.parametrize("name", [alert.name for alert in ALERTS if names_a_vendor(alert)])
def test_a_runbook_about_a_vendor_has_that_vendors_check_status_limits_and_support(name: str) -> None:
    section = catalogue.runbook(name).split("## Vendor")[1].split("## Escalation")[0]
    assert [one.provider for one in VENDORS] == ["openai", "anthropic", "gemini"]
    for one in VENDORS:
        assert one.curl in section
        for url in (one.status_url, one.limits_url, one.support_url):
            assert f"({url})" in section


@pytest.mark.parametrize("one", VENDORS, ids=lambda one: one.provider)
def test_a_vendors_check_is_a_command_that_a_shell_runs(one: VendorPages, tmp_path: Path) -> None:
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    curl.chmod(0o755)
    keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"), "the-key")
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", one.curl], env={**path, **keys}, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert one.models_url in words
    assert any(word.endswith("the-key") for word in words)


@pytest.mark.parametrize("one", VENDORS, ids=lambda one: one.provider)
def test_an_alert_names_the_status_page_of_its_vendor(one: VendorPages) -> None:
    alert = next(alert for alert in ALERTS if alert.name == "LLMProviderDown")
    text = alert.annotations["vendor_status"]
    assert expand(text, {"provider": one.provider}, 1.0) == one.status_url
    assert expand(text, {"provider": "a-host-of-yours"}, 1.0) == ""


def test_a_page_says_whom_to_call_and_a_ticket_does_not_call() -> None:
    for alert in ALERTS:
        text = catalogue.runbook(alert.name).split("## Escalation")[1]
        worst = min(SEVERITIES.index(one.severity) for one in ALERTS if one.name == alert.name)
        assert ("call " in text) == (worst == 0), alert.name


BANNED = (
    "mend|mends|mended|dearer|asleep|newborn|cousins|in vain|anew|whoever|nobody|somebody|hears|let go|stretches|"
    "tells|born|slowest one in twenty|no cure|books|leash"
)


@pytest.mark.parametrize("name", NAMES)
def test_an_alert_and_its_runbook_use_plain_words(name: str) -> None:
    texts = [catalogue.runbook(name)]
    texts += [text for alert in ALERTS if alert.name == name for text in alert.annotations.values()]
    for text in texts:
        found = re.findall(rf"\b(?:{BANNED})\b", text, re.IGNORECASE)
        assert not found, found


def test_the_page_shows_the_rule_as_the_settings_make_it() -> None:
    page = catalogue.runbook("LLMCostTotalHigh", load({"alerts": {"cost_usd_per_hour": 250}}, environ={}))
    assert "* 3600 > 250" in page


def test_an_unknown_alert_has_no_page() -> None:
    with pytest.raises(KeyError):
        catalogue.runbook("NoSuchAlert")


def test_a_name_cannot_lead_out_of_the_folder() -> None:
    with pytest.raises(KeyError):
        catalogue.runbook("../alerts/parts")
