"""The series that scrapes of a shape's targets, or their pushes, would have brought."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tachograph.catalogue.durations import number
from tachograph.catalogue.families import BUCKETS
from tachograph.drill.quiet_life.shape import Fault, Shape, Target, Traffic
from tachograph.records.outcomes import ERROR_KINDS, ERROR_TYPES, OUTCOMES, TOOL_OUTCOMES

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
STALE: Final = math.nan
_TOKENS: Final = (800, 200)
_OUTCOME: Final = {"timeout": "timeout", "rate_limit": "rate_limited"}


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A call that takes longer than the time between two scrapes. Times are minutes."""

    traffic: Traffic
    fault: Fault | None
    begun: float
    ends: float


class World:
    """Plays one shape; the same shape always gives the same series."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._steps = int(shape.minutes * 60 / shape.step) + 1
        self._random = random.Random(shape.name)
        self._series: dict[Key, list[float | None]] = {}

    def series(self) -> Iterator[tuple[str, list[float | None]]]:
        """Selector and samples: None where there is none, NaN for a staleness marker."""
        for target in self._shape.targets:
            self._play(target)
        for (name, labels), values in self._series.items():
            inside = ",".join(f'{label}="{value}"' for label, value in labels)
            yield f"{name}{{{inside}}}", values

    def by_target(self) -> list[tuple[Labels, dict[Key, list[float | None]]]]:
        """The same series for each target: its own labels, and name and labels with their samples."""
        for target in self._shape.targets:
            self._play(target)
        found: dict[Labels, dict[Key, list[float | None]]] = {}
        for target in self._shape.targets:
            where = _where(target)
            found[where] = {key: values for key, values in self._series.items() if key[1][-len(where) :] == where}
        return list(found.items())

    def _play(self, target: Target) -> None:
        where = _where(target)
        counters: dict[Key, float] = {}
        under_way: dict[tuple[str, str], list[_UnderWay]] = {}
        restarts = sorted(target.restarts)
        seen: set[Key] = set()
        for index in range(self._steps):
            minute = index * self._shape.step / 60
            if not target.start <= minute < target.end:
                if minute >= target.end and seen:
                    self._stale(seen, index)
                continue
            while restarts and restarts[0] <= minute:
                restarts.pop(0)
                counters = dict.fromkeys(counters, 0.0)
                under_way = {who: [] for who in under_way}
            down = _within(target.unreachable, minute)
            for traffic in self._shape.traffic:
                if not traffic.instances or target.instance in traffic.instances:
                    self._calls(traffic, target, minute, counters, under_way)
            if _within(target.unseen, minute) or (down and self._shape.push):
                continue  # Prometheus itself is away, or a push was lost: no sample, and no staleness marker
            if not self._shape.push:
                self._put(("up", where), index, 0.0 if down else 1.0)
            if down:
                self._stale(seen - {("up", where)}, index)
                continue
            now = {
                **counters,
                **self._gauges(target, minute, under_way),
                ("tachograph_build_info", (("version", "1"),)): 1,
            }
            for (name, labels), value in now.items():
                key = (name, (*(_spelled(labels) if target.float_bounds else labels), *where))
                seen.add(key)
                self._put(key, index + round(target.clock * 60 / self._shape.step), value)
        seen.clear()

    def _put(self, key: Key, index: int, value: float) -> None:
        if index < self._steps:
            self._series.setdefault(key, [None] * self._steps)[max(index, 0)] = value

    def _stale(self, keys: set[Key], index: int) -> None:
        if self._shape.push:
            return
        for key in keys:
            values = self._series[key]
            if index and values[index - 1] is not None and not math.isnan(values[index - 1] or 0.0):
                values[index] = STALE

    def _gauges(
        self, target: Target, minute: float, under_way: dict[tuple[str, str], list[_UnderWay]]
    ) -> dict[Key, float]:
        found: dict[Key, float] = {}
        for who, calls in under_way.items():
            labels = (("provider", who[0]), ("model", who[1]))
            found["llm_calls_in_flight", labels] = float(len(calls))
            oldest = min((one.begun for one in calls), default=minute)
            found["llm_call_oldest_seconds", labels] = (minute - oldest) * 60
        for level in self._shape.levels:
            if level.instance in ("", target.instance):
                value = next((value for at, value in reversed(level.values) if at <= minute), None)
                if value is not None:
                    at, slope = next(((at, s) for at, s in reversed(level.slopes) if at <= minute), (minute, 0.0))
                    found[level.name, level.labels] = value + slope * (minute - at)
        return found

    def _calls(
        self,
        traffic: Traffic,
        target: Target,
        minute: float,
        counters: dict[Key, float],
        under_way: dict[tuple[str, str], list[_UnderWay]],
    ) -> None:
        step = self._shape.step / 60
        hour, day = minute / 60 % 24, int(minute // 1440)
        open_now = traffic.begin <= minute < traffic.end and traffic.hours[0] <= hour < traffic.hours[1]
        count = 0
        if open_now and (not traffic.days or day % 7 in traffic.days):
            if traffic.every:
                count = int(minute // traffic.every) - int((minute - step) // traffic.every) if minute else 0
            else:
                count = _poisson(traffic.per_minute * step, self._random)
        if traffic.tool[0]:
            self._tools(traffic, target, minute, count, counters)
            return
        calls = under_way.setdefault((traffic.provider, traffic.model), [])
        for one in [one for one in calls if one.ends <= minute]:
            calls.remove(one)
            _end(one.traffic, one.fault, (one.ends - one.begun) * 60, counters)
        for _ in range(count):
            fault = self._fault(traffic, target, minute)
            seconds = _lasts(traffic, fault, minute)
            if seconds < self._shape.step:
                _end(traffic, fault, seconds, counters)
            else:
                calls.append(_UnderWay(traffic, fault, minute, minute + seconds / 60))

    def _fault(self, traffic: Traffic, target: Target, minute: float) -> Fault | None:
        for fault in traffic.faults:
            if fault.begin <= minute < fault.end and fault.instance in ("", target.instance):
                if self._random.random() < fault.share:
                    return fault
                return None
        return Fault(begin=0) if self._random.random() < traffic.errors else None

    def _tools(self, traffic: Traffic, target: Target, minute: float, count: int, counters: dict[Key, float]) -> None:
        begin_tool(counters, traffic.tool)
        for _ in range(count):
            fault = self._fault(traffic, target, minute)
            if fault is not None and fault.error_type == "cancelled":
                count_tool_call(counters, traffic.tool, "cancelled", fault.seconds or traffic.seconds, None)
                continue
            if fault is None or fault.seconds is not None:
                seconds = traffic.seconds if fault is None else fault.seconds or 0.0
                count_tool_call(counters, traffic.tool, "success", seconds, None)
                continue
            outcome = "timeout" if fault.error_type == "timeout" else "error"
            count_tool_call(counters, traffic.tool, outcome, traffic.seconds, fault.error_type)


def _lasts(traffic: Traffic, fault: Fault | None, minute: float) -> float:
    """Seconds from the begin of a call to its end."""
    if fault is None or (fault.cured and not fault.hang):
        return traffic.seconds
    if fault.hang:
        return (fault.end - minute) * 60
    return fault.seconds or 0.0


def _end(traffic: Traffic, fault: Fault | None, seconds: float, counters: dict[Key, float]) -> None:
    who, usage = (traffic.provider, traffic.model), (traffic.usd, _TOKENS)
    if fault is not None and fault.error_type == "cancelled":
        count_llm_call(counters, who, "cancelled", fault.seconds or traffic.seconds, (), *usage)
    elif fault is None or fault.seconds is not None or (fault.hang and fault.cured):
        count_llm_call(counters, who, "success", seconds, (), *usage)
    elif fault.hang:
        count_llm_call(counters, who, "timeout", 600.0, ("timeout",), 0.0)
    else:
        outcome = "success" if fault.cured else _OUTCOME.get(fault.error_type, "error")
        errors = (fault.error_type,) * fault.attempts
        count_llm_call(counters, who, outcome, traffic.seconds, errors, *(usage if fault.cured else (0.0, (0, 0))))


def begin_tool(counters: dict[Key, float], tool: tuple[str, str]) -> None:
    """Every series of a tool, at zero where it is new."""
    which: Labels = (("server_id", tool[0]), ("tool_name", tool[1]))
    for kind in ERROR_KINDS:
        counters.setdefault(("mcp_tool_errors_total", (*which, ("error_kind", kind))), 0.0)
    for outcome in TOOL_OUTCOMES:
        _observe(counters, "mcp_tool_execute_seconds", (*which, ("outcome", outcome)), None)


def count_tool_call(
    counters: dict[Key, float], tool: tuple[str, str], outcome: str, seconds: float, error_kind: str | None
) -> None:
    """One finished tool call."""
    begin_tool(counters, tool)
    which: Labels = (("server_id", tool[0]), ("tool_name", tool[1]))
    _observe(counters, "mcp_tool_execute_seconds", (*which, ("outcome", outcome)), seconds)
    if error_kind is not None:
        kind = error_kind if error_kind in ERROR_KINDS else "execution"
        counters["mcp_tool_errors_total", (*which, ("error_kind", kind))] += 1


def count_llm_call(
    counters: dict[Key, float],
    who: tuple[str, str],
    outcome: str,
    seconds: float,
    errors: tuple[str, ...],
    usd: float,
    tokens: tuple[int, int] = (0, 0),
) -> None:
    """One finished call and its attempts; the label sets of a model that is met for the first time begin at zero."""
    model: Labels = (("provider", who[0]), ("model", who[1]))
    if ("llm_provider_cost_usd_total", model) not in counters:
        counters["llm_provider_cost_usd_total", model] = 0.0
        for error_type in ERROR_TYPES:
            counters["llm_provider_errors_total", (*model, ("error_type", error_type))] = 0.0
        for kind in ("prompt", "completion"):
            counters["llm_provider_tokens_total", (*model, ("type", kind))] = 0.0
        for one in OUTCOMES:
            for family in ("llm_call_seconds", "llm_provider_request_seconds"):
                _observe(counters, family, (*model, ("outcome", one)), None)
    _observe(counters, "llm_call_seconds", (*model, ("outcome", outcome)), seconds)
    for error in errors:
        ended = _OUTCOME.get(error, "error")
        _observe(counters, "llm_provider_request_seconds", (*model, ("outcome", ended)), min(seconds, 0.4))
        key = ("llm_provider_errors_total", (*model, ("error_type", error)))
        counters[key] = counters.get(key, 0.0) + 1
    if outcome in ("success", "cancelled"):
        _observe(counters, "llm_provider_request_seconds", (*model, ("outcome", outcome)), seconds)
    counters["llm_provider_cost_usd_total", model] += usd
    counters["llm_provider_tokens_total", (*model, ("type", "prompt"))] += tokens[0]
    counters["llm_provider_tokens_total", (*model, ("type", "completion"))] += tokens[1]


_USED: Final = {"llm_call_seconds": (30.0,), "llm_provider_request_seconds": (120.0,), "mcp_tool_execute_seconds": None}
"""Buckets that rules read; the others would only make the shapes slower."""


def _observe(counters: dict[Key, float], family: str, labels: Labels, seconds: float | None) -> None:
    """One observation; None only makes the series, at zero."""
    used = _USED[family]
    bounds = [bound for bound in BUCKETS[family] if used is None or bound in used]
    for bound in (*bounds, math.inf):
        le = "+Inf" if bound == math.inf else number(bound)
        key = (f"{family}_bucket", (*labels, ("le", le)))
        counters[key] = counters.get(key, 0.0) + (seconds is not None and seconds <= bound)
    for part, value in (("count", 1.0), ("sum", seconds)):
        key = (f"{family}_{part}", labels)
        counters[key] = counters.get(key, 0.0) + (value or 0.0) * (seconds is not None)


def _spelled(labels: Labels) -> Labels:
    """Bucket bounds as other client libraries spell them: `30.0`."""
    return tuple((k, f"{v}.0" if k == "le" and v.isdecimal() else v) for k, v in labels)


def _where(target: Target) -> Labels:
    return (*target.labels, ("instance", target.instance), ("job", target.job))


def _within(times: tuple[tuple[float, float], ...], minute: float) -> bool:
    return any(begin <= minute < end for begin, end in times)


def _poisson(mean: float, source: random.Random) -> int:
    limit, count, product = math.exp(-mean), 0, source.random()
    while product > limit:
        count += 1
        product *= source.random()
    return count
