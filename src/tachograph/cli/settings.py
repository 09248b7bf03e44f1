"""`tachograph settings`: every setting as it stands here, and where it came from."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

import msgspec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options."""
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--changed", action="store_true", help="only what is not a default")


def run(args: argparse.Namespace) -> int:
    """Print the settings; the error of one that is refused is printed by the command."""
    from tachograph.settings.load import load_with_sources, paths

    settings, sources = load_with_sources()
    rows: list[tuple[str, Any, str]] = []
    for path, _, _ in paths():
        value: Any = settings
        for name in path:
            value = getattr(value, name)
        value = msgspec.to_builtins(value)
        if path[-1].endswith(("key", "password", "token")) and value:
            value = "(set)"
        elif isinstance(value, str):
            value = re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", value)  # a store's password
        if path in sources or not args.changed:
            rows.append((".".join(path), value, sources.get(path, "default")))
    if args.json:
        print(json.dumps({name: {"value": value, "source": source} for name, value, source in rows}, indent=2))
        return 0
    width = max((len(name) for name, _, _ in rows), default=0)
    shown = [(name, json.dumps(value), source) for name, value, source in rows]
    values = min(max((len(value) for _, value, _ in shown), default=0), 40)
    for name, value, source in shown:
        print(f"{name:<{width}}  {value:<{values}}  {source}")
    return 0
