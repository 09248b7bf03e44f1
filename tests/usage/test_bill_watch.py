"""Several days of watching the bills: each day is billed once, however the vendors, the store and the watcher stop."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import make_recorder
from support.simulators import simulators, simulators_process  # noqa: F401 - fixtures
from tachograph.cli import main
from tachograph.errors import TachographError
from tachograph.pricing import Pricer
from tachograph.records import Usage
from tachograph.records.cost import Cost
from tachograph.signals.registry import Metrics
from tachograph.usage.reconcile import anthropic, google, openai, reconcile, watch
from tachograph.usage.reconcile.bill import Billed, money_line
from tachograph.usage.reconcile.watch import Account, Watcher
from tachograph.usage.stores import open_store
from tachograph.usage.stores.base import Store
from tachograph_demo.simulators import Bill, BillEntry, ServedUsage, Simulators
from tachograph_demo.simulators.billing import google_export

FIRST = datetime(2026, 10, 23, 6, tzinfo=UTC)
"""Two days before the clocks of Europe go back; nine days on, the month ends."""
MODELS = {"openai": "gpt-5", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}


class Days:
    """A ledger, the three vendors' bills, and one watcher after the other."""

    def __init__(self, tmp_path: Path, simulators: Simulators) -> None:  # noqa: F811
        self.directory = tmp_path
        self.export = tmp_path / "export.jsonl"
        self.export.touch()
        self.bills = {
            "openai": simulators.openai.bill,
            "anthropic": simulators.anthropic.bill,
            "gemini": Bill("gemini", simulators.served),
        }
        for bill in self.bills.values():
            bill.clear()
        self.urls = {"openai": simulators.openai.url, "anthropic": simulators.anthropic.url}
        self.down: set[str] = set()
        self.recorder = make_recorder(tmp_path / "ledger")
        self.restart()

    def restart(self) -> None:
        self.metrics = Metrics(())
        accounts = [
            Account("openai", lambda since, until: self.fetched("openai", openai, since, until)),
            Account("anthropic", lambda since, until: self.fetched("anthropic", anthropic, since, until)),
            Account("gemini", lambda since, until: list(google.saved([self.export]))),
        ]
        self.watcher = Watcher(accounts, self.store, self.directory, self.metrics, Pricer())

    def fetched(self, provider: str, vendor: Any, since: datetime, until: datetime) -> list[Billed]:
        url = "http://127.0.0.1:1" if provider in self.down else self.urls[provider]
        return list(vendor.billed(since, until, key="k", base_url=url))

    def store(self) -> Store:
        return self.recorder.ledger.open_store(read_only=True)

    def call(self, provider: str, at: datetime, *, is_billed: bool = True) -> None:
        call = self.recorder.start_llm_call(provider, MODELS[provider])
        call.started_unix_ns = int(at.timestamp() * 1e9)
        call.begin_attempt().end("success")
        call.usage = Usage(40_000, 3_000)
        call.cost = Pricer()(call)
        call.finish("success")
        if is_billed:
            self.bill(provider, at.date(), ServedUsage(prompt=40_000, completion=3_000))

    def bill(self, provider: str, day: date, usage: ServedUsage, **more: Any) -> None:
        entry = BillEntry(day=day, model=MODELS[provider], requests=1, usage=usage, **more)
        self.bills[provider].add(entry)

    def check(self, at: datetime) -> list[TachographError]:
        rows = google_export(self.bills["gemini"])
        self.export.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
        assert self.recorder.ledger is not None
        assert self.recorder.ledger.flush(20)
        return self.watcher.check(at)

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        for family, samples in self.metrics.collect():
            if family.name == name:
                return {sample.labels: sample.value for sample in samples}
        raise AssertionError(name)

    def billed(self, provider: str) -> Decimal:
        """What the vendor's bill comes to now."""
        return Decimal(sum(entry.nano_usd or 0 for entry in self.bills[provider].entries())).scaleb(-9)


