"""Every file of an export, by its path."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

from tachograph import catalogue
from tachograph.catalogue import push, runbook_pages
from tachograph.catalogue.export import alertmanager, grafana, kubernetes, mixin, prometheus
from tachograph.errors import TachographError
from tachograph.settings import Settings

PARTS: Final = ("grafana", "prometheus", "alertmanager", "runbooks")
_WEBHOOK: Final = "http://127.0.0.1:9099/"


class ExportError(TachographError):
    """The export cannot be written."""


def files(
    settings: Settings,
    *,
    only: tuple[str, ...] = (),
    kubernetes_too: bool = False,
    namespaces: tuple[str, ...] = (),
    mixin_too: bool = False,
    prometheus_url: str = "http://127.0.0.1:9090",
    trace_url: str = "",
) -> dict[str, str]:
    """What to write: relative path to text, in order. The same settings always give the same text.

    Args:
        settings: Thresholds, job, URLs.
        only: Some of `PARTS`; empty: all.
        kubernetes_too: Write manifests for the Prometheus Operator as well.
        namespaces: Where the application's pods are, for the PodMonitor; empty: any namespace.
        mixin_too: Write rules, dashboards and runbooks in the layout of a rendered monitoring mixin as well.
        prometheus_url: Where Grafana finds Prometheus.
        trace_url: Where an exemplar leads in Grafana, with `${__value.raw}` for the trace id.
    """
    settings = catalogue.resolved(settings)
    wanted = only or PARTS
    groups = catalogue.rule_groups(settings)
    found: dict[str, str] = {}
    if "grafana" in wanted:
        for dashboard in catalogue.dashboards(settings):
            name = dashboard.uid.removeprefix("tachograph-")
            found[f"grafana/dashboards/{name}.json"] = grafana.dashboard_text(dashboard)
        pushed = settings.alerts.profile == "push"
        every = push.interval(settings.alerts) if pushed else settings.alerts.scrape_interval
        for path, text in grafana.provisioning(prometheus_url, trace_url, interval=every).items():
            found[f"grafana/provisioning/{path}"] = text
    if "prometheus" in wanted:
        found["prometheus/prometheus.yml"] = prometheus.scrape_text(settings.alerts)
        for name, text in prometheus.rule_files(groups).items():
            found[f"prometheus/rules/{name}"] = text
    if "alertmanager" in wanted:
        found["alertmanager/alertmanager.yml"] = alertmanager.config_text(
            _WEBHOOK + "page", _WEBHOOK + "ticket", _WEBHOOK + "note", _WEBHOOK + "watchdog", settings.alerts.identity
        )
    if kubernetes_too:
        boards = catalogue.dashboards(settings)
        manifests = kubernetes.manifests(groups, boards, settings.alerts, namespaces=namespaces)
        found |= {f"kubernetes/{name}": text for name, text in manifests.items()}
    if mixin_too:
        found |= {f"mixin/{name}": text for name, text in mixin.files(groups, catalogue.dashboards(settings)).items()}
    if "runbooks" in wanted:
        for alert in catalogue.alert_names(settings):
            found[f"runbooks/{alert}.md"] = runbook_pages.page(alert, groups)
        found["runbooks/README.md"] = runbook_pages.index(groups)
    return found


def write(directory: Path, texts: dict[str, str]) -> tuple[int, int]:
    """Write the files that changed.

    Returns:
        How many were written, and how many stood there already as they should.

    Raises:
        ExportError: The directory cannot be written.
    """
    written = 0
    for name, text in texts.items():
        path = directory / PurePosixPath(name)
        try:
            if path.is_file() and path.read_text("utf-8") == text:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ExportError(
                f"the file cannot be written: {error}", where=str(path), do="Name another directory, or make room."
            ) from error
        written += 1
    return written, len(texts) - written
