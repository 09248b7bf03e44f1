"""docs/metrics.md, from the families themselves: `python -m tachograph.signals.reference docs/metrics.md`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tachograph.signals.families import COLLECT_FAMILIES, CONSOLE_FAMILIES
from tachograph.signals.family import Family
from tachograph.signals.registry import Metrics

HEAD: Final = """# Metrics

<!-- Written by `python -m tachograph.signals.reference docs/metrics.md` from the families in src/tachograph. -->

Every family that is on `/metrics`, with its exact name, labels and buckets. Families marked * are fixed: dashboards
and rules may rely on them. Families without samples still show their HELP and TYPE.

A *request* is one attempt on the wire, a *call* is what your code asked for: a call that got two 429s and then
succeeded is three requests, two errors and one call, and its tokens are counted once.

## Where to scrape

- `metrics.port = 9464` serves `http://127.0.0.1:9464/metrics` from the process itself.
- `tachograph.metrics_wsgi_app()` and `tachograph.metrics_asgi_app()` mount in your own server.
- `prometheus_client.REGISTRY.register(tachograph.signals.prometheus_client.Collector())` adds the families to a
  registry you already serve (`pip install 'tachograph[prometheus]'`).
- [otlp.md](otlp.md) pushes them. [multiprocess.md](multiprocess.md) sums several worker processes.

Prometheus text 0.0.4 and OpenMetrics 1.0.0 are chosen by the Accept header, gzip by Accept-Encoding. OpenMetrics
carries exemplars with the trace id on the latency histograms. Bounds are written as `le="1.0"`, `le="1e-05"` in both.

## Labels

- Known label sets start at zero: when a provider and model, or a tool, is met for the first time, all its outcomes,
  types and kinds exist, so that `rate()` sees the first error.
- A label whose values come from outside (marked with a dagger below) has at most `metrics.label_limit` of them (200);
  further ones become `other`, counted in `tachograph_label_overflow_total`. Values are cut at 200 characters and
  cleaned.
- `metrics.labels = ["team"]` makes that key of `tachograph.labels(team="search")` a label of the families marked with a
  double dagger.
- Cost is kept in whole billionths of a dollar, so sums are exact.
"""


def families() -> list[Family]:
    """Every family, in the order of /metrics."""
    from tachograph.runtime import join

    return list(join(Metrics(())).metrics.families.values())


def markdown() -> str:
    """The whole page."""
    parts = [HEAD]
    everything = families()
    for title, prefixes in (
        ("LLM providers", ("llm_provider_", "llm_call")),
        ("Runs of agents", ("llm_run_",)),
        ("MCP", ("mcp_",)),
        ("Usage ledger", ("llm_usage_", "llm_budget_")),
        ("Factories, process and Tachograph itself", ("",)),
    ):
        mine = [family for family in everything if family.name.startswith(prefixes)]
        everything = [family for family in everything if family not in mine]
        parts.append(f"\n## {title}\n\n| family | kind | labels | what it counts |\n|---|---|---|---|\n")
        parts += [_row(family) for family in mine]
    for title, own in (("The console's own process", CONSOLE_FAMILIES), ("`tachograph collect`", COLLECT_FAMILIES)):
        parts.append(f"\n## {title}\n\n| family | kind | labels | what it counts |\n|---|---|---|---|\n")
        parts += [_row(family) for family in own]
    return "".join(parts)


def _row(family: Family) -> str:
    labels = "<br>".join(_label(family, label) for label in family.labels) or "none"
    kind = f"{family.kind}, workers: {family.gauge_merge}" if family.kind == "gauge" else family.kind
    if family.buckets:
        kind += "; le " + " ".join(repr(float(bound)) for bound in family.buckets)
    name = f"`{family.name}`{' *' if family.fixed else ''}{' ‡' if family.takes_user_labels else ''}"
    return f"| {name} | {kind} | {labels} | {family.help} |\n"


def _label(family: Family, label: str) -> str:
    values = family.values.get(label)
    if values:
        return f"`{label}`: {', '.join(values)}"
    return f"`{label}`{' †' if label in family.bounded else ''}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")
