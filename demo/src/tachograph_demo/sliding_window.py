"""The demo's view of the metrics: rates, sums and quantiles over the last seconds, from the registry in process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tachograph.signals.family import Family
from tachograph.signals.registry import Metrics, Sample

Labels = tuple[str, ...]
Match = Mapping[str, str]


@dataclass(slots=True)
class _Moment:
    at: float
    samples: dict[str, dict[Labels, Sample]]


class Window:
    """Remembers the metrics of the last while; `look()` must be called about once a second.

    Args:
        metrics: The registry to look at.
        seconds: How far back it remembers.
    """

    def __init__(self, metrics: Metrics, seconds: float = 60.0) -> None:
        self._metrics = metrics
        self._seconds = seconds
        self._moments: deque[_Moment] = deque()

    def look(self, now: float) -> None:
        """Take the numbers of this moment (`now` from the monotonic clock)."""
        samples = {
            family.name: {sample.labels: sample for sample in found} for family, found in self._metrics.collect()
        }
        self._moments.append(_Moment(now, samples))
        while len(self._moments) > 2 and now - self._moments[1].at >= self._seconds:
            self._moments.popleft()

    def _ends(self, seconds: float) -> tuple[_Moment, _Moment] | None:
        """The first moment within `seconds` of the last one, and the last one."""
        if len(self._moments) < 2:
            return None
        last = self._moments[-1]
        first = next(m for m in self._moments if last.at - m.at <= seconds + 0.5)
        return (first, last) if first is not last else None

    def value(self, family: Family, match: Match | None = None) -> float:
        """The sum of the label sets that match, now (histograms: their count)."""
        if not self._moments:
            return 0.0
        return sum(_count(s) for s in _matching(self._moments[-1], family, match))

    def total(self, family: Family, match: Match | None = None) -> float:
        """The sum of observed values of a histogram, now."""
        return sum(s.sum for s in _matching(self._moments[-1], family, match)) if self._moments else 0.0

    def rate(self, family: Family, match: Match | None = None, seconds: float = 10.0) -> float:
        """Increase per second (histograms: of their count)."""
        return self._rate(family, match, seconds, _count)

    def sum_rate(self, family: Family, match: Match | None = None, seconds: float = 10.0) -> float:
        """Increase per second of a histogram's observed values."""
        return self._rate(family, match, seconds, lambda sample: sample.sum)

    def _rate(self, family: Family, match: Match | None, seconds: float, read: Callable[[Sample], float]) -> float:
        ends = self._ends(seconds)
        if ends is None:
            return 0.0
        first, last = (sum(map(read, _matching(moment, family, match))) for moment in ends)
        return max(0.0, last - first) / (ends[1].at - ends[0].at)

    def quantile(self, q: float, family: Family, match: Match | None = None, seconds: float = 60.0) -> float | None:
        """A quantile as `histogram_quantile` estimates it; None without observations in the window."""
        ends = self._ends(seconds)
        if ends is None:
            return None
        before, after = (_added(_matching(moment, family, match), family) for moment in ends)
        counts = [b - a for a, b in zip(before, after, strict=True)]
        rank = q * sum(counts)
        if rank <= 0:
            return None
        reached, lower = 0.0, 0.0
        for bound, count in zip(family.buckets, counts, strict=False):
            if count and reached + count >= rank:
                return lower + (bound - lower) * (rank - reached) / count
            reached += count
            lower = bound
        return family.buckets[-1]

    def values_of(self, family: Family, *labels: str) -> list[Labels]:
        """The label values seen so far for these labels, sorted."""
        if not self._moments:
            return []
        places = [family.labels.index(label) for label in labels]
        known = self._moments[-1].samples.get(family.name, {})
        return sorted({tuple(values[p] for p in places) for values in known})


def _count(sample: Sample) -> float:
    return sum(sample.buckets) if sample.buckets else sample.value


def _matching(moment: _Moment, family: Family, match: Match | None) -> list[Sample]:
    wanted = [(family.labels.index(label), value) for label, value in (match or {}).items()]
    return [
        sample
        for values, sample in moment.samples.get(family.name, {}).items()
        if all(values[place] == value for place, value in wanted)
    ]


def _added(samples: Sequence[Sample], family: Family) -> list[float]:
    counts = [0.0] * (len(family.buckets) + 1)
    for sample in samples:
        for i, count in enumerate(sample.buckets):
            counts[i] += count
    return counts
