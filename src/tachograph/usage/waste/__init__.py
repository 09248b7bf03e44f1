"""Waste: money that bought nothing, by cause."""

from tachograph.usage.waste.judge import CAUSES, Waste

__all__ = ["CAUSES", "Waste"]
