"""/metrics as text: names, labels and buckets of the contract, in both formats, read by parsers that are not ours."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from support import contract, parts
from support.traffic import llm_call, retried_call, tool_call
from tachograph.mcp.metrics.observe import MCPMetrics
from tachograph.recorder import Recorder
from tachograph.runtime import join
from tachograph.signals import exposition
from tachograph.signals.registry import Metrics

Parser = Callable[[str], Any]
FORMATS: list[Any] = [
    pytest.param("text", parse_text, id="text"),
    pytest.param("openmetrics", parse_openmetrics, id="openmetrics"),
]


def used_recorder() -> Recorder:
    recorder = join(Metrics(()), strict=True)
    llm_call(recorder)
    retried_call(recorder, "anthropic", "claude-sonnet-5")
    tool_call(recorder)
    recorder.metrics.part(MCPMetrics).connection_opened("time")
    recorder.factory_created("provider", "openai", 0)
    return recorder


def samples(recorder: Recorder, format_: Any, parse: Parser) -> dict[str, list[Any]]:
    """Every sample by its name, as the parser read it."""
    found: dict[str, list[Any]] = {}
    for family in parse(exposition.write(recorder.metrics.collect(), format_)):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


@pytest.mark.parametrize(("format_", "parse"), FORMATS)
@pytest.mark.parametrize("name", contract.FAMILIES)
def test_a_family_of_the_contract_stands_exactly_as_promised(name: str, format_: Any, parse: Parser) -> None:
    kind, labels, bounds = contract.FAMILIES[name]
    found = samples(used_recorder(), format_, parse)
    if kind == "histogram":
        buckets = found[f"{name}_bucket"]
        assert {tuple(sample.labels) for sample in buckets} == {(*labels, "le")}
        assert tuple(dict.fromkeys(sample.labels["le"] for sample in buckets)) == bounds
        assert {tuple(sample.labels) for sample in found[f"{name}_count"]} == {labels}
        assert {tuple(sample.labels) for sample in found[f"{name}_sum"]} == {labels}
    else:
        assert {tuple(sample.labels) for sample in found[name]} == {labels}
    for (family, label), values in contract.KNOWN_VALUES.items():
        if family == name:
            suffix = "_count" if kind == "histogram" else ""
            assert values <= {sample.labels[label] for sample in found[name + suffix]}


@pytest.mark.parametrize("format_", ["text", "openmetrics"])
def test_families_without_samples_show_help_and_type(format_: Any) -> None:
    text = exposition.write(join(Metrics(())).metrics.collect(), format_)
    for name, (kind, _, _) in contract.FAMILIES.items():
        shown = name.removesuffix("_total") if format_ == "openmetrics" and kind == "counter" else name
        assert f"# TYPE {shown} {kind}\n" in text
        assert f"# HELP {shown} " in text


@pytest.mark.parametrize(("format_", "parse"), FORMATS)
def test_a_call_with_two_429s_is_three_requests_two_errors_and_one_call(format_: Any, parse: Parser) -> None:
    recorder = join(Metrics(()), strict=True)
    retried_call(recorder)
    found = samples(recorder, format_, parse)

    def value(name: str, **labels: str) -> float:
        wanted = {"provider": "openai", **labels}
        return sum(s.value for s in found[name] if wanted.items() <= s.labels.items())

    assert value("llm_provider_request_seconds_count", outcome="rate_limited") == 2
    assert value("llm_provider_request_seconds_count", outcome="success") == 1
    assert value("llm_provider_errors_total") == 2
    assert value("llm_provider_errors_total", error_type="rate_limit") == 2
    assert value("llm_provider_rate_limit_delays_seconds_count") == 2
    assert value("llm_provider_rate_limit_delays_seconds_sum") == pytest.approx(0.6)
    assert value("llm_call_seconds_count") == 1
    assert value("llm_call_seconds_sum") == pytest.approx(1.2)
    assert value("llm_provider_tokens_total", type="prompt") == 10
    assert value("llm_provider_cost_usd_total") == 500e-9


def test_a_new_model_starts_with_all_its_known_label_sets_at_zero() -> None:
    recorder = join(Metrics(()), strict=True)
    llm_call(recorder)
    found = samples(recorder, "text", parse_text)
    outcomes = {s.labels["outcome"]: s.value for s in found["llm_provider_request_seconds_count"]}
    assert outcomes == {"success": 1, "error": 0, "timeout": 0, "rate_limited": 0, "cancelled": 0}
    assert {s.value for s in found["llm_provider_errors_total"]} == {0}
    assert len(found["llm_provider_errors_total"]) == 9


@pytest.mark.parametrize(("format_", "parse"), FORMATS)
@settings(max_examples=60)
@given(
    value=st.one_of(
        st.none(),
        st.text(),
        st.text(st.characters(categories=["Cs", "Cc", "Zl"]), min_size=1),
        st.integers(),
        st.binary(),
    )
)
def test_no_label_value_breaks_the_exposition(format_: Any, parse: Parser, value: Any) -> None:
    recorder = join(Metrics(()), strict=True)
    llm_call(recorder, model=value)
    tool_call(recorder, value, value)
    body = exposition.write(recorder.metrics.collect(), format_).encode()
    names = {family.name for family in parse(body.decode())}
    assert "tachograph_build_info" in names
    found = samples(recorder, format_, parse)
    assert sum(sample.value for sample in found["llm_call_seconds_count"]) == 1


def test_exemplars_carry_the_trace_id_in_openmetrics_alone() -> None:
    recorder = join(Metrics(()), strict=True)
    call = recorder.start_llm_call("openai", "gpt-5")
    call.begin_attempt().end("success", ended_ns=call.started_ns + 300_000_000)
    call.trace_id = 0xABC
    call.finish("success", ended_ns=call.started_ns + 300_000_000)
    tool = recorder.start_tool_call("time", "get_time")
    tool.trace_id = 0xDEF
    tool.finish("success", ended_ns=tool.started_ns + 20_000_000)
    found = samples(recorder, "openmetrics", parse_openmetrics)
    for name, le, trace_id in (
        ("llm_provider_request_seconds_bucket", "0.5", 0xABC),
        ("llm_call_seconds_bucket", "0.5", 0xABC),
        ("mcp_tool_execute_seconds_bucket", "0.05", 0xDEF),
    ):
        marked = [sample for sample in found[name] if sample.exemplar is not None]
        assert [(sample.labels["le"], sample.exemplar.labels) for sample in marked] == [
            (le, {"trace_id": f"{trace_id:032x}"})
        ]
    assert "trace_id" not in exposition.write(recorder.metrics.collect(), "text")


def test_promtool_reads_the_exposition() -> None:
    promtool = parts.program("promtool")
    text = exposition.write(used_recorder().metrics.collect())
    run = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=120, check=False
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        (None, "text"),
        ("", "text"),
        ("*/*", "text"),
        ("text/plain", "text"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text"),
        ("application/openmetrics-text", "openmetrics"),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.9", "text"),
        ("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.5", "text"),
        ("application/openmetrics-text;q=nonsense", "text"),
        ('application/openmetrics-text; version="1.0.0"', "openmetrics"),
        ('application/openmetrics-text; version="2.0.0"', "text"),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "openmetrics",
        ),
    ],
)
def test_the_format_follows_the_accept_header(accept: str | None, format_: str) -> None:
    assert exposition.negotiate(accept) == format_


def test_gzip_is_used_when_accepted() -> None:
    metrics = join(Metrics(())).metrics
    plain = exposition.respond(metrics.collect(), None, None)
    packed = exposition.respond(metrics.collect(), None, "br, gzip;q=0.5")
    refused = exposition.respond(metrics.collect(), None, "gzip;q=0")
    assert gzip.decompress(packed.body) == plain.body == refused.body
    named = [("Content-Type", "text/plain; version=0.0.4; charset=utf-8"), ("Vary", "Accept, Accept-Encoding")]
    assert plain.headers == refused.headers == [*named, ("Content-Length", str(len(plain.body)))]
    assert packed.headers == [*named, ("Content-Encoding", "gzip"), ("Content-Length", str(len(packed.body)))]


def test_odd_numbers_are_written_as_both_formats_read_them() -> None:
    assert [exposition._number(v) for v in (float("inf"), float("-inf"), float("nan"), 3.0, 2.5, 1e300, 7)] == [
        "+Inf",
        "-Inf",
        "NaN",
        "3",
        "2.5",
        "1e+300",
        "7",
    ]
