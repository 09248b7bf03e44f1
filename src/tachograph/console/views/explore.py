"""Explore: calls, runs, sessions and errors by facets, text and order; and two periods or versions side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import erfc, sqrt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tachograph.console.columns import Filter, Floats, Ints
from tachograph.console.facts import Facts
from tachograph.console.views import phrases
from tachograph.console.views.given_up import given_up, marks
from tachograph.console.views.selection import Selection, TimeRange, select

if TYPE_CHECKING:
    from tachograph.console.calls import Call
    from tachograph.console.console import Console

FACETS: Final = (
    "kind", "provider", "model", "server_id", "tool_name", "outcome", "error", "service", "agent", "user_id",
    "app_version", "finish_reason",
)  # fmt: skip
TOP: Final = 15
MOST_GROUPS: Final = 200
SIGNIFICANT: Final = 0.01


def facets(console: Console, chosen: TimeRange, wanted: Filter) -> dict[str, Any]:
    """How many calls each value would leave; a facet's own choice does not narrow itself."""
    span = replace(wanted, time=(chosen.start, chosen.end))
    whole, _ = console.calls.facts(span)
    found = []
    for name in FACETS:
        facts = whole
        if name in wanted.fields:
            others = {key: value for key, value in wanted.fields.items() if key != name}
            facts, _ = console.calls.facts(replace(span, fields=others))
        counts = np.bincount(facts.codes[name], minlength=len(facts.words[name])).astype(np.int64)
        order = [int(n) for n in np.argsort(-counts, kind="stable") if counts[n] and facts.words[name][n]]
        if not order:
            continue
        values = [{"value": facts.words[name][n], "calls": int(counts[n])} for n in order[:TOP]]
        chosen_ones = set(wanted.fields.get(name, ())) - {one["value"] for one in values}
        values += [{"value": value, "calls": 0} for value in sorted(chosen_ones)]
        found.append({"name": name, "values": values, "more": max(len(order) - TOP, 0)})
    return {"facets": found, "calls": len(whole)}


def errors(console: Console, chosen: TimeRange, wanted: Filter) -> list[dict[str, Any]]:
    """Failures by fingerprint: what their texts have in common; and calls that were given up while nothing answered."""
    here = select(console, chosen, wanted)
    facts, _ = console.calls.facts(here.filter)
    lost = by_model(console, facts.take(marks(given_up(console, here), facts)), "cancelled")
    found = [*fingerprints(console, facts.where(outcome=phrases.FAILED)), *lost]
    return sorted(found, key=lambda row: -int(row["calls"]))


def fingerprints(console: Console, failed: Facts) -> list[dict[str, Any]]:
    """Failed calls by fingerprint, the most frequent first, each with its newest call."""
    groups, index = failed.group(("fingerprint",))
    counts = np.bincount(index, minlength=len(groups))
    found = []
    for number in np.argsort(-counts, kind="stable")[:50].tolist():
        own = failed.take(index == number)
        if not len(own):
            continue
        newest = int(np.argmax(own.numbers["time"]))
        detail = next(iter(console.calls.read([int(own.seq[newest])])), None)
        found.append(
            {
                "fingerprint": groups[number]["fingerprint"] or "unknown",
                "calls": len(own),
                "first": float(own.numbers["time"].min()),
                "last": float(own.numbers["time"].max()),
                "providers": sorted({g["provider"] or g["server_id"] for g in own.group(("provider", "server_id"))[0]}),
                "models": sorted({g["model"] or g["tool_name"] for g in own.group(("model", "tool_name"))[0]})[:8],
                "example": detail.call.id if detail else None,
                "error": detail.error if detail else None,
            }
        )
    return found


