"""The fixed families as they must stand on /metrics: the promise, written down apart from the code that keeps it."""

from __future__ import annotations

REQUEST = ("0.1", "0.25", "0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "60.0", "120.0", "+Inf")

FAMILIES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # name: (kind, label names, le values)
    "llm_provider_request_seconds": ("histogram", ("provider", "model", "outcome"), REQUEST),
    "llm_provider_tokens_total": ("counter", ("provider", "model", "type"), ()),
    "llm_provider_cost_usd_total": ("counter", ("provider", "model"), ()),
    "llm_provider_errors_total": ("counter", ("provider", "model", "error_type"), ()),
    "llm_provider_rate_limit_delays_seconds": (
        "histogram",
        ("provider",),
        ("0.1", "0.5", "1.0", "2.0", "5.0", "10.0", "30.0", "60.0", "+Inf"),
    ),
    "mcp_tool_execute_seconds": (
        "histogram",
        ("server_id", "tool_name", "outcome"),
        ("0.01", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf"),
    ),
    "mcp_tool_errors_total": ("counter", ("server_id", "tool_name", "error_kind"), ()),
    "mcp_server_connections_active": ("gauge", ("server_id",), ()),
    "mcp_tool_registry_lookup_seconds": (
        "histogram",
        ("outcome",),
        ("1e-05", "0.0001", "0.001", "0.01", "0.1", "+Inf"),
    ),
    "llm_usage_persist_seconds": (
        "histogram",
        ("outcome",),
        ("0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1.0", "+Inf"),
    ),
    "llm_usage_persist_errors_total": ("counter", ("error_type",), ()),
    "llm_usage_persist_queue_size": ("gauge", (), ()),
    "factory_create_seconds": (
        "histogram",
        ("factory_type", "name"),
        ("1e-05", "0.0001", "0.001", "0.01", "+Inf"),
    ),
}

KNOWN_VALUES: dict[tuple[str, str], set[str]] = {
    ("llm_provider_request_seconds", "outcome"): {"success", "error", "timeout", "rate_limited"},
    ("llm_provider_tokens_total", "type"): {"prompt", "completion"},
    ("llm_provider_errors_total", "error_type"): {"auth", "rate_limit", "invalid_request", "server_error", "timeout"},
    ("mcp_tool_execute_seconds", "outcome"): {"success", "error", "timeout"},
    ("mcp_tool_errors_total", "error_kind"): {"connection", "validation", "execution", "timeout"},
    ("mcp_tool_registry_lookup_seconds", "outcome"): {"hit", "miss"},
    ("llm_usage_persist_seconds", "outcome"): {"success", "error"},
    ("llm_usage_persist_errors_total", "error_type"): {"db_error", "timeout", "validation"},
}
