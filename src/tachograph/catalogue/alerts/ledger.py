"""The usage ledger: writes that fail, records that wait, records that are gone."""

from __future__ import annotations

from typing import Final

from tachograph.catalogue.alerts.parts import counted, human
from tachograph.catalogue.drill import Counter, Drill, Gauge, Histogram
from tachograph.catalogue.durations import number
from tachograph.catalogue.rules import SHARE, Alert
from tachograph.settings.alerts import AlertsSettings

_ERRORS: Final = "llm_usage_persist_errors_total"
_SECONDS: Final = "llm_usage_persist_seconds"
_QUEUE: Final = "llm_usage_persist_queue_size"
_ACCEPTED: Final = "llm_usage_records_accepted_total"


def rules(s: AlertsSettings) -> tuple[Alert, ...]:
    """From a first failed write to a record that is gone."""
    return (
        _errors(),
        _ratio(s),
        _backlog(s),
        _lag(s),
        _stalled(),
        _slow(s),
        _lost(),
        _suspected(),
        _quarantined(),
        _files(),
    )


def _written(success: tuple[float, float, float], seconds: float = 0.004) -> Histogram:
    return Histogram(
        _SECONDS, {"outcome": "success"}, ({seconds: success[0]}, {seconds: success[1]}, {seconds: success[2]})
    )


def _errors() -> Alert:
    return Alert(
        name="LLMUsagePersistErrors",
        expression=counted(_ERRORS, "WHERE, error_type", window="5m", at_least="> 0"),
        hold="2m",
        severity="warning",
        component="usage",
        summary="Usage records fail to persist: {{ $labels.error_type }}",
        description=(
            '{{ $value | printf "%.0f" }} {{ $labels.error_type }} failures in 5m. The records are kept on disk and '
            "tried again; reports are late meanwhile."
        ),
        drill=Drill(
            series=(Counter(_ERRORS, {"error_type": "db_error"}, (0, 0.05, 0)),),
            within="3m30s",
            labels={"error_type": "db_error"},
        ),
    )


def _ratio(s: AlertsSettings) -> Alert:
    share = min(0.9, s.persist_error_share * 6)
    return Alert(
        name="LLMUsagePersistErrorRatioHigh",
        expression=(
            f'sum by (PLACE) (rate({_SECONDS}_count{{outcome="error"}}[5m]))'
            f" / (sum by (PLACE) (rate({_SECONDS}_count[5m])) > 0)"
            f" > {number(s.persist_error_share)}\n"
            "and\n"
            f'sum by (PLACE) (increase({_SECONDS}_count{{outcome="error"}}[5m])) >= {s.error_floor}'
        ),
        hold="5m",
        severity="critical",
        component="usage",
        summary=SHARE + " of usage writes fail",
        description=(
            SHARE + " of the writes of usage records failed over 5m: they pile up on disk, "
            "and reports and budgets are late."
        ),
        drill=Drill(
            series=(
                _written((1.0, 1 - share, 1.0)),
                Histogram(_SECONDS, {"outcome": "error"}, ({0.5: 0.0}, {0.5: share}, {0.5: 0.0})),
            ),
            within="7m",
        ),
    )


def _backlog(s: AlertsSettings) -> Alert:
    return Alert(
        name="LLMUsagePersistBacklog",
        expression=(
            f"sum by (PLACE) ({_QUEUE}) > {s.persist_backlog}\nand\nderiv(sum by (PLACE) ({_QUEUE})[10m:30s]) > 0"
        ),
        hold="5m",
        severity="warning",
        component="usage",
        summary='Usage queue holds {{ $value | printf "%.0f" }} records and grows',
        description='{{ $value | printf "%.0f" }} usage records wait to be written and their number still grows.',
        drill=Drill(
            series=(Gauge(_QUEUE, {}, (3, 3, 3), slope=(0, s.persist_backlog / 150, 0)),),
            within="9m",
        ),
    )


