"""A user's own past, to be asked with PromQL: their Prometheus, or their usage ledger."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from tachograph.console.promql.engine import Limits, PromQLEngine
from tachograph.console.promql.labels import NAME, Labels
from tachograph.console.promql.matchers import LabelMatcher
from tachograph.console.promql.types import STALE_NAN, Floats, Ints, RawSeries
from tachograph.drill.quiet_life.world import Key, count_llm_call, count_tool_call
from tachograph.errors import TachographError
from tachograph.urls import body_of_refusal

if TYPE_CHECKING:
    from tachograph.usage.row import Row

Answer = dict[Labels, tuple[Ints, Floats]]
"""Times in milliseconds and values, by labels without the metric's name."""

CHUNK_MS: Final = 86_400_000
"""One query asks for a day at most, so that it is not heavy for the server."""
SHORTEST_MS: Final = 3_600_000
"""Where a day is too heavy, half of it is asked for, and so on down to an hour."""
MAX_POINTS: Final = 20_000_000
"""Of one answer."""
RAW_LOOK_BACK_MS: Final = 2 * 3_600_000
"""Rules look at raw counters over an hour at most."""
MAX_HELD: Final = 60_000_000
"""Samples of a ledger's day in memory: 200 models in steps of a minute are 15 million."""
_LIMITS: Final = Limits(max_samples=500_000_000, max_points=200_000_000, timeout_seconds=600)
_QUERY_SECONDS: Final = 60


class HistoryError(TachographError):
    """The past cannot be read."""


class _TooHeavyError(Exception):
    """A store stopped a query: too many samples, or too long. `said`: what to tell where no shorter one is possible."""

    def __init__(self, said: HistoryError) -> None:
        super().__init__(str(said))
        self.said = said


class Past(Protocol):
    """What can be asked about the past."""

    def range(self, expression: str, start: int, end: int, step: int) -> Answer:
        """Evaluate at every step from start to end, in milliseconds."""
        ...


class Memory:
    """Series in memory, as a source of our PromQL engine."""

    def __init__(self) -> None:
        self._series: dict[str, list[RawSeries]] = defaultdict(list)
        self._answers: dict[str, Answer] = {}

    def append(self, name: str, answer: Answer, step: int, since: int) -> None:
        """Keep an answer behind those before it, and nothing older than `since`."""
        whole = joined((self._answers.get(name, {}), answer))
        cut = {labels: int(np.searchsorted(times, since)) for labels, (times, _) in whole.items()}
        self._answers[name] = {
            labels: (times[cut[labels] :], values[cut[labels] :])
            for labels, (times, values) in whole.items()
            if cut[labels] < len(times)
        }
        self.put(name, self._answers[name], step)

    def put(self, name: str, answer: Answer, step: int) -> None:
        """Keep an answer as the samples of a recorded series; where it had a gap, the series ended."""
        self._series[name] = []
        for labels, (times, values) in answer.items():
            gaps = np.flatnonzero(np.diff(times) > step) + 1
            ends = np.append(times[gaps - 1], times[-1:]) + step
            at = np.append(gaps, len(times))
            self._add(name, labels, np.insert(times, at, ends), np.insert(values, at, np.full(len(ends), STALE_NAN)))

    def forget(self, name: str) -> None:
        """Drop what is kept under this name."""
        self._series.pop(name, None)

    def add(self, name: str, labels: Labels, times: Ints, values: Floats) -> None:
        """Keep samples as they are."""
        self._add(name, labels, times, values)

    def _add(self, name: str, labels: Labels, times: Ints, values: Floats) -> None:
        self._series[name].append(RawSeries(tuple(sorted((*labels, (NAME, name)))), times, values))

    def select(self, matchers: tuple[LabelMatcher, ...], start: int, end: int) -> list[RawSeries]:
        """The matching series with their samples of a time."""
        names = [one.value for one in matchers if (one.name, one.op) == (NAME, "=")]
        found = []
        for series in self._series.get(names[0], []) if names else []:
            labels = dict(series.labels)
            if all(one.matches(labels.get(one.name, "")) for one in matchers):
                low, high = np.searchsorted(series.times, [start, end + 1])
                found.append(RawSeries(series.labels, series.times[low:high], series.values[low:high]))
        return sorted(found, key=lambda one: one.labels)

    def range(self, expression: str, start: int, end: int, step: int) -> Answer:
        """Evaluate over what is kept."""
        parts: list[Answer] = []
        for low in range(start, end + 1, CHUNK_MS):
            result = PromQLEngine(self, limits=_LIMITS).range(expression, low, min(low + CHUNK_MS - step, end), step)
            parts.append({_unnamed(labels): (times, values) for labels, times, values in result.series})
        return joined(parts)


