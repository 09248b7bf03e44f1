"""Compares what the simulators served with what the metrics and the ledger say, to the token and the nano-dollar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tachograph.llm.metrics import families as llm
from tachograph.signals.registry import Metrics
from tachograph.usage.ledger import Ledger
from tachograph.usage.metrics.families import WASTE_USD
from tachograph.usage.stores.query import Query

from .expected_waste import ExpectedWaste, Waste, waste_differences
from .simulators import Served

Who = tuple[str, str]
"""Provider and model."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What one source says about one model."""

    prompt: int = 0
    completion: int = 0
    nano_usd: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.prompt + other.prompt, self.completion + other.completion, self.nano_usd + other.nano_usd)

    def __str__(self) -> str:
        return f"{self.prompt:,} prompt + {self.completion:,} completion tokens, ${self.nano_usd / 1e9:,.9f}"


@dataclass(frozen=True, slots=True)
class Runs:
    """How many runs of agents there were, and what their calls add up to."""

    count: int = 0
    sums: Mapping[Who, Sums] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedTotals:
    """The sums of each source, and where they differ.

    Attributes:
        served, metrics, ledger: Sums by provider and model; `ledger` is None when there is none.
        runs: What the runs of agents add up to; None when there is no ledger.
        unread: Answers that were sent while their reader was already gone; they may be missing elsewhere.
        budgets: Spent and limit of each budget, in US dollars.
        bills: What each vendor's own cost report says, in nano-dollars; None when it was not asked.
        waste: What was wasted by cause, in nano-dollars, as the metrics say.
        differences: One sentence for each model that does not agree.
    """

    served: Mapping[Who, Sums]
    metrics: Mapping[Who, Sums]
    ledger: Mapping[Who, Sums] | None
    runs: Runs | None = None
    unread: int = 0
    budgets: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    bills: Mapping[str, int] | None = None
    waste: Mapping[str, int] = field(default_factory=dict)
    differences: tuple[str, ...] = field(default=())

    @property
    def is_true(self) -> bool:
        return not self.differences

    def __str__(self) -> str:
        """One line: what was served, and whether the others agree."""
        total = sum(self.served.values(), Sums())
        others = "metrics" if self.ledger is None else "metrics = ledger"
        if self.bills is not None:
            others += " = bill"
        if self.runs is not None:
            others += f" = sum of {self.runs.count:,} runs"
        if self.is_true:
            held = [f"; budget {name}: ${spent:f} of ${limit}" for name, (spent, limit) in self.budgets.items()]
            causes = [f"{cause} ${nano / 1e9:.9f}" for cause, nano in sorted(self.waste.items())]
            held += [f"; wasted: {', '.join(causes)}"] if causes else []
            return f"truth: served = {others}: {total}{''.join(held)}"
        return "truth: " + "; ".join(self.differences)


def served_sums(served: Served, has_prices: bool) -> dict[Who, Sums]:
    """What stood on the wire."""
    return {
        who: Sums(totals.usage.prompt, totals.usage.completion, totals.nano_usd if has_prices else 0)
        for who, totals in served.totals().items()
        if totals.usage.total
    }


def metric_sums(metrics: Metrics) -> dict[Who, Sums]:
    """What /metrics says: dollars as a float there, so they are rounded to the nano-dollars they were added from."""
    found: dict[Who, Sums] = {}
    for family, samples in metrics.collect():
        for sample in samples:
            who = sample.labels[:2]
            if family is llm.TOKENS:
                kind = sample.labels[2]
                added = Sums(prompt=round(sample.value)) if kind == "prompt" else Sums(completion=round(sample.value))
            elif family is llm.COST_USD:
                added = Sums(nano_usd=round(sample.value * 1e9))
            else:
                continue
            found[who[0], who[1]] = found.get((who[0], who[1]), Sums()) + added
    return {who: sums for who, sums in found.items() if sums != Sums()}


