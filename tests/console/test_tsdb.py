"""The store of the recent past: what it keeps, what it lets go, what it refuses, and how much memory it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.parts import program
from support.prometheus import poll
from tachograph.console.ingest.exposition import ExpositionReader
from tachograph.console.ingest.registry import RegistryFeed
from tachograph.console.ingest.scrape import ScrapeTarget
from tachograph.console.promql import LabelMatcher, PromQLEngine
from tachograph.console.promql.labels import labels_of
from tachograph.console.promql.types import is_stale
from tachograph.console.tsdb import Metadata, TimeSeriesStore
from tachograph.errors import TachographError
from tachograph.recorder import Recorder
from tachograph.signals.exposition import write

BASE = 1_700_000_000_000
SUPPORT = Path(__file__).parents[1] / "support"


def up(**labels: str) -> tuple[tuple[str, str], ...]:
    return labels_of({"__name__": "up", **labels})


def matching(*matchers: tuple[str, str, str]) -> tuple[LabelMatcher, ...]:
    return tuple(LabelMatcher(*one) for one in matchers)


@pytest.mark.timeout(1200)
def test_six_hours_of_five_hundred_series_take_less_than_100_megabytes() -> None:
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "tsdb_size.py"), "500", "6", "5"],
        capture_output=True, text=True, timeout=1000, check=True,
    )  # fmt: skip
    measured = json.loads(done.stdout)
    assert measured["series"] == 500
    assert measured["samples"] >= 500 * 6 * 720
    assert measured["megabytes"] < 100, measured
    assert measured["points"] > 12 * 700


def test_series_that_a_source_stops_showing_go_stale() -> None:
    store = TimeSeriesStore()
    store.ingest("a", BASE, [(up(job="x"), 1.0), (up(job="y"), 1.0)])
    store.ingest("b", BASE, [(up(job="z"), 1.0)])
    store.ingest("a", BASE + 5000, [(up(job="x"), 1.0)])
    (gone,) = store.select(matching(("job", "=", "y")), 0, BASE + 5000)
    assert is_stale(gone.values).tolist() == [False, True]
    shown = PromQLEngine(store).instant("up", BASE + 6000).series
    assert [dict(labels)["job"] for labels, _, _ in shown] == ["x", "z"]
    store.end("b", BASE + 6000)
    store.ingest("a", BASE + 7000, [(up(job="y"), 1.0)])
    assert [dict(labels)["job"] for labels, _, _ in PromQLEngine(store).instant("up", BASE + 7000).series] == ["y"]


def test_samples_and_series_past_the_retention_are_forgotten() -> None:
    store = TimeSeriesStore(retention_seconds=3600)
    store.ingest("a", BASE, [(up(job="old"), 1.0)])
    for minute in range(180):
        store.ingest("b", BASE + minute * 60_000, [(up(job="new"), float(minute))])
    assert store.label_values("job") == ["new"]
    assert store.series_count == 1
    assert 60 <= store.sample_count <= 66
    assert store.bounds()[1] == BASE + 179 * 60_000


def test_what_is_too_much_is_refused_and_counted() -> None:
    store = TimeSeriesStore(max_series=10)
    kept = store.ingest("a", BASE, [(up(job=str(i)), 1.0) for i in range(15)])
    assert (kept, store.series_count, store.refused_series) == (10, 10, 5)
    assert not store.append(up(job="0"), BASE, 2.0), "not newer than what is there"
    assert not store.append(up(job="x" * 5000), BASE, 1.0)
    assert not TimeSeriesStore().append((("job", "no name"),), BASE, 1.0)


@pytest.mark.parametrize(
    ("matcher", "found"),
    [
        (("job", "=", "a"), ["a"]),
        (("job", "=~", "a|b"), ["a", "b"]),
        (("job", "!=", "a"), ["b", ""]),
        (("job", "!~", "a|b"), [""]),
        (("job", "=", ""), [""]),
        (("job", "=~", ".*"), ["a", "b", ""]),
        (("job", "=~", ".+"), ["a", "b"]),
        (("job", "!=", ""), ["a", "b"]),
        (("none", "=", "x"), []),
        (("job", "=~", "(?i)A"), ["a"]),
    ],
)
def test_matchers_treat_a_missing_label_as_empty(matcher: tuple[str, str, str], found: list[str]) -> None:
    store = TimeSeriesStore()
    for job in ("a", "b", ""):
        store.append(up(job=job, host="h"), BASE, 1.0)
    series = store.select(matching(("__name__", "=", "up"), matcher), 0, BASE)
    assert sorted(dict(one.labels).get("job", "") for one in series) == sorted(found)


EXPOSITION = """\
# HELP x_total Things\\nof it.
# TYPE x_total counter
x_total{a="1",b="with \\"quotes\\", a } brace and \\\\"} 5 # {trace_id="abc"} 1.0 1700000000.0
x_total{a="2"} 1e3 1700000000000
# TYPE g gauge
g NaN
g{inf="yes",} +Inf

