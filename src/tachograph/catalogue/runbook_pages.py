"""Runbook pages: what a person wrote for one alert, under a head made from its rules."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Final

from tachograph.catalogue import vendor_pages
from tachograph.catalogue.rules import Alert, RuleGroup

_ERROR_TYPES: Final = """By `error_type`:

| error_type | do |
|---|---|
| `server_error` | The vendor fails: look at its status page. Send the traffic to another provider or model, and wait. |
| `timeout` | The vendor or the network is slow. If the vendor's check hangs too, look at DNS, egress and proxies. |
| `connection` | The network: DNS, egress or a proxy of ours. |
| `rate_limit` (429) | Too much traffic: lower the concurrency, stop batches (LLMProviderRateLimitSaturation). |
| `quota` (429) | The account has no credit left: add some (LLMProviderQuotaExhausted). |
| `auth` (401, 403) | The vendor rejects the API key: replace it (LLMProviderAuthFailure). |
"""
"""What is in runbooks in the place of `<!-- error types -->`."""

_ASK: Final = (
    "Give the vendor's support the time in UTC, the model and some request ids: they are in the console's failed "
    "calls and in the spans `llm.complete`."
)
_ESCALATIONS: Final = {
    "vendor-page": (
        "Not fixed after 30 minutes: call the person who owns the contract with the vendor, and open a case at the "
        f"vendor's support. {_ASK} Tell the owner of the product which features are affected, or turn those off."
    ),
    "vendor-ticket": (
        "A ticket for the team that runs the application. If it lasts for a day, open a case at the vendor's support. "
        f"{_ASK} When calls of users fail, LLMCallsFailing or LLMProviderDown page."
    ),
    "money-page": (
        "The cause is not found within 15 minutes: call the owner of the budget, and agree on what is stopped or how "
        "low the vendor's spending limit is set. Both stop calls of users."
    ),
    "money-ticket": "A ticket for the owner of the budget, with the most expensive rows of the queries above.",
    "mcp-page": (
        "Not fixed after 30 minutes: call the owner of the MCP server. Until it works, take its tools away from the "
        "agents, and tell the owner of the product."
    ),
    "mcp-ticket": "A ticket for the owner of the MCP server, with the error's text from a span `mcp.tool.execute`.",
    "usage-page": (
        "Not fixed after 30 minutes: call the owner of the ledger's database. Say how much room the disk with the "
        "journals has left: when it is full, records are lost."
    ),
    "usage-ticket": "A ticket for the owner of the ledger's database. Tell readers of reports that numbers are late.",
    "telemetry-page": (
        "Not fixed after 30 minutes: call the owner of the monitoring. Until it works, watch the application by its "
        "own logs: no other alert of ours can fire."
    ),
    "telemetry-ticket": "A ticket for the owner of the monitoring.",
}
_ORDER: Final = ("critical", "warning", "info", "none")
_MONEY: Final = ("llm_cost", "llm_money")


def escalation(group: RuleGroup, alert: Alert) -> str:
    """Whom to call, and when."""
    about = {"llm_provider": "vendor", "factory": "mcp"}.get(alert.component, alert.component)
    if group.name in _MONEY or alert.name in ("HighProviderCost", "ExcessiveTokenUsage"):
        about = "money"
    return _ESCALATIONS[f"{about}-{'page' if alert.severity == 'critical' else 'ticket'}"]


def names_a_vendor(alert: Alert) -> bool:
    """Whether the alert is about one provider that does not answer as it should."""
    return "$labels.provider" in alert.summary and alert.component == "llm_provider"


def page(name: str, groups: Iterable[RuleGroup]) -> str:
    """The page of one alert, with the expression as the settings make it.

    Raises:
        KeyError: No alert has this name.
    """
    rules = [(group, alert) for group in groups for alert in group.alerts if alert.name == name]
    if not rules:
        raise KeyError(name)
    worst = min(rules, key=lambda rule: _ORDER.index(rule[1].severity))
    vendor = f"\n{vendor_pages.section()}" if names_a_vendor(worst[1]) else ""
    return f"# {name}\n\n{_head(rules)}\n{body(name)}{vendor}\n## Escalation\n\n{escalation(*worst)}\n"


def body(name: str) -> str:
    """What a person wrote: the sections, with the table of error types where it is asked for.

    Raises:
        KeyError: There is no such file.
    """
    found = files("tachograph.catalogue").joinpath("runbooks", f"{name}.md")
    if not found.is_file():
        raise KeyError(name)
    return found.read_text("utf-8").replace("<!-- error types -->\n", _ERROR_TYPES)


def _head(rules: list[tuple[RuleGroup, Alert]]) -> str:
    lines = []
    for group, alert in rules:
        more = "".join(f", {label} {value}" for label, value in alert.more_labels)
        hold = "at once" if alert.hold_seconds == 0 else f"after {alert.hold}"
        lines += [
            f"Severity {alert.severity}, group `{group.name}`, fires {hold}{more}.",
            "",
            "```promql",
            alert.expression,
            "```",
            "",
        ]
    return "\n".join(lines)


def index(groups: Iterable[RuleGroup]) -> str:
    """All alerts with their severity and what they say, linked to their pages."""
    lines = ["# Runbooks", "", "| alert | severity | what it means |", "|---|---|---|"]
    seen: set[str] = set()
    for group in groups:
        for alert in group.alerts:
            if alert.name not in seen:
                seen.add(alert.name)
                lines.append(f"| [{alert.name}]({alert.name}.md) | {alert.severity} | {first_sentence(alert.name)} |")
    return "\n".join(lines) + "\n"


def first_sentence(name: str) -> str:
    """How the page begins: what the alert means, in one sentence."""
    text = body(name).split("## Meaning", 1)[1].strip().split("\n\n", 1)[0].replace("\n", " ")
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]
