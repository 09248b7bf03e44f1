"""PromQL over numpy vectors: parse with `promql-parser`, evaluate with Prometheus 3 semantics."""

from tachograph.console.promql.engine import Limits, PromQLEngine, Result, SeriesSource
from tachograph.console.promql.errors import (
    PromQLError,
    PromQLSyntaxError,
    PromQLTimeout,
    PromQLUnsupported,
)
from tachograph.console.promql.labels import Labels
from tachograph.console.promql.matchers import LabelMatcher
from tachograph.console.promql.types import RawSeries

__all__ = [
    "LabelMatcher",
    "Labels",
    "Limits",
    "PromQLEngine",
    "PromQLError",
    "PromQLSyntaxError",
    "PromQLTimeout",
    "PromQLUnsupported",
    "RawSeries",
    "Result",
    "SeriesSource",
]
