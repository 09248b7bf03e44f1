"""The ledger beside the provider's own report: agreement is silent, differences come with their likely cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anthropic
import openai
import pytest

import tachograph
from support.ledgers import make_recorder
from support.simulators import simulators, simulators_process  # noqa: F401 - fixtures
from tachograph.cli import main
from tachograph.pricing import Pricer
from tachograph.records import Cost, Usage
from tachograph_demo.simulators import Answer, BillEntry, ServedUsage, Simulators

USAGE = ServedUsage(prompt=2000, completion=100, cache_read=1024)
Reconcile = Callable[..., tuple[int, dict[str, list[str]]]]


def today() -> datetime:
    """Asked in each test: midnight may pass while the others run."""
    return datetime.now(UTC)


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulators: Simulators) -> Simulators:  # noqa: F811
    """Ten watched calls to each vendor, all in the ledger."""
    recorder = make_recorder(tmp_path / "ledger")
    recorder.pricer = Pricer()
    tachograph.instrument(recorder=recorder)
    try:
        gpt = openai.OpenAI(base_url=simulators.openai.url, api_key="k", max_retries=0)
        claude = anthropic.Anthropic(base_url=simulators.anthropic.url, api_key="k", max_retries=0)
        for _ in range(10):
            simulators.openai.script(Answer(usage=USAGE))
            gpt.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "hi"}])
            simulators.anthropic.script(Answer(usage=replace(USAGE, cache_write_5m=300)))
            claude.messages.create(
                model="claude-haiku-4-5", max_tokens=50, messages=[{"role": "user", "content": "hi"}]
            )
    finally:
        tachograph.uninstrument()
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "ledger"))
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_ADMIN_KEY", "k")
    return simulators


@pytest.fixture
def reconcile(watched: Simulators, capsys: pytest.CaptureFixture[str]) -> Reconcile:
    """Runs the command against the simulators; exit code, and causes by model."""

    def run(provider: str, *more: str) -> tuple[int, dict[str, list[str]]]:
        url = {"openai": watched.openai.url, "anthropic": watched.anthropic.url}.get(provider, "")
        code = main(["reconcile", provider, "--since", "12d", "--base-url", url, "--format", "json", *more])
        body = json.loads(capsys.readouterr().out)
        return code, {one["model"]: one["causes"] for one in body["differences"]}

    return run


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_bill_for_what_was_watched_agrees_to_the_token(reconcile: Reconcile, provider: str) -> None:
    assert reconcile(provider) == (0, {})


def test_calls_that_nobody_watched_are_found_on_a_later_page(watched: Simulators, reconcile: Reconcile) -> None:
    watched.openai.bill.add(
        BillEntry(day=(today() - timedelta(days=9)).date(), model="gpt-5-mini", requests=3, usage=USAGE)
    )
    code, causes = reconcile("openai")
    assert code == 1
    assert "not watched" in causes["gpt-5-mini"][0]


def test_more_billed_requests_than_calls_say_how_many(watched: Simulators, reconcile: Reconcile) -> None:
    watched.openai.bill.add(BillEntry(day=today().date(), model="gpt-5", requests=4, usage=USAGE))
    code, causes = reconcile("openai")
    assert code == 1
    assert any("4 billed requests are not in the ledger" in cause for cause in causes["gpt-5"])


def test_half_the_price_is_a_batch_discount(watched: Simulators, reconcile: Reconcile) -> None:
    (entry,) = watched.anthropic.bill.entries()
    assert entry.nano_usd
    watched.anthropic.bill.add(
        BillEntry(day=today().date(), model=entry.model, requests=0, usage=ServedUsage(), nano_usd=-entry.nano_usd // 2)
    )
    code, causes = reconcile("anthropic")
    assert code == 1
    assert any("batch discount" in cause for cause in causes["claude-haiku-4-5"])


def test_saved_answers_of_the_api_do_as_well(watched: Simulators, reconcile: Reconcile, tmp_path: Path) -> None:
    midnight = int(today().replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
    bucket = {"object": "bucket", "start_time": midnight, "end_time": midnight + 86400}
    usage = {"model": "gpt-5", "num_model_requests": 10, "input_tokens": 20_000, "input_cached_tokens": 10_240}
    page = {"object": "page", "data": [{**bucket, "results": [{**usage, "output_tokens": 1000}]}], "has_more": False}
    file = tmp_path / "usage.json"
    file.write_text(json.dumps(page))
    assert reconcile("openai", "--from", str(file)) == (0, {})


def test_a_refused_key_says_that_an_admin_key_is_needed(
    watched: Simulators, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("OPENAI_ADMIN_KEY")
    assert main(["reconcile", "openai"]) == 2
    assert "OPENAI_ADMIN_KEY" in capsys.readouterr().err


def test_a_file_that_is_no_report_is_refused_with_its_name(
    watched: Simulators, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "holiday.json"
    file.write_text("[1, 2]")
    assert main(["reconcile", "openai", "--from", str(file)]) == 2
    assert "holiday.json" in capsys.readouterr().err


def test_googles_export_is_read_by_the_words_in_its_skus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder = make_recorder(tmp_path / "ledger")
    call = recorder.start_llm_call("gemini", "gemini-2.5-flash")
    call.begin_attempt().end("success")
    call.usage = Usage(1_000_000, 50_000, {"cache_read": 400_000})
    call.cost = Cost(305_000_000 + 12_000_000, "priced", "test")
    call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "ledger"))
    day = today().strftime("%Y-%m-%d")
    export = tmp_path / "export.csv"
    export.write_text(
        "Billing account,Service description,SKU description,Usage start date,Usage amount,Cost ($)\n"
        f"A,Gemini API,Generate content input token count Gemini 2.5 Flash text,{day},600000,0.18\n"
        f"A,Gemini API,Generate content cached input token count Gemini 2.5 Flash text,{day},400000,0.012\n"
        f'A,Gemini API,Generate content output token count Gemini 2.5 Flash text,{day},"50,000",0.125\n'
        f"A,Compute Engine,N2 core,{day},10,4.00\n"
    )
    assert main(["reconcile", "google", "--from", str(export)]) == 0
    assert "1 days and models agree, all agree" in capsys.readouterr().out


def test_a_day_that_ends_at_another_hour_is_told_from_missing_calls(watched: Simulators, reconcile: Reconcile) -> None:
    (entry,) = watched.openai.bill.entries()
    half = ServedUsage(prompt=10_000, completion=500, cache_read=5120)
    gone = ServedUsage(prompt=-10_000, completion=-500, cache_read=-5120)
    assert entry.nano_usd
    cost = entry.nano_usd // 2
    yesterday = (today() - timedelta(days=1)).date()
    watched.openai.bill.add(
        BillEntry(day=today().date(), model="gpt-5", requests=-5, usage=gone, nano_usd=-cost),
        BillEntry(day=yesterday, model="gpt-5", requests=5, usage=half, nano_usd=cost),
    )
    code, causes = reconcile("openai")
    assert code == 1
    assert causes["gpt-5"] == ["two days that agree together: the report's day ends at another hour than UTC's"]
