"""The series that a scrape of a shape's targets would have brought."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
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
        hanging: dict[tuple[str, str], list[float]] = {}
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
            down = _within(target.unreachable, minute)
            for traffic in self._shape.traffic:
                if not traffic.instances or target.instance in traffic.instances:
                    self._calls(traffic, target, minute, counters, hanging)
            if _within(target.unseen, minute):
                continue  # Prometheus itself is away: no sample, and no staleness marker
            self._put(("up", where), index, 0.0 if down else 1.0)
            if down:
                self._stale(seen - {("up", where)}, index)
                continue
            now = {
                **counters,
                **self._gauges(target, minute, hanging),
                ("tachograph_build_info", (("version", "1"),)): 1,
            }
            for (name, labels), value in now.items():
                key = (name, (*labels, *where))
                seen.add(key)
                self._put(key, index, value)
        seen.clear()

    def _put(self, key: Key, index: int, value: float) -> None:
        self._series.setdefault(key, [None] * self._steps)[index] = value

    def _stale(self, keys: set[Key], index: int) -> None:
        for key in keys:
            values = self._series[key]
            if index and values[index - 1] is not None and not math.isnan(values[index - 1] or 0.0):
                values[index] = STALE

    def _gauges(self, target: Target, minute: float, hanging: dict[tuple[str, str], list[float]]) -> dict[Key, float]:
        found: dict[Key, float] = {}
        for who, begun in hanging.items():
            labels = (("provider", who[0]), ("model", who[1]))
            found["llm_calls_in_flight", labels] = float(len(begun))
            found["llm_call_oldest_seconds", labels] = (minute - min(begun)) * 60 if begun else 0.0
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
        hanging: dict[tuple[str, str], list[float]],
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
        who = (traffic.provider, traffic.model)
        waiting = hanging.setdefault(who, [])
        for _ in range(count):
            self._call(traffic, self._fault(traffic, target, minute), minute, counters, waiting)
        if not any(fault.hang and fault.begin <= minute < fault.end for fault in traffic.faults):
            for _ in waiting:
                count_llm_call(counters, who, "timeout", 600.0, ("timeout",), 0.0)
            waiting.clear()

    def _fault(self, traffic: Traffic, target: Target, minute: float) -> Fault | None:
        for fault in traffic.faults:
            if fault.begin <= minute < fault.end and fault.instance in ("", target.instance):
                if self._random.random() < fault.share:
                    return fault
                return None
        return Fault(begin=0) if self._random.random() < traffic.errors else None

    def _call(
        self, traffic: Traffic, fault: Fault | None, minute: float, counters: dict[Key, float], waiting: list[float]
    ) -> None:
        who = (traffic.provider, traffic.model)
        if fault is None:
            count_llm_call(counters, who, "success", traffic.seconds, (), traffic.usd, _TOKENS)
        elif fault.hang:
            waiting.append(minute)
        elif fault.seconds is not None:
            count_llm_call(counters, who, "success", fault.seconds, (), traffic.usd, _TOKENS)
        else:
            outcome = "success" if fault.cured else _OUTCOME.get(fault.error_type, "error")
            errors = (fault.error_type,) * fault.attempts
            spent = (traffic.usd, _TOKENS) if fault.cured else (0.0, (0, 0))
            count_llm_call(counters, who, outcome, traffic.seconds, errors, *spent)

    def _tools(self, traffic: Traffic, target: Target, minute: float, count: int, counters: dict[Key, float]) -> None:
        begin_tool(counters, traffic.tool)
        for _ in range(count):
            fault = self._fault(traffic, target, minute)
            if fault is None or fault.seconds is not None:
                seconds = traffic.seconds if fault is None else fault.seconds or 0.0
                count_tool_call(counters, traffic.tool, "success", seconds, None)
                continue
            outcome = "timeout" if fault.error_type == "timeout" else "error"
            count_tool_call(counters, traffic.tool, outcome, traffic.seconds, fault.error_type)


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
    if outcome == "success":
        _observe(counters, "llm_provider_request_seconds", (*model, ("outcome", "success")), seconds)
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
    key = (f"{family}_count", labels)
    counters[key] = counters.get(key, 0.0) + (seconds is not None)


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
