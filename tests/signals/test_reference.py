"""The page of metrics is made from the families, and the families keep the house rules."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support import contract
from tachograph.signals.family import Family
from tachograph.signals.reference import families, markdown

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"


def test_the_page_of_metrics_is_current() -> None:
    assert PAGE.read_text("utf-8") == markdown(), "run: python -m tachograph.signals.reference docs/metrics.md"


def test_exactly_the_contract_s_families_are_marked_fixed() -> None:
    fixed = {family.name: family for family in families() if family.fixed}
    assert set(fixed) == set(contract.FAMILIES)
    for name, (kind, labels, bounds) in contract.FAMILIES.items():
        family = fixed[name]
        assert (family.kind, family.labels) == (kind, labels)
        assert tuple(repr(float(bound)) for bound in family.buckets) == bounds[:-1]


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_a_family_keeps_the_house_rules(family: Family) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert bool(family.buckets) == (family.kind == "histogram")
    assert list(family.buckets) == sorted(set(family.buckets))
    if family.unit == "seconds":
        assert family.name.endswith("_seconds")
    assert family.help.endswith(".")
    assert set(family.values) | set(family.zero) | set(family.bounded) <= set(family.labels)
    for label in family.labels:
        known = label in family.values or label in family.bounded
        assert known or family.name.startswith(("tachograph_", "llm_budget_")), f"{label} may have any number of values"
