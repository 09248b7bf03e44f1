"""The metric families of runs."""

from __future__ import annotations

from typing import Final

from tachograph.signals.family import Family

OUTCOMES: Final = ("success", "error", "cancelled")
_COUNTS: Final = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0)

RUN_SECONDS: Final = Family(
    "llm_run_seconds",
    "histogram",
    ("agent", "outcome"),
    "Duration of one run of an agent, all its calls and tools included.",
    "seconds",
    buckets=(1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
    values={"outcome": OUTCOMES},
)
RUN_COST_USD: Final = Family(
    "llm_run_cost_usd",
    "histogram",
    ("agent", "outcome"),
    "Cost of one run of an agent in US dollars, runs inside it included; unpriced calls add nothing.",
    "usd",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0),
    values={"outcome": OUTCOMES},
)
RUN_CALLS: Final = Family(
    "llm_run_calls",
    "histogram",
    ("agent",),
    "LLM calls that one run of an agent made, runs inside it included.",
    buckets=_COUNTS,
)
RUN_TOOL_CALLS: Final = Family(
    "llm_run_tool_calls",
    "histogram",
    ("agent",),
    "Tool calls that one run of an agent made, runs inside it included.",
    buckets=_COUNTS,
)
FAMILIES: Final = (RUN_SECONDS, RUN_COST_USD, RUN_CALLS, RUN_TOOL_CALLS)
