"""The catalogue of shapes: quiet ones, in which no page may fire, and outages, which must page soon."""

from __future__ import annotations

from typing import Final

from tachograph.drill.quiet_life.outages import OUTAGES
from tachograph.drill.quiet_life.quiet import QUIET
from tachograph.drill.quiet_life.shape import Shape

SHAPES: Final[tuple[Shape, ...]] = (*QUIET, *OUTAGES)
