"""What the vendors' admin APIs say of their limits stands on /metrics of `tachograph reconcile --watch`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from support.ledgers import make_recorder, one_call
from support.simulators import simulators, simulators_process  # noqa: F401 - fixtures
from tachograph.errors import TachographError
from tachograph.pricing import Pricer
from tachograph.signals.registry import Metrics
from tachograph.usage.reconcile import limits
from tachograph.usage.reconcile.watch import Account, Watcher
from tachograph_demo.simulators import Simulators

Found = dict[tuple[str, ...], float]


def test_rate_and_spend_limits_become_gauges_and_go_when_they_are_lifted(
    tmp_path: Path,
    simulators: Simulators,  # noqa: F811
) -> None:
    recorder = make_recorder(tmp_path / "ledger")
    one_call(recorder)
    ledger = recorder.ledger
    assert ledger is not None
    assert ledger.close(20)
    simulators.openai.bill.rate_limits.update({"gpt-5": (500, 30_000), "gpt-5-mini": (900, 200_000)})
    simulators.openai.bill.spend_limit_cents = 25_000
    simulators.anthropic.bill.rate_limits["claude-sonnet-5"] = (50, 400_000)
    metrics = Metrics(())

    def shown(name: str) -> Found:
        return {sample.labels: sample.value for family, samples in metrics.collect() if family.name == name
                for sample in samples}  # fmt: skip

    def fetch(*_: datetime) -> list[limits.RateLimit]:
        return []

    accounts = [
        Account("openai", fetch, partial(limits.openai, key="k", base_url=simulators.openai.url)),
        Account("anthropic", fetch, partial(limits.anthropic, key="k", base_url=simulators.anthropic.url)),
    ]
    open_store = partial(ledger.open_store, read_only=True)
    watcher = Watcher(accounts, open_store, tmp_path, metrics, Pricer())
    assert watcher.check(datetime.now(UTC)) == []
    assert shown("llm_vendor_rate_limit") == {
        ("openai", "shop", "gpt-5", "requests_per_minute"): 500,
        ("openai", "shop", "gpt-5", "tokens_per_minute"): 30_000,
        ("openai", "shop", "gpt-5-mini", "requests_per_minute"): 900,
        ("openai", "shop", "gpt-5-mini", "tokens_per_minute"): 200_000,
        ("anthropic", "organization", "claude-sonnet-5", "requests_per_minute"): 50,
        ("anthropic", "organization", "claude-sonnet-5", "input_tokens_per_minute_cache_aware"): 400_000,
    }
    assert shown("llm_vendor_spend_limit_usd") == {("openai", "organization"): 250.0}
    assert shown("llm_vendor_spend_limit_enforced") == {("openai", "organization"): 0.0}
    simulators.openai.bill.is_enforcing = True
    del simulators.openai.bill.rate_limits["gpt-5-mini"]
    assert watcher.check(datetime.now(UTC)) == []
    assert shown("llm_vendor_spend_limit_enforced") == {("openai", "organization"): 1.0}
    assert len(shown("llm_vendor_rate_limit")) == 4
    simulators.openai.bill.clear()
    simulators.anthropic.bill.clear()
    assert watcher.check(datetime.now(UTC)) == []
    assert shown("llm_vendor_rate_limit") == shown("llm_vendor_spend_limit_usd") == {}


def test_a_key_that_may_not_read_limits_leaves_the_bill_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = make_recorder(tmp_path / "ledger")
    one_call(recorder)
    ledger = recorder.ledger
    assert ledger is not None
    assert ledger.close(20)

    def refuse() -> list[limits.RateLimit]:
        raise TachographError("the provider refuses this key for its limits")

    open_store = partial(ledger.open_store, read_only=True)
    watcher = Watcher([Account("openai", lambda *_: [], refuse)], open_store, tmp_path, Metrics(()), Pricer())
    assert watcher.check(datetime.now(UTC)) == []
    assert "refuses this key for its limits" in caplog.text
