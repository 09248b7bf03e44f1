"""The calls that show an alert, by what its expression counts, and whose fault they are as far as calls can tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tachograph.console.facts import Facts
from tachograph.console.promql import PromQLError
from tachograph.console.views import phrases
from tachograph.console.views.explore import by_model, fingerprints
from tachograph.console.views.given_up import given_up, marks
from tachograph.console.views.selection import Selection
from tachograph.settings.alerts import AlertsSettings

if TYPE_CHECKING:
    from tachograph.console.console import Console

LEAD_SECONDS: Final = 300.0
"""Rates look back as far, so an alert begins that much after its first call."""
_OFF_SCALE_SECONDS: Final = 120.0
_MOST_READ: Final = 500
_MONEY: Final = re.compile(r"cost|budget|token|waste|price|bill")
_SHOWS: Final = (
    ("unpriced", re.compile(r"calls_unpriced")),
    ("no_usage", re.compile(r"usage_missing")),
    ("mismatch", re.compile(r"usage_mismatch")),
    ("waited", re.compile(r"rate_limit_delays")),
    ("given_up", re.compile(r'outcome="cancelled"')),
    ("hanging", re.compile(r"in_flight|oldest_seconds")),
    ("off_scale", re.compile(r"off_scale")),
    ("slow", re.compile(r"llm_call_slow|execute_seconds_bucket")),
    ("connections", re.compile(r"mcp_server_connections|registry")),
    ("failed", re.compile(r"error|refusals|failures|outcome=")),
)
"""What an expression counts, the first that is found in it."""
_TYPES: Final = re.compile(r'error_(?:type|kind)=~?"([^"]+)"')
_OUTCOMES: Final = re.compile(r'outcome=~?"([^"]+)"')
_ATTEMPTS: Final = re.compile(r"llm_provider_(?:errors|requests|request_seconds)")
"""Such families count requests on the wire: a call may have succeeded after one that failed."""
_OTHERWISE: Final = {
    "stopped": "No call is the evidence: none comes any more.",
    "cost": "It is about what calls cost, not about single calls.",
    "telemetry": "It is about the monitoring itself, not about single calls: the queries below show it.",
    "usage": "It is about the ledger and the bill, not about single calls: the queries below show it.",
    "factory": "It is about making clients, not about single calls: the queries below show it.",
    "connections": "It is about connections and lookups, not about single calls: the queries below show it.",
}
_NO_CALLS: Final = ("telemetry", "usage", "factory")
"""Components that are no calls."""
_PARTIES: Final = {
    "us": "us",
    "provider": "the provider",
    "server": "the MCP server",
    "network": "the network",
    "outside": "the other side or the network, not us",
    "quota": "a quota or rate limit",
    "deploy": "a deploy",
    "": "not clear",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What shows an alert.

    Attributes:
        shows: What the alert counts: `failed`, `given_up`, `slow`, ...
        calls: The calls that it is about.
        hit: Those that show it.
        verb: What happened to these.
        none: Why there are none.
    """

    shows: str
    calls: Facts
    hit: Facts
    verb: str = ""
    none: str = ""


def subject(rule: dict[str, Any]) -> str:
    """What an alert is about: `calls`, their `cost`, or the `telemetry` itself."""
    if rule["labels"].get("component") in _NO_CALLS:
        return "telemetry"
    return "cost" if shown(rule) == "cost" else "calls"


def shown(rule: dict[str, Any]) -> str:
    """What an expression counts; `stopped` where it counts nothing but calls."""
    found = next((name for name, pattern in _SHOWS if pattern.search(rule["query"])), "stopped")
    is_money = _MONEY.search(rule["query"]) is not None and found in ("failed", "stopped")
    return "cost" if is_money and "_errors" not in rule["query"] else found


def evidence(console: Console, rule: dict[str, Any], active: list[dict[str, Any]], hit: Selection) -> Evidence:
    """The calls of a selection that show an alert."""
    is_tool = "mcp" in f"{rule['labels'].get('component', '')} {rule['query']}" and "llm_" not in rule["query"]
    calls = hit.tools if is_tool else hit.llm
    shows = shown(rule) if subject(rule) != "telemetry" else rule["labels"]["component"]
    if shows in _OTHERWISE:
        return Evidence(shows, calls, calls.take(np.zeros(len(calls), dtype=bool)), none=_OTHERWISE[shows])
    if shows == "failed":
        return _failed(rule, active, calls, hit.requests)
    mask, verb, none = _MASKS[shows](console, hit, calls)
    return Evidence(shows, calls, calls.take(mask), verb, none or "No call that is kept here shows it.")


