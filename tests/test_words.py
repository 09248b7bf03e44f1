"""Words that a reader would stumble over stay out of what people read: documents, messages, docstrings, comments."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.catalogue.families import FAMILIES
from tachograph.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
ARCHAISMS = (
    r"whoever|mends?|mended|dearer|asleep|newborn|cousins|in vain|anew|for ever|whence|hence|thence|"
    r"alas|amid|admits|ere|oft|lest|naught|for want of|stretches|told apart|lets? go of|who calls [a-z]+ gets"
)
PERSONS = (
    r"nobody|nobody's|somebody|tells|told|hears?|heard|speaks?|dies|knows|wants|"
    r"begins anew|hears yes|stands? in (?!for\b)"
)
"""A program, a host or a report is no person: it reports, has, supports, uses, exits; a value is in a field."""
RIDDLES = r"the instance label tells|pictures of the past|slowest one in twenty"
BANNED = re.compile(rf"\b({ARCHAISMS}|{PERSONS}|{RIDDLES})(?:\b|(?<=\s))", re.IGNORECASE)
"""docs/style.md says what to write instead."""
PLACES = (
    "*.md", "docs/**/*.md", "deploy/**/*.md", "src/**/*.md", "src/**/*.js",
    "examples/**/*.py", "src/**/*.py", "demo/src/**/*.py", "changes/*.md", "benchmarks/**/*.py", "tools/**/*.py",
    "tests/**/*.py",
)  # fmt: skip
HAVE_THEM = {
    "CHANGELOG.md": "what was released",
    "style.md": "says what to write instead",
    "test_words.py": "this list",
    "test_runbooks.py": "a list",
    "test_engine.py": "a hash's published example",
}
FSTRING = getattr(tokenize, "FSTRING_MIDDLE", -1)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """What people read of a file: all of a document, comments and texts of Python, comments of JavaScript."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT or (token.type in (tokenize.STRING, FSTRING) and " " in token.string):
                yield from enumerate(token.string.splitlines(), token.start[0])
    elif path.suffix == ".js":
        for number, line in enumerate(text.splitlines(), 1):
            yield from ((number, found) for found in re.findall(r"(?:^|\s)//.*|^\s*/?\*.*", line))
    else:
        yield from enumerate(text.splitlines(), 1)


@pytest.mark.parametrize("place", PLACES)
def test_plain_words_are_used(place: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {hit[0]}"
        for path in sorted(ROOT.glob(place))
        if path.name not in HAVE_THEM
        for number, line in lines(path)
        for hit in [BANNED.search(line)]
        if hit is not None
    ]
    assert found == []


@pytest.mark.parametrize("text", ["Somebody must mend the key", "the process dies", "usage that the span tells"])
def test_a_riddle_is_found(text: str) -> None:
    assert BANNED.search(text)


def test_the_glossary_has_every_room_command_and_label() -> None:
    text = (ROOT / "docs/glossary.md").read_text("utf-8")
    terms = {term.strip(" `*").lower() for line in text.splitlines() for term in line.split("|")[1:2]}
    known = {word for term in terms for word in (term, *term.split(", "))} | set(re.findall(r"`([\w -]+)`", text))
    known |= {word.removeprefix("tachograph ") for word in known} | {f"{word}s" for word in terms}
    rooms = {path.parent.name for path in (ROOT / "src/tachograph").glob("*/__init__.py")}
    labels = {label for family in FAMILIES.values() for label in family.labels}
    wanted = rooms | set(COMMANDS) | labels
    missing = sorted(word for word in wanted if not {word, word.replace("_", " ")} & known)
    assert missing == [], f"write what these mean: {missing}"
