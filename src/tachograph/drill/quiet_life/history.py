"""Which alerts would have fired in a user's own past, how often, and while how much money was spent.

Rules read raw series and recorded ones, and a past usually holds raw series only. So recordings are written out where
they are read at the same moment, and the others are evaluated first, as far back as rules look at them. Then each
alert's expression is split: the largest parts that read raw series alone are asked of the past, and the rest is
evaluated here over the answers. This goes day by day, and of a recording only what later days read is kept. `for` and
`keep_firing_for` are applied at each step, and what fires goes through the exported routes and inhibitions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import promql_parser

from tachograph.catalogue.inlining import inlined
from tachograph.catalogue.rules import Alert, RecordingRule, RuleGroup
from tachograph.console.promql.labels import Labels
from tachograph.drill.quiet_life.past import CHUNK_MS, Answer, Memory, Past, joined
from tachograph.drill.quiet_life.run import Notified, notified

LOOK_BACK_MS: Final = 8 * 86_400_000
"""Rules compare with the same hour of last week."""
_STALE_MS: Final = 300_000
"""How long a sample counts as the value of its series."""
_NEVER_JUDGED: Final = frozenset({"LLMMonitorWatchdog"})
_COST: Final = "sum by (provider) (rate(llm_provider_cost_usd_total[5m]))"


@dataclass(slots=True)
class AlertHistory:
    """What one alert did. Times are in milliseconds.

    Attributes:
        name, severity: The alert.
        episodes: Begin and end of each time that it fired, for one set of labels each.
        usd: Spent while it fired, at the provider that it names, or at all.
    """

    name: str
    severity: str
    episodes: list[tuple[int, int]] = field(default_factory=list)
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """What a past would have brought.

    Attributes:
        days: How long it is.
        alerts: Those that fired.
        notified: What Alertmanager would have opened, in order.
        usd: Spent in all.
        silent: How many alerts would not have fired.
    """

    days: float
    alerts: tuple[AlertHistory, ...]
    notified: tuple[Notified, ...]
    usd: float
    silent: int

    def a_week(self, receiver: str) -> float:
        """Notifications to a receiver in seven days."""
        return sum(one.receiver == receiver for one in self.notified) / self.days * 7


def judge(
    groups: Sequence[RuleGroup],
    routes: Mapping[str, Any],
    past: Past,
    start: int,
    end: int,
    step: int,
    say: Callable[[str], None] = lambda text: None,
) -> HistoryReport:
    """Play the rules over a past.

    Args:
        groups: The rules, made for an evaluation at each step.
        routes: Alertmanager's configuration, as exported.
        past: What can be asked.
        start, end, step: In milliseconds.
        say: Called with what is asked next.
    """
    groups = inlined(groups)
    recordings = [rule for group in groups for rule in group.rules if isinstance(rule, RecordingRule)]
    alerts = [rule for group in groups for rule in group.alerts if rule.name not in _NEVER_JUDGED]
    reads = re.compile("|".join(sorted((re.escape(rule.name) for rule in recordings), key=len, reverse=True)) or "(?!)")
    recordings = sorted(recordings, key=lambda rule: _depth(rule.name, recordings, reads))
    kept = _look_backs(recordings, alerts)
    memory = Memory()
    answers: list[list[Answer]] = [[] for _ in alerts]
    costs: list[Answer] = []
    days_before = -(-max(kept.values(), default=0) // CHUNK_MS)
    for low in range(start - days_before * CHUNK_MS, end + 1, CHUNK_MS):
        high = min(low + CHUNK_MS - step, end)
        day = _Day(past, memory, reads, (low, high, step))
        for rule in recordings:
            if high >= start - kept[rule.name]:
                say(f"{datetime.fromtimestamp(low / 1000, UTC):%Y-%m-%d} {rule.name}")
                memory.append(rule.name, day.evaluated(rule.expression), step, since=low - kept[rule.name])
        if low >= start:
            costs.append(past.range(_COST, low, high, step))
            for alert, found_of in zip(alerts, answers, strict=True):
                say(f"{datetime.fromtimestamp(low / 1000, UTC):%Y-%m-%d} {alert.name}")
                found_of.append(day.evaluated(alert.expression))
    spent = joined(costs)
    found: dict[str, AlertHistory] = {}
    firing: dict[int, set[tuple[tuple[str, str], ...]]] = {}
    for alert, found_of in zip(alerts, answers, strict=True):
        for labels, times in _firing(joined(found_of), alert, step):
            one = found.setdefault(alert.name, AlertHistory(alert.name, alert.severity))
            one.episodes += _episodes(times, step)
            one.usd += _usd(spent, dict(labels).get("provider"), set(times), step)
            whole = tuple(sorted({**dict(labels), **alert.labels, "alertname": alert.name}.items()))
            for at in times:
                firing.setdefault(at, set()).add(whole)
    timeline = [(at / 60_000, frozenset(firing.get(at, ()))) for at in range(start, end + 1, step)]
    order = {"critical": 0, "warning": 1, "info": 2}
    return HistoryReport(
        (end - start) / 86_400_000,
        tuple(sorted(found.values(), key=lambda one: (order.get(one.severity, 3), -len(one.episodes)))),
        tuple(notified(timeline, routes)),
        _usd(spent, None, None, step),
        len({alert.name for alert in alerts}) - len(found),
    )


class _Day:
    """One day of the past, in which each part of an expression is asked for once."""

    def __init__(self, past: Past, memory: Memory, reads: re.Pattern[str], when: tuple[int, int, int]) -> None:
        self._past = past
        self._memory = memory
        self._reads = reads
        self._when = when
        self._parts: dict[str, str] = {}
        self._asked: set[str] = set()

    def evaluated(self, expression: str) -> Answer:
        """The answer at every step of the day."""
        local = _split(promql_parser.parse(expression), self._reads, self._parts)
        for asked, name in self._parts.items():
            if name not in self._asked:
                self._asked.add(name)
                self._memory.put(name, self._past.range(asked, *self._when), self._when[2])
        return self._memory.range(local, *self._when)


def _look_backs(recordings: Sequence[RecordingRule], alerts: Sequence[Alert]) -> dict[str, int]:
    """How far back each recording is read, in milliseconds, by alerts and by the recordings that they read."""
    found = dict.fromkeys((rule.name for rule in recordings), 0)
    rules: list[Alert | RecordingRule] = [*alerts, *reversed(recordings)]  # what reads stands before what is read
    for rule in rules:
        _look_back(promql_parser.parse(rule.expression), found.get(rule.name, 0), found)
    return found


def _look_back(node: object, back: int, found: dict[str, int]) -> None:
    if isinstance(node, promql_parser.VectorSelector):
        if node.name in found:
            found[node.name] = min(max(found[node.name], back + _ms(node.offset) + _STALE_MS), LOOK_BACK_MS)
        return
    back += _ms(getattr(node, "range", None)) + _ms(getattr(node, "offset", None))
    for field_name in ("lhs", "rhs", "expr", "vector_selector"):
        if (child := getattr(node, field_name, None)) is not None:
            _look_back(child, back, found)
    for child in getattr(node, "args", None) or ():
        _look_back(child, back, found)


def _ms(length: timedelta | None) -> int:
    return round(length.total_seconds() * 1000) if length else 0


def _depth(name: str, recordings: Sequence[RecordingRule], reads: re.Pattern[str]) -> int:
    """How many recordings must be evaluated one after the other before this one."""
    expressions = {rule.name: rule.expression for rule in recordings}
    return 1 + max((_depth(one, recordings, reads) for one in set(reads.findall(expressions[name]))), default=0)


def _split(node: object, reads: re.Pattern[str], parts: dict[str, str]) -> str:
    """An expression in which the largest parts that read raw series alone are names of what was asked for them."""
    text = _text(node)
    if not reads.search(text):
        if isinstance(node, promql_parser.NumberLiteral):
            return text
        return parts.setdefault(text, f"past:part:{len(parts)}")
    if isinstance(node, promql_parser.BinaryExpr):
        left, right = _text(node.lhs), _text(node.rhs)
        between = text[len(left) : len(text) - len(right)]
        return f"{_split(node.lhs, reads, parts)}{between}{_split(node.rhs, reads, parts)}"
    if isinstance(node, promql_parser.ParenExpr):
        return f"({_split(node.expr, reads, parts)})"
    return text


def _text(node: object) -> str:
    """An expression as text; the parser leaves out the backslashes that escape backslashes."""
    return str(node).replace("\\", "\\\\")


def _firing(answer: Answer, alert: Alert, step: int) -> Iterator[tuple[Labels, list[int]]]:
    """By labels, the times at which an alert fired: its `for` and `keep_firing_for` applied."""
    hold, keep = alert.hold_seconds * 1000, alert.keep_seconds * 1000
    for labels, (times, _) in answer.items():
        active = {int(at) for at in times}
        fired: list[int] = []
        since: int | None = None
        last = 0
        is_firing = False
        for at in range(min(active), max(active) + int(keep) + step, step):
            if at in active:
                since, last = (at if since is None else since), at
                is_firing = is_firing or at - since >= hold
            elif is_firing and at - last < keep:
                pass
            else:
                since, is_firing = None, False
            if is_firing:
                fired.append(at)
        if fired:
            yield labels, fired


def _episodes(times: Sequence[int], step: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for at in times:
        if found and at - found[-1][1] <= step:
            found[-1] = (found[-1][0], at)
        else:
            found.append((at, at))
    return found


def _usd(spent: Answer, provider: str | None, times: set[int] | None, step: int) -> float:
    """Dollars spent at these times, at one provider or at all."""
    total = 0.0
    for labels, (at, rates) in spent.items():
        if provider is None or dict(labels).get("provider") == provider:
            chosen = (
                float(rate)
                for moment, rate in zip(at.tolist(), rates.tolist(), strict=True)
                if times is None or moment in times
            )
            total += sum(chosen) * step / 1000
    return total
