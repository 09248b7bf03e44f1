"""RecordingRule rules: each raw family is read once, and everything that several rules ask is worked out from that.

A query costs by the series that it reads, hardly by its window: 200 models in three replicas are 3,000 series of calls
and 1,000 of recorded rates. The first recordings sum the replicas; the next say what fails and what succeeds; windows
beyond five minutes are averages of those, so that three days read thousands of samples instead of millions.

`call_rates` and `tool_rates` are at the head of the group whose alerts page by them, so a page does not wait for
another group's turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tachograph.catalogue.alerts.parts import CALLERS_FAULT, LONGEST, REFUSALS, STUCK_SECONDS, le, none_since
from tachograph.catalogue.durations import number
from tachograph.catalogue.push import PRESENT
from tachograph.catalogue.rules import RecordingRule
from tachograph.settings.alerts import AlertsSettings

WINDOWS: Final = {
    "30m": "rate5m[30m]",
    "1h": "rate5m[1h]",
    "2h": "rate5m[2h]",
    "6h": "rate5m[6h:5m]",
    "1d": "rate30m[1d:30m]",
    "3d": "rate1h[3d:1h]",
}
"""Of what each long rate is the average. Shorter rates side by side hold each event once: 72 of them are three days."""
_CALLS: Final = "llm_call_seconds"
_REQUESTS: Final = "llm_provider_request_seconds"
_TOOLS: Final = "mcp_tool_execute_seconds"
_SHORT: Final = ("2m", "5m")
"""What consecutive failures are counted over: dense traffic shows in two minutes that nothing succeeds."""
_TOP: Final = 120.0


_RATIOS: Final = (
    ("provider:llm_call_errors", "provider:llm_calls"),
    ("provider:llm_call_slow", "provider:llm_call_successes"),
    ("server_id:mcp_tool_errors", "server_id:mcp_tools"),
)
"""What spends an error budget, and of what it is a share."""


def call_rates(s: AlertsSettings) -> tuple[RecordingRule, ...]:
    """Calls, requests and errors a second, by outcome, by model and by provider.

    What is a difference of two of them stands here too: groups are evaluated up to half a minute apart, and where
    traffic ends, that is a difference of its own.
    """
    model = "WHERE, provider, model"
    requests = "provider_model_outcome:llm_provider_requests:rate5m"
    return (
        *(
            RecordingRule(
                f"provider_model_outcome:llm_calls:rate{window}",
                f"sum by ({model}, outcome) (rate({_CALLS}_count[{window}]))",
            )
            for window in _SHORT
        ),
        RecordingRule(
            "provider_model_outcome:llm_provider_requests:rate5m",
            f"sum by ({model}, outcome) (rate({_REQUESTS}_count[5m]))",
        ),
        RecordingRule(
            "provider_model:llm_provider_requests_ended:rate5m",
            f'sum by ({model}) ({requests}{{outcome!="cancelled"}})',
        ),
        RecordingRule(
            "provider_model_error_type:llm_provider_errors:rate5m",
            f"sum by ({model}, error_type) (rate(llm_provider_errors_total[5m]))",
        ),
        RecordingRule(
            "provider_model_error_type:llm_provider_refusals:rate2m",
            f'sum by ({model}, error_type) (rate(llm_provider_errors_total{{error_type=~"{REFUSALS}"}}[2m]))',
        ),
        *_judged(
            "provider_model:llm_call",
            model,
            "provider_model_outcome:llm_calls",
            bad="error|timeout|rate_limited",
            refused={
                "2m": f'provider_model_error_type:llm_provider_refusals:rate2m{{error_type=~"{CALLERS_FAULT}"}}',
                "5m": f'provider_model_error_type:llm_provider_errors:rate5m{{error_type=~"{CALLERS_FAULT}"}}',
            },
        ),
        RecordingRule(
            "provider_model_outcome:llm_call_seconds:rate5m",
            f'sum by ({model}, outcome) (rate({_CALLS}_sum{{outcome=~"success|cancelled"}}[5m]))',
        ),
        *_summed("provider:llm_call", "WHERE, provider", "provider_model:llm_call"),
        *_alone("provider_model:llm_call"),
        *_alone("provider:llm_call"),
        RecordingRule(
            "provider_model:llm_calls_rejected:rate2m",
            f"sum by ({model})"
            ' (provider_model_error_type:llm_provider_refusals:rate2m{error_type="invalid_request"})',
        ),
        *(
            RecordingRule(
                f"provider:llm_provider_{error_type}_errors:rate2m",
                "sum by (WHERE, provider)"
                f' (provider_model_error_type:llm_provider_refusals:rate2m{{error_type="{error_type}"}})',
            )
            for error_type in ("auth", "quota")
        ),
        RecordingRule(
            "provider:llm_call_slow:rate5m",
            "provider:llm_call_successes:rate5m\n"
            f'- sum by (WHERE, provider) (rate({_CALLS}_bucket{{outcome="success",{le(s.latency_seconds)}}}[5m]))',
        ),
        RecordingRule("provider_model:llm_provider_requests:rate5m", f"sum by (WHERE, provider, model) ({requests})"),
        RecordingRule(
            "provider:llm_provider_requests:rate5m",
            "sum by (WHERE, provider) (provider_model:llm_provider_requests:rate5m)",
        ),
        RecordingRule(
            "provider:llm_provider_request_failures:rate5m",
            f'sum by (WHERE, provider) ({requests}{{outcome!~"success|cancelled"}})',
        ),
        RecordingRule(
            "provider:llm_provider_errors:rate5m",
            "sum by (WHERE, provider) (provider_model_error_type:llm_provider_errors:rate5m)",
        ),
        RecordingRule(
            "provider_model:llm_provider_requests_off_scale:rate5m",
            "provider_model:llm_provider_requests:rate5m\n"
            f"- sum by (WHERE, provider, model) (rate({_REQUESTS}_bucket{{{le(_TOP)}}}[5m]))",
        ),
    )


def tool_rates(s: AlertsSettings) -> tuple[RecordingRule, ...]:
    """Tool calls a second, by outcome, by tool and by server."""
    tool = "WHERE, server_id, tool_name"
    return (
        *(
            RecordingRule(
                f"tool_outcome:mcp_tools:rate{window}",
                f"sum by ({tool}, outcome) (rate({_TOOLS}_count[{window}]))",
            )
            for window in (*_SHORT, "10m")
        ),
        *(
            RecordingRule(
                f"tool:mcp_tool_refusals:rate{window}",
                f'sum by ({tool}) (rate(mcp_tool_errors_total{{error_kind="validation"}}[{window}]))',
            )
            for window in _SHORT
        ),
        *_judged(
            "tool:mcp_tool",
            tool,
            "tool_outcome:mcp_tools",
            bad="error|timeout",
            refused={window: f"tool:mcp_tool_refusals:rate{window}" for window in _SHORT},
        ),
        *(
            RecordingRule(
                f"server_id_outcome:mcp_tools:rate{window}",
                f"sum by (WHERE, server_id, outcome) (tool_outcome:mcp_tools:rate{window})",
            )
            for window in _SHORT
        ),
        RecordingRule(
            "server_id_outcome:mcp_tool_seconds:rate5m",
            f'sum by (WHERE, server_id, outcome) (rate({_TOOLS}_sum{{outcome=~"success|cancelled"}}[5m]))',
        ),
        *_summed("server_id:mcp_tool", "WHERE, server_id", "tool:mcp_tool"),
        *_alone("tool:mcp_tool"),
        *_alone("server_id:mcp_tool"),
    )


def _judged(name: str, by: str, counted: str, *, bad: str, refused: dict[str, str]) -> Iterable[RecordingRule]:
    """Failures, successes and all that ended, over each short window.

    What the provider or the tool refused through the caller's fault is not retried, so its call failed with it, and
    is no failure of theirs.
    """
    for window in _SHORT:
        yield RecordingRule(
            f"{name}_errors:rate{window}",
            f'clamp_min(sum by ({by}) ({counted}:rate{window}{{outcome=~"{bad}"}} or -{refused[window]}), 0)',
        )
        yield RecordingRule(
            f"{name}_successes:rate{window}", f'sum by ({by}) ({counted}:rate{window}{{outcome="success"}})'
        )
        yield RecordingRule(f"{name}s:rate{window}", f'sum by ({by}) ({counted}:rate{window}{{outcome!="cancelled"}})')


def _summed(name: str, by: str, part: str) -> Iterable[RecordingRule]:
    for kind in ("_errors:rate2m", "_errors:rate5m", "_successes:rate2m", "_successes:rate5m", "s:rate5m"):
        yield RecordingRule(f"{name}{kind}", f"sum by ({by}) ({part}{kind})")


def _alone(name: str) -> Iterable[RecordingRule]:
    """Failures with no success in the ten minutes before them, and successes that came after such a failure.

    Both exist only where an outage in sparse traffic may be, so rules that look hours back read next to nothing.
    """
    failures = f"{name}_errors_alone:rate2m"
    yield RecordingRule(failures, f"{name}_errors:rate2m > 0 unless {none_since(f'{name}_successes:rate5m', '10m')}")
    yield RecordingRule(
        f"{name}_successes_after:rate5m", f"{name}_successes:rate5m > 0 and last_over_time({failures}[{LONGEST}])"
    )


def windows(s: AlertsSettings) -> tuple[RecordingRule, ...]:
    """Ratios over windows of up to three days, and what alerts compare with their own past."""
    return (
        *(
            RecordingRule(f"{name}:rate{window}", f"avg_over_time({name}:{shorter})")
            for name in dict.fromkeys(one for pair in _RATIOS for one in pair)
            for window, shorter in WINDOWS.items()
        ),
        *(
            RecordingRule(f"{part}:ratio_rate{window}", f"{part}:rate{window} / ({whole}:rate{window} > 0)")
            for part, whole in _RATIOS
            for window in ("5m", *WINDOWS)
        ),
        RecordingRule(
            "provider_model:llm_call_oldest_seconds:max",
            "max by (WHERE, provider, model) (llm_call_oldest_seconds)",
        ),
        RecordingRule(
            "provider_model:llm_call_oldest_seconds:max1h",
            "max_over_time(provider_model:llm_call_oldest_seconds:max[1h])",
        ),
        RecordingRule(
            "provider_model:llm_call_oldest_seconds_long:max1h",
            f"provider_model:llm_call_oldest_seconds:max1h > {number(STUCK_SECONDS / 2)}",
        ),
        RecordingRule(
            "provider:llm_provider_cost_usd_per_hour:rate1h",
            "sum by (WHERE, provider) (rate(llm_provider_cost_usd_total[1h])) * 3600",
        ),
        RecordingRule(
            "provider_model:llm_calls_answered:rate15m",
            f'sum by (WHERE, provider, model) (rate({_CALLS}_count{{outcome=~"success|cancelled"}}[15m]))',
        ),
        RecordingRule(
            "provider_model:llm_provider_tokens:rate15m",
            "sum by (WHERE, provider, model) (rate(llm_provider_tokens_total[15m]))",
        ),
        *(
            (RecordingRule("fleet:tachograph_processes:count", f"count by (FLEET) ({PRESENT})"),)
            if s.profile == "push"
            else ()
        ),
    )
