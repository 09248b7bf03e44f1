"""`tests/slow.txt`, seconds of what `make check` leaves out: `python tools/slow_tests.py artifacts/*.xml`.

The tests begin with the files whose slow tests take longest together.

One report is of the whole suite: `make tests PYTEST_ARGS=--junitxml=artifacts/junit.xml`. A set-up that several tests
share is in the seconds of the first: reports with `--quick`, too, show those of the next ones.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

LIST = Path(__file__).resolve().parents[1] / "tests" / "slow.txt"
SLOW_SECONDS = 0.7


def slow(reports: list[Path]) -> list[str]:
    """Test functions that took longer, all their parameters together: `seconds file::name`, the file below tests/."""
    took: Counter[str] = Counter()
    for report in reports:
        here: Counter[str] = Counter()
        for case in ElementTree.parse(report).iter("testcase"):
            file = "/".join(case.attrib["classname"].split(".")[1:])
            here[f"{file}.py::{case.attrib['name'].split('[')[0]}"] += float(case.attrib["time"])
        took |= here  # the longest time of each
    return [f"{seconds:.1f} {name}" for name, seconds in sorted(took.items()) if seconds >= SLOW_SECONDS]


if __name__ == "__main__":
    LIST.write_text("".join(f"{line}\n" for line in slow([Path(name) for name in sys.argv[1:]])), "utf-8")
