"""Do calls succeed, is a provider answering, and does it let us in.

Pages count calls, which are what users meet. Requests, retries included, show how well a provider does: tickets.
"""

from __future__ import annotations

from tachograph.catalogue.alerts.parts import (
    CALLERS_FAULT,
    OUTLASTS,
    STUCK_SECONDS,
    burn_drills,
    burn_rates,
    given_up,
    none_since,
    nothing_succeeds,
    percent,
    seen,
)
from tachograph.catalogue.drill import Counter, Drill, Gauge, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings

_ERRORS = "provider_model_error_type:llm_provider_errors:rate5m"
_REQUESTS = "provider_model_outcome:llm_provider_requests:rate5m"
_ENDED = "provider_model:llm_provider_requests_ended:rate5m"
_CALLS = "llm_call_seconds_count"
_MODEL = {"provider": "openai", "model": "gpt-5"}
_PROVIDER = {"provider": "openai"}


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """Calls that fail, credentials and quota refused, models that are gone, calls that hang, traffic gone."""
    return (
        _ratio(s),
        _down(s, "LLMProviderDown", "provider"),
        _down(s, "LLMModelDown", "provider, model"),
        _failing(s),
        _rejected(s),
        _refused(s, "auth"),
        _refused(s, "quota"),
        _hanging(s),
        _given_up(s),
        _stuck(s),
        _stopped(s),
    )


def _requests(
    success: tuple[float, float, float], error: tuple[float, float, float], error_type: str = "server_error"
) -> tuple[Histogram | Counter, ...]:
    """So many calls a second of one attempt each."""
    return (
        *(
            Histogram(family, {**_MODEL, "outcome": outcome}, ({seconds: n[0]}, {seconds: n[1]}, {seconds: n[2]}))
            for family in ("llm_provider_request_seconds", "llm_call_seconds")
            for outcome, seconds, n in (("success", 1.5, success), ("error", 0.3, error))
        ),
        Counter("llm_provider_errors_total", {**_MODEL, "error_type": error_type}, error),
    )


def _ratio(s: AlertsSettings) -> Alert:
    by = "WHERE, provider, model"
    return Alert(
        name="LLMProviderErrorRatioHigh",
        expression=(
            "(\n"
            f'  (sum by ({by}) ({_REQUESTS}{{outcome=~"error|timeout"}}) * 300 >= {s.error_floor}) / 300\n'
            f"  /\n  ({_ENDED} > 0)\n"
            f") > {number(s.error_share)}"
        ),
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: " + SHARE + " of requests fail",
        description=(
            SHARE + " of requests to {{ $labels.provider }}/{{ $labels.model }} ended in an "
            f"error over 5m, at least {s.error_floor}, each retry counted. Rate limits have an alert of their own."
        ),
        drill=Drill(
            series=_requests((1, 1 - s.error_share * 2 if s.error_share < 0.4 else 0.1, 1), (0, 1, 0)),
            within="8m",
            labels=_MODEL,
        ),
    )


def _down(s: AlertsSettings, name: str, labels: str) -> Alert:
    what = "{{ $labels.provider }}" + ("/{{ $labels.model }}" if "model" in labels else "")
    return Alert(
        name=name,
        expression=nothing_succeeds(
            f"{'provider_model' if 'model' in labels else 'provider'}:llm_call", at_least=s.down_errors
        ),
        hold="1m",
        keep=OUTLASTS,
        severity="critical",
        component="llm_provider",
        summary=f"{what}: every call fails",
        description=(
            f'The last {{{{ $value | printf "%.0f" }}}} calls to {what} failed, retries included, and none succeeded '
            "in between. Calls that were refused as invalid are not counted."
        ),
        drill=Drill(
            series=_requests((0.5, 0, 0.5), (0.01, 0.5, 0.01)),
            within="4m30s",
            labels=_PROVIDER if labels == "provider" else _MODEL,
            after="25m",
        ),
    )


def _failing(s: AlertsSettings) -> Alert:
    level = "provider_model:llm_call"
    errors, calls, share = f"{level}_errors:rate5m", f"{level}s:rate5m", number(s.page_share)
    return Alert(
        name="LLMCallsFailing",
        expression=(
            f"({errors} * 300 >= {s.error_floor * 2}) / 300 / ({calls} > 0) > {share}\n"
            "and (\n"
            f"  {level}_errors:rate2m / ({level}s:rate2m > 0) > {share}\n"
            f"  or\n  sum_over_time({errors}[10m]) / (sum_over_time({calls}[10m]) > 0) > {share}\n"
            ")"
        ),
        hold="2m",
        keep=OUTLASTS,
        severity="critical",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: " + SHARE + " of calls fail",
        description=(
            SHARE + " of calls to {{ $labels.provider }}/{{ $labels.model }} failed over 5m, "
            f"retries included: at least {s.error_floor * 2} calls. Calls refused as invalid are not counted."
        ),
        drill=Drill(series=_requests((1, 0.4, 1), (0.001, 0.6, 0.001)), within="5m", labels=_MODEL, after="25m"),
    )