@pytest.fixture
def days(tmp_path: Path, simulators: Simulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[Days]:  # noqa: F811
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    made = Days(tmp_path, simulators)
    yield made
    for bill in made.bills.values():
        bill.clear()
    made.recorder.ledger.close(20)
    monkeypatch.undo()
    time.tzset()


def test_twelve_days_over_the_change_of_clocks_and_the_end_of_the_month_are_billed_once_each(days: Days) -> None:
    for number in range(12):
        day = FIRST + timedelta(days=number)
        for provider in MODELS:
            for hour in (-6, 1, 17):  # at midnight UTC, in the hour that Berlin has twice, and in the last of the day
                days.call(provider, day + timedelta(hours=hour))
        if number in (3, 8):
            days.restart()
        assert days.check(day + timedelta(hours=17.5)) == []
        assert days.check(day + timedelta(hours=17.9)) == []  # the same day again
    for provider in MODELS:
        total = days.values("llm_bill_usd_total")[(provider,)]
        assert total == pytest.approx(float(days.billed(provider)), abs=1e-7)
        assert days.values("llm_bill_drift_ratio")[(provider,)] == pytest.approx(0, abs=1e-6)
    kept = json.loads((days.directory / "bills.json").read_text())
    assert {len(account["days"]) for account in kept.values()} == {12 + 14}
    for account in kept.values():
        assert sum(Decimal(day["billed_usd"]) > 0 for day in account["days"].values()) == 12


def test_days_without_a_watcher_or_a_vendor_are_fetched_afterwards(days: Days) -> None:
    days.call("openai", FIRST)
    assert days.check(FIRST + timedelta(hours=1)) == []
    for number in range(1, 30):
        days.call("openai", FIRST + timedelta(days=number))
    days.down = {"openai"}
    days.restart()
    (failure,) = days.check(FIRST + timedelta(days=30))
    assert "the report cannot be fetched" in str(failure)
    one = days.billed("openai") / 30
    assert days.values("llm_bill_usd_total")[("openai",)] == pytest.approx(float(one))
    days.down = set()
    assert days.check(FIRST + timedelta(days=30, hours=1)) == []
    assert days.values("llm_bill_usd_total")[("openai",)] == pytest.approx(float(one * 30))


def test_a_credit_never_takes_the_counter_back_not_even_over_a_restart(days: Days) -> None:
    days.call("openai", FIRST)
    assert days.check(FIRST + timedelta(days=4)) == []
    before = days.values("llm_bill_usd_total")[("openai",)]
    days.bills["openai"].add(
        BillEntry(day=FIRST.date(), model="", requests=0, usage=ServedUsage(), nano_usd=-30_000_000, is_credit=True)
    )
    assert days.check(FIRST + timedelta(days=5)) == []
    days.restart()
    assert days.check(FIRST + timedelta(days=5, hours=1)) == []
    assert days.values("llm_bill_usd_total")[("openai",)] == before
    assert days.values("llm_bill_cause_usd")["openai", "credit"] == -0.03


def test_late_rows_and_corrections_change_a_day_that_was_fetched(days: Days) -> None:
    days.call("openai", FIRST, is_billed=False)
    assert days.check(FIRST + timedelta(hours=1)) == []
    assert days.values("llm_bill_drift_ratio")[("openai",)] == 0  # the day is not complete
    assert days.check(FIRST + timedelta(days=4)) == []
    assert days.values("llm_bill_drift_ratio")[("openai",)] == -math.inf
    days.bill("openai", FIRST.date(), ServedUsage(prompt=40_000, completion=3_000))
    assert days.check(FIRST + timedelta(days=5)) == []
    assert days.values("llm_bill_drift_ratio")[("openai",)] == pytest.approx(0, abs=1e-6)
    assert days.values("llm_bill_usd_total")[("openai",)] == pytest.approx(float(days.billed("openai")))


def test_a_model_that_is_no_longer_billed_has_no_drift_any_more(days: Days) -> None:
    days.call("openai", FIRST)
    assert days.check(FIRST + timedelta(days=4)) == []
    assert ("openai", "gpt-5") in days.values("llm_bill_model_drift_ratio")
    assert days.check(FIRST + timedelta(days=30)) == []
    assert days.values("llm_bill_model_drift_ratio") == {}


def test_days_whose_rows_are_removed_stay_as_they_were_found(days: Days) -> None:
    for number in range(3):
        days.call("openai", FIRST + timedelta(days=number))
    assert days.check(FIRST + timedelta(days=5)) == []
    with contextlib.closing(open_store(f"sqlite:///{days.directory}/ledger/ledger.db")) as store:
        store.retain({"rows": int((FIRST + timedelta(days=1.5)).timestamp() * 1e6)})
    assert days.check(FIRST + timedelta(days=6)) == []
    assert days.values("llm_bill_drift_ratio")[("openai",)] == pytest.approx(0, abs=1e-6)
    assert days.values("llm_bill_usd_total")[("openai",)] == pytest.approx(float(days.billed("openai")))


def test_a_bill_that_no_key_opens_ages_from_the_first_try(days: Days) -> None:
    days.call("anthropic", FIRST)
    days.down = {"openai"}
    assert len(days.check(datetime.now(UTC) - timedelta(days=3))) == 1
    days.restart()
    days.down = {"openai"}
    assert len(days.check(datetime.now(UTC))) == 1
    assert days.values("llm_bill_age_seconds")[("openai",)] >= 3 * 86_400 - 1
    assert ("openai",) not in days.values("llm_bill_drift_ratio")


def test_a_store_that_is_away_stops_neither_the_watch_nor_what_it_shows(
    days: Days, caplog: pytest.LogCaptureFixture
) -> None:
    days.call("openai", FIRST)
    assert days.check(FIRST + timedelta(days=4)) == []
    before = days.values("llm_bill_usd_total")
    stopped = threading.Event()

    def away() -> Store:
        stopped.set()
        return open_store("postgresql://127.0.0.1:1/none", rollup_labels=(), timeout_seconds=1, read_only=True)

    days.watcher._open_store = away
    days.watcher.run(86_400, stopped)
    assert "the bills could not be compared" in caplog.text
    assert days.values("llm_bill_usd_total") == before


def test_what_failed_calls_and_images_cost_is_in_the_sum_that_is_compared(tmp_path: Path) -> None:
    recorder = make_recorder(tmp_path)
    for outcome in ("success", "error", "timeout", "cancelled", "rate_limited"):
        call = recorder.start_llm_call("openai", f"model-{outcome}")
        call.started_unix_ns = int(FIRST.timestamp() * 1e9)
        call.begin_attempt().end(outcome)
        call.cost = Cost(1_250_000_000, "priced", "test")
        call.finish(outcome)
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    bill = [money_line(FIRST.date(), "model-success", Decimal("1.25")), money_line(FIRST.date(), "", Decimal("0.5"))]
    with contextlib.closing(recorder.ledger.open_store(read_only=True)) as store:
        found = reconcile(
            store, "openai", bill, since=FIRST - timedelta(days=1), until=FIRST + timedelta(days=1), now=FIRST
        )
    assert found.ours_usd == Decimal("6.25")
    assert found.billed_usd == Decimal("1.75")
    assert found.models["other"] == (Decimal("0.5"), 0)


def test_a_key_that_can_be_none_is_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-secret\nHost: elsewhere")
    assert main(["reconcile", "openai"]) == 2
    said = capsys.readouterr().err
    assert "OPENAI_ADMIN_KEY" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("sku", "model", "ours"),
    [
        ("Gemini 3.0 Pro Image Output", "gemini-3-pro-image", "gemini-3-pro-image-preview"),
        ("Gemini 3.1 Flash Image Output", "gemini-3.1-flash-image", "gemini-3.1-flash-image-preview"),
        ("Image output token count Gemini 2.5 Flash", "gemini-2.5-flash-image", "gemini-2.5-flash-image"),
        ("Gemini 2.5 Flash GA Image Input - Predictions", "gemini-2.5-flash", "gemini-2.5-flash"),
        ("Gemini 2.5 Flash Image Input - Predictions", "gemini-2.5-flash", "gemini-2.5-flash"),
        ("Gemini 2.5 Flash TTS audio output token count", "gemini-2.5-flash-tts", "gemini-2.5-flash-preview-tts"),
        ("Gemini 2.5 Flash Native Audio output", "gemini-2.5-flash-native-audio",
         "gemini-2.5-flash-native-audio-preview-09-2025"),
        ("Gemini 2.0 Flash Lite input", "gemini-2.0-flash-lite", "gemini-2.0-flash-lite-001"),
        ("Gemini Embedding input token count", "gemini-embedding", "gemini-embedding-001"),
        ("Imagen 4 Fast Image Generation", "imagen-4-fast", "imagen-4.0-fast-generate-001"),
        ("Imagen 4 Generation", "imagen-4", "imagen-4.0-generate-001"),
        ("Veo 3.1 Fast Video + Audio Generation", "veo-3.1-fast", "veo-3.1-fast-generate-preview"),
        ("Veo 2 Video Generation", "veo-2", "veo-2.0-generate-001"),
    ],
)  # fmt: skip
def test_google_s_media_go_with_the_models_that_made_them(tmp_path: Path, sku: str, model: str, ours: str) -> None:
    assert google.model_of(sku) == model
    recorder = make_recorder(tmp_path)
    call = recorder.start_llm_call("gemini", ours)
    call.started_unix_ns = int(FIRST.timestamp() * 1e9)
    call.begin_attempt().end("success")
    call.cost = Cost(1_250_000_000, "priced", "test")
    call.finish("success")
    assert recorder.ledger is not None
    assert recorder.ledger.close(20)
    row = {"sku": {"description": sku}, "usage_start_time": FIRST.isoformat(), "cost": 1.25}
    with contextlib.closing(recorder.ledger.open_store(read_only=True)) as store:
        found = reconcile(
            store, "gemini", google.rows([row], "f"), since=FIRST - timedelta(days=1), until=FIRST + timedelta(days=1)
        )
    assert (found.agreeing, found.differences) == (1, ())