class PrometheusPast:
    """A Prometheus (or Mimir, Thanos, VictoriaMetrics) by its HTTP API.

    Args:
        url: Its root: `/api/v1/query_range` is below it.
        headers: For each request, such as `Authorization`.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = dict(headers or {})
        self._chunk_ms: dict[str, int] = {}

    def range(self, expression: str, start: int, end: int, step: int) -> Answer:
        """Ask the server, a day at a time, or less where a day is more than it allows.

        Raises:
            HistoryError: It cannot be reached, refuses, or answers more than can be kept.
        """
        parts: list[Answer] = []
        points, low = 0, start
        while low <= end:
            chunk = self._chunk_ms.get(expression, CHUNK_MS)
            try:
                result = self._ask(expression, low, min(low + chunk - step, end), step)
            except _TooHeavyError as error:
                if chunk <= SHORTEST_MS:
                    raise error.said from error
                self._chunk_ms[expression] = max(chunk // 2, SHORTEST_MS) // step * step
                continue
            parts.append(
                {tuple(sorted((k, v) for k, v in one["metric"].items() if k != NAME)): _points(one) for one in result}
            )
            points += sum(len(one["values"]) for one in result)
            if points > MAX_POINTS:
                raise HistoryError(
                    f"one answer holds more than {MAX_POINTS:,} points",
                    where=self._url,
                    do="Evaluate in larger steps (--step).",
                )
            low += chunk
        return joined(parts)

    def _ask(self, expression: str, start: int, end: int, step: int) -> list[dict[str, Any]]:
        form = {"query": expression, "start": start / 1000, "end": end / 1000, "step": step / 1000}
        body = urllib.parse.urlencode({**form, "timeout": f"{_QUERY_SECONDS}s"}).encode()
        request = urllib.request.Request(f"{self._url}/api/v1/query_range", body, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=_QUERY_SECONDS + 5) as answer:
                found = json.load(answer)["data"]["result"]
                return [{"metric": dict(one["metric"]), "values": list(one["values"])} for one in found]
        except urllib.error.HTTPError as error:
            said = body_of_refusal(error, 2000).decode("utf-8", "replace").strip()
            refused = HistoryError(
                f"the query was refused ({error.code}): {said}",
                where=self._url,
                do="Check the address and --token-file. Where a query is too heavy, give larger steps (--step).",
            )
            raise (_TooHeavyError(refused) if error.code in (422, 503) else refused) from error
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, RecursionError) as error:
            raise HistoryError(
                f"no answer of a Prometheus: {' '.join(str(error).split())}",
                where=self._url,
                do="Give the root of its HTTP API.",
            ) from error


class LedgerPast(Memory):
    """A usage ledger: its rows become the counters that /metrics would have shown.

    One day is held at a time, with what rates at its begin look back to; days follow one another.

    Args:
        rows: Rows in order of their time.
        job: The job that the rules look for.
        start, end, step: Times of samples, in milliseconds.
    """

    def __init__(self, rows: Iterable[Row], job: str, start: int, end: int, step: int) -> None:
        super().__init__()
        self._where: Labels = (("instance", "ledger"), ("job", job))
        self._rows = iter(rows)
        self._next = next(self._rows, None)
        self._start = start
        self._times: Ints = np.empty(0, dtype=np.int64)
        self._counters: dict[Key, float] = {}
        self._columns: dict[Key, Floats] = {}
        times = np.arange(start, end + 1, step, dtype=np.int64)
        for name, labels in (("up", ()), ("tachograph_build_info", (("version", "ledger"),))):
            self.add(name, tuple(sorted((*labels, *self._where))), times, np.ones(len(times)))

    def range(self, expression: str, start: int, end: int, step: int) -> Answer:
        """Evaluate over one day; none before the last one.

        Raises:
            HistoryError: There is too much in it.
        """
        if not len(self._times) or end > self._times[-1]:
            self._go_on(start, end, step)
        return super().range(expression, start, end, step)

    def _go_on(self, start: int, end: int, step: int) -> None:
        first = max(start - -(-RAW_LOOK_BACK_MS // step) * step, self._start)
        times = np.arange(first, end + 1, step, dtype=np.int64)
        begin = int(np.searchsorted(self._times, first))
        known = len(self._times) - begin  # samples of the last day that this one needs too
        columns = {key: np.zeros(len(times)) for key in self._columns}
        for key, values in self._columns.items():
            columns[key][:known] = values[begin:]
        at = known
        while self._next is not None:
            index = int(np.searchsorted(times, (self._next.ts_us + self._next.latency_us) // 1000))
            if index >= len(times):
                break
            if index > at:
                self._write(columns, at, index, len(times))
                at = index
            _count(self._counters, self._next)
            self._next = next(self._rows, None)
        self._write(columns, at, len(times), len(times))
        if len(columns) * len(times) > MAX_HELD:
            raise HistoryError(
                f"a day of this ledger is more than {MAX_HELD:,} samples", do="Evaluate in larger steps (--step)."
            )
        self._times, self._columns = times, columns
        for name in {name for name, _ in columns}:
            self.forget(name)
        for (name, labels), values in columns.items():
            self.add(name, tuple(sorted((*labels, *self._where))), times, values)

    def _write(self, columns: dict[Key, Floats], begin: int, end: int, length: int) -> None:
        for key, value in self._counters.items():
            if key not in columns:
                columns[key] = np.zeros(length)
            columns[key][begin:end] = value


def _count(counters: dict[Key, float], row: Row) -> None:
    seconds = row.latency_us / 1e6
    if row.kind == "mcp":
        count_tool_call(counters, (row.provider, row.model), row.outcome, seconds, row.error_type)
        return
    failed = row.outcome not in ("success", "cancelled")
    retries = max(row.attempts - 1, 0)
    errors = ("rate_limit" if row.wait_us else "server_error",) * retries + (
        (row.error_type or "other",) if failed else ()
    )
    count_llm_call(
        counters,
        (row.provider, row.model),
        row.outcome,
        seconds,
        errors,
        (row.cost_nusd or 0) / 1e9,
        (row.input_tokens or 0, row.output_tokens or 0),
    )
    if row.is_unpriced:
        key = ("llm_calls_unpriced_total", (("provider", row.provider), ("model", row.model)))
        counters[key] = counters.get(key, 0.0) + 1
    if row.is_usage_missing:
        key = ("llm_calls_usage_missing_total", (("provider", row.provider), ("model", row.model)))
        counters[key] = counters.get(key, 0.0) + 1


def _points(one: Mapping[str, Any]) -> tuple[Ints, Floats]:
    return (
        np.array([round(float(at) * 1000) for at, _ in one["values"]], dtype=np.int64),
        np.array([float(value) for _, value in one["values"]], dtype=np.float64),
    )


def _unnamed(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] != NAME)


def joined(parts: Iterable[Answer]) -> Answer:
    """Answers that follow one another, as one."""
    found: dict[Labels, list[tuple[Ints, Floats]]] = defaultdict(list)
    for part in parts:
        for labels, points in part.items():
            found[labels].append(points)
    return {
        labels: (np.concatenate([times for times, _ in pieces]), np.concatenate([values for _, values in pieces]))
        for labels, pieces in found.items()
    }
