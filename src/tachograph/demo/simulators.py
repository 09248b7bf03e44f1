"""Where the simulators were until 2026-11: now `tachograph_demo.simulators`. Goes away with the next release."""

from typing import Final

from tachograph.moved import names_of

_NAMES: Final = (
    "Answer",
    "AskedRequest",
    "BadRequest",
    "Bill",
    "BillEntry",
    "BillingProblem",
    "Conflict",
    "ContentPolicy",
    "ContextTooLong",
    "Disconnect",
    "Exchange",
    "Failure",
    "Forbidden",
    "Gate",
    "GatewayTimeout",
    "Hang",
    "InvalidKey",
    "Item",
    "ModelNotFound",
    "Overloaded",
    "QuotaExhausted",
    "RateLimited",
    "RateLimits",
    "Raw",
    "RequestTimeout",
    "Reset",
    "Served",
    "ServedUsage",
    "ServerError",
    "Simulators",
    "StreamError",
    "TooLarge",
    "ToolCall",
    "Totals",
    "Unauthorized",
    "Unprocessable",
    "malformed",
)

__getattr__ = names_of(__name__, dict.fromkeys(_NAMES, "tachograph_demo.simulators"))
