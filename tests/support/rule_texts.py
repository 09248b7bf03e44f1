"""What drills play, and what settings change in the rules, as text; `make goldens` writes it again."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import Any

from tachograph import catalogue
from tachograph.catalogue.export.prometheus import rules_text
from tachograph.catalogue.rules import RuleGroup
from tachograph.settings import load

FOLDER = Path(__file__).parent.parent / "goldens" / "rules"
SETTINGS: dict[str, dict[str, Any]] = {
    "thresholds": {
        "provider_errors_per_second": 0.3, "tokens_per_second": 70_000, "cost_usd_per_hour": 130,
        "tool_errors_per_second": 0.07, "tool_seconds": 5, "latency_seconds": 60, "hang_seconds": 120,
        "availability_objective": 0.995, "tool_availability_objective": 0.98, "latency_objective": 0.97,
        "error_share": 0.07, "error_floor": 11, "down_errors": 9, "page_share": 0.3, "refused_share": 0.17,
        "rate_limited_share": 0.06, "blocked_callers": 3, "quiet_requests_per_second": 0.08, "daily_budget_usd": 50,
        "budget_hours_left": 6, "cost_anomaly_factor": 2.5, "cost_anomaly_floor_usd_per_hour": 7,
        "token_spike_factor": 4, "token_spike_floor": 700, "usage_missing_share": 0.08, "waste_share": 0.3,
        "waste_floor_usd_per_hour": 2, "bill_drift_share": 0.03, "tool_error_share": 0.12, "tool_slow_share": 0.09,
        "tool_timeout_share": 0.04, "tool_error_floor": 5, "flaps": 8, "registry_miss_share": 0.25,
        "registry_seconds": 0.001, "factory_seconds": 0.1, "persist_error_share": 0.11, "persist_backlog": 2000,
        "persist_lag_seconds": 400, "persist_seconds": 0.1, "series_per_target": 70_000,
    },
    "places": {
        "job": "api|worker", "identity": ["job", "cluster"], "scrape_interval": 5, "keep_firing": False,
    },
    "push": {"profile": "push", "push_interval": 30},
}  # fmt: skip
"""Other settings than the usual ones: each value is changed."""


def texts() -> dict[str, str]:
    """By file name: the drills of the usual rules, and what other settings change in rules and drills."""
    usual = shown({})
    found = {"drills.txt": "".join(f"{line}\n" for line in _drills(catalogue.rule_groups()))}
    for name, alerts in SETTINGS.items():
        changed = list(unified_diff(usual, shown(alerts), "the usual settings", name, n=0, lineterm=""))
        found[f"{name}.diff"] = "".join(f"{line}\n" for line in changed if not line.startswith("@@"))
    return found


def shown(alerts: dict[str, Any]) -> list[str]:
    """Rules and drills with these settings, line by line."""
    groups = catalogue.rule_groups(load({"alerts": alerts}, environ={}, read_file=False))
    return [*rules_text(groups).splitlines(), *_drills(groups)]


def _drills(groups: tuple[RuleGroup, ...]) -> list[str]:
    return [
        f"{alert.name} {dict(alert.more_labels).get('long', '')}: {alert.drill!r}"
        for group in groups
        for alert in group.alerts
    ]


def write() -> None:
    """Write them again; the diff is for reading."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in texts().items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write()