def _rejected(s: AlertsSettings) -> Alert:
    by = "WHERE, provider, model"
    successes = "provider_model:llm_call_successes"
    rejected = "provider_model:llm_calls_rejected:rate2m"
    refusals = "provider_model_error_type:llm_provider_refusals:rate2m"
    return Alert(
        name="LLMModelRejected",
        expression=(
            f'(sum by ({by}) ({refusals}{{error_type=~"{CALLERS_FAULT}"}}) * 120 >= {s.down_errors}'
            f" unless {successes}:rate2m > 0)\n"
            "or\n"
            f'(sum by ({by}) ({_ERRORS}{{error_type="invalid_request"}}) * 300 >= 3'
            f" unless {successes}:rate5m > 0)\n"
            "or\n"
            f"({seen(rejected, '30m', 3)} unless {none_since(f'{successes}:rate5m', '30m')})"
        ),
        hold="2m",
        keep=OUTLASTS,
        severity="critical",
        component="llm_provider",
        summary="{{ $labels.provider }} rejects every call to {{ $labels.model }}",
        description=(
            '{{ $labels.provider }} refused the last {{ $value | printf "%.0f" }} calls to {{ $labels.model }} as '
            "invalid, or its content filter stopped them, and none succeeded: the model is retired or misspelled, or "
            "every request has the same fault."
        ),
        drill=Drill(
            series=_requests((0.2, 0, 0.2), (0, 0.2, 0), "invalid_request"), within="8m", labels=_MODEL, after="30m"
        ),
    )


def _refused(s: AlertsSettings, error_type: str) -> Alert:
    name, summary, meaning = {
        "auth": (
            "LLMProviderAuthFailure",
            "{{ $labels.provider }} rejects our credentials",
            "Retries do not help: replace the revoked, expired or wrong API key.",
        ),
        "quota": (
            "LLMProviderQuotaExhausted",
            "{{ $labels.provider }}: our quota is used up",
            "Credit or quota is used up. Unlike a rate limit, it does not come back by waiting.",
        ),
    }[error_type]
    by = "WHERE, provider"
    refused = f'{{error_type="{error_type}"}}'
    return Alert(
        name=name,
        expression=(
            "(\n"
            f"  sum by ({by}) ({_ERRORS}{refused})\n"
            f"  > {number(s.refused_share)} * sum by ({by}) ({_ENDED})\n"
            ") * 300 >= 3\n"
            "or\n"
            f"({seen(f'provider:llm_provider_{error_type}_errors:rate2m', '30m', 2)}"
            f" unless {none_since('provider:llm_call_successes:rate5m', '30m')})"
        ),
        hold="2m",
        keep=OUTLASTS,
        severity="critical",
        component="llm_provider",
        summary=summary,
        description=(
            f'{{{{ $value | printf "%.0f" }}}} {error_type} errors from {{{{ $labels.provider }}}}, more than '
            f"{percent(s.refused_share)} of its requests. {meaning}"
        ),
        drill=Drill(
            series=_requests((1, 0.5, 1), (0, 0.5, 0), error_type), within="4m30s", labels=_PROVIDER, after="25m"
        ),
    )


def _hanging(s: AlertsSettings) -> Alert:
    by = "WHERE, provider, model"
    return Alert(
        name="LLMProviderHanging",
        expression=(
            f"sum by ({by}) (llm_calls_in_flight) > 0\n"
            f"and\nmax by ({by}) (llm_call_oldest_seconds) > {number(s.hang_seconds)}\n"
            f"and\nprovider_model:llm_calls:rate5m offset 2m > {number(s.quiet_requests_per_second)}\n"
            f"unless\nsum by ({by}) (increase({_CALLS}[1m])) > 0"
        ),
        hold="30s",
        keep=OUTLASTS,
        severity="critical",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: calls begin and none ends",
        description=(
            '{{ $value | printf "%.0f" }} calls to {{ $labels.provider }}/{{ $labels.model }} are under way, the '
            f"oldest for more than {number(s.hang_seconds)} s, and no call has ended for a minute."
        ),
        drill=Drill(
            series=(
                *_requests((1, 0, 1), (0, 0, 0)),
                Gauge("llm_calls_in_flight", _MODEL, (2, 2, 2), slope=(0, 1, 0)),
                Gauge("llm_call_oldest_seconds", _MODEL, (2, 2, 2), slope=(0, 1, 0)),
            ),
            within="3m",
            labels=_MODEL,
            trouble="5m",
            after="25m",
        ),
    )


