"""Every metric family that a panel or a rule may name."""

from __future__ import annotations

from typing import Final

from tachograph.llm.metrics import families as llm
from tachograph.mcp.metrics import families as mcp
from tachograph.signals import families as signals
from tachograph.signals.family import Family
from tachograph.usage.metrics import families as usage

FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        *llm.FAMILIES,
        *mcp.FAMILIES,
        *usage.FAMILIES,
        *signals.FAMILIES,
        *signals.CONSOLE_FAMILIES,
        *signals.COLLECT_FAMILIES,
    )
}
BUCKETS: Final[dict[str, tuple[float, ...]]] = {
    name: family.buckets for name, family in FAMILIES.items() if family.kind == "histogram"
}
