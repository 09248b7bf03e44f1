"""Each alert through Prometheus's own rule engine, with synthetic series and the user's rule files.

`promtool test rules` is Prometheus without its web server: the same storage, the same query engine, the same rule
manager, in simulated time. It says only whether what came out was expected, so we expect nothing at every moment of
the drill and read its complaints: each is a moment in which the alert was pending or firing. That gives the alert's
whole history from the real engine, for rules that take three days as quickly as for those that take two minutes.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tachograph.catalogue import durations
from tachograph.catalogue.drill import Drill, Gauge, Series, plain, samples
from tachograph.catalogue.families import BUCKETS
from tachograph.catalogue.rules import Alert
from tachograph.drill import tools
from tachograph.errors import TachographError

EVALUATION: Final = 30.0
LONGEST_EVALUATION: Final = 120.0
"""Prometheus forgets a value after five minutes; a rule must find what a recording wrote one evaluation before it."""

_COMPLAINT: Final = re.compile(r'expr: ("(?:[^"\\]|\\.)*"), time: ([0-9hmsd]+)')


class RulesError(TachographError):
    """Prometheus does not accept the rule files."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What one alerting rule did. Times are seconds after trouble began; `resolved` after it ended.

    Attributes:
        alert: The rule.
        quiet: Whether it was silent until trouble began.
        pending: When it was first seen pending; None: never (a rule without `for` never is).
        firing: When it was first seen firing; None: never.
        resolved: How long after the end it was last seen firing; None: still firing at the end of the drill.
    """

    alert: Alert
    quiet: bool
    pending: float | None
    firing: float | None
    resolved: float | None

    @property
    def problem(self) -> str:
        """What went wrong, or an empty text."""
        within = durations.seconds(self.alert.drill.within)
        if self.alert.drill.always:
            return "" if self.firing is not None else "it must always fire, and did not"
        if not self.quiet:
            return "it fired before there was trouble"
        if self.firing is None:
            return f"it did not fire within {self.alert.drill.trouble} of trouble"
        if self.firing > within:
            return f"it fired after {durations.text(self.firing)}, later than {self.alert.drill.within}"
        if self.resolved is None:
            return f"it still fired {self.alert.drill.after} after the trouble was over"
        return ""


def rehearse(alert: Alert, rule_files: Sequence[Path], target: dict[str, str]) -> Rehearsal:
    """Put one rule through its drill.

    Args:
        alert: The rule, with its drill.
        rule_files: Prometheus rule files that contain it (and the recordings that it reads).
        target: Labels that every scraped series carries: job and instance.

    Raises:
        RulesError: Prometheus does not accept the files.
        MissingToolError: promtool is not on PATH.
    """
    every = min(LONGEST_EVALUATION, max(EVALUATION, durations.seconds(alert.drill.step)))
    moments = list(_moments(alert.drill))
    case = {
        "rule_files": [str(path.resolve()) for path in rule_files],
        "evaluation_interval": durations.text(every),
        "tests": [
            {
                "name": alert.name,
                "interval": alert.drill.step,
                "input_series": list(input_series(alert.drill, target)),
                "promql_expr_test": [
                    {"expr": _watched(alert, state, target), "eval_time": durations.text(moment), "exp_samples": []}
                    for moment in moments
                    for state in ("pending", "firing")
                ],
            }
        ],
    }
    seen = _complaints(case)
    return _judge(alert, moments, seen)


def input_series(drill: Drill, target: dict[str, str]) -> Iterator[dict[str, str]]:
    """The drill's series in promtool's notation, and where it is scraped `up`, unless the drill has its own."""
    series: list[Series] = list(drill.series)
    if not drill.pushed and not any(one.name == "up" for one in series):
        series.append(Gauge("up", {}, (1, 1, 1)))
    for one in series:
        for part in plain(one, BUCKETS):
            labels = ",".join(f"{name}={json.dumps(value)}" for name, value in {**part.labels, **target}.items())
            yield {"series": f"{part.name}{{{labels}}}", "values": _values(samples(part, drill), one, drill)}


def _values(values: Iterable[float | None], series: Series, drill: Drill) -> str:
    """Numbers, `_` where there is nothing, and one staleness marker where a scraped series goes away."""
    sparse = drill.pushed or (isinstance(series, Gauge) and series.keep > 1)
    out, present = [], False
    for value in values:
        if value is None:
            out.append("stale" if present and not sparse else "_")
        else:
            out.append(f"{value:.12g}")
        present = value is not None
    return " ".join(out)


def _moments(drill: Drill) -> Iterator[float]:
    """When to look: just before trouble, then often enough through trouble and after."""
    quiet, trouble, after = drill.phases
    yield from (quiet / 2, quiet - EVALUATION)
    every = max(EVALUATION, round((trouble + after) / 150 / EVALUATION) * EVALUATION)
    moment = quiet
    while moment < quiet + trouble + after:
        yield moment
        moment += every


def _watched(alert: Alert, state: str, target: dict[str, str]) -> str:
    labels = {"alertname": alert.name, "alertstate": state, **alert.labels, **alert.drill.labels}
    return f"ALERTS{{{','.join(f'{name}={json.dumps(value)}' for name, value in labels.items())}}}"


def _complaints(case: object) -> set[tuple[str, float]]:
    """(state, moment) of each time that something was there."""
    with tempfile.TemporaryDirectory(prefix="tachograph-drill-") as directory:
        path = Path(directory) / "drill.yaml"
        path.write_text(json.dumps(case), "utf-8")  # JSON is YAML
        done = subprocess.run(
            [tools.find("promtool"), "test", "rules", str(path)], capture_output=True, text=True, check=False
        )
    said = done.stdout + done.stderr
    found = set()
    for match in _COMPLAINT.finditer(said):
        expression = json.loads(match.group(1))
        state = "firing" if 'alertstate="firing"' in expression else "pending"
        found.add((state, durations.seconds(match.group(2))))
    if done.returncode and not found:
        raise RulesError(f"promtool refuses the rules: {said.strip()[:2000]}", do="Correct the rule files.")
    return found


def _judge(alert: Alert, moments: Sequence[float], seen: set[tuple[str, float]]) -> Rehearsal:
    quiet_length, trouble, _ = alert.drill.phases
    start, end = quiet_length, quiet_length + trouble
    firing = sorted(moment for state, moment in seen if state == "firing")
    pending = sorted(moment for state, moment in seen if state == "pending" and moment >= start)
    during = [moment for moment in firing if moment >= start]
    still = bool(firing) and firing[-1] >= moments[-1]
    return Rehearsal(
        alert=alert,
        quiet=not any(moment < start for moment in firing),
        pending=pending[0] - start if pending else None,
        firing=during[0] - start if during else None,
        resolved=None if still or not during else max(0.0, during[-1] - end),
    )
