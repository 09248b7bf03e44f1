"""The simulators, and a way to hand async clients' work to a loop of the test's own."""

from support.simulators import simulators, simulators_process

__all__ = ["simulators", "simulators_process"]