def by_model(console: Console, facts: Facts, outcome: str) -> list[dict[str, Any]]:
    """Calls that did not fail, as groups like those of errors: by model or tool, with how long they took."""
    found = []
    for labels in facts.group(("provider", "model", "server_id", "tool_name"))[0]:
        own = facts.where(**labels)
        took = f"{phrases.seconds(own.quantile(0.5))} in the median, p95 {phrases.seconds(own.quantile(0.95))}"
        what = f"{'given up by the application after' if outcome == 'cancelled' else 'took'} {took}"
        link = {"provider": labels["provider"], "model": labels["model"], "server": labels["server_id"],
                "tool": labels["tool_name"], "outcome": outcome}  # fmt: skip
        text = f"{labels['model'] or labels['tool_name']}: {what}"
        rows = fingerprints(console, own.renamed("fingerprint", np.ones(len(own), dtype=bool), [text] * len(own)))
        found += [{**row, "link": {name: value for name, value in link.items() if value}} for row in rows]
    return sorted(found, key=lambda row: -int(row["calls"]))[:50]


def runs(console: Console, chosen: TimeRange, wanted: Filter) -> list[dict[str, Any]]:
    """Runs of agents, the newest first; a trace where no run is named."""
    facts, _ = console.calls.facts(replace(wanted, time=(chosen.start, chosen.end)))
    found, first, index = np.unique(facts.run, return_index=True, return_inverse=True)
    return _grouped(console, facts, index.reshape(-1), len(found), first, _run_key)


def sessions(console: Console, chosen: TimeRange, wanted: Filter) -> list[dict[str, Any]]:
    """Sessions, the newest first."""
    facts, _ = console.calls.facts(replace(wanted, time=(chosen.start, chosen.end)))
    facts = facts.where(session_id="!")
    groups, index = facts.group(("session_id",))
    first = np.asarray([int(np.argmax(index == n)) for n in range(min(len(groups), 20_000))] if len(facts) else [])
    return _grouped(console, facts, index, len(groups) if len(facts) else 0, first, lambda call: call.session_id)


def _run_key(call: Call) -> str:
    return str(call.run_id or call.trace_id)


def _grouped(
    console: Console, facts: Facts, index: Ints, size: int, first: Ints, key: Callable[[Call], object]
) -> list[dict[str, Any]]:
    if not size:
        return []
    times = facts.numbers["time"]
    ends = times + np.nan_to_num(facts.numbers["duration"])
    begin = np.full(size, np.inf)
    end = np.full(size, -np.inf)
    np.minimum.at(begin, index, times)
    np.maximum.at(end, index, ends)
    failed = np.isin(facts.codes["outcome"], [n for n, t in enumerate(facts.words["outcome"]) if t in phrases.FAILED])
    is_llm = facts.codes["kind"] == (facts.words["kind"].index("llm") if "llm" in facts.words["kind"] else -1)
    sums = {
        "llm_calls": np.bincount(index, is_llm, size),
        "tool_calls": np.bincount(index, ~is_llm, size),
        "failed": np.bincount(index, failed, size),
        "cost": np.bincount(index, np.nan_to_num(facts.numbers["cost"]), size),
        "unpriced": np.bincount(index, facts.unpriced, size),
        "tokens": np.bincount(
            index, np.nan_to_num(facts.numbers["input"]) + np.nan_to_num(facts.numbers["output"]), size
        ),
    }
    rows = []
    for number in np.argsort(-begin, kind="stable")[:MOST_GROUPS].tolist():
        detail = next(iter(console.calls.read([int(facts.seq[first[number]])])), None)
        if detail is None:
            continue
        rows.append(
            {
                "id": key(detail.call),
                "agent": detail.call.agent,
                "session_id": detail.call.session_id,
                "user_id": detail.call.user_id,
                "service": detail.call.service,
                "first": float(begin[number]),
                "seconds": float(end[number] - begin[number]),
                **{name: float(column[number]) for name, column in sums.items()},
            }
        )
        if rows[-1]["unpriced"] and not rows[-1]["cost"]:
            rows[-1]["cost"] = None  # what has no price is not free
    return rows


# -- two sides ------------------------------------------------------------------------------------------------------


