"""The reference pages that are made from the whole package: `python tools/reference.py docs` writes them.

docs/cli.md is written whole; in docs/contract.md what stands between `<!-- made: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import tachograph
from tachograph import catalogue, cli
from tachograph.catalogue.export.docs import refreshed
from tachograph.signals.reference import families

CLI_HEAD: Final = """# Commands

<!-- Written by `python tools/reference.py docs` from src/tachograph/cli. -->

`tachograph COMMAND --help` prints the same. A command that fails says what is wrong and what to do, and exits with 1;
bad arguments exit with 2.
"""


def commands() -> str:
    """docs/cli.md: every command with its arguments."""
    parts = [CLI_HEAD]
    for name, summary in sorted(cli.COMMANDS.items()):
        parser = argparse.ArgumentParser(prog=f"tachograph {name}")
        import_module(f"tachograph.cli.{name.replace('-', '_')}").add_arguments(parser)
        parts.append(f"\n## `tachograph {name}`\n\n{summary[0].upper()}{summary[1:]}.\n")
        parts.append(arguments(parser, f"tachograph {name}"))
    return "".join(parts)


def arguments(parser: argparse.ArgumentParser, path: str) -> str:
    """A table of one parser's arguments, and of its subcommands'."""
    rows, below = [], []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                below.append(
                    f"\n### `{path} {name}`\n\n{child.description or ''}\n{arguments(child, f'{path} {name}')}"
                )
        elif not isinstance(action, argparse._HelpAction) and action.help != argparse.SUPPRESS:
            name = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{action.metavar or action.dest}`"
            said = " ".join(str(action.help or "").split()).replace("|", "\\|").replace("%%", "%")
            default = "" if action.default in (None, False, argparse.SUPPRESS, []) else f"`{action.default}`"
            rows.append(f"| {name} | {said} | {default} |\n")
    table = "\n| argument | meaning | default |\n|---|---|---|\n" + "".join(rows) if rows else ""
    return table + "".join(below)


def first_paragraph(text: str | None) -> str:
    """Of a docstring."""
    return " ".join((text or "").split("\n\n")[0].split())


def public_names() -> str:
    """What `from tachograph import` offers."""
    lines = ["| name | what it is |", "|---|---|"]
    for name in tachograph.__all__:
        said = getattr(tachograph, name).__doc__ if name != "__version__" else "The version, as text."
        lines.append(f"| `{name}` | {first_paragraph(said)} |")
    return "\n".join(lines) + "\n"


def command_names() -> str:
    """Every command, with a link to its arguments."""
    names = sorted(cli.COMMANDS)
    return ", ".join(f"[`{name}`](cli.md#tachograph-{name})" for name in names) + "\n"


def family_names() -> str:
    """Every metric family; the required ones are marked."""
    rows = ["| family | kind | labels | |", "|---|---|---|---|"]
    for family in families():
        labels = ", ".join(family.labels)
        rows.append(f"| `{family.name}` | {family.kind} | {labels} | {'required' if family.fixed else ''} |")
    return "\n".join(rows) + "\n"


def rule_names() -> str:
    """Every alert and recording rule."""
    alerts = ", ".join(f"`{name}`" for name in sorted(catalogue.alert_names()))
    recordings = sorted(
        {rule.name for group in catalogue.rule_groups() for rule in group.rules if rule not in group.alerts}
    )
    return f"Alerts: {alerts}.\n\nRecording rules: {', '.join(f'`{name}`' for name in recordings)}.\n"


TABLES: Final = {
    "public_names": public_names,
    "command_names": command_names,
    "family_names": family_names,
    "rule_names": rule_names,
}


def pages(directory: Path) -> dict[Path, str]:
    """Each page that this writes, with its text as it should be."""
    contract = directory / "contract.md"
    return {
        directory / "cli.md": commands(),
        contract: refreshed(contract.read_text("utf-8"), TABLES),
    }


if __name__ == "__main__":
    for page, text in pages(Path(sys.argv[1])).items():
        page.write_text(text, "utf-8")
