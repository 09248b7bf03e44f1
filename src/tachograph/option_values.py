"""Options that several commands take, and their values, refused in words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

MOST: Final = 31_536_000
"""Seconds in a year: no time that is waited and no rate is more."""
LARGEST_SEED: Final = 2**32 - 1


def add_rules(parser: argparse.ArgumentParser) -> None:
    """Declare `--rules`: where the rules of a drill are."""
    parser.add_argument(
        "--rules",
        type=Path,
        metavar="DIR",
        help="an export (`tachograph export DIR`) or a folder of rule files; unless given, rules from the settings",
    )


def positive(text: str) -> float:
    """A number above 0, at most `MOST`."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return _bounded(value, text)


def not_negative(text: str) -> float:
    """0 or a number above it, at most `MOST`."""
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {text!r}")
    return _bounded(value, text)


def number(least: float, most: float) -> Callable[[str], float]:
    """Numbers of a range, both ends included."""

    def read(text: str) -> float:
        value = _number(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a number from {least:g} to {most:g}, not {text!r}")
        return value

    return read


def whole(least: int, most: int) -> Callable[[str], int]:
    """Whole numbers of a range, both ends included."""

    def read(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}, not {text!r}")
        return int(text)

    return read


port: Final = whole(0, 65535)
"""A TCP port; 0 stands for any free one."""
seed: Final = whole(0, LARGEST_SEED)
"""What random numbers begin with."""


def _bounded(value: float, text: str) -> float:
    if value > MOST:
        raise argparse.ArgumentTypeError(f"must be at most {MOST}, not {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
