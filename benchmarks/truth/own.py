"""Our own answers, read strictly: metrics, ledger and spans must each say the same, and it must be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.truth.reading import Reading

Emitted = dict[str, Any]


def _metric(emitted: Emitted, name: str, **labels: str) -> float:
    return float(
        sum(
            point["value"]
            for point in emitted["own"]["metrics"]
            if point["name"] == name and labels.items() <= point["labels"].items()
        )
    )


def _rows(emitted: Emitted, kind: str = "llm") -> list[dict[str, Any]]:
    return [row for row in emitted["own"]["rows"] if row["kind"] == kind and row.get("operation") != "serve_tool"]


def _spans(emitted: Emitted, name: str = "llm.complete") -> list[dict[str, Any]]:
    """Our spans, or the vendor's own that we wrote on."""
    mark = "tachograph.call_id"
    return [
        span
        for span in emitted["spans"]
        if mark in span["attributes"] and (name == "llm.complete") == ("server_id" not in span["attributes"])
    ]


def _detail(emitted: Emitted, detail: str) -> tuple[float, float]:
    return (
        _metric(emitted, "llm_provider_token_details_total", detail=detail),
        float(sum((row.get("details") or {}).get(detail, 0) for row in _rows(emitted))),
    )


def _attribute(emitted: Emitted, name: str, where: str = "llm.complete") -> float:
    return float(sum(span["attributes"].get(name, 0) for span in _spans(emitted, where)))


def _outcome_of_span(span: dict[str, Any]) -> str:
    return str(span["attributes"].get("tachograph.outcome") or ("error" if span["status"] == "ERROR" else "success"))


def _is_tool(emitted: Emitted) -> bool:
    return bool(_rows(emitted, "mcp"))


def _outcomes(emitted: Emitted) -> dict[str, Any]:
    family = "mcp_tool_execute_seconds_count" if _is_tool(emitted) else "llm_call_seconds_count"
    spans = _spans(emitted, "mcp.tool.execute" if _is_tool(emitted) else "llm.complete")
    return {
        "metrics": "+".join(p["labels"]["outcome"] for p in emitted["own"]["metrics"] if p["name"] == family),
        "ledger": "+".join(row["outcome"] for row in _rows(emitted, "mcp" if _is_tool(emitted) else "llm")),
        "spans": "+".join(map(_outcome_of_span, spans)),
    }


def _waits(emitted: Emitted) -> dict[str, Any]:
    events = [event for span in _spans(emitted) for event in span["events"] if event["name"] == "llm.rate_limit_wait"]
    return {
        "metrics": _metric(emitted, "llm_provider_rate_limit_delays_seconds_sum"),
        "ledger": sum(row.get("wait_us", 0) for row in _rows(emitted)) / 1e6,
        "spans": sum(event["attributes"]["seconds"] for event in events),
    }


def _errors(emitted: Emitted) -> dict[str, Any]:
    return {
        "metrics": _metric(emitted, "llm_provider_errors_total"),
        "ledger": sum(1 for row in _rows(emitted) if row.get("error_type")),
        "spans": sum(1 for span in _spans(emitted) if span["status"] == "ERROR"),
    }


def _tool_errors(emitted: Emitted) -> dict[str, Any]:
    return {
        "metrics": _metric(emitted, "mcp_tool_errors_total"),
        "ledger": sum(1 for row in _rows(emitted, "mcp") if row.get("error_type")),
        "spans": sum(1 for span in _spans(emitted, "mcp.tool.execute") if span["status"] == "ERROR"),
    }


