"""Money: the month against its budgets, where it is heading, why it changed, who spends it, and what is wasted."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tachograph.console.api.spending import Row, forecast, kept_sums, key_of, summarize
from tachograph.console.columns import Filter
from tachograph.console.facts import Facts
from tachograph.console.promql import PromQLError
from tachograph.console.store import BUCKET_SECONDS
from tachograph.console.views import phrases
from tachograph.console.views.measures import step_of
from tachograph.console.views.selection import Selection, TimeRange, filter_of, select
from tachograph.usage.budgets.scope import SCOPES
from tachograph.usage.budgets.windows import Window, calendar_bounds

if TYPE_CHECKING:
    from tachograph.console.console import Console
    from tachograph.settings.budgets import BudgetLimit

COLUMNS: Final = {"user": "user_id", "session": "session_id"}
KEPT: Final = ("provider", "model", "agent", "user", "session")
"""The scopes of budgets by which calls are kept here; a budget of one run asks by the run, one per run has no sum."""
MOST_SECONDS: Final = 40 * 86400.0
NANO: Final = 1_000_000_000
TOP: Final = 12
BARS: Final = 60
"""Spending over time is drawn in about so many bars."""


def money(
    console: Console, chosen: TimeRange, wanted: dict[str, str] | None = None, by: str = "model"
) -> dict[str, Any]:
    """The page about money.

    The numbers are those of the calls that began in the range. Where sums of five minutes go further back than the
    calls do, the range begins where one of them does.

    Raises:
        ValueError: Spending is not kept by `by`.
    """
    asked = filter_of(wanted or {})
    here = select(console, chosen, asked)
    is_whole = _is_whole(console, here)
    if is_whole:
        step = int(step_of(chosen.start, chosen.end, (chosen.end - chosen.start) / BARS))
        rows = _rows(here.llm, chosen, step)
    else:
        chosen = TimeRange(chosen.start // BUCKET_SECONDS * BUCKET_SECONDS, chosen.end)
        here = select(console, chosen, asked)
        rows, step = kept_sums(console.calls, chosen.start, chosen.end, wanted)
    before = select(console, chosen.before, asked)
    now = time.time()
    unpriced = _unpriced(here.llm)
    spent = {**summarize(rows, step, by), "forecast": forecast(console.calls, now)}
    unreported: dict[str, int] = defaultdict(int)
    for row in _rows(here.llm.take(here.llm.unreported), chosen, step):
        unreported[key_of(by)(row)] += row[4]
    for group in spent["groups"]:
        group["unreported_calls"] = unreported[group["key"]]
    return {
        "from": chosen.start,
        "to": chosen.end,
        "known_since": here.known_since,
        "from_sums": not is_whole,
        "total_usd": here.llm.total("cost"),
        "before_usd": before.llm.total("cost"),
        "has_before": before.llm.count > 0,
        "calls": here.llm.count,
        "spent": spent,
        "budgets": budgets(console, now),
        "why": why(here, before),
        "who": {name: spenders(here.llm, name) for name in ("model", "provider", "service", "agent", "user_id")},
        "labels": _labels(here.llm),
        "top": _top(console, here),
        "waste": waste(console, here),
        "unpriced": unpriced[:TOP],
        "unpriced_models": len(unpriced),
        "unpriced_calls": sum(row["calls"] for row in unpriced),
        "open_calls": int(here.llm.weight[here.llm.unreported].sum()),
        "bill": _bill(console, now),
    }


def _is_whole(console: Console, here: Selection) -> bool:
    """Whether all calls of the range that are known are kept here one by one."""
    if here.from_ledger:
        return False
    kept, sums = console.calls.kept_since(), console.calls.spent_since()
    if sums is None or here.start >= here.known_since:
        return True
    return kept is not None and sums >= kept // BUCKET_SECONDS * BUCKET_SECONDS


def _rows(facts: Facts, chosen: TimeRange, step: int) -> list[Row]:
    """Calls as sums of a step's time, in the shape of the sums that are kept."""
    groups, index = facts.group(("provider", "model", "labels"))
    begin = int(chosen.start // step * step)
    bins = int((chosen.end - begin) // step) + 1
    key = index * bins + facts.places(begin, step, bins)
    numbers = facts.numbers
    columns = [
        np.bincount(key, weights).astype(np.int64)
        for weights in (
            facts.weight,
            np.nan_to_num(numbers["input"]),
            np.nan_to_num(numbers["output"]),
            np.rint(np.nan_to_num(numbers["cost"]) * NANO),
            facts.unpriced,
        )
    ]
    found = []
    for place in np.flatnonzero(columns[0]).tolist():
        group, at = divmod(place, bins)
        own = groups[group]
        calls, prompt, completion, nano, unpriced = (int(column[place]) for column in columns)
        key_of_row = (begin + at * step, own["provider"], own["model"], own["labels"])
        found.append((*key_of_row, calls, prompt, completion, nano, unpriced))
    return found


# -- where it is heading --------------------------------------------------------------------------------------------


def budgets(console: Console, now: float) -> list[dict[str, Any]]:
    """Each budget: spent, left, and what its period comes to by the forecast.

    Its own gauges give it, where a process that has it is seen; else the calls that the console keeps do.
    """
    sums = {name: _by_budget(console, f"llm_budget_{name}", now) for name in ("limit_usd", "spent_usd", "reserved_usd")}
    likely = _by_budget(console, 'llm_budget_forecast_usd{bound="likely"}', now)
    high = _by_budget(console, 'llm_budget_forecast_usd{bound="high"}', now)
    found = []
    for key, whole in sums["limit_usd"].items():
        name, period = key
        one = _budget_row(name, period, whole, sums["spent_usd"].get(key, 0.0), now)
        ahead = {"heading_usd": likely.get(key), "heading_high_usd": high.get(key)}
        found.append({**one, "reserved_usd": sums["reserved_usd"].get(key, 0.0), **ahead})
    told = {one["name"] for one in found}
    for limit in console.settings.budgets.limits if console.settings is not None else ():
        if limit.name in told or any(name.startswith(f"{limit.name} (") for name in told):
            continue
        window = Window(limit.period)
        start = max(window.bounds(now)[0].timestamp(), now - MOST_SECONDS)
        accounts = _accounts(console, limit, start, now)
        value, usd = max(accounts.items(), key=lambda item: item[1], default=("", 0.0))
        name = f"{limit.name}: {value}" if value else limit.name
        one = _budget_row(name, window.kind, float(limit.usd), usd, now)
        found.append({**one, "reserved_usd": 0.0, "heading_usd": None, "heading_high_usd": None})
    return sorted(found, key=lambda one: -one["share"])


def _budget_row(name: str, period: str, whole: float, spent: float, now: float) -> dict[str, Any]:
    return {
        "name": name,
        "period": period,
        "limit_usd": whole,
        "spent_usd": spent,
        "left_usd": whole - spent,
        "share": spent / whole if whole else 1.0,
        "passed": _passed(period, now),
    }


def _by_budget(console: Console, series: str, now: float) -> dict[tuple[str, str], float]:
    """A gauge of budgets, by budget and period; the most of all processes."""
    try:
        result = console.querier.instant(f"max by (budget, period) ({series})", int(now * 1000))
    except PromQLError:
        return {}
    found = ((dict(labels), float(values[0])) for labels, _, values in result.series)
    return {(labels.get("budget", ""), labels.get("period", "")): value for labels, value in found}


def _passed(period: str, now: float) -> float | None:
    """The share of a calendar period that is over."""
    if period not in ("hour", "day", "week", "month"):
        return None
    begins, ends = (moment.timestamp() for moment in calendar_bounds(period, datetime.fromtimestamp(now, UTC)))
    return (now - begins) / (ends - begins)


def _accounts(console: Console, limit: BudgetLimit, start: float, now: float) -> dict[str, float]:
    """Dollars by account since a time; the only account of a budget without `per` is ""."""
    scopes = {name: getattr(limit, name) for name in SCOPES if getattr(limit, name) is not None}
    sums: dict[str, float] = defaultdict(float)
    if {*scopes, *(name for name in limit.per if not name.startswith("label:"))} <= {"provider", "model"}:
        wanted = {f"{name}:{value}" for name, value in limit.labels.items()}
        places = {"provider": 1, "model": 2}
        for row in console.calls.spending(start, now + 300):
            pairs = row[3].split("\n")
            if any(row[places[name]] != value for name, value in scopes.items()) or not wanted <= set(pairs):
                continue
            labels = {name: value for name, _, value in (pair.partition(":") for pair in pairs)}
            values = [str(row[places[n]]) if n in places else labels.get(n[6:], "") for n in limit.per]
            sums["/".join(values)] += row[7] / NANO
        return sums
    chosen = Filter(
        fields={COLUMNS.get(name, name): (value,) for name, value in scopes.items() if name in KEPT},
        labels=tuple(limit.labels.items()),
        run=scopes.get("run", ""),
    )
    calls = select(console, TimeRange(start, now + 1), chosen).llm
    by = [COLUMNS.get(name, name) for name in limit.per if name in KEPT]
    groups, index = calls.group(by)
    cost = np.bincount(index, np.nan_to_num(calls.numbers["cost"]), len(groups))
    return {"/".join(labels.values()): float(usd) for labels, usd in zip(groups, cost, strict=True)}


def period_words(period: str) -> str:
    """`an hour`, `a day`, `in total`."""
    return {"hour": "an hour", "total": "in total", "rolling": "in a rolling time"}.get(period, f"a {period}")


def budget_tile(console: Console) -> dict[str, Any]:
    """The budget that is closest to its limit, named."""
    found = budgets(console, time.time())
    worst = found[0] if found else None
    return {
        "name": "budget",
        "title": f"Budget left: {worst['name']}" if worst else "Budget left",
        "unit": "currencyUSD",
        "value": worst["left_usd"] if worst else None,
        "before": None,
        "better": "up",
        "line": [],
        "ghost": [],
        "n": 0,
        "enough": True,
        "note": f"{worst['share']:.0%} of ${worst['limit_usd']:,.2f} {period_words(worst['period'])} spent"
        if worst
        else "No budget is set",
        "level": "" if worst is None or worst["share"] < 0.8 else "warn" if worst["share"] < 1 else "bad",
    }


# -- why it changed -------------------------------------------------------------------------------------------------


def why(here: Selection, before: Selection) -> list[dict[str, Any]]:
    """The change against the period before, in parts that add up to it: volume, mix of models, size, price or cache."""
    now, past = _per_model(here.llm), _per_model(before.llm)
    calls, old_calls = sum(m[0] for m in now.values()), sum(m[0] for m in past.values())
    spent, old_spent = sum(m[1] for m in now.values()), sum(m[1] for m in past.values())
    if not calls or not old_calls or not (spent or old_spent):
        return []
    volume = (calls - old_calls) * old_spent / old_calls
    mix = size = price = 0.0
    for key in now.keys() | past.keys():
        count, cost, tokens, _ = now.get(key, (0.0, 0.0, 0.0, 0.0))
        old_count, old_cost, old_tokens, _ = past.get(key, (0.0, 0.0, 0.0, 0.0))
        each = old_cost / old_count if old_count else (cost / count if count else 0.0)
        mix += (count / calls - old_count / old_calls) * calls * each
        if count and old_count and tokens and old_tokens:
            rate = old_cost / old_tokens
            size += count * (tokens / count - old_tokens / old_count) * rate
            price += tokens * (cost / tokens - rate)
        elif count and old_count:
            price += cost - count * each
    cached, old_cached = _cached_share(here.llm), _cached_share(before.llm)
    return [
        {"part": "Volume", "usd": volume, "note": f"{calls:,.0f} calls, {old_calls:,.0f} before"},
        {"part": "Mix of models", "usd": mix, "note": "other shares of cheap and expensive models"},
        {"part": "Size of calls", "usd": size, "note": "tokens per call"},
        {
            "part": "Price and cache",
            "usd": price,
            "note": f"cached share of the prompt {cached:.0%}, {old_cached:.0%} before",
        },
        {"part": "Change", "usd": spent - old_spent, "note": ""},
    ]


def _per_model(facts: Facts) -> dict[tuple[str, ...], tuple[float, float, float, float]]:
    groups, index = facts.group(("provider", "model"))
    size = len(groups)
    used = np.nan_to_num(facts.numbers["input"]) + np.nan_to_num(facts.numbers["output"])
    sums = (
        np.bincount(index, facts.weight, size),
        np.bincount(index, np.nan_to_num(facts.numbers["cost"]), size),
        np.bincount(index, used, size),
        np.bincount(index, np.nan_to_num(facts.numbers["cached"]), size),
    )
    return {
        tuple(g.values()): (float(sums[0][n]), float(sums[1][n]), float(sums[2][n]), float(sums[3][n]))
        for n, g in enumerate(groups)
    }


def _cached_share(facts: Facts) -> float:
    prompt = facts.total("input")
    return facts.total("cached") / prompt if prompt else 0.0


# -- who, what for nothing, what is not known -----------------------------------------------------------------------


def spenders(facts: Facts, name: str) -> list[dict[str, Any]]:
    groups, index = facts.group((name,))
    size = len(groups)
    costs = facts.costs(index, size)
    calls = np.bincount(index, facts.weight, size)
    order = sorted(range(size), key=lambda n: -(costs[n] or 0.0))
    parts = [(groups[n][name], [n]) for n in order[:TOP]]
    if size > TOP:
        parts.append((f"{size - TOP} others", order[TOP:]))
    rows = [{"key": key, "usd": _sum([costs[n] for n in own]), "calls": int(calls[own].sum())} for key, own in parts]
    return rows if any(row["key"] for row in rows) else []


def _labels(facts: Facts) -> list[dict[str, Any]]:
    """What calls with each of the users' own labels cost."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in spenders(facts, "labels"):
        for pair in filter(None, row["key"].split("\n")):
            found[pair].append(row)
    sums = [
        {"key": key, "usd": _sum([row["usd"] for row in rows]), "calls": sum(row["calls"] for row in rows)}
        for key, rows in found.items()
    ]
    return sorted(sums, key=lambda row: -(row["usd"] or 0.0))[:TOP]


def _sum(costs: list[float | None]) -> float | None:
    """Dollars of parts; None where the cost of none is known."""
    known = [usd for usd in costs if usd is not None]
    return sum(known) if known else None


def _top(console: Console, here: Selection) -> list[dict[str, Any]]:
    """The calls that cost most, of those kept here."""
    cost = np.nan_to_num(here.llm.numbers["cost"])
    own = np.flatnonzero((here.llm.seq >= 0) & (cost > 0))
    chosen = own[np.argsort(-cost[own], kind="stable")[:TOP]]
    return [
        {"id": d.call.id, "time": d.call.time, "provider": d.call.provider, "model": d.call.model,
         "usd": float(d.call.cost_usd or 0), "input_tokens": d.call.input_tokens,
         "output_tokens": d.call.output_tokens}
        for d in console.calls.read(here.llm.seq[chosen])
    ]  # fmt: skip


def waste(console: Console, here: Selection) -> list[dict[str, Any]]:
    """Money that bought nothing, by cause: failed and aborted calls, and what the application's own judge found."""
    own = {
        cause: (facts.count, facts.cost())
        for cause, outcomes in (("failed", phrases.FAILED), ("aborted", ("cancelled",)))
        for facts in (here.llm.where(outcome=outcomes),)
        if facts.count
    }
    found = {**_judged(console, here), **own}
    rows = [{"cause": cause, "usd": usd, "calls": calls} for cause, (calls, usd) in found.items()]
    return sorted(rows, key=lambda row: -(row["usd"] or 0.0))


def _judged(console: Console, here: Selection) -> dict[str, tuple[int | None, float | None]]:
    """Waste that no single call shows (retries, duplicates, loops, ...): out of the ledger, else of the metrics."""
    if here.filter.fields.keys() - {"provider", "model"} or here.filter.labels or here.filter.text:
        return {}
    seen_on_calls = ("failed", "aborted")
    if console.ledger is not None:
        told = console.ledger.waste(here.start, here.end, here.filter.fields)
        return {cause: sums for cause, sums in (told or {}).items() if cause not in seen_on_calls}
    matchers = [f'{name}=~"{"|".join(map(re.escape, values))}"' for name, values in here.filter.fields.items()]
    chosen = ",".join(['cause!~"failed|aborted"', *(text.replace("\\", "\\\\") for text in matchers)])
    asked = f"sum by (cause) (increase(llm_waste_usd_total{{{chosen}}}[{max(int(here.end - here.start), 1)}s])) > 0"
    try:
        result = console.querier.instant(asked, int(here.end * 1000))
    except PromQLError:
        return {}
    return {dict(labels)["cause"]: (None, float(values[0])) for labels, _, values in result.series}


def _unpriced(facts: Facts) -> list[dict[str, Any]]:
    own = facts.take(facts.unpriced > 0)
    groups, index = own.group(("provider", "model"))
    counts = np.bincount(index, own.unpriced, len(groups))
    rows = [{**labels, "calls": int(n)} for labels, n in zip(groups, counts, strict=True) if n]
    return sorted(rows, key=lambda row: -row["calls"])


def _bill(console: Console, now: float) -> list[dict[str, Any]]:
    """What providers billed, where `tachograph reconcile` has asked them."""
    try:
        result = console.querier.instant("max by (provider) (llm_bill_drift_ratio)", int(now * 1000))
    except PromQLError:
        return []
    return [{"provider": dict(labels).get("provider", ""), "drift": float(v[0])} for labels, _, v in result.series]
