"""One run, trace or session: its spans as a tree, its calls, and what they come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from tachograph.console.calls import Call, CallAttempt, Span
from tachograph.console.columns import Filter
from tachograph.console.facts import UNREPORTED
from tachograph.console.views import phrases
from tachograph.signals import semconv

if TYPE_CHECKING:
    from tachograph.console.console import Console

MOST_CALLS: Final = 2000
MOST_TRACES: Final = 50
_CLOCK_SECONDS: Final = 0.001
"""Two clocks measure a run and its calls."""


def run(console: Console, identity: str) -> dict[str, Any] | None:
    """A run by its id, or a trace by its id; None when nothing of it is kept.

    `late` of its calls ended after the run itself: its own span and metrics do not count them.
    """
    found, _, _ = console.calls.find(Filter(run=identity), MOST_CALLS, newest_first=False)
    calls = [call for _, call in found if identity in (call.run_id, call.trace_id)]
    traces = list(dict.fromkeys(call.trace_id for call in calls if call.trace_id))[:MOST_TRACES]
    if not calls and len(identity) == 32:
        traces = [identity]
    spans: list[Span] = []
    for trace in traces:
        own, more = console.calls.trace(bytes.fromhex(trace))
        spans += own
        known = {call.id for call in calls}
        calls += [call for call in more if call.id not in known and (trace == identity or not call.run_id)]
    if not calls and not spans:
        return None
    rows = with_attempts(console, tree(calls, spans))
    own = [
        one for one in spans if one.attributes.get(semconv.RUN_ID) == identity and semconv.RUN_CALLS in one.attributes
    ]
    ended = max((one.start_unix + one.duration_seconds for one in own), default=float("inf")) + _CLOCK_SECONDS
    late = sum(one.run_id == identity and one.time + one.duration_seconds > ended for one in calls)
    return {"id": identity, **totals(calls), "late": late, "tree": rows, "calls": msgspec.to_builtins(calls)}


def session(console: Console, identity: str) -> dict[str, Any] | None:
    """A session: its runs, oldest first."""
    found, _, _ = console.calls.find(Filter(fields={"session_id": (identity,)}), MOST_CALLS, newest_first=False)
    calls = [call for _, call in found]
    if not calls:
        return None
    groups: dict[str, list[Call]] = {}
    for call in calls:
        groups.setdefault(call.run_id or call.trace_id, []).append(call)
    rows = [{"id": key, "agent": own[0].agent, **totals(own)} for key, own in groups.items()]
    return {"id": identity, **totals(calls), "runs": rows}


def totals(calls: list[Call]) -> dict[str, Any]:
    if not calls:
        return {"llm_calls": 0, "tool_calls": 0, "failed": 0, "cost": 0.0, "unpriced": 0, "unreported": 0, "tokens": 0,
                "seconds": 0.0, "first": None}  # fmt: skip
    begin = min(call.time for call in calls)
    llm = [call for call in calls if call.kind == "llm"]
    unpriced = sum(call.is_unpriced for call in llm)
    unreported = sum(call.outcome in UNREPORTED and not call.is_reported for call in llm)
    known = [float(call.cost_usd) for call in llm if call.cost_usd is not None]
    return {
        "first": begin,
        "seconds": max(call.time + call.duration_seconds for call in calls) - begin,
        "llm_calls": len(llm),
        "tool_calls": len(calls) - len(llm),
        "failed": sum(call.outcome in phrases.FAILED for call in calls),
        "cost": sum(known) if known or not (unpriced or unreported) else None,  # as `Facts.cost`
        "unpriced": unpriced,
        "unreported": unreported,
        "tokens": sum((call.input_tokens or 0) + (call.output_tokens or 0) for call in llm),
        "wait": sum(call.wait_seconds for call in calls),
        "agent": next((call.agent for call in calls if call.agent), ""),
        "session_id": next((call.session_id for call in calls if call.session_id), ""),
        "user_id": next((call.user_id for call in calls if call.user_id), ""),
        "services": sorted({call.service for call in calls if call.service}),
    }


def tree(calls: list[Call], spans: list[Span]) -> list[dict[str, Any]]:
    """Spans and calls as rows of a tree, each with its depth, parents before children, by start.

    A call whose parent is known as a record only stands under that record's span. Spans that name a parent which is
    not kept stand together under one row for it.
    """
    by_id = {call.id: call for call in calls}
    of_span = {call.span_id: call for call in calls if call.span_id}
    nodes: dict[str, dict[str, Any]] = {}
    for span in spans:
        call = of_span.get(span.span_id)
        nodes[span.span_id] = _node(span.span_id, span.parent_span_id, call, span)
    for call in calls:
        key = call.span_id or call.id
        if key not in nodes:
            nodes[key] = _node(key, call.parent_span_id, call, None)
        above = by_id.get(call.parent_call_id)
        if above is not None and nodes[key]["parent"] not in nodes:
            nodes[key]["parent"] = above.span_id or above.id
    _add_missing(nodes)
    children: dict[str, list[dict[str, Any]]] = {}
    for node in nodes.values():
        parent = node["parent"] if node["parent"] in nodes and node["parent"] != node["id"] else ""
        children.setdefault(parent, []).append(node)
    rows: list[dict[str, Any]] = []
    waiting = [(node, 0) for node in sorted(children.get("", []), key=lambda n: -n["start"])]
    seen: set[str] = set()
    while waiting:
        node, depth = waiting.pop()
        if node["id"] in seen:
            continue
        seen.add(node["id"])
        rows.append({**node, "depth": depth})
        waiting += [(child, depth + 1) for child in sorted(children.get(node["id"], []), key=lambda n: -n["start"])]
    rows += [{**node, "depth": 0} for node in nodes.values() if node["id"] not in seen]  # parents in a circle
    return rows


def _add_missing(nodes: dict[str, dict[str, Any]]) -> None:
    """One row for each parent that several spans name and that is not kept: the run's own, where they name a run."""
    missing: dict[str, list[dict[str, Any]]] = {}
    for node in nodes.values():
        if node["parent"] and node["parent"] not in nodes:
            missing.setdefault(node["parent"], []).append(node)
    below: dict[str, list[dict[str, Any]]] = {}
    for node in nodes.values():
        below.setdefault(node["parent"], []).append(node)
    for parent, own in missing.items():
        if len(own) < 2:
            continue
        start = min(node["start"] for node in own)
        waiting, end, seen = list(own), start, set[str]()
        while waiting:  # what its children began may outlast them
            node = waiting.pop()
            end = max(end, node["start"] + node["seconds"])
            waiting += below.get(node["id"], []) if node["id"] not in seen else []
            seen.add(node["id"])
        agents = {node["agent"] for node in own}
        agent = agents.pop() if len(agents) == 1 else ""
        nodes[parent] = {
            "id": parent, "parent": "", "kind": "agent" if agent else "span",
            "name": f"run of {agent}" if agent else "a span that is not kept here", "start": start,
            "seconds": end - start, "failed": False, "error": None, "call": None, "provider": "", "agent": agent,
            "input_tokens": None, "output_tokens": None, "cost_usd": None, "attributes": {}, "events": [],
            "missing": True,
        }  # fmt: skip