_ANSWERS: dict[str, Callable[[Emitted], dict[str, Any]]] = {
    "calls": lambda e: {
        "metrics": _metric(e, "llm_call_seconds_count"),
        "ledger": len(_rows(e)),
        "spans": len(_spans(e)),
    },
    "tool_calls": lambda e: {
        "metrics": _metric(e, "mcp_tool_execute_seconds_count"),
        "ledger": len(_rows(e, "mcp")),
        "spans": len([s for s in _spans(e, "mcp.tool.execute") if s["kind"] != "SERVER"]),
    },
    "requests": lambda e: {
        "metrics": _metric(e, "llm_provider_request_seconds_count"),
        "ledger": sum(row["attempts"] for row in _rows(e)),
        "spans": _attribute(e, "tachograph.attempts"),
    },
    "rate_limited": lambda e: {
        "metrics": _metric(e, "llm_provider_errors_total", error_type="rate_limit"),
        "metrics, by outcome": _metric(e, "llm_provider_request_seconds_count", outcome="rate_limited"),
    },
    "wait_seconds": _waits,
    "input_tokens": lambda e: {
        "metrics": _metric(e, "llm_provider_tokens_total", type="prompt"),
        "ledger": sum(row.get("input_tokens", 0) for row in _rows(e)),
    },
    "output_tokens": lambda e: {
        "metrics": _metric(e, "llm_provider_tokens_total", type="completion"),
        "ledger": sum(row.get("output_tokens", 0) for row in _rows(e)),
    },
    "cost_usd": lambda e: {
        "metrics": _metric(e, "llm_provider_cost_usd_total"),
        "ledger": sum(row.get("cost_nusd", 0) for row in _rows(e)) / 1e9,
    },
    "unpriced": lambda e: {
        "metrics": f"{_metric(e, 'llm_calls_unpriced_total'):g} unpriced",
        "ledger": f"{sum(row.get('cost_quality') == 'unpriced' for row in _rows(e))} unpriced",
    },
    "quality": lambda e: {"ledger": "+".join(str(row.get("cost_quality")) for row in _rows(e))},
    "usage_mismatch": lambda e: {
        "metrics": _metric(e, "llm_usage_mismatch_total"),
        "ledger": sum(1 for row in _rows(e) if row.get("usage_mismatch")),
    },
    "connects_failed": lambda e: {"metrics": _metric(e, "mcp_server_connections_total", outcome="error")},
    "connects_given_up": lambda e: {"metrics": _metric(e, "mcp_server_connections_total", outcome="cancelled")},
    "errors": _errors,
    "tool_errors": _tool_errors,
    "outcome": _outcomes,
    "error_type": lambda e: {
        "metrics": "+".join(
            {p["labels"]["error_type"] for p in e["own"]["metrics"] if p["name"] == "llm_provider_errors_total"}
        ),
        "ledger": "+".join({row.get("error_type", "") for row in _rows(e)}),
    },
    "first_token_seconds": lambda e: {
        "metrics": _metric(e, "llm_call_time_to_first_token_seconds_sum"),
        "ledger": sum(row.get("ttft_us", 0) for row in _rows(e)) / 1e6,
    },
    "provider": lambda e: {
        "metrics": "+".join(
            {p["labels"]["provider"] for p in e["own"]["metrics"] if p["name"] == "llm_call_seconds_count"}
        ),
        "ledger": "+".join({row["provider"] for row in _rows(e)}),
    },
}
_SPANS_TOO = {"input_tokens": "gen_ai.usage.input_tokens", "output_tokens": "gen_ai.usage.output_tokens"}


def read(question: str, emitted: Emitted, *, counted_again: bool = False) -> list[Reading]:
    """Our answers to one question, one from each channel.

    Args:
        question: Its name.
        emitted: What one scenario left.
        counted_again: Spans are not asked: several reads of one answer each say its tokens, and are distinguished.
    """
    if question in _ANSWERS:
        answers = _ANSWERS[question](emitted)
        if question in _SPANS_TOO and not counted_again:
            answers["spans"] = _attribute(emitted, _SPANS_TOO[question])
    else:
        detail = {"tool_prompt": "tool_use_prompt"}.get(question, question)
        metrics, ledger = _detail(emitted, detail)
        answers = {"metrics": metrics, "ledger": ledger}
    return [Reading(value, where) for where, value in answers.items()]
