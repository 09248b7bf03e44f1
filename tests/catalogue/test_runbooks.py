"""Every alert has a page that a tired engineer can work with, and no page is left over."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from tachograph import catalogue
from tachograph.catalogue.runbook_pages import SECTIONS
from tachograph.settings import Settings, load

NAMES = catalogue.alert_names()


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_has_its_sections_and_says_something_in_each(name: str) -> None:
    page = catalogue.runbook(name)
    assert page.startswith(f"# {name}\n")
    assert tuple(re.findall(r"^## (.+)$", page, re.MULTILINE)) == SECTIONS
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


def test_the_page_shows_the_rule_as_the_settings_make_it() -> None:
    page = catalogue.runbook("LLMCostTotalHigh", load({"alerts": {"cost_usd_per_hour": 250}}, environ={}))
    assert "* 3600 > 250" in page


def test_an_unknown_alert_has_no_page() -> None:
    with pytest.raises(KeyError):
        catalogue.runbook("NoSuchAlert")


def test_a_name_cannot_lead_out_of_the_folder() -> None:
    with pytest.raises(KeyError):
        catalogue.runbook("../alerts/parts")