def _failed(rule: dict[str, Any], active: list[dict[str, Any]], calls: Facts, requests: Facts) -> Evidence:
    """Calls that failed, of the types that the alert is about; with those that succeeded after a failed request."""
    named = {text for found in _OUTCOMES.findall(rule["query"]) for text in found.split("|")} & {*phrases.FAILED}
    types = {text for found in _TYPES.findall(rule["query"]) for text in found.split("|")}
    types |= {
        alert["labels"][name] for alert in active for name in ("error_type", "error_kind") if name in alert["labels"]
    }
    wanted: dict[str, Sequence[str]] = {"outcome": sorted(named) or phrases.FAILED}
    if types:
        wanted["error"] = sorted(types)
    mask = calls.mask(**wanted)
    if _ATTEMPTS.search(rule["query"]) is None or "llm_call_" in rule["query"]:
        return Evidence("failed", calls, calls.take(mask), "failed", "No call that is kept here failed so.")
    sent = requests.where(**wanted)
    errors = dict(zip(sent.seq.tolist(), sent.texts("error"), strict=True))
    retried = np.isin(calls.seq, sent.seq) & (calls.seq >= 0) & ~calls.mask(outcome=phrases.FAILED)
    hit = calls.take(mask | retried)
    if retried.any():
        own = [errors.get(seq, "") for seq in hit.seq.tolist()]
        told = [f"{error or 'failed'}, and a retry was answered" for error in own]
        again = retried[mask | retried]
        hit = hit.renamed("error", again, own).renamed("fingerprint", again, told)
    verb = "failed, or had a request that failed" if retried.any() else "failed"
    return Evidence("failed", calls, hit, verb, "No call that is kept here failed so.")


_Mask = tuple[npt.NDArray[np.bool_], str, str]


def _given_up(console: Console, hit: Selection, calls: Facts) -> _Mask:
    found = marks(given_up(console, hit), calls)
    return found if found.any() else calls.mask(outcome="cancelled"), "were given up by the application", ""


def _longer(calls: Facts, seconds: float) -> _Mask:
    return np.nan_to_num(calls.numbers["duration"]) > seconds, f"took longer than {phrases.seconds(seconds)}", ""


def _slow(console: Console, hit: Selection, calls: Facts) -> _Mask:
    settings = _settings(console)
    return _longer(calls, settings.tool_seconds if calls is hit.tools else settings.latency_seconds)


def _hanging(console: Console, hit: Selection, calls: Facts) -> _Mask:
    """Calls that hang have not ended, so they are not kept yet; what did end after long is shown."""
    mask, verb, _ = _longer(calls, _settings(console).hang_seconds)
    under_way = _gauge(console, "sum(llm_calls_in_flight)", hit)
    oldest = _gauge(console, "max(llm_call_oldest_seconds)", hit)
    if not under_way:
        return mask, verb, "No call is under way now. A call is shown when it ends."
    known = f"{phrases.count(under_way, 'call')} under way, the oldest for {phrases.seconds(oldest)}"
    return mask, verb, f"{known}. A call is shown when it ends."


def _gauge(console: Console, asked: str, hit: Selection) -> float | None:
    try:
        series = console.querier.instant(asked, int(hit.end * 1000)).series
    except PromQLError:
        return None
    return float(series[0][2][0]) if series else None


def _unusual(console: Console, hit: Selection, calls: Facts) -> _Mask:
    """Only the record says it, so the newest are read."""
    newest = calls.seq[calls.seq >= 0][-_MOST_READ:]
    found = [seq for seq in newest.tolist() for one in console.calls.read([seq]) if one.call.usage_mismatch]
    return np.isin(calls.seq, found), "have a usage that contradicts itself", ""


_MASKS: Final[dict[str, Callable[[Console, Selection, Facts], _Mask]]] = {
    "given_up": _given_up,
    "slow": _slow,
    "off_scale": lambda _, __, calls: _longer(calls, _OFF_SCALE_SECONDS),
    "hanging": _hanging,
    "waited": lambda _, __, calls: (calls.numbers["wait"] > 0, "waited for a rate limit", ""),
    "unpriced": lambda _, __, calls: (calls.unpriced > 0, "have no price", ""),
    "no_usage": lambda _, __, calls: (
        calls.numbers["usage_missing"] > 0, "came without a usage", ""
    ),
    "mismatch": _unusual,
}  # fmt: skip


def _settings(console: Console) -> AlertsSettings:
    return console.settings.alerts if console.settings is not None else AlertsSettings()


def groups(console: Console, found: Evidence) -> list[dict[str, Any]]:
    """The calls by the fingerprint of their error; by model or tool, and how long they took, where nothing failed."""
    if found.shows == "failed":
        return fingerprints(console, found.hit)
    return by_model(console, found.hit, "cancelled" if found.shows == "given_up" else "")


# -- whose fault ----------------------------------------------------------------------------------------------------


