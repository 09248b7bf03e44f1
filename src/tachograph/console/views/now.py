"""Now: what is wrong and since when, in one sentence; tiles with the period before; providers by trouble."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tachograph.console.columns import Ints
from tachograph.console.facts import Facts
from tachograph.console.views import money, phrases
from tachograph.console.views.given_up import GivenUp, given_up, marks
from tachograph.console.views.selection import Selection, TimeRange, filter_of, select

if TYPE_CHECKING:
    from tachograph.console.console import Console

GAP_SECONDS: Final = 300.0
"""Failures of one kind with less than this between them are one trouble."""
TOP: Final = 25
BARS: Final = 40
_LOUD: Final = {"critical": "bad", "warning": "warn"}
"""The level of the sentence by an alert's severity."""


@dataclass(slots=True)
class Trouble:
    """Failures of one kind at one provider or server, or calls that the application gave up there.

    Attributes:
        error: The error's type, or `given_up`.
        since, until: The first and the last failure of the present run of them.
        over: Whether the last failure is some time ago.
    """

    who: str
    kind: str
    error: str
    failed: int
    calls: int
    since: float
    until: float
    models: list[str]
    all_models: bool
    over: bool
    text: str = ""


def now(console: Console, chosen: TimeRange, wanted: dict[str, str] | None = None) -> dict[str, Any]:
    """Everything on the first page."""
    asked = filter_of(wanted or {})
    here = select(console, chosen, asked)
    before = select(console, chosen.before, asked)
    hanging = given_up(console, here)
    found, alerts = troubles(console, here, hanging), console.alerts_now()
    return {
        "at": time.time(),
        "from": chosen.start,
        "to": chosen.end,
        "known_since": here.known_since,
        "from_ledger": here.from_ledger,
        "has_before": before.llm.count + before.tools.count > 0,
        "sentence": sentence(here, before, found, alerts),
        "troubles": [trouble_json(one) for one in found],
        "tiles": _tiles(console, here, before, hanging),
        "providers": _table(here.llm, before.llm, ("provider", "model"), chosen, hanging),
        "servers": _table(here.tools, before.tools, ("server_id", "tool_name"), chosen, hanging),
        "alerts": alerts,
    }


def trouble_json(one: Trouble) -> dict[str, Any]:
    """A trouble as JSON."""
    return {name: getattr(one, name) for name in Trouble.__slots__}


# -- the sentence ---------------------------------------------------------------------------------------------------


def troubles(console: Console, here: Selection, hanging: list[GivenUp]) -> list[Trouble]:
    """What fails or hangs, the worst first."""
    found = [
        *_troubles(here.llm, "provider", "model", here.end),
        *_troubles(here.tools, "server_id", "tool_name", here.end),
    ]
    for one in found:
        if one.since - here.start <= GAP_SECONDS:
            one.since = _began(console, here, one)
        one.text = _text(one, here)
    found += _hangs(here, hanging)
    return sorted(found, key=lambda one: (one.over, -one.failed))


def _began(console: Console, here: Selection, one: Trouble) -> float:
    """When a trouble began that was there at the start of the range: before it, as far back as calls are kept."""
    by = "provider" if one.kind == "llm" else "server_id"
    errors = ("", "unknown") if one.error == "unknown" else (one.error,)
    fields = {**here.filter.fields, by: (one.who,)}
    calls, _ = console.calls.facts(replace(here.filter, fields=fields, time=(None, here.start)))
    times = np.sort(calls.where(outcome=phrases.FAILED, error=errors).numbers["time"])
    for at in times[::-1].tolist():
        if one.since - at > GAP_SECONDS:
            break
        one.since = at
    return one.since


def _troubles(facts: Facts, by: str, part: str, end: float) -> list[Trouble]:
    failed = facts.where(outcome=phrases.FAILED)
    groups, index = failed.group((by, "error"))
    found = []
    for number, labels in enumerate(groups):
        own = failed.take(index == number)
        same = facts.where(**{by: labels[by]})
        times = np.sort(own.numbers["time"])
        breaks = np.flatnonzero(np.diff(times) > GAP_SECONDS)
        since = float(times[breaks[-1] + 1]) if len(breaks) else float(times[0])
        lately = own.between(since, end + 1)
        until = float(times[-1])
        over = end - until > GAP_SECONDS
        during = same.between(since, until + 1e-3 if over else end + 1)
        total = during.count
        if lately.count < 3 or lately.count < 0.02 * total:
            continue
        models = sorted({labels_[part] for labels_ in lately.group((part,))[0]})
        used = {labels_[part] for labels_ in during.group((part,))[0]}
        one = Trouble(
            labels[by], "llm" if by == "provider" else "tool", labels["error"] or "unknown", lately.count, total,
            since, until, models, set(models) == used, over,
        )  # fmt: skip
        found.append(one)
    return found


