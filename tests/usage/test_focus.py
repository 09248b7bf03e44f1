"""The FOCUS export holds what the ledger holds, and the specification's own validator takes it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import make_recorder
from support.parts import PARTS
from tachograph.cli import main
from tachograph.records import Cost, Usage
from tachograph.records.cost import UNPRICED
from tachograph.usage.focus import COLUMNS
from tachograph.usage.reconcile import focus

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'tachograph[parquet]'")

# Rules of focus-validator 1.0.0 about columns which FOCUS 1.0 to 1.2 do not have (Provider for ProviderName,
# ChargeType for ChargeCategory, ...), or of a list of currencies that the package does not bring.
STALE = {
    "BillingCurrency_IsCurrencyCode",
    "InvoiceIssuer_Required",
    "Provider_Required",
    "Publisher_Required",
    "ResourceID_Required",
    "SkuPriceId_Nullable",
}


@pytest.fixture
def nano(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A ledger of 60 priced calls and one without a price; what they cost."""
    recorder = make_recorder(tmp_path / "ledger")
    total = 0
    for number in range(61):
        call = recorder.start_llm_call(
            ("openai", "anthropic")[number % 2], "gpt-5", labels={"team": f"t{number % 3}"} if number % 4 else None
        )
        call.started_unix_ns -= number * 600 * 10**9
        call.begin_attempt().end("success")
        call.usage = Usage(1000 + number, 7)
        call.cost = UNPRICED if number == 60 else Cost(1_000_000_007 * number, "priced", "test")
        total += call.cost.nano_usd or 0
        call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "ledger"))
    return total


def export(path: Path, *more: str) -> Path:
    assert main(["export-focus", str(path), "--since", "2d", "--account", "acme", *more]) == 0
    return path


def test_costs_and_tokens_add_up_to_the_ledger_s(tmp_path: Path, nano: int, capsys: pytest.CaptureFixture[str]) -> None:
    calls = parquet.read_table(export(tmp_path / "calls.parquet", "--by", "call"))
    hours = parquet.read_table(export(tmp_path / "hours.parquet"))
    rows = list(csv.DictReader(export(tmp_path / "hours.csv").open()))
    for table in (calls, hours):
        assert table.column_names == list(COLUMNS)
        for column in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"):
            assert sum(table.column(column).to_pylist()) == Decimal(nano).scaleb(-9)
        assert sum(table.column("ConsumedQuantity").to_pylist()) == sum(1007 + number for number in range(60))
    assert (len(calls), len(rows)) == (60, len(hours))
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal(nano).scaleb(-9)
    assert {row["Tags"] for row in rows} == {"", *(f'{{"team":"t{n}"}}' for n in range(3))}
    assert "left out because their cost is unknown: 1." in capsys.readouterr().err


def test_a_row_says_what_the_specification_wants(tmp_path: Path, nano: int) -> None:
    row: dict[str, Any] = parquet.read_table(export(tmp_path / "calls.parquet", "--by", "call")).to_pylist()[0]
    assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]
    assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["BillingPeriodEnd"]
    assert (row["BillingPeriodStart"].day, row["BillingPeriodEnd"].day) == (1, 1)
    assert row["ListUnitPrice"] * row["PricingQuantity"] == pytest.approx(row["ListCost"], rel=Decimal("1e-6"))
    assert (row["ProviderName"], row["ServiceCategory"]) == ("Anthropic", "AI and Machine Learning")
    assert (row["BillingCurrency"], row["ChargeCategory"], row["SkuMeter"]) == ("USD", "Usage", "Tokens")


