"""What can be turned while the traffic runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TrafficDial:
    """Rates of the traffic, read again for every arrival.

    Attributes:
        calls_per_second: LLM calls a second that the ordinary jobs together should make.
        archives_per_second: Calls a second that send a whole archive to the most expensive model.
        reports_per_second: Streamed answers a second of the most expensive model about a long manual.
        summaries_per_second: Calls a second that ask the most expensive model under a long cached prompt.
        requests_per_second: Agents a second with the most expensive model.
        report_pieces: After how many pieces of a report its reader closes the page; None: never.
        asks_again: Whether what was answered is asked once more, a moment later.
    """

    calls_per_second: float
    archives_per_second: float = 0.0
    reports_per_second: float = 0.0
    summaries_per_second: float = 0.0
    requests_per_second: float = 0.0
    report_pieces: int | None = None
    asks_again: bool = False