def _hangs(here: Selection, hanging: list[GivenUp]) -> list[Trouble]:
    """One trouble for each provider or server whose calls are given up."""
    found = []
    for kind, who in dict.fromkeys((one.kind, one.who) for one in hanging):
        own = [one for one in hanging if (one.kind, one.who) == (kind, who)]
        own = [one for one in own if not one.over] or own
        by, part = ("provider", "model") if kind == "llm" else ("server_id", "tool_name")
        since = min(one.since for one in own)
        until = max(float(one.calls.numbers["time"].max()) for one in own)
        over = all(one.over for one in own) or here.end - until > GAP_SECONDS
        same = (here.llm if kind == "llm" else here.tools).where(**{by: who})
        during = same.between(since, until + 1e-3 if over else here.end + 1)
        parts = sorted({labels[part] for one in own for labels in one.calls.group((part,))[0]})
        used = {labels[part] for labels in during.group((part,))[0]}
        count = sum(one.calls.count for one in own)
        one = Trouble(who, kind, "given_up", count, during.count, since, until, parts, set(parts) == used, over)
        one.text = _text(one, here)
        found.append(one)
    return found


def _text(one: Trouble, here: Selection) -> str:
    who = phrases.name_of(one.who) if one.kind == "llm" else one.who or "A server"
    noun = "model" if one.kind == "llm" else "tool"
    if len(one.models) == 1:
        hit = phrases.brief(one.models[0])
    elif one.all_models:
        hit = f"all {noun}s"
    else:
        hit = f"{', '.join(map(phrases.brief, one.models[:3]))}{' and others' if len(one.models) > 3 else ''}"
    times = "from {since} to {until}" if one.over else "since {since}"
    of = f" of {one.calls:,}" if one.calls > one.failed else ""
    seen = " in this range" if one.since < here.start else ""
    if one.error == "given_up":
        calls = f"{one.failed:,}{of} calls given up by the application"
        return f"{who} {'did' if one.over else 'does'} not answer: {calls} {times}{seen}, {hit}"
    return f"{phrases.failing(who, one.error)} {times}: {one.failed:,}{of} calls failed{seen}, {hit}"