def test_rows_of_the_gemini_api_without_a_model_are_billed_too() -> None:
    row = {"sku": {"description": "Grounding with Search"}, "usage_start_time": "2026-10-23T23:30:00-08:00", "cost": 2}
    (line,) = google.rows([{**row, "service": {"description": "Gemini API"}}], "f")
    assert (line.day, line.model, line.usd) == (date(2026, 10, 24), "Grounding with Search", 2)
    assert list(google.rows([{**row, "service": {"description": "Compute Engine"}}], "f")) == []


@pytest.mark.parametrize(
    ("kept", "now", "since"),
    [
        ({}, "2026-11-20T12:34:56.789+00:00", "2026-11-06"),
        ({"checked": "2026-11-10T05:00:00+00:00"}, "2026-11-20T00:00:00+00:00", "2026-10-27"),
        ({"checked": "2026-11-25T05:00:00+00:00"}, "2026-11-20T23:59:59+00:00", "2026-11-06"),  # a clock set back
        ({"checked": "2024-11-25T05:00:00+00:00"}, "2026-11-20T23:59:59+00:00", "2025-11-19"),  # a year at most
    ],
)
def test_days_are_fetched_from_midnight_two_weeks_before_the_last_check(
    kept: dict[str, str], now: str, since: str
) -> None:
    before = {name: datetime.fromisoformat(text).timestamp() for name, text in kept.items()}
    midnight = datetime.fromisoformat(since).replace(tzinfo=UTC)
    assert watch._since(before, datetime.fromisoformat(now)) == midnight


