"""What can be turned while the traffic runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TrafficDial:
    """Rates of the traffic, read again for every arrival.

    Attributes:
        calls_per_second: LLM calls a second that the ordinary jobs together should make.
        archives_per_second: Calls a second that send a whole archive to the most expensive model.
    """

    calls_per_second: float
    archives_per_second: float = 0.0
