"""Where the notifier's alerts come from: the console's own evaluation, or a Prometheus that has the rules."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import TYPE_CHECKING, Any, Final

from tachograph.catalogue import durations
from tachograph.console.notes import notes_by_alert
from tachograph.console.notify.message import NotifiedAlert
from tachograph.console.notify.notifier import Snapshot
from tachograph.console.notify.state import State
from tachograph.console.promql import PromQLError
from tachograph.console.rules import Rules, SavedAlert

if TYPE_CHECKING:
    from tachograph.console.console import Console

logger = logging.getLogger("tachograph.notify")

SAVE_SECONDS: Final = 60.0
FORGET_PENDING_SECONDS: Final = 3600.0
"""After a longer stop a pending alert begins again. Source: Prometheus' rules.alert.for-outage-tolerance, 1h."""


class AlertSource:
    """The alerts of a console, with what people said about them; keeps its own evaluation's across restarts."""

    def __init__(self, console: Console, state: State) -> None:
        self._console = console
        self._state = state
        self._kept: tuple[float, Any] = (0.0, None)

    def restore(self, grace: str, now: float) -> None:
        """Give the evaluator the alerts that were active before this start."""
        saved_at = self._state.saved_at()
        found = self._state.active()
        if now - saved_at > FORGET_PENDING_SECONDS:
            found = {key: [one for one in alerts if one.state == "firing"] for key, alerts in found.items()}
        until = int((now + durations.seconds(grace)) * 1000)
        self._console.rules.restore(found, until)

    def __call__(self) -> Snapshot:
        now = time.time()
        prometheus = self._console.prometheus
        if prometheus is not None and not prometheus.answered:
            prometheus.has_rules()
            if not prometheus.answered:
                raise PromQLError(f"the Prometheus at {prometheus.url} does not answer")
        if not self._console.evaluates:
            firing = [_alert(one) for rule in self._console.alert_rules() for one in rule["alerts"]]
        else:
            firing = [_alert(one) for one in self._console.rules.alerts()]
            self._keep(self._console.rules, now)
        notes = notes_by_alert(self._console.calls.notes(), now)
        return Snapshot(
            firing=tuple(alert for alert, state in firing if state == "firing"),
            silences=tuple(silence for one in notes.values() for silence in one.silences),
            acknowledged=tuple(
                (name, one.acknowledged_at) for name, one in notes.items() if one.acknowledged_at is not None
            ),
        )

    def _keep(self, rules: Rules, now: float) -> None:
        """Keep the evaluator's alerts when one has changed, and each minute, so that the length of a stop is known."""
        active: dict[tuple[str, int], list[SavedAlert]] = rules.active()
        shape = [(key, [(one.labels, one.state, one.active_at) for one in found]) for key, found in active.items()]
        if shape == self._kept[1] and now - self._kept[0] < SAVE_SECONDS:
            return
        try:
            self._state.save_active(active, now)
            self._kept = (now, shape)
        except sqlite3.Error as error:
            logger.error("tachograph notify: the alerts that fire cannot be kept: %s", error)


def _alert(described: dict[str, Any]) -> tuple[NotifiedAlert, str]:
    """An alert in the shape of Prometheus' API, and its state."""
    from tachograph.console.views.incident import stamp

    alert = NotifiedAlert(
        labels=described["labels"],
        annotations=described["annotations"],
        since=stamp(described["activeAt"]),
        value=str(described["value"]),
    )
    return alert, described["state"]
