"""The bill by API key: keys that are watched, half watched and not at all are distinguished, each to the dollar."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.ledgers import make_recorder
from support.simulators import simulators, simulators_process  # noqa: F401 - fixtures
from tachograph.cli import main
from tachograph.pricing import Pricer
from tachograph.records.usage import Usage
from tachograph.signals.registry import Metrics
from tachograph.usage.ledger import Ledger
from tachograph.usage.reconcile import anthropic, keys, openai, reconcile
from tachograph.usage.reconcile.watch import Account, Watcher
from tachograph_demo.simulators import BillEntry, ServedUsage, Simulators
from tachograph_demo.simulators.prices import cost_nano_usd

NOW = datetime.now(UTC)
DAY = (NOW - timedelta(days=4)).replace(hour=6)
SINCE = (NOW - timedelta(days=6)).replace(hour=0, minute=0, second=0, microsecond=0)
MODELS = {"openai": ("gpt-5", "gpt-5-mini"), "anthropic": ("claude-sonnet-4-5", "claude-haiku-4-5")}
USAGE = ServedUsage(prompt=100_000, completion=10_000, cache_read=20_000)
KEYS = {"key_watched": 2, "key_half": 1, "key_unseen": 0}
"""How many of the two calls of each key and model the ledger has."""
HINTS = {"key_watched": "...aaaa", "key_half": "...bbbb", "key_unseen": "...cccc", None: "...dddd"}


class Books:
    """A bill of three keys, and a ledger that has seen two of them and one that is not on it."""

    def __init__(self, directory: Path, provider: str, simulators: Simulators) -> None:  # noqa: F811 - the fixture
        self.provider = provider
        vendor = getattr(simulators, provider)
        self.bill, self.url = vendor.bill, vendor.url
        self.bill.clear()
        self.bill.keys |= {key: f"sk-{key[:3]}...{HINTS[key][-4:]}" for key in KEYS}
        recorder = make_recorder(directory)
        pricer = Pricer()
        self.listed = 0
        for model in MODELS[provider]:
            nano = cost_nano_usd(provider, model, USAGE) or 0
            self.listed += nano
            for key, seen in [*KEYS.items(), (None, 1)]:
                for _ in range(seen):
                    call = recorder.start_llm_call(provider, model, key_hint=HINTS[key])
                    call.started_unix_ns = int(DAY.timestamp() * 1e9)
                    call.usage = Usage(USAGE.prompt, USAGE.completion, {"cache_read": USAGE.cache_read})
                    call.cost = pricer(call)
                    call.finish("success")
                if key is not None:
                    self.bill.add(
                        BillEntry(day=DAY.date(), model=model, requests=2, usage=USAGE + USAGE, nano_usd=2 * nano,
                                  key=key)
                    )  # fmt: skip
        assert isinstance(recorder.ledger, Ledger)
        self.ledger = recorder.ledger
        assert self.ledger.flush()

    @property
    def expected(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Billed and ours by key."""
        one = Decimal(self.listed).scaleb(-9)
        return {HINTS[key]: (2 * one, seen * one) for key, seen in KEYS.items()} | {HINTS[None]: (Decimal(0), one)}


@pytest.fixture(params=["openai", "anthropic"])
def books(request: pytest.FixtureRequest, tmp_path: Path, simulators: Simulators) -> Iterator[Books]:  # noqa: F811
    made = Books(tmp_path / "ledger", request.param, simulators)
    yield made
    made.bill.clear()
    made.ledger.close()


def reports(books: Books) -> tuple[Any, Any]:
    vendor = {"openai": openai, "anthropic": anthropic}[books.provider]
    asked = {"key": "admin", "base_url": books.url}
    return partial(vendor.billed, **asked), partial(getattr(keys, books.provider), **asked)


def test_each_key_is_billed_and_recorded_under_its_last_characters(books: Books) -> None:
    bill, by_key = reports(books)
    store = books.ledger.open_store(read_only=True)
    found = reconcile(
        store, books.provider, bill(SINCE, NOW), since=SINCE, until=NOW, now=NOW, pricer=Pricer(),
        keys=by_key(SINCE, NOW),
    )  # fmt: skip
    store.close()
    assert {key: tuple(map(float, pair)) for key, pair in found.keys.items()} == {
        key: pytest.approx(tuple(map(float, pair))) for key, pair in books.expected.items()
    }
    assert float(sum(billed for billed, _ in found.keys.values())) == pytest.approx(float(found.billed_usd))
    assert sum(ours for _, ours in found.keys.values()) == found.ours_usd
    assert sum(found.causes.values()) == found.billed_usd - found.ours_usd  # more keys change no cause


def test_the_watch_shows_the_drift_of_each_key_and_keeps_it(books: Books, tmp_path: Path) -> None:
    bill, by_key = reports(books)

    def watched(metrics: Metrics) -> dict[str, float]:
        account = Account(books.provider, bill, None, by_key)
        Watcher([account], lambda: books.ledger.open_store(read_only=True), tmp_path, metrics, Pricer()).check(NOW)
        return {
            sample.labels[1]: sample.value
            for family, samples in metrics.collect()
            if family.name == "llm_bill_key_drift_ratio"
            for sample in samples
        }

    wanted = {"...aaaa": 0.0, "...bbbb": 0.5, "...cccc": 1.0, "...dddd": -math.inf}
    first = Metrics(())
    assert watched(first) == pytest.approx(wanted)
    assert watched(Metrics(())) == pytest.approx(wanted)


def test_the_command_shows_keys_and_says_which_nobody_watches(
    books: Books, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"{books.provider.upper()}_ADMIN_KEY", "admin")
    command = ["reconcile", books.provider, "--since", "6d", "--by-key", "--base-url", books.url,
               "--store", books.ledger.place.url]  # fmt: skip
    assert main(command) == 1
    shown = capsys.readouterr().out
    (unseen,) = [line for line in shown.splitlines() if line.startswith("key ...cccc")]
    assert "not watched" in unseen
    assert main([*command, "--format", "json"]) == 1
    assert set(json.loads(capsys.readouterr().out)["keys"]) == set(books.expected)


def test_keys_need_an_admin_api(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    assert main(["reconcile", "google", "--by-key", "--from", "bill.csv"]) == 2
    assert main(["reconcile", "openai", "--by-key"]) == 2
    assert capsys.readouterr().err.count("the bill by key comes from the admin API of OpenAI or Anthropic") == 2
