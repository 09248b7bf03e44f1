"""Words that a reader would stumble over stay out of what people read: documents, messages, docstrings, comments."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BANNED = re.compile(
    r"\b(whoever|mend|mends|mended|dearer|asleep|newborn|cousins|in vain|anew|for ever|hears yes|nobody's|"
    r"the instance label tells|begins anew|"
    r"who calls [a-z]+ gets|lets? go of|"
    r"stretches|told apart|pictures of the past|slowest one in twenty)\b",
    re.IGNORECASE,
)
"""docs/style.md says what to write instead."""
PLACES = ("*.md", "docs/**/*.md", "deploy/**/*.md", "examples/**/*.py", "src/**/*.py", "src/**/*.md", "src/**/*.js")


@pytest.mark.parametrize("place", PLACES)
def test_plain_words_are_used(place: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {hit[0]}"
        for path in sorted(ROOT.glob(place))
        if path.name not in ("CHANGELOG.md", "style.md")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        for hit in [BANNED.search(line)]
        if hit is not None
    ]
    assert found == []
