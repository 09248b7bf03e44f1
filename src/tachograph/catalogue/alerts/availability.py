"""Is a provider answering, and does it let us in."""

from __future__ import annotations

from tachograph.catalogue.alerts.parts import BURN_RATES, HALF, NOT_OUR_FAULT, OUTLASTS, counted, percent, share
from tachograph.catalogue.drill import Counter, Drill, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import Alert
from tachograph.settings.alerts import AlertsSettings

_COUNT = "llm_provider_request_seconds_count"
_MODEL = {"provider": "openai", "model": "gpt-5"}
_PROVIDER = {"provider": "openai"}


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Errors as a share, nothing succeeds, credentials and quota refused, traffic gone."""
    return (_ratio(s), _down(s), _refused("auth"), _refused("quota"), _stopped(s))


def _requests(
    success: tuple[float, float, float], error: tuple[float, float, float], error_type: str = "server_error"
) -> tuple[Histogram | Counter, ...]:
    return (
        Histogram(
            "llm_provider_request_seconds",
            {**_MODEL, "outcome": "success"},
            ({1.5: success[0]}, {1.5: success[1]}, {1.5: success[2]}),
        ),
        Histogram(
            "llm_provider_request_seconds",
            {**_MODEL, "outcome": "error"},
            ({0.3: error[0]}, {0.3: error[1]}, {0.3: error[2]}),
        ),
        Counter("llm_provider_errors_total", {**_MODEL, "error_type": error_type}, error),
    )


def _ratio(s: AlertsSettings) -> Alert:
    errors = 'llm_provider_errors_total{error_type!="rate_limit"}[5m]'
    return Alert(
        name="LLMProviderErrorRatioHigh",
        expression=(
            "(\n"
            f"  sum by (provider, model) (rate({errors}))\n"
            "  /\n"
            f'  (sum by (provider, model) (rate({_COUNT}{{outcome!="cancelled"}}[5m])) > 0)\n'
            f") > {number(s.error_share)}\n"
            "and\n"
            f"sum by (provider, model) (increase({errors})) >= {s.error_floor}"
        ),
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: {{ $value | humanizePercentage }} of requests fail",
        description=(
            "{{ $value | humanizePercentage }} of requests to {{ $labels.provider }}/{{ $labels.model }} ended in an "
            f"error over 5m, on all instances, at least {s.error_floor}. Rate limits have an alert of their own."
        ),
        drill=Drill(
            series=_requests((1, 1 - s.error_share * 2 if s.error_share < 0.4 else 0.1, 1), (0, 1, 0)),
            within="8m",
            labels=_MODEL,
        ),
    )


def _down(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMProviderDown",
        expression=(
            'sum by (provider) (increase(llm_provider_errors_total{error_type!~"invalid_request|content_filter"}[2m]))'
            f" >= {s.down_errors}\n"
            "unless\n"
            f'sum by (provider) (increase({_COUNT}{{outcome="success"}}[2m])) > 0'
        ),
        hold="1m",
        keep=OUTLASTS,
        severity="critical",
        component="llm_provider",
        summary="{{ $labels.provider }}: no request succeeds",
        description=(
            "{{ $value | humanize }} requests to {{ $labels.provider }} failed in 2m and not one succeeded. "
            "Requests that the provider refused as invalid are not counted."
        ),
        drill=Drill(series=_requests((0.5, 0, 0.5), (0.01, 0.5, 0.01)), within="4m30s", labels=_PROVIDER),
    )


def _refused(error_type: str) -> Alert:
    name, summary, meaning = {
        "auth": (
            "LLMProviderAuthFailure",
            "{{ $labels.provider }} rejects our credentials",
            "A retry cannot mend a revoked, expired or wrong key.",
        ),
        "quota": (
            "LLMProviderQuotaExhausted",
            "{{ $labels.provider }}: our quota is used up",
            "Credit or quota is used up: unlike a rate limit, no waiting brings it back.",
        ),
    }[error_type]
    selector = f'llm_provider_errors_total{{error_type="{error_type}"}}'
    return Alert(
        name=name,
        expression=counted(selector, "provider", window="5m", at_least="> 0"),
        hold="1m",
        keep=OUTLASTS,
        severity="critical",
        component="llm_provider",
        summary=summary,
        description=f"{{{{ $value | humanize }}}} {error_type} errors from {{{{ $labels.provider }}}} in 5m. {meaning}",
        drill=Drill(
            series=(Counter("llm_provider_errors_total", {**_MODEL, "error_type": error_type}, (None, 0.05, 0)),),
            within="2m",
            labels=_PROVIDER,
        ),
    )


def _stopped(s: AlertsSettings) -> Alert:
    often = s.quiet_requests_per_second * 4
    return Alert(
        name="LLMProviderTrafficStopped",
        expression=(
            f"sum by (provider) (rate({_COUNT}[1h] offset 30m)) > {number(s.quiet_requests_per_second)}\n"
            "unless\n"
            f"sum by (provider) (rate({_COUNT}[15m])) > 0"
        ),
        hold="10m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}: traffic stopped",
        description=(
            "{{ $labels.provider }} had {{ $value | humanize }} requests/s an hour ago and has none now: the caller "
            "stopped, a router moved the traffic away, or the telemetry is lost."
        ),
        drill=Drill(
            series=_requests((often, 0, often), (0, 0, 0)),
            within="27m",
            labels=_PROVIDER,
            quiet="2h",
            trouble="40m",
        ),
    )


def burn_rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """The error budget burns: four windows of one objective."""
    allowed = 1 - s.availability_objective
    ratio = "provider:llm_provider_errors:ratio_rate"
    return tuple(
        Alert(
            name="LLMProviderErrorBudgetBurn",
            expression=(
                f"{ratio}{long} > {share(factor, allowed)}\n"
                "and on (provider)\n"
                f"{ratio}{short} > {share(factor, allowed)}\n"
                "and on (provider)\n"
                f"sum by (provider) (increase(llm_provider_errors_total{{{NOT_OUR_FAULT}}}[{long}]))"
                f" >= {s.error_floor}\n"
                "and on (provider)\n"
                f"{ratio}{long} offset {HALF[long]}"
            ),
            hold=hold,
            severity="critical" if severity == "critical" else "warning",
            component="llm_provider",
            more_labels=(("slo", "llm_provider_availability"), ("long", long), ("short", short)),
            summary=f"{{{{ $labels.provider }}}} burns its error budget too fast ({long}/{short})",
            description=(
                f"{{{{ $value | humanizePercentage }}}} of requests to {{{{ $labels.provider }}}} failed over {long}: "
                f"more than {number(factor)} times what the objective of {percent(s.availability_objective)} allows. "
                "Invalid requests, filtered content and rate limits are not counted."
            ),
            drill=_burn_drill(long, min(0.99, factor * allowed * 5)),
        )
        for long, short, factor, hold, severity in BURN_RATES
    )


def _burn_drill(long: str, error: float) -> Drill:
    quiet, trouble, after, within, step = {
        "1h": ("1h30m", "25m", "30m", "18m", "15s"),
        "6h": ("7h", "3h", "2h", "2h30m", "1m"),
        "1d": ("26h", "12h", "5h", "9h", "5m"),
        "3d": ("74h", "22h", "8h", "20h", "10m"),
    }[long]
    return Drill(
        series=_requests((1, 1 - error, 1), (0.0, error, 0.0)),
        within=within,
        labels=_PROVIDER,
        quiet=quiet,
        trouble=trouble,
        after=after,
        step=step,
    )
