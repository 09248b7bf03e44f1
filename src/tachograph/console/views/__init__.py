"""What people and programs ask the console: one answer each, for the page, `tachograph mcp` and `tachograph top`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tachograph.console.columns import Filter
from tachograph.console.views.selection import TimeRange

if TYPE_CHECKING:
    from tachograph.console.console import Console


class Views:
    """The answers of one console."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def now(self, start: float, end: float, chosen: dict[str, str] | None = None) -> dict[str, Any]:
        """What is wrong and since when, tiles, and tables by trouble."""
        from tachograph.console.views import now

        return now.now(self.console, TimeRange(start, end), chosen)

    def dashboard(
        self, uid: str, start: float, end: float, variables: dict[str, str], source: str = "", only: str = ""
    ) -> dict[str, Any] | None:
        """A dashboard's panels out of calls, or those named in `only`; None when there is no such dashboard."""
        from tachograph import catalogue
        from tachograph.console.views import dashboard

        found = next((one for one in catalogue.dashboards(self.console.settings) if one.uid == uid), None)
        if found is None:
            return None
        panels = [name for name in only.split(",") if name]
        return dashboard.dashboard(self.console, found, TimeRange(start, end), variables, source=source, only=panels)

    def alerts(self) -> list[dict[str, Any]]:
        """Every alerting rule with its state."""
        from tachograph.console.views import incident

        return incident.alerts(self.console)

    def incident(self, alert: str) -> dict[str, Any] | None:
        """One alert with its evidence and its runbook; None when no rule has this name."""
        from tachograph.console.views import incident

        return incident.incident(self.console, alert)

    def explore(self, start: float, end: float, wanted: Filter, what: str) -> dict[str, Any]:
        """Facets, or runs, sessions or errors."""
        from tachograph.console.views import explore

        chosen = TimeRange(start, end)
        if what == "runs":
            return {"runs": explore.runs(self.console, chosen, wanted)}
        if what == "sessions":
            return {"sessions": explore.sessions(self.console, chosen, wanted)}
        if what == "errors":
            return {"errors": explore.errors(self.console, chosen, wanted)}
        return explore.facets(self.console, chosen, wanted)

    def compare(
        self, start: float, end: float, wanted: Filter, version_a: str = "", version_b: str = "",
        a_from: float | None = None, a_to: float | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Two versions in one range, or the range against the one before or the one given."""
        from dataclasses import replace

        from tachograph.console.views import explore

        here = TimeRange(start, end)
        if version_a and version_b:
            sides = [replace(wanted, fields={**wanted.fields, "app_version": (v,)}) for v in (version_a, version_b)]
            return explore.compare(self.console, (here, sides[0]), (here, sides[1]))
        past = TimeRange(a_from, a_to) if a_from is not None and a_to is not None else here.before
        return explore.compare(self.console, (past, wanted), (here, wanted))

    def run(self, identity: str) -> dict[str, Any] | None:
        """A run or a trace as a tree."""
        from tachograph.console.views import runs

        return runs.run(self.console, identity)

    def session(self, identity: str) -> dict[str, Any] | None:
        from tachograph.console.views import runs

        return runs.session(self.console, identity)

    def money(
        self, start: float, end: float, chosen: dict[str, str] | None = None, by: str = "model"
    ) -> dict[str, Any]:
        """The money of a range, of the month, and where it is heading.

        Raises:
            ValueError: Spending is not kept by `by`.
        """
        from tachograph.console.views import money

        return money.money(self.console, TimeRange(start, end), chosen, by)