def compare(console: Console, a: tuple[TimeRange, Filter], b: tuple[TimeRange, Filter]) -> dict[str, Any]:
    """Latency, tokens, cost, success and finish reasons of two sides, and which differences are significant."""
    one, two = select(console, *a), select(console, *b)
    rows = [
        _latency("p50", one, two, 0.5),
        _latency("p95", one, two, 0.95),
        _share("Success", *(s.llm.where(outcome=o) for s in (one, two) for o in ("success", "!cancelled"))),
        _share("Cancelled", one.llm.where(outcome="cancelled"), one.llm, two.llm.where(outcome="cancelled"), two.llm),
        _mean("Prompt tokens", "input", one.llm, two.llm),
        _mean("Completion tokens", "output", one.llm, two.llm),
        _mean("Cost of a call", "cost", one.llm, two.llm),
        _mean("First token", "first_token", one.llm, two.llm),
        _mean("Wait for rate limits", "wait", one.llm, two.llm),
    ]
    reasons = sorted({r for s in (one, two) for r in s.llm.words["finish_reason"] if r})[:12]
    for reason in reasons:
        left, right = one.llm.where(finish_reason=reason), two.llm.where(finish_reason=reason)
        if left.count or right.count:
            rows.append(_share(f"Finish: {reason}", left, one.llm, right, two.llm))
    return {"a": {"calls": one.llm.count, "from": one.start, "to": one.end},
            "b": {"calls": two.llm.count, "from": two.start, "to": two.end}, "rows": rows}  # fmt: skip


def _row(name: str, a: float | None, b: float | None, chance: float | None, unit: str) -> dict[str, Any]:
    return {
        "name": name,
        "unit": unit,
        "a": a,
        "b": b,
        "change": (b - a) / a if a and b is not None else None,
        "chance": chance,
        "significant": chance is not None and chance < SIGNIFICANT,
    }


def _latency(name: str, one: Selection, two: Selection, share: float) -> dict[str, Any]:
    a, b = one.llm.where(outcome="success"), two.llm.where(outcome="success")
    chance = _ranks(a.numbers["duration"], b.numbers["duration"])
    return _row(f"Latency {name}", a.quantile(share), b.quantile(share), chance, "s")


def _share(name: str, a: Facts, of_a: Facts, b: Facts, of_b: Facts) -> dict[str, Any]:
    n, m = of_a.count, of_b.count
    if not n or not m:
        return _row(name, a.count / n if n else None, b.count / m if m else None, None, "percentunit")
    p, q = a.count / n, b.count / m
    pooled = (a.count + b.count) / (n + m)
    spread = sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return _row(name, p, q, _two_sided((p - q) / spread) if spread else 1.0, "percentunit")


def _mean(name: str, column: str, a: Facts, b: Facts) -> dict[str, Any]:
    unit = {"cost": "currencyUSD", "first_token": "s", "wait": "s"}.get(column, "short")
    x, y = (side.numbers[column][~np.isnan(side.numbers[column])] for side in (a, b))
    if len(x) < 2 or len(y) < 2:
        return _row(name, float(x.mean()) if len(x) else None, float(y.mean()) if len(y) else None, None, unit)
    spread = sqrt(float(x.var(ddof=1)) / len(x) + float(y.var(ddof=1)) / len(y))
    gap = float(x.mean() - y.mean())
    return _row(name, float(x.mean()), float(y.mean()), _two_sided(gap / spread) if spread else 1.0, unit)


def _ranks(x: Floats, y: Floats) -> float | None:
    """The chance that two sets of durations come from one world: Mann-Whitney's U, by its normal approximation."""
    n, m = len(x), len(y)
    if n < 8 or m < 8:
        return None
    both = np.concatenate([x, y])
    _, inverse, counts = np.unique(both, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse.reshape(-1)]
    u = float(ranks[:n].sum()) - n * (n + 1) / 2
    ties = float((counts.astype(np.float64) ** 3 - counts).sum()) / ((n + m) * (n + m - 1))
    spread = sqrt(n * m / 12 * ((n + m + 1) - ties))
    return _two_sided((u - n * m / 2) / spread) if spread else 1.0


def _two_sided(z: float) -> float:
    return erfc(abs(z) / sqrt(2))
