"""The tables of docs/alerts.md and docs/dashboards.md: `python -m tachograph.catalogue.export.docs docs`.

What stands between `<!-- made: NAME -->` and `<!-- end -->` is made from the catalogue; the rest is written by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, get_args, get_type_hints

from tachograph import catalogue
from tachograph.catalogue.export.alertmanager import INHIBITIONS
from tachograph.catalogue.runbook_pages import first_sentence
from tachograph.settings.load import allowed_words
from tachograph.settings.notify import Receiver
from tachograph.settings.reference import descriptions

_BOOKS: Final = "../src/tachograph/catalogue/runbooks"
_MADE: Final = re.compile(r"(<!-- made: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def alerts() -> str:
    """One table per group."""
    lines: list[str] = []
    for group in catalogue.rule_groups():
        if not group.alerts:
            continue
        lines += [f"### `{group.name}`", "", "| alert | severity | for | what it means |", "|---|---|---|---|"]
        for alert in group.alerts:
            window = dict(alert.more_labels).get("long")
            name = f"[{alert.name}]({_BOOKS}/{alert.name}.md)" + (f" ({window})" if window else "")
            lines.append(f"| {name} | {alert.severity} | {alert.hold} | {first_sentence(alert.name)} |")
        lines.append("")
    return "\n".join(lines)


def inhibitions() -> str:
    """Which alert silences which."""
    lines = ["| while this fires | these keep silent | for the same |", "|---|---|---|"]
    for one in INHIBITIONS:
        same = ", ".join(one.equal) or "(anything)"
        more = f" ({', '.join(one.target_matchers)})" if one.target_matchers else ""
        lines.append(f"| {one.source} | {', '.join(one.targets)}{more} | {same} |")
    return "\n".join(lines) + "\n"


def panels() -> str:
    """One table per dashboard."""
    lines: list[str] = []
    for dashboard in catalogue.dashboards():
        lines += [f"### {dashboard.title}", "", "| row | panel | kind | what it shows |", "|---|---|---|---|"]
        for row in dashboard.rows:
            title = f"{row.title} (folded)" if row.folded else f"**{row.title}**"
            for panel in row.panels:
                kind = panel.kind + (", stacked" if panel.stacked else "") + (", bars" if panel.bars else "")
                lines.append(f"| {title} | {panel.title} | {kind} | {panel.description} |")
        lines.append("")
    return "\n".join(lines)


def receivers() -> str:
    """One table per kind of receiver."""
    lines: list[str] = []
    for kind in get_args(Receiver):
        tag = kind.__struct_config__.tag
        what = (kind.__doc__ or "").split("\n")[0]
        lines += [f'### `kind = "{tag}"`', "", what, "", "| setting | allowed | |", "|---|---|---|"]
        said, hints = descriptions(kind), get_type_hints(kind, include_extras=True)
        for name in kind.__struct_fields__:
            needed = " (needed)" if name in ("to", "sender", "host") else ""
            lines.append(f"| `{name}` | {allowed_words(hints[name])}{needed} | {said[name]} |")
        lines.append("")
    return "\n".join(lines)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "alerts": alerts,
    "inhibitions": inhibitions,
    "panels": panels,
    "receivers": receivers,
}


def refreshed(text: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """A page with the generated parts that these tables write; others stay as they are."""

    def made(found: re.Match[str]) -> str:
        table = tables.get(found.group(2))
        return found.group(0) if table is None else f"{found.group(1)}{table()}{found.group(4)}"

    return _MADE.sub(made, text)


def main(directory: Path) -> None:
    """Refresh every page of a folder that has a made part."""
    for page in sorted(directory.glob("*.md")):
        text = page.read_text("utf-8")
        if _MADE.search(text):
            page.write_text(refreshed(text), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