def fault(found: Evidence, everything: Selection, since: float, versions: dict[str, float]) -> dict[str, Any] | None:
    """Whose fault it is, as far as the calls show, and the evidence; None where nothing shows it.

    Args:
        everything: All calls of the time, also those that the alert is not about.
        versions: When each version of the application was first seen.
    """
    hit = found.hit.between(since - LEAD_SECONDS, everything.end + 1)
    if not len(hit):
        return None
    is_tool = bool(hit.words["kind"]) and hit.texts("kind")[0] == "tool"
    by, all_calls = ("server_id", everything.tools) if is_tool else ("provider", everything.llm)
    ours = {labels[by] for labels in hit.group((by,))[0]}
    told = _told_of(found.shows)
    party, lines = told(hit, found.calls, since)
    others = all_calls.between(since - LEAD_SECONDS, everything.end + 1)
    if party in ("provider", "network"):
        party, line = _among(hit, others, by, ours, found.shows)
        lines += [line] if line else []
    fresh = [version for version, first in versions.items() if since - 6 * LEAD_SECONDS < first <= since + 60]
    if len(versions) > 1 and fresh and found.shows not in ("given_up", "waited") and not _is_remote(hit):
        bad = hit.where(app_version=fresh).count
        if bad >= 0.8 * hit.count:
            party = "deploy"
            lines.append(f"{bad} of them come from version {', '.join(fresh)}, first seen just before.")
    if party == "provider" and is_tool:
        party = "server"
    return {"party": party, "text": f"By the evidence: {_PARTIES[party]}.", "evidence": lines}


def _is_remote(hit: Facts) -> bool:
    """Whether most of the failures are of kinds that no version of the application causes."""
    kinds = ("timeout", "connection", "server_error", "quota", "rate_limit")
    return hit.where(error=kinds).count > 0.5 * hit.count


_Told = tuple[str, list[str]]


def _told_of(shows: str) -> Callable[[Facts, Facts, float], _Told]:
    return {"failed": _of_failures, "given_up": _of_given_up, "slow": _of_slow, "off_scale": _of_slow,
            "hanging": _of_slow, "waited": _of_waits}.get(shows, _of_numbers)  # fmt: skip


def _of_failures(hit: Facts, _: Facts, __: float) -> _Told:
    kinds, index = hit.group(("error",))
    counts = np.bincount(index, hit.weight, len(kinds))
    worst = int(np.argmax(counts))
    kind = kinds[worst]["error"] or "unknown"
    return phrases.CAUSES.get(kind, ""), [f"{counts[worst]:,.0f} of {hit.count:,} failures are {kind}."]


def _of_given_up(hit: Facts, calls: Facts, since: float) -> _Told:
    before = calls.where(outcome="success").between(0, since)
    usual = f"; answers took {phrases.seconds(before.quantile(0.95))} (p95) before" if before.count else ""
    return "provider", [f"The application cancelled them after {phrases.seconds(hit.quantile(0.5))}{usual}."]


def _of_slow(hit: Facts, calls: Facts, since: float) -> _Told:
    good = calls.where(outcome="success")
    now, before = good.between(since - LEAD_SECONDS, float("inf")), good.between(0, since - LEAD_SECONDS)
    if before.count < 20 or now.count < 3:
        return "", ["Too few answers before to compare with."]
    lines = [f"p95 {phrases.seconds(now.quantile(0.95))}; {phrases.seconds(before.quantile(0.95))} before."]
    sizes = [one.total("output") / one.count for one in (before, now)]
    if sizes[0] and sizes[1] > 1.5 * sizes[0]:
        return "us", [*lines, f"Answers are {sizes[1] / sizes[0]:.1f} times as long as before, in tokens."]
    return "provider", [*lines, "Answers are no longer than before, in tokens."] if sizes[0] else lines


def _of_waits(hit: Facts, _: Facts, __: float) -> _Told:
    return "quota", [f"{phrases.count(hit.count, 'call')} waited {phrases.seconds(hit.total('wait'))} in all."]


def _of_numbers(hit: Facts, _: Facts, __: float) -> _Told:
    models = [labels["model"] for labels in hit.group(("model",))[0] if labels["model"]]
    return "", [
        f"{phrases.count(len(models), 'model')}: {', '.join(map(phrases.brief, models[:5]))}."
    ] if models else []


def _among(hit: Facts, others: Facts, by: str, ours: set[str], shows: str) -> tuple[str, str]:
    """Whether the same happens elsewhere at the same time, and who is spared."""
    outcomes = ("cancelled",) if shows == "given_up" else phrases.FAILED
    spared, fail = set(), set(ours)
    for labels in others.group((by,))[0]:
        own = others.where(**labels)
        bad = own.where(outcome=outcomes).count
        if bad >= 3 and bad > 0.2 * own.count:
            fail.add(labels[by])
        elif own.where(outcome="success").count:
            spared.add(labels[by])
    name = phrases.name_of if by == "provider" else str
    noun = "provider" if by == "provider" else "server"
    if len(fail) > 1:
        return "network", f"{len(fail)} of {len(fail | spared)} {noun}s at once."
    services = {labels["service"] for labels in hit.group(("service",))[0]}
    well = others.where(**{by: sorted(ours)}, outcome="success").where(service=[f"!{one}" for one in services])
    if services and well.count >= 3:
        elsewhere = sorted(labels["service"] for labels in well.group(("service",))[0])
        return "us", f"Only {', '.join(sorted(services)) or 'one service'}; {', '.join(elsewhere)} gets answers there."
    only = name(next(iter(ours), ""))
    if spared - ours:
        return "provider", f"Only {only}; the others answer."
    kinds = {labels["error"] for labels in hit.group(("error",))[0]}
    if kinds == {"server_error"} or kinds == {"execution"}:
        return "provider", ""
    return "outside", f"No other {noun} is called, so it may be {only} or the network."
