"""Bounds of the evaluator, its handling of hostile text, and the shapes of its results."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tachograph.console.promql import (
    Limits,
    PromQLEngine,
    PromQLError,
    PromQLSyntaxError,
    PromQLTimeout,
    PromQLUnsupported,
)
from tachograph.console.promql.labels import labels_of
from tachograph.console.promql.numerics import general, sample_text
from tachograph.console.promql.xxhash import xxh64
from tachograph.console.tsdb import TimeSeriesStore

BASE = 1_700_000_000_000


@pytest.fixture(scope="module")
def store() -> TimeSeriesStore:
    filled = TimeSeriesStore()
    for i in range(50):
        labels = labels_of({"__name__": "x", "i": str(i)})
        for step in range(200):
            filled.append(labels, BASE + step * 5000, float(step * (i + 1)))
    return filled


@pytest.mark.parametrize(
    ("limits", "query", "words"),
    [
        (Limits(max_series=10), "x", "too many series"),
        (Limits(max_samples=1000), "x", "too many samples"),
        (Limits(max_samples=1000), "sum_over_time(x[10m])", "too many samples"),
        (Limits(max_samples=100_000), "sum_over_time(vector(1)[100d:1s])", "too many samples"),
    ],
)
def test_a_query_that_wants_too_much_is_refused(store: TimeSeriesStore, limits: Limits, query: str, words: str) -> None:
    with pytest.raises(PromQLError, match=words):
        PromQLEngine(store, limits).range(query, BASE, BASE + 900_000, 5000)


def test_a_query_that_takes_too_long_is_stopped(store: TimeSeriesStore) -> None:
    with pytest.raises(PromQLTimeout, match="timed out"):
        PromQLEngine(store).range("quantile_over_time(0.5, x[15m])", BASE, BASE + 900_000, 1000, timeout=0.0)


@pytest.mark.parametrize(
    "query",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "-" * 30_000 + "1",
        "x" * 100_000,
        "sum(" * 150 + "x" + ")" * 150,
        "x + " * 20_000 + "x",
    ],
)
def test_hostile_text_is_an_error_and_not_a_crash(store: TimeSeriesStore, query: str) -> None:
    began = time.thread_time()
    with pytest.raises(PromQLError):
        PromQLEngine(store).instant(query, BASE)
    assert time.thread_time() - began < 5


@pytest.mark.parametrize(
    "query",
    [
        "x @ 1e15",
        "x @ 1e12",
        "x @ 1e300",
        "x @ -1e15",
        "x @ NaN",
        "x offset 99999999y",
        "sum_over_time(x[1y:1ms])",
        "x\0",
    ],
)
def test_numbers_out_of_range_are_errors_and_not_crashes(store: TimeSeriesStore, query: str) -> None:
    with pytest.raises(PromQLError):
        PromQLEngine(store).instant(query, BASE)


def test_a_regular_expression_cannot_hang_the_console(store: TimeSeriesStore) -> None:
    store.append(labels_of({"__name__": "y", "a": "a" * 2000}), BASE, 1.0)
    began = time.thread_time()
    assert not PromQLEngine(store).instant('y{a=~"(a+)+b"}', BASE).series
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    "query", ["x{", "rate(x)", "sum(x[5m])", 'x{a=~"("}', "", "  ", "1 == 1", 'x{a="1" or b="2"}', "nope(x)", "x @ -"]
)
def test_what_is_not_promql_is_a_syntax_error(store: TimeSeriesStore, query: str) -> None:
    with pytest.raises(PromQLSyntaxError):
        PromQLEngine(store).instant(query, BASE)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("info(x)", "info()"),
        ("x[5m] smoothed", "smoothed"),
        ("rate(x[5m] anchored)", "anchored"),
        ("rate(x[step()])", "duration expressions"),
        ("start_timestamp(x)", "start_timestamp"),
    ],
)
def test_what_is_not_supported_is_named(store: TimeSeriesStore, query: str, named: str) -> None:
    with pytest.raises(PromQLError, match=named.replace("(", r"\(").replace(")", r"\)")) as raised:
        PromQLEngine(store).instant(query, BASE)
    assert raised.type is not PromQLTimeout


def test_unsupported_is_kept_apart_from_wrong(store: TimeSeriesStore) -> None:
    with pytest.raises(PromQLUnsupported):
        PromQLEngine(store).instant("info(x)", BASE)


def test_results_have_their_kinds(store: TimeSeriesStore) -> None:
    engine = PromQLEngine(store)
    assert engine.instant("1 + 1", BASE).kind == "scalar"
    assert engine.instant("'a'", BASE).text == "a"
    assert engine.instant("x", BASE).kind == "vector"
    assert engine.instant("x[1m]", BASE).kind == "matrix"
    assert engine.range("1", BASE, BASE + 10_000, 5000).series[0][1].tolist() == [BASE, BASE + 5000, BASE + 10_000]
    assert len(engine.instant("x @ -1", BASE).series) == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "1"), (0.1, "0.1"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1.5e22, "1.5e+22"),
        (1e-6, "0.000001"), (1e-7, "1e-07"), (2.5e-9, "2.5e-09"), (float("nan"), "NaN"), (float("-inf"), "-Inf"),
        (-0.0, "-0"), (0.0, "0"), (123456.789, "123456.789"),
    ],
)  # fmt: skip
def test_sample_values_are_written_as_prometheus_writes_them(value: float, shown: str) -> None:
    assert sample_text(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.1, "1.1"), (1e6, "1e+06"), (123456.0, "123456"), (1e-5, "1e-05"), (0.0001, "0.0001")]
)
def test_numbers_in_text_are_written_as_go_writes_them(value: float, shown: str) -> None:
    assert general(value) == shown


def test_the_hash_is_xxhash64() -> None:
    # Reference values: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md and its sanity tests.
    assert xxh64(b"") == 0xEF46DB3751D8E999
    assert xxh64(b"a") == 0xD24EC4F1A98C6E5B
    assert xxh64(b"abc") == 0x44BC2CF5AD770999
    assert xxh64(b"Nobody inspects the spammish repetition") == 0xFBCEA83C8A378BF1


def test_two_thousand_series_and_many_steps_are_quick() -> None:
    store = TimeSeriesStore()
    labels = [labels_of({"__name__": "b_bucket", "m": str(i // 10), "le": str(i % 10 or "+Inf")}) for i in range(2000)]
    for step in range(360):
        store.ingest("t", BASE + step * 5000, [(one, float(step)) for one in labels])
    engine = PromQLEngine(store)
    began = time.thread_time()
    result = engine.range(
        "histogram_quantile(0.95, sum by (le, m) (rate(b_bucket[1m])))", BASE + 300_000, BASE + 1_800_000, 5000
    )
    assert len(result.series) == 200
    assert np.isfinite(result.series[0][2]).all()
    assert time.thread_time() - began < 10