def with_attempts(console: Console, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a tree, and under each call that was retried or waited its requests and its waits."""
    found: list[dict[str, Any]] = []
    for row in rows:
        attempts = row.pop("attempts", 0)
        waited = row.pop("wait", 0.0)
        found.append(row)
        if row["call"] is None or (attempts < 2 and not waited):
            continue
        detail = console.calls.get(bytes.fromhex(row["call"]))
        if detail is not None:
            found += _attempts(row, detail.call.time, detail.attempts)
    return found


def _attempts(row: dict[str, Any], began: float, attempts: list[CallAttempt]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def add(kind: str, name: str, start: float, seconds: float, failed: bool = False, error: str | None = None) -> None:
        found.append(
            {**row, "id": f"{row['id']}.{len(found)}", "parent": row["id"], "depth": row["depth"] + 1, "kind": kind,
             "name": name, "start": start, "seconds": seconds, "failed": failed, "error": error, "missing": False,
             "input_tokens": None, "output_tokens": None, "cost_usd": None, "attributes": {}, "events": []}
        )  # fmt: skip

    for one in attempts:
        start = began + one.start_offset
        if one.waited_before_seconds:
            add("wait", "client-side limit", start - one.waited_before_seconds, one.waited_before_seconds)
        status = f" · {one.status}" if one.status else ""
        ended_well = one.outcome == "success"
        error = None if ended_well else one.error_type or one.outcome
        add("attempt", f"attempt {one.number}{status}", start, one.duration_seconds, not ended_well, error)
        if one.slept_seconds > 0.0005:
            why = "waiting for the rate limit" if one.error_type == "rate_limit" else "backing off"
            add("wait", why, start + one.duration_seconds, one.slept_seconds)
    return found


def _node(identity: str, parent: str, call: Call | None, span: Span | None) -> dict[str, Any]:
    attributes = span.attributes if span is not None else {}
    error = (call.error_type or call.error_kind) if call is not None else None
    return {
        "id": identity,
        "parent": parent,
        "kind": call.kind if call is not None else _kind(span),
        "name": _name(call, span),
        "start": span.start_unix if span is not None else call.time if call is not None else 0.0,
        "seconds": span.duration_seconds if span is not None else call.duration_seconds if call is not None else 0.0,
        "failed": call.outcome in phrases.FAILED if call is not None else span is not None and span.status == "error",
        "error": error or attributes.get("error.type"),
        "call": call.id if call is not None else None,
        "provider": call.provider if call is not None else "",
        "agent": call.agent if call is not None else "",
        "input_tokens": call.input_tokens if call is not None else None,
        "output_tokens": call.output_tokens if call is not None else None,
        "cost_usd": call.cost_usd if call is not None else None,
        "attempts": call.attempts if call is not None else 0,
        "wait": call.wait_seconds if call is not None else 0.0,
        "attributes": attributes,
        "events": msgspec.to_builtins(span.events) if span is not None else [],
        "missing": False,
    }


def _kind(span: Span | None) -> str:
    operation = span.attributes.get("gen_ai.operation.name") if span is not None else None
    return "agent" if operation == "invoke_agent" or (span is not None and span.name.startswith("agent.")) else "span"


def _name(call: Call | None, span: Span | None) -> str:
    if call is None:
        return span.name if span is not None else ""
    if call.kind == "llm":
        return f"{call.operation or 'chat'} {call.model}"
    return f"{call.server_id}/{call.tool_name}" if call.server_id else call.tool_name
