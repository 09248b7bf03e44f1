"""Label sets as sorted tuples of pairs: hashable, comparable and small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]

NAME = "__name__"
# Labels that describe the metric as a whole; they go away with the name.
METADATA = frozenset({NAME, "__type__", "__unit__"})
BUCKET = "le"


def labels_of(pairs: Mapping[str, str]) -> Labels:
    """Make a label set; empty values are absent labels."""
    return tuple(sorted((k, v) for k, v in pairs.items() if v != ""))


def get(labels: Labels, name: str) -> str:
    """Return the value of one label, or ""."""
    for key, value in labels:
        if key == name:
            return value
    return ""


def without_name(labels: Labels) -> Labels:
    """Return the labels without the metric name, type and unit."""
    return tuple(pair for pair in labels if pair[0] not in METADATA)


def keep(labels: Labels, names: Iterable[str]) -> Labels:
    """Return only the named labels."""
    wanted = frozenset(names)
    return tuple(pair for pair in labels if pair[0] in wanted)


def drop(labels: Labels, names: Iterable[str]) -> Labels:
    """Return all but the named labels."""
    unwanted = frozenset(names)
    return tuple(pair for pair in labels if pair[0] not in unwanted)


def replace(labels: Labels, changes: Mapping[str, str]) -> Labels:
    """Return the labels with some set, or removed where the new value is ""."""
    merged = dict(labels)
    merged.update(changes)
    return labels_of(merged)


def text(labels: Labels) -> str:
    """Write the labels as Prometheus does in its messages: `{a="b", c="d"}`."""
    return "{" + ", ".join(f"{k}={quote(v)}" for k, v in labels) + "}"


def quote(value: str) -> str:
    """Quote a label value as Go's %q does for plain text."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