def _given_up(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMCallsGivenUp",
        expression=given_up(
            "provider_model_outcome:llm_calls",
            "provider_model_outcome:llm_call_seconds",
            "WHERE, provider, model",
            at_least=s.down_errors,
        ),
        hold="1m",
        keep=OUTLASTS,
        severity="critical",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: every call is cancelled before its answer",
        description=(
            'The application cancelled the last {{ $value | printf "%.0f" }} calls to '
            "{{ $labels.provider }}/{{ $labels.model }} after longer than an answer took in the hour before, and none "
            "succeeded in between. A time limit of the application's own cancels calls that hang."
        ),
        drill=Drill(
            series=tuple(
                Histogram("llm_call_seconds", {**_MODEL, "outcome": outcome}, observed)
                for outcome, observed in (
                    ("success", ({1.5: 1.0}, {1.5: 0.0}, {1.5: 1.0})),
                    ("cancelled", ({1.5: 0.05}, {30.0: 1.0}, {1.5: 0.05})),
                )
            ),
            within="7m",
            labels=_MODEL,
            after="25m",
        ),
    )


def _stuck(s: AlertsSettings) -> Alert:
    oldest, long = (f"provider_model:llm_call_oldest_seconds{part}" for part in (":max", "_long:max1h"))
    return Alert(
        name="LLMCallStuck",
        expression=(
            f"{oldest} > {number(STUCK_SECONDS)}\n"
            f"and\n{oldest} > 2 * {oldest}1h offset 15m\n"
            f"unless\n{oldest} <= 2 * max_over_time({long}[1d:1h] offset 15m)"
        ),
        hold="5m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}/{{ $labels.model }}: a call runs for {{ $value | humanizeDuration }}",
        description=(
            "A call to {{ $labels.provider }}/{{ $labels.model }} has run for {{ $value | humanizeDuration }}, twice "
            "as long as any of the preceding day."
        ),
        drill=Drill(
            series=(Gauge("llm_call_oldest_seconds", _MODEL, (20, 20, 20), slope=(0, 1, 0)),),
            within="16m",
            labels=_MODEL,
            quiet="2h",
            trouble="20m",
            step="30s",
        ),
    )


def _stopped(s: AlertsSettings) -> Alert:
    often = s.quiet_requests_per_second * 4
    calls = "provider:llm_calls:rate5m"
    usual = number(s.quiet_requests_per_second)
    return Alert(
        name="LLMProviderTrafficStopped",
        expression=(
            f"avg_over_time({calls}[1h] offset 30m) > {usual}\n"
            "and\n"
            f"(avg_over_time({calls}[30m] offset 10065m) or avg_over_time({calls}[30m] offset 1425m)) > {usual}\n"
            "unless\n"
            f"avg_over_time({calls}[15m]) > 0"
        ),
        hold="10m",
        severity="warning",
        component="llm_provider",
        summary="{{ $labels.provider }}: traffic stopped",
        description=(
            '{{ $labels.provider }} had {{ $value | printf "%.2f" }} calls/s an hour ago and has none now, though it '
            "had some at this hour a week ago (a day ago, where there is no week of history): the caller stopped, a "
            "router moved the traffic away, or the telemetry is lost."
        ),
        drill=Drill(
            series=_requests((often, 0, often), (0, 0, 0)),
            within="32m",
            labels=_PROVIDER,
            quiet="26h",
            trouble="45m",
            step="1m",
        ),
    )


def burn_rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """The error budget burns."""
    drills = burn_drills(
        lambda error: _requests((1, 1 - error, 1), (0.0, error, 0.0)), _PROVIDER, 1 - s.availability_objective
    )
    return burn_rates(
        Alert(
            name="LLMProviderErrorBudgetBurn",
            expression="",
            hold="",
            severity="critical",
            component="llm_provider",
            more_labels=(("slo", "llm_provider_availability"),),
            summary="{{ $labels.provider }} burns its error budget too fast (over LONG and SHORT)",
            description=(
                SHARE + " of calls to {{ $labels.provider }} failed over LONG: EXCEEDS "
                "what the objective of OBJECTIVE allows. Calls that retries saved are not counted, nor "
                "invalid requests and filtered content."
            ),
            drill=drills["1h"],
        ),
        level="provider",
        part="provider:llm_call_errors",
        counted="provider:llm_call_errors",
        objective=s.availability_objective,
        at_least=s.error_floor,
        drills=drills,
    )