def sentence(here: Selection, before: Selection, found: list[Trouble], alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """One sentence: `text` with {since} and {until} for times that the reader's clock writes, and `plain` with UTC.

    What the calls do not show, as calls that never end and budgets, is in what fires: `alert` names it.
    """
    calls = here.llm.count + here.tools.count
    worst = found[0] if found else None
    told = _of_alerts(here, alerts) if worst is None else None
    if told is not None:
        return told
    if not calls:
        kept = here.first != float("inf")
        text = "No calls in this range." if kept else "No calls yet."
        return {"text": text, "plain": text, "level": "empty", "since": None, "until": None}
    if worst is not None:
        others = [one for one in found[1:] if one.over == worst.over]
        bad = {(one.kind, one.who) for one in found}
        healthy = {("llm", g["provider"]) for g in here.llm.group(("provider",))[0]} | {
            ("tool", g["server_id"]) for g in here.tools.group(("server_id",))[0]
        }
        rest = f"; {phrases.count(len(others), 'further trouble')}" if others else ""
        rest += "; others healthy" if healthy - bad else ""
        text = f"{worst.text}{rest}."
        level = "over" if worst.over else "bad"
        plain = text.replace("{since}", phrases.clock(worst.since)).replace("{until}", phrases.clock(worst.until))
        return {"text": text, "plain": plain, "level": level, "since": worst.since, "until": worst.until}
    slow = _slow(here, before)
    if slow:
        return {"text": slow, "plain": slow, "level": "warn", "since": None, "until": None}
    text = f"Healthy: {_counts(here)}."
    return {"text": text, "plain": text, "level": "good", "since": None, "until": None}


def _counts(here: Selection) -> str:
    """How many calls there were, and which share failed."""
    calls = here.llm.count + here.tools.count
    failed = here.llm.where(outcome=phrases.FAILED).count + here.tools.where(outcome=phrases.FAILED).count
    return f"{phrases.count(calls, 'call')}, {phrases.share(failed, calls) if failed else 'none'} failed"


def _of_alerts(here: Selection, alerts: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The sentence of the loudest alert that fires; None where none does that is a warning or more."""
    loud = [one for one in alerts if one["state"] == "firing" and one["labels"].get("severity") in _LOUD]
    if not loud:
        return None
    name, since = loud[0]["name"], loud[0]["since"]
    more = f" and {phrases.count(len(loud) - 1, 'more alert')}" if len(loud) > 1 else ""
    counts = _counts(here) if here.llm.count + here.tools.count else "no calls in this range"
    text = f"{(loud[0]['summary'] or 'An alert fires').rstrip('.')} since {{since}} ({name}{more}); {counts}."
    plain = text.replace("{since}", phrases.clock(since))
    return {"text": text, "plain": plain, "level": _LOUD[loud[0]["labels"]["severity"]], "since": since, "until": None,
            "alert": name}  # fmt: skip


def _slow(here: Selection, before: Selection) -> str:
    """A provider whose p95 has doubled, with enough calls on both sides to say so."""
    for labels in here.llm.group(("provider",))[0]:
        own, past = here.llm.where(**labels, outcome="success"), before.llm.where(**labels, outcome="success")
        if own.count >= 50 and past.count >= 50:
            p95, old = own.quantile(0.95), past.quantile(0.95)
            if p95 and old and p95 > 2 * old and p95 > 1:
                who = phrases.name_of(labels["provider"])
                return f"{who} is slow: p95 {phrases.seconds(p95)}, and {phrases.seconds(old)} in the period before."
    return ""


# -- tiles ----------------------------------------------------------------------------------------------------------


def _tiles(console: Console, here: Selection, before: Selection, hanging: list[GivenUp]) -> list[dict[str, Any]]:
    tiles = [
        _tile("calls", "Calls", "reqps", here, before, _rate, "up"),
        _tile("success", "Success of calls", "percentunit", here, before, _success, "up"),
        _tile("p95", "Call p95", "s", here, before, lambda s: s.llm.quantile(0.95), "down"),
        _tile("first_token", "First token p95", "s", here, before, _first_token, "down"),
        _tile("cost", "Cost per hour", "currencyUSD", here, before, _cost_per_hour, "down"),
        money.budget_tile(console),
        _tile("waste", "Waste", "currencyUSD", here, before, lambda s: _wasted(console, s), "down"),
    ]  # fmt: skip
    lost = sum(one.calls.count for one in hanging if one.kind == "llm")
    if lost:  # no failures, so the share of successes does not have them
        tiles[1] |= {"note": f"{phrases.count(lost, 'call')} given up, not counted", "level": "bad"}
    return tiles


def _tile(
    name: str, title: str, unit: str, here: Selection, before: Selection,
    value: Callable[[Selection], float | None], better: str,
) -> dict[str, Any]:  # fmt: skip
    # A tile's ghost is the period before; without calls there, it has none.
    past = value(before) if before.llm.count or before.tools.count else None
    return {
        "name": name,
        "title": title,
        "unit": unit,
        "value": value(here) if here.llm.count or here.tools.count else None,
        "note": _unpriced_note(here) if name == "cost" else "",
        "before": past,
        "better": better,
        "line": _line(name, here),
        "ghost": _line(name, before),
        "n": here.llm.count,
        "enough": here.llm.count >= 20,
    }


def _unpriced_note(here: Selection) -> str:
    """How many calls the cost lacks, or ""."""
    lacking = int(here.llm.unpriced.sum())
    return f"{phrases.count(lacking, 'call')} without a price" if lacking else ""


def _seconds(here: Selection) -> float:
    """The part of the range in which there was something to see; a young process counts from its first call."""
    return max(here.end - max(here.start, min(here.first, here.end)), 60.0)


def _rate(here: Selection) -> float | None:
    return (here.llm.count + here.tools.count) / _seconds(here)


def _cost_per_hour(here: Selection) -> float | None:
    cost = here.llm.cost()
    return None if cost is None else cost / _seconds(here) * 3600


def _first_token(here: Selection) -> float | None:
    return here.llm.quantile(0.95, "first_token")


def _success(here: Selection) -> float | None:
    counted = here.llm.where(outcome="!cancelled").count
    return here.llm.where(outcome="success").count / counted if counted else None


def _wasted(console: Console, here: Selection) -> float:
    """Dollars that bought nothing."""
    return float(sum(row["usd"] or 0.0 for row in money.waste(console, here)))


def _line(name: str, here: Selection) -> list[float | None]:
    """A small line of the range in equal parts."""
    facts = here.llm.where(outcome="!success") if name == "waste" else here.llm  # the causes that a call shows
    index = _bins(facts, here)
    weight = np.bincount(index, weights=facts.weight, minlength=BARS)
    if name == "calls":
        return [float(v) for v in weight]
    if name in ("cost", "waste"):
        return [float(v) for v in np.bincount(index, np.nan_to_num(facts.numbers["cost"]), BARS)]
    if name == "success":
        good = facts.where(outcome="success")
        well = np.bincount(_bins(good, here), weights=good.weight, minlength=BARS)
        return [float(a / b) if b else None for a, b in zip(well, weight, strict=True)]
    column = "duration" if name == "p95" else "first_token"
    width = (here.end - here.start) / BARS
    starts = [here.start + i * width for i in range(BARS)]
    return [facts.between(at, at + width).quantile(0.95, column) if weight[i] else None for i, at in enumerate(starts)]


def _bins(facts: Facts, here: Selection | TimeRange) -> Ints:
    place = (facts.numbers["time"] - here.start) / max(here.end - here.start, 1e-9) * BARS
    return np.clip(place.astype(np.int64), 0, BARS - 1)


# -- tables ---------------------------------------------------------------------------------------------------------


def _table(facts: Facts, past: Facts, by: tuple[str, str], chosen: TimeRange, hanging: list[GivenUp]) -> dict[str, Any]:
    """Rows by trouble, the first `TOP` and one for all others; calls that were given up are trouble too."""
    groups, index = facts.group(by)
    old_groups, old_index = past.group(by)
    old = {tuple(labels.values()): number for number, labels in enumerate(old_groups)}
    lost = marks(hanging, facts)
    failed = facts.mask(outcome=phrases.FAILED) | lost
    size = len(groups)
    counts = np.bincount(index, facts.weight, size)
    bad = np.bincount(index, facts.weight * failed, size)
    cost = np.bincount(index, np.nan_to_num(facts.numbers["cost"]), size)
    order = sorted(range(size), key=lambda n: (-bad[n], -cost[n], -counts[n]))
    rows = []
    for number in order[:TOP]:
        own = facts.take(index == number)
        key = tuple(groups[number].values())
        before = past.take(old_index == old[key]) if key in old else None
        rows.append(_row(groups[number], own, before, chosen, hanging))
    rest = order[TOP:]
    others = _row({by[0]: "", by[1]: ""}, facts.take(np.isin(index, rest)), None, chosen, hanging) if rest else None
    return {"rows": rows, "others": others, "other_count": len(rest), "total": size}


def _row(
    labels: dict[str, str], own: Facts, before: Facts | None, chosen: TimeRange, hanging: list[GivenUp]
) -> dict[str, Any]:
    failed, lost = own.where(outcome=phrases.FAILED), own.take(marks(hanging, own))
    place = _bins(own, chosen)
    bad_place = np.concatenate([_bins(failed, chosen), _bins(lost, chosen)])
    spread = own.spread
    if spread is not None:  # the ledger's latencies are of all; narrow them to this row
        own.spread = spread.where(**{name: text for name, text in labels.items() if text}) if any(
            labels.values()) else spread  # fmt: skip
    return {
        **labels,
        "calls": own.count,
        "failed": failed.count,
        "given_up": lost.count,
        "errors": _errors(failed, lost),
        "p50": own.quantile(0.5),
        "p95": own.quantile(0.95),
        "p95_before": before.quantile(0.95) if before is not None and before.count >= 20 else None,
        "first_token_p95": own.quantile(0.95, "first_token"),
        "wait": own.total("wait"),
        "cost": own.cost(),
        "tokens": own.total("input") + own.total("output"),
        "line": [int(v) for v in np.bincount(place, own.weight, BARS)],
        "bad_line": [int(v) for v in np.bincount(bad_place, np.concatenate([failed.weight, lost.weight]), BARS)],
    }


def _errors(failed: Facts, lost: Facts) -> list[list[Any]]:
    """What went wrong how often, the most frequent first."""
    kinds, index = failed.group(("error",))
    counts = np.bincount(index, failed.weight, len(kinds)).astype(int).tolist()
    found = [[labels["error"] or "unknown", n] for labels, n in zip(kinds, counts, strict=True) if n]
    return sorted([*found, *([["given up", lost.count]] if len(lost) else [])], key=lambda one: -one[1])
