"""A duration on a bound of a histogram is in the bucket of that bound, a millisecond more is in the next."""

from __future__ import annotations

from bisect import bisect_left

import pytest

from support.traffic import llm_call
from tachograph.llm.metrics import families as llm
from tachograph.mcp.metrics import families as mcp
from tachograph.signals.registry import Family, Metrics
from tachograph.testing import Recording

MILLISECOND = 0.001


def filled(metrics: Metrics, family: Family, model: str = "") -> int:
    """The one bucket of this family, and model, that holds something."""
    samples = [found for one, samples in metrics.collect() if one.name == family.name for found in samples]
    (sample,) = [found for found in samples if sum(found.buckets) and (not model or model in found.labels)]
    (index,) = [index for index, count in enumerate(sample.buckets) if count]
    return index


@pytest.mark.parametrize("family", [llm.CALL_SECONDS, llm.REQUEST_SECONDS], ids=lambda family: family.name)
def test_a_call_on_a_bound_is_in_its_bucket_and_a_millisecond_more_is_in_the_next(
    seen: Recording, family: Family
) -> None:
    for number, bound in enumerate(family.buckets):
        for model, seconds in ((f"on-{number}", bound), (f"above-{number}", bound + MILLISECOND)):
            llm_call(seen.recorder, model=model, seconds=seconds)
    seen.recorder.settle()
    for number, bound in enumerate(family.buckets):
        assert filled(seen.recorder.metrics, family, f"on-{number}") == number
        above = bisect_left(family.buckets, bound + MILLISECOND)
        assert filled(seen.recorder.metrics, family, f"above-{number}") == above > number


def test_a_tool_call_on_a_bound_is_in_its_bucket_too() -> None:
    family = mcp.EXECUTE_SECONDS
    for number, bound in enumerate(family.buckets):
        metrics = Metrics([family])
        metrics.histogram(family, "server", "tool", "success").observe(bound)
        assert filled(metrics, family) == number
