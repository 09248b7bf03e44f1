"""History at corrected prices: appended, exact, and the same however often it is run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from support.ledgers import make_recorder
from tachograph.cli import main
from tachograph.records import Cost, Usage
from tachograph.usage.reports import report
from tachograph.usage.stores import open_store
from tachograph.usage.stores.query import Query

NOW = datetime.now(UTC)
PRICES = """
[[price]]
provider = "openai"
model = "mystery"
input = 2.0
output = 10.0
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with five unpriced calls and one that was priced too low."""
    recorder = make_recorder(tmp_path / "ledger")
    for cost in (*[Cost(None, "unpriced")] * 5, Cost(1, "priced", "old")):
        call = recorder.start_llm_call("openai", "mystery")
        call.begin_attempt().end("success")
        call.usage = Usage(1000, 100)
        call.cost = cost
        call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.flush(20)
    recorder.ledger.close()
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "ledger"))
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    monkeypatch.setenv("TACHOGRAPH_PRICING_FILE", str(prices))
    return tmp_path / "ledger"


def total(directory: Path, *, raw: bool) -> tuple[Decimal, int]:
    """Cost and unpriced calls, from rollups or from rows."""
    store = open_store(f"sqlite:///{directory / 'ledger.db'}", read_only=True)
    rows = store.usage(Query(raw=raw))
    store.close()
    return Decimal(sum(int(row["cost_nusd"]) for row in rows)).scaleb(-9), sum(int(row["unpriced"]) for row in rows)


def test_unpriced_calls_get_their_price_in_rows_and_rollups_alike(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reprice", "--since", "1d"]) == 0
    assert "6 calls, +$0.018000, 5 of them had no price" in capsys.readouterr().out
    assert total(directory, raw=False) == total(directory, raw=True) == (Decimal("0.018"), 0)


def test_running_it_again_changes_nothing(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["reprice", "--since", "1d"])
    capsys.readouterr()
    assert main(["reprice", "--since", "1d"]) == 0
    assert "6 calls looked at, 0 changed" in capsys.readouterr().out
    assert total(directory, raw=False)[0] == Decimal("0.018")


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reprice", "--since", "1d", "--dry-run"]) == 0
    assert "6 would change" in capsys.readouterr().out
    assert total(directory, raw=True) == (Decimal("0.000000001"), 5)


def test_the_rows_themselves_stay_as_they_were(directory: Path) -> None:
    store = open_store(f"sqlite:///{directory / 'ledger.db'}", read_only=True)
    before = list(store.rows(Query(), adjusted=False))
    store.close()
    main(["reprice", "--since", "1d"])
    store = open_store(f"sqlite:///{directory / 'ledger.db'}", read_only=True)
    assert list(store.rows(Query(), adjusted=False)) == before
    found = report(store, since=NOW - timedelta(days=1), until=NOW + timedelta(days=1), by=("model",))
    store.close()
    assert found.total.cost_usd == Decimal("0.018")
    assert found.total.unpriced == 0


def test_what_a_vendor_stated_and_what_was_priced_by_the_request_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # gemini-2.5-pro: three requests of 100k at 1.25, where their sum alone would be priced as long prompts, at 2.50
    recorder = make_recorder(tmp_path / "ledger")
    for cost, model, api, attempts in (
        (Cost(7, "stated", "stated by openrouter"), "gpt-5", "chat_completions", 1),
        (Cost(378_000_000, "priced", "old"), "gemini-2.5-pro", "generate_content", 3),
        (Cost(33_000_000, "priced", "old region=us"), "claude-opus-5", "messages", 1),
    ):
        provider = {"gpt-5": "openrouter", "gemini-2.5-pro": "gemini"}.get(model, "anthropic")
        call = recorder.start_llm_call(provider, model)
        call.api = api
        for _ in range(attempts):
            call.begin_attempt().end("success")
        call.usage = Usage(1000, 1000) if model == "claude-opus-5" else Usage(300_000, 300)
        call.cost = cost
        call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.flush(20)
    recorder.ledger.close()
    monkeypatch.setenv("TACHOGRAPH_LEDGER_DATA_DIR", str(tmp_path / "ledger"))
    assert main(["reprice", "--since", "1d"]) == 0
    assert "2 calls looked at, 0 changed" in capsys.readouterr().out
