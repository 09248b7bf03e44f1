"""The metric families of the usage ledger. Those marked `fixed` are required (docs/contract.md); the rest is ours."""

from __future__ import annotations

from typing import Final

from tachograph.records.cost import NANO_PER_USD
from tachograph.signals.family import Family

_FAULTS: Final = (
    "database_replaced",
    "journal_replaced",
    "lock_replaced",
    "entry_unreadable",
    "clock_jump",
)

PERSIST_SECONDS: Final = Family(
    "llm_usage_persist_seconds",
    "histogram",
    ("outcome",),
    "Duration of writing one usage record's batch into the store, one observation per record.",
    "seconds",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
    values={"outcome": ("success", "error")},
    zero={"outcome": ("success", "error")},
    fixed=True,
)
PERSIST_ERRORS: Final = Family(
    "llm_usage_persist_errors_total",
    "counter",
    ("error_type",),
    "Writes of usage records that failed; the records are kept and tried again.",
    values={"error_type": ("db_error", "timeout", "validation")},
    zero={"error_type": ("db_error", "timeout", "validation")},
    fixed=True,
)
QUEUE_SIZE: Final = Family(
    "llm_usage_persist_queue_size",
    "gauge",
    (),
    "Usage records accepted and not yet in the store.",
    fixed=True,
    gauge_merge="sum",
)
OLDEST_AGE: Final = Family(
    "llm_usage_persist_oldest_age_seconds",
    "gauge",
    (),
    "Age of the oldest usage record that is not yet in the store.",
    "seconds",
    gauge_merge="max",
)
ACCEPTED: Final = Family("llm_usage_records_accepted_total", "counter", (), "Usage records the ledger has accepted.")
REFUSED: Final = Family(
    "llm_usage_records_refused_total",
    "counter",
    ("reason",),
    "Usage records the ledger refused to take, by reason.",
    values={"reason": ("queue_full", "disk_full", "invalid", "closed", "io_error")},
    zero={"reason": ("queue_full", "disk_full", "invalid", "closed", "io_error")},
)
QUARANTINED: Final = Family(
    "llm_usage_records_quarantined_total",
    "counter",
    ("reason",),
    "Usage records set aside because they can never be stored, by reason; torn: unfinished when the process died.",
    values={"reason": ("invalid", "rejected", "damaged", "torn")},
    zero={"reason": ("invalid", "rejected", "damaged", "torn")},
)
LOST: Final = Family(
    "llm_usage_records_lost_total",
    "counter",
    (),
    "Usage records that were accepted and are gone. Must stay at zero.",
)
FILE_FAULTS: Final = Family(
    "llm_usage_file_faults_total",
    "counter",
    ("fault",),
    "How often a file of the ledger was deleted, replaced or closed under it, could not be opened or was a link, or a "
    "clock jumped, by fault.",
    values={"fault": _FAULTS},
    zero={"fault": _FAULTS},
)
SPOOL_BYTES: Final = Family(
    "llm_usage_spool_bytes", "gauge", (), "Bytes of journals and spool on disk.", "bytes", gauge_merge="max"
)
WRITER_ALIVE: Final = Family(
    "llm_usage_writer_alive",
    "gauge",
    (),
    "1 while a writer drains journals into the store on this host.",
    gauge_merge="max",
)
_PERIODS: Final = ("hour", "day", "week", "month", "total", "rolling")
BUDGET_LIMIT: Final = Family(
    "llm_budget_limit_usd",
    "gauge",
    ("budget", "period"),
    "The limit of a budget in US dollars.",
    "usd",
    values={"period": _PERIODS},
    gauge_merge="max",
)
BUDGET_SPENT: Final = Family(
    "llm_budget_spent_usd",
    "gauge",
    ("budget", "period"),
    "What has been spent of a budget in its present period, in US dollars; of a budget per value, of the account that "
    "has spent the most.",
    "usd",
    values={"period": _PERIODS},
    gauge_merge="max",
)
BUDGET_RESERVED: Final = Family(
    "llm_budget_reserved_usd",
    "gauge",
    ("budget", "period"),
    "What calls under way hold of a budget: their largest likely cost, in US dollars.",
    "usd",
    values={"period": _PERIODS},
    gauge_merge="max",
)
BUDGET_FORECAST: Final = Family(
    "llm_budget_forecast_usd",
    "gauge",
    ("budget", "period", "bound"),
    "What a budget's calendar period comes to by its end, in US dollars; no series under a day of data in the ledger.",
    "usd",
    values={"period": _PERIODS, "bound": ("low", "likely", "high")},
    gauge_merge="max",
)
BUDGET_LEFT: Final = Family(
    "llm_budget_left_seconds",
    "gauge",
    ("budget", "period", "bound"),
    "In how many seconds a budget is spent by the same forecast, likely and at the earliest; +Inf: not before its "
    "period ends.",
    "seconds",
    values={"period": _PERIODS, "bound": ("likely", "earliest")},
    gauge_merge="min",
)
BUDGET_STEPS: Final = Family(
    "llm_budget_steps_total",
    "counter",
    ("budget", "step"),
    "Times that a part of a budget was spent, in per cent of its limit; once for each host and period.",
)
BUDGET_ACTIONS: Final = Family(
    "llm_budget_actions_total",
    "counter",
    ("budget", "action"),
    "Calls that a budget could not pay for, by what was done with them.",
    values={"action": ("refused", "warned", "ask_allowed", "ask_refused", "model_replaced")},
)
BUDGET_UNCHECKED: Final = Family(
    "llm_budget_unchecked_total",
    "counter",
    ("budget",),
    "Calls begun while a budget's files or the fleet's store did not answer.",
)
_WHO: Final = ("provider", "model")
WASTE_USD: Final = Family(
    "llm_waste_usd_total",
    "counter",
    (*_WHO, "cause"),
    "Cost of calls, or of parts of them, that bought nothing, in US dollars.",
    "usd",
    values={"cause": ("failed", "aborted", "retried", "cache_miss", "duplicate", "loop", "tool_definitions")},
    scale=NANO_PER_USD,
)
TOOL_DEFINITION_TOKENS: Final = Family(
    "llm_tool_definition_tokens_total",
    "counter",
    (*_WHO, "server_id"),
    "Prompt tokens that tool definitions took, by their share of the prompt's length; server_id is none for tools of "
    "no known MCP server, and for a name that several have.",
    "tokens",
)
BILL_USD: Final = Family(
    "llm_bill_usd_total",
    "counter",
    ("provider",),
    "What the provider has billed by its own cost report, in US dollars (`tachograph reconcile --watch`).",
    "usd",
    scale=NANO_PER_USD,
)
BILL_DRIFT: Final = Family(
    "llm_bill_drift_ratio",
    "gauge",
    ("provider",),
    "How far the ledger is from the bill of the last two weeks' complete days, as a share of the bill; above zero: "
    "more is billed than the ledger has.",
    gauge_merge="max",
)
BILL_MODEL_DRIFT: Final = Family(
    "llm_bill_model_drift_ratio",
    "gauge",
    ("provider", "model"),
    "The same by model (credits stand under the model `credits`); -Inf where the ledger has calls that are not billed.",
    gauge_merge="max",
)
BILL_KEY_DRIFT: Final = Family(
    "llm_bill_key_drift_ratio",
    "gauge",
    ("provider", "key"),
    "The same by API key, named by its last characters; `unknown` where the key is not reported.",
    gauge_merge="max",
)
BILL_CAUSE: Final = Family(
    "llm_bill_cause_usd",
    "gauge",
    ("provider", "cause"),
    "Billed less the ledger's cost of the same days, by cause, in US dollars.",
    "usd",
    values={
        "cause": (
            "unseen_client",
            "late_rows",
            "unpriced",
            "tier",
            "region",
            "credit",
            "rounding",
            "usage_missing",
            "cancelled",
            "cached_tokens",
            "day_boundary",
            "other_account",
            "price",
            "unexplained",
        )
    },
    gauge_merge="max",
)
BILL_AGE: Final = Family(
    "llm_bill_age_seconds",
    "gauge",
    ("provider",),
    "Seconds since the provider's bill was last fetched and compared.",
    "seconds",
    gauge_merge="min",
)
VENDOR_RATE_LIMIT: Final = Family(
    "llm_vendor_rate_limit",
    "gauge",
    ("provider", "scope", "model", "kind"),
    "A rate limit as the vendor's admin API says it; kind is its unit, such as requests_per_minute; scope is the "
    "organization or a project.",
    gauge_merge="max",
)
VENDOR_SPEND_LIMIT: Final = Family(
    "llm_vendor_spend_limit_usd",
    "gauge",
    ("provider", "scope"),
    "The vendor's hard limit of a month's spending, as its admin API says it.",
    "usd",
    gauge_merge="max",
)
VENDOR_SPEND_ENFORCED: Final = Family(
    "llm_vendor_spend_limit_enforced",
    "gauge",
    ("provider", "scope"),
    "Whether the vendor refuses requests because of that limit now.",
    gauge_merge="max",
)
COST_FORECAST: Final = Family(
    "llm_cost_forecast_usd",
    "gauge",
    ("period", "bound"),
    "What the day and the month (UTC) come to by the ledger, in US dollars; no series while it is too early to say.",
    "usd",
    values={"period": ("day", "month"), "bound": ("low", "likely", "high")},
    gauge_merge="max",
)

FAMILIES: Final = tuple(family for family in globals().values() if isinstance(family, Family))
"""All of this file."""