def test_the_drift_is_a_share_of_what_is_billed() -> None:
    pairs = [("11", "10"), ("10", "11"), ("-4", "1"), ("0", "0"), ("0", "1"), ("5", "0")]
    found = [watch._drift(Decimal(billed), Decimal(ours)) for billed, ours in pairs]
    assert found == [pytest.approx(1 / 11), -0.1, -1.25, 0.0, -math.inf, 1.0]


def test_sums_over_days_are_by_name() -> None:
    days: list[dict[str, Any]] = [
        {"billed_usd": "1.5", "models": {"a": ["1", "2"], "b": ["3", "4"]}, "causes": {"tier": "1", "credit": "-1"}},
        {"billed_usd": "0.000000002", "models": {"a": ["10", "20"]}, "causes": {"tier": "2.5"}},
    ]
    assert watch._pairs(days, "models") == {"a": (Decimal(11), Decimal(22)), "b": (Decimal(3), Decimal(4))}
    assert watch._pairs(days, "keys") == {}
    assert watch._sums(days) == {"tier": Decimal("3.5"), "credit": Decimal(-1)}
    by_day = dict(enumerate(days))
    totals = [watch._most(kept, by_day) for kept in ({}, {"most_nano_usd": 7}, {"most_nano_usd": 1_500_000_003})]
    assert totals == [1_500_000_002, 1_500_000_002, 1_500_000_003]


