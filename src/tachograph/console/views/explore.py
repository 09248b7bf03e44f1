"""Explore: calls, runs, sessions and errors by facets, text and order; and two periods or versions side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import erfc, exp, lgamma, sqrt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tachograph.console.columns import Filter, Ints
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
FEW: Final = 8
"""With fewer calls a side, a difference of means or quantiles may always be chance."""
MANY: Final = 500


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
        "unpriced": np.bincount(index, facts.unpriced, size),
        "unreported": np.bincount(index, facts.unreported, size),
        "tokens": np.bincount(
            index, np.nan_to_num(facts.numbers["input"]) + np.nan_to_num(facts.numbers["output"]), size
        ),
    }
    costs = facts.costs(index, size)
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
                "cost": costs[number],
                **{name: float(column[number]) for name, column in sums.items()},
            }
        )
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
    """A quantile of each side; they differ where the other side has another share of calls above it."""
    a, b = one.llm.where(outcome="success"), two.llm.where(outcome="success")
    x, y = a.numbers["duration"], b.numbers["duration"]
    chance = None
    if len(x) >= FEW and len(y) >= FEW:
        lines = [np.quantile(side, share) for side in (x, y)]
        both = [_two_shares(int((x > one).sum()), len(x), int((y > one).sum()), len(y)) for one in lines]
        chance = min(1.0, 2 * min(both))  # of two tests, either may be right by chance
    return _row(f"Latency {name}", a.quantile(share), b.quantile(share), chance, "s")


def _share(name: str, a: Facts, of_a: Facts, b: Facts, of_b: Facts) -> dict[str, Any]:
    n, m = of_a.count, of_b.count
    chance = _two_shares(a.count, n, b.count, m) if n and m else None
    return _row(name, a.count / n if n else None, b.count / m if m else None, chance, "percentunit")


def _mean(name: str, column: str, a: Facts, b: Facts) -> dict[str, Any]:
    unit = {"cost": "currencyUSD", "first_token": "s", "wait": "s"}.get(column, "short")
    x, y = (side.numbers[column][~np.isnan(side.numbers[column])] for side in (a, b))
    means = [float(side.mean()) if len(side) else None for side in (x, y)]
    if len(x) < FEW or len(y) < FEW:
        return _row(name, means[0], means[1], None, unit)
    spread = sqrt(float(x.var(ddof=1)) / len(x) + float(y.var(ddof=1)) / len(y))
    gap = abs(float(x.mean() - y.mean()))
    same = gap <= 1e-9 * abs(float(x.mean()))  # sums of equal numbers differ in their last digits
    return _row(name, means[0], means[1], 1.0 if same else _two_sided(gap / spread) if spread else 0.0, unit)


def _two_shares(k: int, n: int, m_k: int, m: int) -> float:
    """The chance that k of n and m_k of m come from one world: Fisher's exact test, or its approximation."""
    both = k + m_k
    if min(both, n + m - both) > MANY:
        spread = sqrt(both / (n + m) * (1 - both / (n + m)) * (1 / n + 1 / m))
        return _two_sided((k / n - m_k / m) / spread)
    ways = lgamma(n + 1) + lgamma(m + 1) + lgamma(both + 1) + lgamma(n + m - both + 1) - lgamma(n + m + 1)

    def chance(i: int) -> float:
        return exp(ways - sum(lgamma(part + 1) for part in (i, n - i, both - i, m - both + i)))

    seen = chance(k) * (1 + 1e-7)
    return min(1.0, sum(one for i in range(max(0, both - m), min(n, both) + 1) if (one := chance(i)) <= seen))


def _two_sided(z: float) -> float:
    return erfc(abs(z) / sqrt(2))
