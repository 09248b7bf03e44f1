"""Runbook pages: what a person wrote for one alert, under a head made from its rules."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Final

from tachograph.catalogue.rules import Alert, RuleGroup

SECTIONS: Final = ("Meaning", "Impact", "Diagnosis", "Mitigation", "False alarm")
"""Headings that every runbook has, in this order."""


def page(name: str, groups: Iterable[RuleGroup]) -> str:
    """The page of one alert, with the expression as the settings make it.

    Raises:
        KeyError: No alert has this name.
    """
    rules = [(group, alert) for group in groups for alert in group.alerts if alert.name == name]
    if not rules:
        raise KeyError(name)
    return f"# {name}\n\n{_head(rules)}\n{body(name)}"


def body(name: str) -> str:
    """What a person wrote: the sections.

    Raises:
        KeyError: There is no such file.
    """
    found = files("tachograph.catalogue").joinpath("runbooks", f"{name}.md")
    if not found.is_file():
        raise KeyError(name)
    return found.read_text("utf-8")


def _head(rules: list[tuple[RuleGroup, Alert]]) -> str:
    lines = []
    for group, alert in rules:
        more = "".join(f", {label} {value}" for label, value in alert.more_labels)
        hold = "at once" if alert.hold_seconds == 0 else f"after {alert.hold}"
        lines += [
            f"Severity {alert.severity}, group `{group.name}`, fires {hold}{more}.",
            "",
            "```promql",
            alert.expression,
            "```",
            "",
        ]
    return "\n".join(lines)


def index(groups: Iterable[RuleGroup]) -> str:
    """All alerts with their severity and what they say, linked to their pages."""
    lines = ["# Runbooks", "", "| alert | severity | what it means |", "|---|---|---|"]
    seen: set[str] = set()
    for group in groups:
        for alert in group.alerts:
            if alert.name not in seen:
                seen.add(alert.name)
                lines.append(f"| [{alert.name}]({alert.name}.md) | {alert.severity} | {first_sentence(alert.name)} |")
    return "\n".join(lines) + "\n"


def first_sentence(name: str) -> str:
    """How the page begins: what the alert means, in one sentence."""
    text = body(name).split("## Meaning", 1)[1].strip().split("\n\n", 1)[0].replace("\n", " ")
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]
