"""Reads the Prometheus text format and OpenMetrics, fast enough to scrape many lines every few seconds."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from tachograph.console.promql.labels import NAME, Labels
from tachograph.console.tsdb import Metadata, StoredExemplar
from tachograph.signals.metrics_text import labels_of, number, sample

_EXEMPLAR = re.compile(r" # \{((?:[^\"}]|\"(?:\\.|[^\"\\])*\")*)\} (-?[0-9.eE+-]+|NaN|[+-]?Inf)(?: ([0-9.eE+-]+))?\s*$")
_CACHE_LIMIT = 100_000


class ExpositionReader:
    """Parses expositions of one target; label sets that came before are found in a cache.

    Args:
        labels: Labels of the target (job, instance). A sample's own label of that name is kept as `exported_...`.
        limit: How many samples one exposition may have.
    """

    def __init__(self, labels: dict[str, str] | None = None, *, limit: int = 50_000) -> None:
        self._target = labels or {}
        self._limit = limit
        self._cache: dict[str, Labels] = {}

    def read(
        self,
        text: str,
        metadata: dict[str, Metadata] | None = None,
        exemplars: list[tuple[Labels, StoredExemplar]] | None = None,
    ) -> Iterator[tuple[Labels, float]]:
        """Yield the samples of an exposition; what it says beside them goes into the two collections.

        Raises:
            ValueError: A line is not in the format, or there are too many.
        """
        cache = self._cache
        if len(cache) > _CACHE_LIMIT:
            cache.clear()
        count = 0
        for line in text.split("\n"):
            if not line or line.isspace():
                continue
            if line[0] == "#":
                if metadata is not None:
                    _describe(line, metadata)
                continue
            found = sample(line)
            if found is None:
                continue
            name, pairs, value = found
            count += 1
            if count > self._limit:
                raise ValueError(f"more than {self._limit} samples")
            key = name + pairs
            labels = cache.get(key)
            if labels is None:
                labels = cache[key] = self._labels(name, pairs)
            if exemplars is not None and " # {" in line:
                self._exemplar(labels, line, exemplars)
            yield labels, number(value)

    def _exemplar(self, labels: Labels, line: str, exemplars: list[tuple[Labels, StoredExemplar]]) -> None:
        found = _EXEMPLAR.search(line)
        if found is None:
            return
        pairs, value, at = found.groups()
        named = tuple(sorted((key, text[:128]) for key, text in labels_of("{" + pairs).items()))
        stamp = int(float(at) * 1000) if at else int(time.time() * 1000)
        exemplars.append((labels, StoredExemplar(named, number(value), stamp)))

    def _labels(self, name: str, pairs: str) -> Labels:
        labels = labels_of(pairs)
        for key, value in self._target.items():
            if key in labels:
                labels[f"exported_{key}"] = labels[key]
            labels[key] = value
        labels[NAME] = name
        return tuple(sorted((k, v) for k, v in labels.items() if v))


def _describe(line: str, metadata: dict[str, Metadata]) -> None:
    parts = line.split(None, 3)
    if len(parts) < 3 or parts[1] not in ("HELP", "TYPE", "UNIT"):
        return
    known = metadata.setdefault(parts[2], Metadata("unknown", ""))
    text = parts[3].strip() if len(parts) > 3 else ""
    if parts[1] == "TYPE":
        known.type = "unknown" if text == "untyped" else text
    elif parts[1] == "HELP":
        known.help = text.replace("\\n", "\n").replace("\\\\", "\\")
    else:
        known.unit = text
