"""A dashboard's panels, answered out of calls where the console keeps them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from tachograph.catalogue.panels import Dashboard, Panel
from tachograph.console.promql import PromQLError
from tachograph.console.views.measures import answer, instant, step_of
from tachograph.console.views.selection import Selection, TimeRange, filter_of, select

if TYPE_CHECKING:
    from tachograph.console.console import Console

_FILTERS: Final = ("provider", "model", "server_id", "tool_name")
_TARGETS: Final = ("job", "instance")
_COUNTS: Final = {"llm": "llm_provider_request_seconds_count", "tools": "mcp_tool_execute_seconds_count"}
_MISSED: Final = 1.05
"""From this many times more requests in the metrics than in the calls on, the metrics are asked."""


def dashboard(
    console: Console,
    dashboard: Dashboard,
    chosen: TimeRange,
    variables: Mapping[str, str],
    *,
    source: str = "",
    only: Collection[str] = (),
) -> dict[str, Any]:
    """Answer a dashboard's measures.

    Args:
        only: Ids of the panels to answer; empty means all.

    Returns:
        `source` is `calls`, or `metrics` where the page is to ask PromQL, and `why` says so; `panels` holds for each
        panel's id one list of series per query, or null where only metrics know the answer.
    """
    defaults = {one.name: one.default or "" for one in dashboard.variables}
    values = {**defaults, **{name: text for name, text in variables.items() if text}}
    found = select(console, chosen, filter_of({name: values.get(name, "") for name in _FILTERS}))
    step = 3600.0 if found.from_ledger else 0.0
    step = max(step, step_of(chosen.start, chosen.end))
    about: dict[str, Any] = {
        "from": chosen.start,
        "to": chosen.end,
        "step": step,
        "known_since": found.known_since,
        "from_ledger": found.from_ledger,
        "calls": found.llm.count + found.tools.count,
    }
    kinds = {"tools" if q.measure.of == "tools" else "llm" for p in dashboard.panels for q in p.queries if q.measure}
    if source != "calls":
        why = "asked for" if source == "metrics" else _why_metrics(console, found, kinds, values)
        if why:
            return {**about, "source": "metrics", "why": why, "panels": {}}
    wanted = {slug(p.title): p for p in dashboard.panels if _is_measured(p)}
    panels = {name: _panel(p, found, step, values) for name, p in wanted.items() if not only or name in only}
    return {**about, "source": "calls", "why": "", "panels": panels}


def slug(text: str) -> str:
    """A panel's id: its title in small letters and hyphens."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split())


def _is_measured(panel: Panel) -> bool:
    return all(query.measure is not None for query in panel.queries)


def _panel(panel: Panel, found: Selection, step: float, values: Mapping[str, str]) -> list[list[dict[str, Any]]]:
    answers = []
    for query in panel.queries:
        assert query.measure is not None
        if query.instant or (panel.kind == "heatmap" and not query.buckets):  # cells of the whole range
            answers.append(instant(query.measure, found, values))
        else:
            answers.append(answer(query.measure, found, step, values))
    return answers


def _why_metrics(console: Console, found: Selection, kinds: set[str], values: Mapping[str, str]) -> str:
    """Why calls do not answer here, or ""."""
    kept = {"llm": found.requests.count, "tools": found.tools.count}
    if any(values.get(name) for name in _TARGETS):
        return "calls are not kept by job and instance"
    if console.prometheus is not None:  # one that does not have this application leaves its calls to show
        has_none = any(kept.values()) and not any(_counted(console, _COUNTS[kind], found) for kind in _COUNTS)
        return "" if has_none else f"the numbers come from {console.prometheus.url}"
    if not console.targets:
        return ""
    for kind in sorted(kinds):
        counted = _counted(console, _COUNTS[kind], found)
        if counted > kept[kind] * _MISSED + 2:
            return f"the metrics count {counted:,.0f} requests in this range, and {kept[kind]:,} of them are kept here"
    return ""


def _counted(console: Console, name: str, found: Selection) -> float:
    """How many requests the metrics count in a range."""
    seconds = max(int(found.end - found.start), 1)
    try:
        result = console.querier.instant(f"sum(increase({name}[{seconds}s]))", int(found.end * 1000))
    except PromQLError:
        return 0.0
    return float(result.series[0][2][0]) if result.series else 0.0
