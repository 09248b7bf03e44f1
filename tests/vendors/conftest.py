"""Fixtures: the vendors' simulators."""

from support.simulators import simulators, simulators_process

__all__ = ["simulators", "simulators_process"]
