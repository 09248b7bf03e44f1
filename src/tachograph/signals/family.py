"""A metric family as data: what /metrics promises about one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]

FROM_OUTSIDE: Final = frozenset(
    ("agent", "key", "kind", "method", "model", "name", "provider", "receiver", "scope", "server_id", "tool_name")
)
"""Labels that hold names of the application, of a vendor or of a server: there may be any number of them."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    Attributes:
        name: As it is on /metrics; counters end in `_total`, units are in the name.
        kind: counter, gauge or histogram.
        labels: Label names, in the order in which values are given everywhere.
        help: One sentence.
        unit: Base unit of the value (`seconds`, `bytes`, `usd`, `tokens`, ...), or "" when it counts things.
        buckets: Upper bounds of a histogram, +Inf implied.
        values: The closed set of values of a label, where it is closed.
        bounded: Labels whose values are bounded by a setting; past it they become `other`. Unless given: those that
            come from outside and have no closed set of values.
        zero: Label sets that exist with zero from the start: a mapping of label to its values, left out when
            nothing is known beforehand.
        fixed: Whether the contract's part 1 fixes it.
        gauge_merge: How worker processes' gauges add up: sum, max or min.
        takes_user_labels: Whether the keys of the setting `metrics.labels` become labels of it too.
        scale: Kept as whole numbers of 1/scale units, so that sums are exact (nano-dollars); 1 keeps it as it is.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    unit: str = ""
    buckets: tuple[float, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bounded: tuple[str, ...] = ()
    zero: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fixed: bool = False
    gauge_merge: Literal["sum", "max", "min"] = "sum"
    takes_user_labels: bool = False
    scale: int = 1

    def __post_init__(self) -> None:
        if not self.bounded:
            found = tuple(label for label in self.labels if label in FROM_OUTSIDE and label not in self.values)
            object.__setattr__(self, "bounded", found)

    def __hash__(self) -> int:
        return hash(self.name)
