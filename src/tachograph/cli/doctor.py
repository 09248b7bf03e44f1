"""`tachograph doctor`: what is watched here, what is not and why, and one call to prove it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

_MARKS = {"ok": "ok", "warning": "!!", "problem": "NO", "absent": "--"}
_TITLES = {
    "versions": "Versions",
    "hooks": "Hooked",
    "wire": "Seen on the wire",
    "others": "Other instrumentations",
    "exporters": "Where it goes",
    "proof": "Proof: one call with a hidden retry, against a simulator",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The form of the report."""
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _short(detail: str) -> str:
    """A long list of places as its first few and their number; `--json` has them all."""
    places = detail.split(", ")
    return detail if len(places) <= 8 else f"{', '.join(places[:4])} and {len(places) - 4} more"


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 when there is no problem, 1 otherwise."""
    from tachograph.instrument.checkup import examine

    checkup = examine()
    if args.json:
        print(json.dumps({"well": checkup.is_well, "findings": [asdict(finding) for finding in checkup.findings]}))
        return 0 if checkup.is_well else 1
    for topic, title in _TITLES.items():
        findings = [finding for finding in checkup.findings if finding.topic == topic]
        print(f"\n{title}" if topic != "versions" else title)
        if not findings:
            print("  none")
        for finding in findings:
            print(f"  {_MARKS[finding.state]}  {finding.name}: {_short(finding.detail)}")
    states = {finding.state for finding in checkup.findings}
    well = "Nothing is broken: read the lines marked !!." if "warning" in states else "All is well."
    print(f"\n{well}" if checkup.is_well else "\nThere are problems: see the lines marked NO.")
    return 0 if checkup.is_well else 1