def ledger_sums(ledger: Ledger) -> dict[Who, Sums]:
    """What the ledger's store says; everything accepted must have been flushed."""
    store = ledger.open_store(read_only=True)
    try:
        rows = store.usage(Query(by=("provider", "model"), where={"kind": ("llm",)}))
    finally:
        store.close()
    found = {
        (row["provider"], row["model"]): Sums(row["input_tokens"], row["output_tokens"], row["cost_nusd"] or 0)
        for row in rows
    }
    return {who: sums for who, sums in found.items() if sums != Sums()}


def run_sums(ledger: Ledger) -> Runs:
    """What the ledger's rows that belong to a run say; everything accepted must have been flushed."""
    store = ledger.open_store(read_only=True)
    try:
        rows = store.usage(Query(by=("run_id", "provider", "model"), where={"kind": ("llm",)}))
    finally:
        store.close()
    found: dict[Who, Sums] = {}
    for row in rows:
        if row["run_id"]:
            who = row["provider"], row["model"]
            sums = Sums(row["input_tokens"], row["output_tokens"], row["cost_nusd"] or 0)
            found[who] = found.get(who, Sums()) + sums
    return Runs(len({row["run_id"] for row in rows if row["run_id"]}), found)


def metric_waste(metrics: Metrics) -> Waste:
    """What /metrics says was wasted."""
    samples = next((samples for family, samples in metrics.collect() if family is WASTE_USD), ())
    return {
        (who[0], who[1], who[2]): round(value * 1e9) for who, value in ((s.labels, s.value) for s in samples) if value
    }


def ledger_waste(ledger: Ledger) -> Waste:
    """What the ledger's rows of waste say; everything accepted must have been flushed."""
    store = ledger.open_store(read_only=True)
    try:
        rows = store.usage(Query(by=("provider", "model", "operation"), where={"kind": ("waste",)}))
    finally:
        store.close()
    return {(row["provider"], row["model"], row["operation"]): row["cost_nusd"] or 0 for row in rows}


def compare(
    served: Served,
    metrics: Metrics,
    ledger: Mapping[Who, Sums] | None,
    *,
    runs: Runs | None = None,
    has_prices: bool = True,
    budgets: Mapping[str, tuple[Decimal, Decimal]] | None = None,
    bills: Mapping[str, int] | None = None,
    waste: Waste | None = None,
    expected_waste: ExpectedWaste | None = None,
) -> ExpectedTotals:
    """Read all sources and compare them model by model; without prices, only tokens. Budgets must not be overspent."""
    from_served, from_metrics = served_sums(served, has_prices), metric_sums(metrics)
    sources = {"metrics": from_metrics} | ({} if ledger is None else {"ledger": ledger})
    if runs is not None:
        sources["runs"] = {who: sums for who, sums in runs.sums.items() if sums != Sums()}
    differences = []
    for name, source in sources.items():
        for who in sorted({*from_served, *source}):
            expected, found = from_served.get(who, Sums()), source.get(who, Sums())
            if expected != found:
                differences.append(f"{'/'.join(who)}: served {expected}, {name} {found}")
    budgets = budgets or {}
    for name, (spent, limit) in budgets.items():
        if spent > limit:
            differences.append(f"budget {name}: ${spent:f} of ${limit} are spent")
    for provider, billed in (bills or {}).items() if has_prices else ():
        owed = sum(sums.nano_usd for who, sums in from_served.items() if who[0] == provider)
        if billed != owed:
            differences.append(f"{provider}: served ${owed / 1e9:.9f}, bill ${billed / 1e9:.9f}")
    from_waste = metric_waste(metrics)
    if has_prices and expected_waste is not None:
        differences += waste_differences(expected_waste.sums(), expected_waste.unsure(), from_waste, waste)
    causes: dict[str, int] = {}
    for (_, _, cause), nano in from_waste.items():
        causes[cause] = causes.get(cause, 0) + nano
    unread = sum(exchange.client_gone for exchange in served)
    return ExpectedTotals(
        served=from_served,
        metrics=from_metrics,
        ledger=ledger,
        runs=runs,
        unread=unread,
        budgets=budgets,
        bills=bills,
        waste=causes,
        differences=tuple(differences),
    )
