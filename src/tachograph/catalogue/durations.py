"""Prometheus durations: `90s`, `1h30m`, `3d`."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_PART: Final = re.compile(r"(\d+)(ms|[smhdwy])")


def seconds(duration: str) -> float:
    """How long a Prometheus duration is, in seconds; `0` is nothing."""
    if duration == "0":
        return 0.0
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        raise ValueError(f"{duration!r} is not a Prometheus duration")
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))


def text(length: float) -> str:
    """The shortest usual spelling of whole seconds: 90 is `1m30s`."""
    rest, found = round(length), ""
    for unit in ("d", "h", "m", "s"):
        size = int(_UNITS[unit])
        if rest >= size:
            found += f"{rest // size}{unit}"
            rest %= size
    return found or "0s"


def number(value: float) -> str:
    """A number as a person writes it in a rule: `50000`, `0.05`, `100`."""
    return f"{value:.12g}" if abs(value) < 1e12 else str(value)