def test_the_validator_of_the_specification_takes_it(tmp_path: Path, nano: int) -> None:
    validator = shutil.which("focus-validator") or str(PARTS / "focus/bin/focus-validator")
    if not os.access(validator, os.X_OK):
        pytest.skip("focus-validator is not here: run `make parts`, which gets it into .parts/focus")
    file = export(tmp_path / "hours.csv")
    done = subprocess.run(
        [validator, "--data-file", str(file), "--validate-version", "1.0"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    failed = set(re.findall(r"^(\w+) failed:", done.stdout + done.stderr, re.MULTILINE))
    assert failed, done.stderr  # the stale ones show that it has run
    assert failed == STALE


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_an_export_taken_as_the_bill_agrees_with_the_ledger(
    tmp_path: Path, nano: int, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loop: what is exported is a bill, and the ledger beside that bill has no difference."""
    path = export(tmp_path / f"focus.{ending}")
    capsys.readouterr()
    billed = Decimal(0)
    for provider in ("openai", "anthropic"):
        since = ["--since", "3d", "--format", "json", "--tolerance", "0"]
        assert main(["reconcile", provider, "--from", str(path), *since]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["differences"] == []
        assert said["ours_usd"] == said["billed_usd"]
        billed += Decimal(said["billed_usd"])
    assert billed == Decimal(nano).scaleb(-9)


def test_a_spreadsheet_runs_nothing_of_an_exported_csv_and_only_its_owner_reads_it(
    tmp_path: Path, nano: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = make_recorder(tmp_path / "hostile")
    for text in ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1"):
        call = recorder.start_llm_call("openai", text)
        call.usage, call.cost = Usage(10, 1), Cost(1000, "priced", "test")
        call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "hostile"))
    before = os.umask(0)
    try:
        file = export(tmp_path / "hostile.csv", "--account", "=1+1")
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(file.open(newline="")))
    assert len(rows) == 5
    cells = [cell for row in rows for cell in row.values() if cell]
    assert [cell for cell in cells if cell.lstrip(" ")[0] in "=+-@\t"] == []
    assert {row["BillingAccountId"] for row in rows} == {"'=1+1"}


def test_a_bill_that_charges_more_than_the_ledger_has_is_found(
    tmp_path: Path, nano: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = export(tmp_path / "focus.csv")
    header, first, *rows = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([header, first, first, *rows]) + "\n", "utf-8")  # one row is charged twice
    capsys.readouterr()
    codes = [main(["reconcile", p, "--from", str(path), "--since", "3d"]) for p in ("openai", "anthropic")]
    assert sorted(codes) == [0, 1]
    path.write_text(header.replace("BilledCost", "Cost") + "\n", "utf-8")
    assert main(["reconcile", "openai", "--from", str(path)]) == 2


def test_another_ending_or_place_is_refused_in_words(
    tmp_path: Path, nano: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export-focus", str(tmp_path / "focus.xlsx")]) == 2
    assert "Name it .parquet or .csv" in capsys.readouterr().err
    assert main(["export-focus", str(tmp_path / "absent" / "focus.csv")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_images_seconds_and_characters_are_consumed_in_their_own_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = make_recorder(tmp_path / "ledger")
    for model, usage in (
        ("dall-e-3", Usage(tool_uses={"image/hd/1024x1792": 2})),
        ("sora-2", Usage(tool_uses={"video_second/720x1280": 8})),
        ("whisper-1", Usage(audio_seconds=12.345)),
        ("tts-1", Usage(tool_uses={"character": 40})),
        ("gpt-5", Usage(1000, 7, tool_uses={"web_search": 1})),
        ("stated", None),
    ):
        call = recorder.start_llm_call("openai", model)
        call.begin_attempt().end("success")
        call.usage, call.cost = usage, Cost(240_000_000, "priced", "test")
        call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "ledger"))
    rows = parquet.read_table(export(tmp_path / "calls.parquet")).to_pylist()
    assert {row["SkuId"]: (row["ConsumedQuantity"], row["ConsumedUnit"]) for row in rows} == {
        "openai/dall-e-3/image/hd/1024x1792": (Decimal(2), "Images"),
        "openai/sora-2/video_second/720x1280": (Decimal(8), "Seconds"),
        "openai/whisper-1": (Decimal("12.345"), "Seconds"),
        "openai/tts-1": (Decimal(40), "Characters"),
        "openai/gpt-5": (Decimal(1007), "Tokens"),
        "openai/stated": (Decimal(1), "Requests"),
    }
    for row in rows:
        assert row["PricingUnit"] == row["SkuMeter"] == row["ConsumedUnit"]
        assert row["ListUnitPrice"] * row["PricingQuantity"] == pytest.approx(row["ListCost"], rel=Decimal("1e-9"))


def test_a_model_s_name_that_is_a_formula_comes_back_from_our_own_csv_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["=1+1", "'=1+1", "''@x", "'quoted'", "-5", " +a", "gpt-5"]
    recorder = make_recorder(tmp_path / "ledger")
    for name in names:
        call = recorder.start_llm_call("openai", name)
        call.begin_attempt().end("success")
        call.cost = Cost(1_000_000_000, "priced", "test")
        call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "ledger"))
    bill = list(focus.saved([export(tmp_path / "calls.csv", "--by", "call")], "openai"))
    assert sorted(line.model for line in bill) == sorted(names)
    assert main(["reconcile", "openai", "--from", str(tmp_path / "calls.csv")]) == 0
