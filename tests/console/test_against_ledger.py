"""What the page shows is what the ledger holds, to the call and to the nano-dollar, whichever way the calls came."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from support.console_client import Client
from support.ledgers import eventually
from support.story import tell
from tachograph.console import RunningConsole, start
from tachograph.records import Usage
from tachograph.runtime import join
from tachograph.settings.ledger import LedgerSettings
from tachograph.settings.waste import WasteSettings
from tachograph.signals.registry import Metrics
from tachograph.tape import TAPE
from tachograph.usage.ledger import Ledger
from tachograph.usage.row import Row
from tachograph.usage.stores.query import Query
from tachograph.usage.waste import Waste

FAILED = ("error", "timeout", "rate_limited")


@pytest.fixture(scope="module", params=["in-process", "ledger"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Any]]:
    """A console of the story, and the ledger's rows of it."""
    directory: Path = tmp_path_factory.mktemp(request.param)
    settings = LedgerSettings(url=f"sqlite:///{directory / 'ledger.db'}", data_dir=str(directory))
    metrics = Metrics(())
    ledger = Ledger(settings, metrics)
    recorder = join(metrics, ledger=ledger, strict=True)
    Waste(WasteSettings(), recorder)
    with start(port=0, step_seconds=300, ledger=settings if request.param == "ledger" else None) as served:
        if request.param == "in-process":
            recorder.add_listener(served.console.accept)
        tell(recorder, served.console, ends=time.time())
        TAPE.flush()
        assert ledger.flush()
        with closing(ledger.open_store(read_only=True)) as store:
            rows = list(store.rows(Query(where={"kind": ("llm", "mcp")}, raw=True)))
        if request.param == "ledger":
            _look(served, len(rows))
        yield Client(served.url, served.token), rows
    ledger.close()


def _look(served: RunningConsole, wanted: int) -> None:
    feed = served.console.ledger
    assert feed is not None

    def copied() -> bool:
        feed.look()
        return served.console.calls.count == wanted

    eventually(copied, "every call of the ledger is shown")


def _range(rows: list[Row]) -> dict[str, float]:
    return {"from": min(row.ts_us for row in rows) / 1e6 - 10, "to": time.time() + 10}


def _dollars(rows: list[Row]) -> float:
    return float(Decimal(sum(row.cost_nusd or 0 for row in rows)).scaleb(-9))


def _p95(rows: list[Row]) -> float:
    """The smallest duration that 95 % of the calls do not exceed."""
    durations = sorted(row.latency_us / 1e6 for row in rows)
    return durations[-(-95 * len(durations) // 100) - 1]


def test_the_hours_of_a_ledger_know_no_cost_where_no_call_of_them_has_one(tmp_path: Path) -> None:
    settings = LedgerSettings(url=f"sqlite:///{tmp_path / 'ledger.db'}", data_dir=str(tmp_path))
    ledger = Ledger(settings, Metrics(()))
    recorder = join(Metrics(()), ledger=ledger, strict=True)
    for model, outcome, usage in (
        ("own", "success", Usage(100, 10, {})),
        ("late", "timeout", None),
        ("bad", "error", None),
    ):
        call = recorder.start_llm_call("openai", model)
        call.started_unix_ns = int((time.time() - 3 * 86400) * 1e9)
        call.usage = usage
        call.finish(outcome, None if outcome == "success" else outcome)
    TAPE.flush()
    assert ledger.flush()
    with start(port=0, step_seconds=300, ledger=settings) as served:
        asked = {"from": time.time() - 7 * 86400, "to": time.time()}
        client = Client(served.url, served.token)
        rows = client.get("/api/console/now", **asked)["providers"]["rows"]
        assert {row["model"]: row["cost"] for row in rows} == {"own": None, "late": None, "bad": 0.0}
        money = client.get("/api/console/money", **asked)
        assert (money["unpriced_calls"], money["open_calls"]) == (1, 1)
    ledger.close()


def test_the_tiles_are_the_ledgers_totals(told: tuple[Client, list[Row]]) -> None:
    client, rows = told
    answer = client.get("/api/console/now", **_range(rows))
    tiles = {tile["name"]: tile["value"] for tile in answer["tiles"]}
    llm = [row for row in rows if row.kind == "llm"]
    seconds = _range(rows)["to"] - min(row.ts_us for row in rows) / 1e6
    assert tiles["calls"] == pytest.approx(len(rows) / seconds, rel=0.01)
    assert tiles["success"] == sum(row.outcome == "success" for row in llm) / len(llm)
    assert tiles["p95"] == pytest.approx(_p95(llm), abs=1e-6)
    assert tiles["cost"] == pytest.approx(_dollars(llm) / seconds * 3600, rel=0.01)
    assert tiles["waste"] == pytest.approx(_dollars([row for row in llm if row.outcome in FAILED]), abs=1e-9)


def test_each_row_of_the_tables_is_the_ledgers_sum(told: tuple[Client, list[Row]]) -> None:
    client, rows = told
    answer = client.get("/api/console/now", **_range(rows))
    seen = 0
    for table, kind, by, part in (
        ("providers", "llm", "provider", "model"),
        ("servers", "mcp", "server_id", "tool_name"),
    ):
        for shown in answer[table]["rows"]:
            own = [r for r in rows if (r.kind, r.provider, r.model) == (kind, shown[by], shown[part])]
            assert shown["calls"] == len(own)
            assert shown["failed"] == sum(row.outcome in FAILED for row in own)
            assert shown["p95"] == pytest.approx(_p95(own), abs=1e-6)
            assert shown["cost"] == pytest.approx(_dollars(own), abs=1e-9)
            assert shown["wait"] == pytest.approx(sum(row.wait_us for row in own) / 1e6)
            seen += len(own)
    assert seen == len(rows)


def test_the_money_is_the_ledgers_to_the_nano_dollar(told: tuple[Client, list[Row]]) -> None:
    client, rows = told
    llm = [row for row in rows if row.kind == "llm"]
    money = client.get("/api/console/money", **_range(rows), by="model")
    assert money["total_usd"] == pytest.approx(_dollars(llm), abs=1e-9)
    cost = money["spent"]
    assert Decimal(cost["total_usd"]) == Decimal(sum(row.cost_nusd or 0 for row in llm)).scaleb(-9)
    for group in cost["groups"]:
        own = [row for row in llm if row.model == group["key"]]
        assert Decimal(group["cost_usd"]) == Decimal(sum(row.cost_nusd or 0 for row in own)).scaleb(-9)
        assert group["input_tokens"] == sum(row.input_tokens or 0 for row in own)


def test_a_boards_tokens_add_up_to_the_ledgers(told: tuple[Client, list[Row]]) -> None:
    client, rows = told
    llm = [row for row in rows if row.kind == "llm"]
    board = client.get("/api/console/board/tachograph-llm-provider", **_range(rows), source="calls")
    assert board["calls"] == len(rows)
    rates = board["panels"]["token-usage-rate"][0]
    grid = board["step"]
    counted = sum(series["n"] for series in rates if series["metric"]["type"] == "prompt")
    assert counted == len(llm)
    for series in rates:  # a bin that is not over yet ends where the others do, so that no line falls to zero there
        assert {round(time_ % grid, 6) for time_, _ in series["values"]} == {0.0}
        assert series["values"][-1][0] >= _range(rows)["to"] - grid - 1