def _lag(s: AlertsSettings) -> Alert:
    minutes = int(s.persist_lag_seconds // 60)
    return Alert(
        name="LLMUsagePersistLag",
        expression=f"max by (PLACE) (llm_usage_persist_oldest_age_seconds) > {number(s.persist_lag_seconds)}",
        hold="5m",
        severity="warning",
        component="usage",
        summary="The oldest unwritten usage record is {{ $value | humanizeDuration }} old",
        description=(
            "A usage record has waited {{ $value | humanizeDuration }} for the store: reports and budgets are late by "
            "as much."
        ),
        drill=Drill(
            series=(Gauge("llm_usage_persist_oldest_age_seconds", {}, (0.5, 0.5, 0.5), slope=(0, 1, 0)),),
            within=f"{minutes + 7}m",
            trouble=f"{minutes + 10}m",
        ),
    )


def _stalled() -> Alert:
    return Alert(
        name="LLMUsagePersistStalled",
        expression=(
            f"(sum by (PLACE) ({_QUEUE}) > 0 and max by (PLACE) (llm_usage_persist_oldest_age_seconds) > 120)\n"
            "unless\n"
            f'sum by (PLACE) (increase({_SECONDS}_count{{outcome="success"}}[5m])) > 0\n'
            "or\n"
            f"sum by (PLACE) ({_QUEUE}) > 0 and max by (PLACE) (llm_usage_writer_alive) == 0"
        ),
        hold="3m",
        severity="critical",
        component="usage",
        summary='Usage writer is stalled with {{ $value | printf "%.0f" }} records queued',
        description=(
            '{{ $value | printf "%.0f" }} usage records are queued, and either none was written for 5m or no writer is '
            "alive on any host."
        ),
        drill=Drill(
            series=(
                Gauge(_QUEUE, {}, (2, 40, 2), slope=(0, 0.5, 0)),
                Gauge("llm_usage_persist_oldest_age_seconds", {}, (0.5, 0.5, 0.5), slope=(0, 1, 0)),
                Gauge("llm_usage_writer_alive", {}, (1, 0, 1)),
                _written((0.5, 0, 0.5)),
            ),
            within="4m30s",
        ),
    )


def _slow(s: AlertsSettings) -> Alert:
    slow = s.persist_seconds * 1.6
    return Alert(
        name="LLMUsagePersistSlow",
        expression=(
            f"histogram_quantile(0.95, sum by (PLACE, le) (rate({_SECONDS}_bucket[5m]))) > {number(s.persist_seconds)}"
        ),
        hold="10m",
        severity="warning",
        component="usage",
        summary="Usage writes: p95 {{ $value | humanizeDuration }}",
        description=(
            "p95 of usage writes is {{ $value | humanizeDuration }}, above "
            f"{human(s.persist_seconds)} (1s means 1s or more). A backlog is next."
        ),
        drill=Drill(
            series=(Histogram(_SECONDS, {"outcome": "success"}, ({0.004: 0.5}, {slow: 0.5}, {0.004: 0.5})),),
            within="12m",
            trouble="20m",
        ),
    )


def _lost() -> Alert:
    return Alert(
        name="LLMUsageRecordsLost",
        expression=(
            "sum by (WHERE, instance) (increase(llm_usage_records_lost_total[15m]))"
            " + on (WHERE, instance) sum by (WHERE, instance) (increase(llm_usage_records_refused_total[15m])) > 0"
        ),
        hold="0s",
        severity="critical",
        component="usage",
        summary='{{ $value | printf "%.0f" }} usage records are gone on {{ $labels.instance }}',
        description=(
            '{{ $value | printf "%.0f" }} usage records were refused or lost on {{ $labels.instance }} in 15m: usage '
            "and cost of those calls are in the metrics, but not in the ledger."
        ),
        drill=Drill(
            series=(
                Counter("llm_usage_records_lost_total", {}, (0, 0, 0)),
                Counter("llm_usage_records_refused_total", {"reason": "disk_full"}, (0, 0.1, 0)),
            ),
            within="1m30s",
            labels={"instance": "drill:9464"},
        ),
    )


def _suspected() -> Alert:
    return Alert(
        name="LLMUsageLossSuspected",
        expression=(
            "(\n"
            f"  sum by (PLACE) (increase({_ACCEPTED}[1h]))\n"
            f'  - sum by (PLACE) (increase({_SECONDS}_count{{outcome="success"}}[1h]))\n'
            f"  - (sum by (PLACE) (increase(llm_usage_records_quarantined_total[1h]))"
            f" or 0 * sum by (PLACE) (increase({_ACCEPTED}[1h])))\n"
            f"  - (sum by (PLACE) (delta({_QUEUE}[1h]))"
            f" or 0 * sum by (PLACE) (increase({_ACCEPTED}[1h])))\n"
            ")\n"
            "/\n"
            f"(sum by (PLACE) (increase({_ACCEPTED}[1h])) > 100)\n"
            "> 0.02\n"
            f'and sum by (PLACE) (increase({_SECONDS}_count{{outcome="success"}}[1h])) > 0'
        ),
        hold="30m",
        severity="warning",
        component="usage",
        summary=SHARE + " of usage records never arrived",
        description=(
            "Over 1h, " + SHARE + " of the records that the ledger accepted are neither in the "
            "store, nor waiting, nor set aside. No counter reports a loss, so look for a host that is gone."
        ),
        drill=Drill(
            series=(
                Counter(_ACCEPTED, {}, (0.5, 0.5, 0.5)),
                Gauge(_QUEUE, {}, (2, 2, 2)),
                _written((0.5, 0.3, 0.5)),
            ),
            within="45m",
            quiet="1h30m",
            trouble="1h",
            after="2h",
            step="30s",
        ),
    )


def _quarantined() -> Alert:
    return Alert(
        name="LLMUsageRecordsQuarantined",
        expression="sum by (PLACE, reason) (increase(llm_usage_records_quarantined_total[15m])) > 0",
        hold="0s",
        severity="warning",
        component="usage",
        summary='{{ $value | printf "%.0f" }} usage records were set aside: {{ $labels.reason }}',
        description=(
            '{{ $value | printf "%.0f" }} usage records were set aside in 15m because the store will never take them '
            "({{ $labels.reason }}). They are on disk and in no report."
        ),
        drill=Drill(
            series=(Counter("llm_usage_records_quarantined_total", {"reason": "rejected"}, (0, 0.05, 0)),),
            within="1m30s",
            labels={"reason": "rejected"},
        ),
    )


def _files() -> Alert:
    faults = "llm_usage_file_faults_total"
    return Alert(
        name="LLMUsageFileFaults",
        expression=counted(faults, "PLACE, fault", window="15m", at_least="> 0"),
        hold="0s",
        severity="warning",
        component="usage",
        summary="The usage ledger's files are not what they were: {{ $labels.fault }}",
        description=(
            '{{ $value | printf "%.0f" }} times in 15m: {{ $labels.fault }}. The ledger has opened its files again or '
            "left the entry out; what it accepted is stored."
        ),
        drill=Drill(
            series=(Counter(faults, {"fault": "database_replaced"}, (0, 0.05, 0)),),
            within="1m30s",
            labels={"fault": "database_replaced"},
        ),
    )
