"""What people said about alerts, as it stands now: silences and acknowledgements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tachograph.console.promql.matchers import EQUAL, LabelMatcher
from tachograph.console.promql.syntax import parse_selector

Note = tuple[float, str, str, float, str, str]
"""At, alert, kind, until, text, matchers beside the alert's name."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Keeps the alerts quiet whose labels satisfy all its matchers, as Alertmanager's silences do.

    Attributes:
        until: Seconds since 1970.
        by: Who made it; "": a person at this console.
    """

    until: float
    matchers: tuple[LabelMatcher, ...]
    by: str = ""
    text: str = ""

    def hides(self, labels: Mapping[str, str]) -> bool:
        """Whether it keeps an alert with these labels quiet."""
        return all(one.matches(labels.get(one.name, "")) for one in self.matchers)

    def hides_all(self, known: Mapping[str, str]) -> bool:
        """Whether it keeps every alert of a rule quiet of which these labels are known before it fires."""
        return all(one.name in known and one.matches(known[one.name]) for one in self.matchers)

    @property
    def where(self) -> str:
        """Its matchers beside one that names the alert."""
        return ",".join(str(one) for one in self.matchers if (one.name, one.op) != ("alertname", EQUAL))


@dataclass(frozen=True, slots=True)
class AlertNotes:
    """What holds for one alert: the silences made here, and since when it is acknowledged (None: it is not)."""

    silences: tuple[Silence, ...] = ()
    acknowledged_at: float | None = None


def matchers_of(alert: str, where: str) -> tuple[LabelMatcher, ...]:
    """The matchers of a silence of an alert.

    Args:
        alert: Its name.
        where: Further matchers, as PromQL writes them: `provider="openai",model=~"gpt-.*"`. "": none.

    Raises:
        PromQLSyntaxError: They cannot be read.
    """
    found = parse_selector(f"{{{LabelMatcher('alertname', EQUAL, alert)},{where}}}")
    for one in found:
        one.validate()
    return found


def notes_by_alert(notes: Iterable[Note], now: float) -> dict[str, AlertNotes]:
    """What holds for each alert. The newest silence with the same matchers counts; one of all its alerts that is over
    ends all before it.

    Args:
        notes: The newest first.
        now: Seconds since 1970.
    """
    silences: dict[str, dict[str, Silence]] = {}
    acknowledged: dict[str, float] = {}
    over: set[str] = set()
    for at, alert, kind, until, text, where in notes:
        if kind != "silence":
            acknowledged.setdefault(alert, at)
        elif alert not in over:
            own = silences.setdefault(alert, {})
            own.setdefault(where, Silence(until, matchers_of(alert, where), text=text))
            if not where and own[where].until <= now:
                over.add(alert)
    return {
        alert: AlertNotes(
            tuple(one for one in silences.get(alert, {}).values() if one.until > now),
            acknowledged.get(alert),
        )
        for alert in {*silences, *acknowledged}
    }