class FakeStore:
    """A ledger without rows."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def watcher(directory: Path, *accounts: Account, **options: Any) -> Watcher:
    return Watcher(accounts, FakeStore, directory, Metrics(()), Pricer(), **options)


@pytest.mark.parametrize("text", ["{", "[]", '{"openai": 3}', '{"openai": {}}', '{"openai": {"days": 3}}'])
def test_kept_bills_that_cannot_be_read_are_refused_with_their_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "bills.json").write_text(text, "utf-8")
    with pytest.raises(TachographError, match=r"^what was kept of past bills cannot be read: ") as caught:
        watcher(tmp_path)
    assert (caught.value.where, caught.value.do) == (
        str(tmp_path / "bills.json"), "Move the file away: the last days are fetched again.",
    )  # fmt: skip


def test_bills_are_kept_in_a_file_for_this_user_alone_and_a_full_disk_is_told(tmp_path: Path) -> None:
    kept = {"openai": {"days": {}, "asked": 1.5}}
    one = watcher(tmp_path / "a" / "b")
    one._kept = kept
    one._write()
    path = tmp_path / "a" / "b" / "bills.json"
    assert [each.name for each in path.parent.iterdir()] == ["bills.json"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert path.read_text("utf-8") == json.dumps(kept, indent=1, sort_keys=True)
    assert watcher(path.parent)._kept == kept
    (tmp_path / "file").touch()
    other = watcher(tmp_path / "elsewhere")
    other._path = tmp_path / "file" / "bills.json"
    with pytest.raises(TachographError, match=r"^the bills cannot be kept: ") as caught:
        other._write()
    assert (caught.value.where, caught.value.do) == (str(other._path), "Give it space and write permission.")


def test_the_watch_checks_again_after_its_time_or_an_hour_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failure = TachographError("away")
    outcomes: list[Any] = [[], [failure], failure, []]
    waited: list[float] = []

    class FakeEvent:
        def is_set(self) -> bool:
            return not outcomes

        def wait(self, seconds: float) -> None:
            waited.append(seconds)

    def check() -> list[TachographError]:
        outcome = outcomes.pop(0)
        if isinstance(outcome, TachographError):
            raise outcome
        return list(outcome)

    one = watcher(tmp_path)
    monkeypatch.setattr(one, "check", check)
    one.run(86_400.0, FakeEvent())
    assert waited == [86_400.0, 3600.0, 3600.0, 86_400.0]
    outcomes[:] = [[failure]]
    one.run(60.0, FakeEvent())
    assert waited[-1] == 60.0
    assert [message.partition(": ")[2] for message in caplog.messages] == ["the bills could not be compared: away"]


def test_every_account_is_shown_by_what_was_kept_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def day(billed: str, ours: str, **more: Any) -> dict[str, Any]:
        return {"billed_usd": billed, "ours_usd": ours, "models": {}, "causes": {}, "is_complete": True, **more}

    days = {
        "2026-11-01": day("3", "3"),  # beyond the last fourteen
        **{f"2026-11-{number:02}": day("0", "0") for number in range(2, 14)},
        "2026-11-14": day("11", "10", models={"a": ["11", "10"]}, keys={"k": ["0", "2"]}, causes={"tier": "1"}),
        "2026-11-15": day("5", "0", is_complete=False),
    }
    (tmp_path / "bills.json").write_text(json.dumps({
        "new": {"days": {}, "asked": 90.0},
        "openai": {"days": days, "checked": 70.0, "most_nano_usd": 20_000_000_000},
        "ahead": {"days": {}, "checked": 200.0},
    }), "utf-8")  # fmt: skip
    monkeypatch.setattr("tachograph.usage.reconcile.watch.time.time", lambda: 100.0)
    names = ("never", "new", "openai", "ahead")
    one = watcher(tmp_path, *(Account(name, lambda since, until: []) for name in names))

    def shown() -> dict[tuple[str, ...], float]:
        return {
            (family.name.removeprefix("llm_bill_"), *sample.labels): sample.values[0]
            for family, samples in one._metrics.collect()
            for sample in samples
            if sample.values[0] and family.name.startswith("llm_")
        }

    first = shown()
    assert first == shown()  # the counter counts each day once
    assert first == {
        ("age_seconds", "new"): 10.0,
        ("age_seconds", "openai"): 30.0,
        ("usd_total", "openai"): 20.0,
        ("drift_ratio", "openai"): pytest.approx(1 / 11),
        ("model_drift_ratio", "openai", "a"): pytest.approx(1 / 11),
        ("key_drift_ratio", "openai", "k"): -math.inf,
        ("cause_usd", "openai", "tier"): 1.0,
    }
