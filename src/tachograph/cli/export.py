"""`tachograph export`: dashboards, rules, routes and runbooks as files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

_EPILOG: Final = """\
writes:
  DIR/grafana/dashboards/*.json        import them, or provision them with DIR/grafana/provisioning
  DIR/prometheus/rules/*.yaml          for rule_files; tachograph-required.yaml stands alone
  DIR/prometheus/prometheus.yml        an example scrape configuration
  DIR/alertmanager/alertmanager.yml    routes and inhibitions, with placeholders for receivers
  DIR/runbooks/*.md                    one page per alert, and an index

Thresholds, objectives and budgets are settings: section [alerts], see docs/alerts.md.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from tachograph.catalogue.export.files import PARTS

    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("directory", type=Path, metavar="DIR", help="where to write; made if it is not there")
    parser.add_argument(
        "--only", action="append", choices=PARTS, default=[], help="write only this part (may be given several times)"
    )
    parser.add_argument("--grafana-v2", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kubernetes", action="store_true", help="write manifests for the Prometheus Operator as well")
    parser.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="namespace of the application's pods (--kubernetes; may be given several times; any unless given)",
    )
    parser.add_argument("--mixin", action="store_true", help="write the layout of a rendered monitoring mixin as well")
    parser.add_argument("--job", metavar="NAME", help="name of the scrape job (setting alerts.job)")
    parser.add_argument(
        "--runbook-url", metavar="URL", help="what runbook links begin with (setting alerts.runbook_url)"
    )
    parser.add_argument(
        "--prometheus-url", default="http://127.0.0.1:9090", metavar="URL", help="where Grafana finds Prometheus"
    )
    parser.add_argument(
        "--trace-url", default="", metavar="URL", help="where an exemplar leads, ${__value.raw} being the trace id"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")


def run(args: argparse.Namespace) -> int:
    """Write the files, or with --check compare them."""
    from tachograph.catalogue.export.files import files, write
    from tachograph.settings import load

    if args.grafana_v2:
        print("--grafana-v2 writes nothing any more: every Grafana imports grafana/dashboards/*.json", file=sys.stderr)
    overrides = {"job": args.job, "runbook_url": args.runbook_url}
    settings = load({"alerts": {key: value for key, value in overrides.items() if value is not None}})
    texts = files(
        settings,
        only=tuple(args.only),
        kubernetes_too=args.kubernetes,
        namespaces=tuple(args.namespace),
        mixin_too=args.mixin,
        prometheus_url=args.prometheus_url,
        trace_url=args.trace_url,
    )
    if args.check:
        return _check(args.directory, texts)
    written, same = write(args.directory, texts)
    print(f"{written} files written, {same} unchanged in {args.directory}")
    return 0


def _check(directory: Path, texts: dict[str, str]) -> int:
    stale = [
        name
        for name, text in texts.items()
        if not (directory / name).is_file() or (directory / name).read_text("utf-8") != text
    ]
    for name in stale:
        print(f"would change: {directory / name}")
    print(f"{len(texts) - len(stale)} of {len(texts)} files are as they would be written")
    return 1 if stale else 0
