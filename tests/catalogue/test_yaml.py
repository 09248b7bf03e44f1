"""The YAML we write means what we meant, as PyYAML reads it."""

from __future__ import annotations

from typing import Any

import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.catalogue.export import yaml

words = st.text(max_size=30).filter(lambda text: "\r" not in text and "\x85" not in text) | st.sampled_from(
    ["yes", "null", "1e3", "0x10", "- a", "a: b", "#c", "a #b", " lead", "two\nlines", "two\n  indented", "\n", "12:30"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300)
@given(st.dictionaries(words, values, max_size=5))
def test_it_is_read_back_as_it_was(value: dict[str, Any]) -> None:
    assert pyyaml.safe_load(yaml.dump(value)) == (value or None)


def test_it_is_the_same_text_each_time_and_readable() -> None:
    assert yaml.dump(
        {"groups": [{"name": "a", "expr": "x > 1\nand\ny", "for": "5m", "limit": 3}], "e": {}}, "Made."
    ) == (
        "# Made.\n"
        "groups:\n"
        "  - name: a\n"
        "    expr: |-\n"
        "      x > 1\n"
        "      and\n"
        "      y\n"
        "    for: '5m'\n"
        "    limit: 3\n"
        "e: {}\n"
    )
