"""docs/settings.md, from the settings themselves: `python -m tachograph.settings.reference docs/settings.md`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final, get_type_hints

import msgspec

from tachograph.settings.load import PREFIX, Settings, allowed_words, paths

HEAD: Final = """# Settings

<!-- Written by `python -m tachograph.settings.reference docs/settings.md` from src/tachograph/settings. -->

Four places, the earlier wins:

1. code: `tachograph.configure(metrics={"port": 9464})`
2. environment: `TACHOGRAPH_METRICS_PORT=9464`; lists as `a,b`, tables as `key=value,other=value`
3. `tachograph.toml` in the working directory, or the file that `TACHOGRAPH_CONFIG` names: `[metrics]`, `port = 9464`
4. `[tool.tachograph.metrics]` in `pyproject.toml`, where there is no `tachograph.toml`

A name or value that is not allowed is refused with its place and what is allowed. `tachograph settings` shows every
setting as it stands and where it came from. What `tachograph.configure()` raises is logged instead, and left out, where
the first call sets Tachograph up by itself.
"""


def descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """What the class's docstring says about each of its fields."""
    text = (struct.__doc__ or "").partition("Attributes:")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        begun = re.match(r" {8}(\w+(?:, \w+)*): (.*)", line)
        if begun:
            names = begun[1].split(", ")
            for name in names:
                found[name] = begun[2]
        elif line.startswith(" " * 12):
            for name in names:
                found[name] += " " + line.strip()
    return found


def markdown() -> str:
    """The whole page."""
    parts = [HEAD]
    structs: dict[str, type[msgspec.Struct]] = {"": Settings}
    for name, kind in get_type_hints(Settings).items():
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            structs[name] = kind
    for section, struct in structs.items():
        said = descriptions(struct)
        doc = (struct.__doc__ or "").split("\n")[0]
        parts.append(f"\n## `{section}`\n\n{doc}\n" if section else "\n## At the top\n")
        parts.append("\n| setting | environment | allowed | default | |\n|---|---|---|---|---|\n")
        for path, kind, default in paths():
            if path[:-1] == ((section,) if section else ()):
                row = [
                    f"`{'.'.join(path)}`",
                    f"`{PREFIX}{'_'.join(path).upper()}`",
                    allowed_words(kind),
                    f"`{_shown(default)}`",
                    said.get(path[-1], ""),
                ]
                parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n")
    return "".join(parts)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "empty"
    if isinstance(value, dict):
        return "empty" if not value else str(value)
    return str(value)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")