h_bucket{le="+Inf"} 2
"""


def test_expositions_are_read_as_prometheus_client_reads_them() -> None:
    metadata: dict[str, Metadata] = {}
    samples = dict(ExpositionReader().read(EXPOSITION, metadata))
    assert samples[labels_of({"__name__": "x_total", "a": "1", "b": 'with "quotes", a } brace and \\'})] == 5.0
    assert samples[labels_of({"__name__": "x_total", "a": "2"})] == 1000.0
    assert samples[labels_of({"__name__": "g", "inf": "yes"})] == float("inf")
    assert len(samples) == 5
    assert (metadata["x_total"].type, metadata["x_total"].help) == ("counter", "Things\nof it.")


def test_our_own_exposition_and_the_registry_feed_give_the_same_series(recorder: Recorder) -> None:
    recorder.start_llm_call("openai", "gpt-5").finish("success")
    store, scraped = TimeSeriesStore(), TimeSeriesStore()
    RegistryFeed(store, recorder.metrics, job="j", instance="i").feed(BASE)
    text = write(recorder.metrics.collect())
    scraped.ingest("s", BASE, list(ExpositionReader({"job": "j", "instance": "i"}).read(text)))

    def normal(one: TimeSeriesStore) -> dict[object, float]:
        found = {}
        for series in one.select((), 0, BASE):
            labels = dict(series.labels)
            if "le" in labels:
                labels["le"] = str(float(labels["le"]))
            if not labels["__name__"].startswith(("scrape_", "up")):
                found[labels_of(labels)] = float(series.values[0])
        return found

    assert normal(store) == normal(scraped)


def test_exemplars_lead_from_a_bucket_to_its_trace(recorder: Recorder) -> None:
    call = recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt()
    call.trace_id, call.span_id = 0xABC, 0xD
    call.finish("success")
    inside, scraped = TimeSeriesStore(), TimeSeriesStore()
    RegistryFeed(inside, recorder.metrics, job="j", instance="i").feed()
    found: list = []
    text = write(recorder.metrics.collect(), "openmetrics")
    scraped.ingest("s", BASE, list(ExpositionReader({"job": "j", "instance": "i"}).read(text, None, found)))
    for labels, exemplar in found:
        scraped.add_exemplar(labels, exemplar)
        scraped.add_exemplar(labels, exemplar)
    buckets = matching(("__name__", "=", "llm_provider_request_seconds_bucket"))
    for store in (inside, scraped):
        ((labels, exemplars),) = store.exemplars(buckets, 0, 1 << 53)
        assert dict(labels)["model"] == "gpt-5"
        assert [one.labels for one in exemplars] == [(("trace_id", f"{0xABC:032x}"),)]
        assert 0 <= exemplars[0].value < 5


def test_a_target_s_own_job_label_is_kept_beside_ours() -> None:
    (sample,) = ExpositionReader({"job": "ours"}).read('x{job="theirs"} 1')
    assert dict(sample[0]) == {"__name__": "x", "job": "ours", "exported_job": "theirs"}


@pytest.mark.parametrize("text", ['x{a="1" 5', "x five", "{} 1", "= 5"])
def test_what_is_not_an_exposition_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        list(ExpositionReader().read(text))


def test_an_exposition_with_too_many_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 3"):
        list(ExpositionReader(limit=3).read("x 1\ny 1\nz 1\nw 1\n"))


def test_a_target_that_is_away_is_down_and_says_why() -> None:
    store = TimeSeriesStore()
    target = ScrapeTarget("127.0.0.1:1/metrics", job="j")
    assert not target.scrape(store, BASE)
    assert "refused" in target.state.last_error
    assert float(PromQLEngine(store).instant("up", BASE).series[0][2][0]) == 0.0


@pytest.mark.parametrize("url", ["ftp://x/metrics", "file:///etc/passwd", "http://"])
def test_only_http_is_scraped(url: str) -> None:
    with pytest.raises(TachographError, match="cannot be scraped"):
        ScrapeTarget(url)


def test_a_real_prometheus_is_scraped(tmp_path: Path) -> None:
    program("prometheus")
    from support.prometheus import prometheus

    store = TimeSeriesStore()
    with prometheus() as server:
        target = ScrapeTarget(f"{server.url}/metrics")
        assert target.scrape(store, BASE), target.state.last_error
        poll(lambda: target.scrape(store), 5, "a second scrape")
    assert store.series_count > 300
    assert not target.scrape(store)
    assert store.metadata()["process_start_time_seconds"].type == "gauge"
