"""`tachograph fire-drill`: every alert quiet, firing and resolved; or one incident end to end."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tachograph.catalogue.rules import EVALUATION_INTERVAL
from tachograph.cli.columns import print_rows, show_progress
from tachograph.cli.demo_package import check_demo
from tachograph.option_values import add_rules, not_negative, number, positive

if TYPE_CHECKING:
    from tachograph.catalogue.rules import Alert
    from tachograph.drill.rehearse import Rehearsal
    from tachograph.settings import Settings
    from tachograph.settings.alerts import AlertsSettings
    from tachograph_demo.incident_drill import Entry, Plan, Report

_PATIENCE_SECONDS: Final = 900.0
_RECOVERY_SECONDS: Final = 1200.0
_EPILOG: Final = """\
Without --incident: each alert gets synthetic series that must trigger it, through the rule engine of the Prometheus on
PATH, with your rules: quiet before, firing within its time, resolved after. Simulated time; it takes some minutes.

With --incident NAME: the demo's application makes real calls, a real Prometheus scrapes it with your rules, a real
Alertmanager routes, and a webhook receiver stands in for the pager. Real time: ten to twenty minutes. --speed 5 divides
every window, `for` and interval of the rules by five and is quicker, but those are no longer the rules that you run.
Where the settings push metrics (no metrics.port, OTEL_EXPORTER_OTLP_ENDPOINT is set), both drills take the push form of
the rules. With --incident the demo then pushes over OTLP, and what it pushes reaches Prometheus by remote write.

--incident quiet plays normal traffic for --patience seconds, and nothing may fire.

Exit code 0 when everything is as it should be, 1 when not, 2 when the drill could not run.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    add_rules(parser)
    parser.add_argument("--alert", action="append", default=[], metavar="NAME", help="drill only this alert")
    parser.add_argument("--incident", metavar="NAME", help="replay one of the demo's incidents, or `quiet`")
    parser.add_argument(
        "--speed", type=number(0.1, 100), default=1.0, metavar="N", help="shorten the rules' times (--incident)"
    )
    parser.add_argument(
        "--warm-up", type=not_negative, default=180, metavar="S", help="normal traffic before (--incident)"
    )
    parser.add_argument(
        "--patience",
        type=not_negative,
        metavar="S",
        help="longest wait for alerts (--incident); left out: 900, or as long as the incident's alerts may take",
    )
    parser.add_argument(
        "--recovery",
        type=not_negative,
        metavar="S",
        help="longest wait for their end; 0: none; left out: 1200, or as long as these may take to resolve",
    )
    parser.add_argument("--rate", type=positive, default=4.0, metavar="N", help="LLM calls per second (--incident)")


def run(args: argparse.Namespace) -> int:
    """Run the drill; 0 when all is well."""
    from tachograph import catalogue
    from tachograph.settings import load

    settings = catalogue.resolved(load())
    rules = read_rules(args.rules, settings)
    if args.incident:
        return _incident(args, settings, rules)
    return _rehearse(args, settings, rules)


def read_rules(directory: Path | None, settings: Settings, interval: str = EVALUATION_INTERVAL) -> dict[str, str]:
    """Rule files: name to text, from an export, a folder, or the settings (for an evaluation at each interval).

    Raises:
        TachographError: There are none.
    """
    from tachograph import catalogue
    from tachograph.catalogue.export.prometheus import rule_files
    from tachograph.errors import TachographError

    if directory is None:
        return rule_files(catalogue.rule_groups(settings, interval))
    for folder in (directory / "prometheus" / "rules", directory):
        found = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]) if folder.is_dir() else []
        if found:
            return {f"{path.stem}.yaml": _rule_file(path) for path in found}
    raise TachographError(
        "there are no rule files", where=str(directory), do=f"Write them first: tachograph export {directory}"
    )


def _rule_file(path: Path) -> str:
    from tachograph.errors import TachographError
    from tachograph.files import read_named

    try:
        return read_named(path, 16 << 20)
    except (OSError, UnicodeDecodeError) as error:
        raise TachographError(
            f"the rule file cannot be read: {error}", where=str(path), do="Correct it, or move it away."
        ) from error


# -- every alert, in simulated time


def _rehearse(args: argparse.Namespace, settings: Settings, rules: dict[str, str]) -> int:
    import tempfile
    from concurrent.futures import ThreadPoolExecutor

    from tachograph import catalogue
    from tachograph.catalogue.alerts.parts import target
    from tachograph.drill.rehearse import rehearse
    from tachograph.errors import TachographError

    alerts = [alert for group in catalogue.rule_groups(settings) for alert in group.alerts]
    unknown = set(args.alert) - {alert.name for alert in alerts}
    if unknown:
        raise TachographError(
            f"there is no alert {', '.join(sorted(unknown))}",
            where="--alert",
            do="`tachograph export DIR --only runbooks` lists all alerts in DIR/runbooks/README.md.",
        )
    chosen = [alert for alert in alerts if not args.alert or alert.name in args.alert]
    started, seen = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="tachograph-rules-") as directory:
        paths = []
        for name, text in rules.items():
            path = Path(directory) / name
            path.write_text(text, "utf-8")
            paths.append(path)
        show_progress(f"0/{len(chosen)}")
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # each thread waits for its own promtool
            drills = [pool.submit(rehearse, alert, paths, target(settings.alerts)) for alert in chosen]
            try:
                for number, (alert, drill) in enumerate(zip(chosen, drills, strict=True), 1):
                    seen.append(drill.result())
                    show_progress(f"{number}/{len(chosen)} {alert.name}")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    show_progress("")
    _table(seen)
    bad = [one for one in seen if one.problem]
    print(
        f"\n{len(seen) - len(bad)} of {len(seen)} rules quiet before, firing in time and resolved after; "
        f"{time.monotonic() - started:.0f} s"
    )
    return 1 if bad else 0


def _table(seen: list[Rehearsal]) -> None:
    rows = [("alert", "severity", "quiet", "pending", "firing", "must by", "resolved", "")]
    for one in seen:
        rows.append(
            (
                _title(one.alert),
                one.alert.severity,
                "-" if one.alert.drill.always else "yes" if one.quiet else "NO",
                _after(one.pending),
                _after(one.firing),
                one.alert.drill.within,
                "never" if one.resolved is None else _after(one.resolved),
                f"FAIL: {one.problem}" if one.problem else "ok",
            )
        )
    print_rows(rows)


def _title(alert: Alert) -> str:
    window = dict(alert.more_labels).get("long")
    return f"{alert.name} ({window})" if window else alert.name


def _after(seconds: float | None) -> str:
    from tachograph.catalogue.durations import text

    return "-" if seconds is None else f"+{text(seconds)}"


# -- one incident, in real time


def _incident(args: argparse.Namespace, settings: Settings, rules: dict[str, str]) -> int:
    check_demo()
    from tachograph.drill import tools
    from tachograph.errors import TachographError
    from tachograph_demo.incident_drill import QUIET, Plan, replay
    from tachograph_demo.incidents import INCIDENTS

    if args.incident != QUIET and args.incident not in INCIDENTS:
        raise TachographError(
            f"there is no incident {args.incident!r}",
            where="--incident",
            do=f"Choose one of {', '.join((*INCIDENTS, QUIET))}.",
        )
    for name in ("prometheus", "alertmanager"):
        tools.find(name)
    expected = () if args.incident == QUIET else INCIDENTS[args.incident].alerts
    patience, recovery = waits(settings, expected)
    plan = Plan(
        warm_up=args.warm_up,
        patience=patience if args.patience is None else args.patience,
        recovery=recovery if args.recovery is None else args.recovery,
        rate=args.rate,
        speed=args.speed,
    )
    _announce(args.incident, plan, settings.alerts)
    started = time.time()
    # A CI job that is cancelled sends SIGTERM: end like Ctrl-C, so that Prometheus and the demo end with us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = asyncio.run(replay(args.incident, rules, settings.alerts, plan, lambda entry: _say(entry, started)))
    _conclude(report)
    return 0 if report.is_right else 1


def waits(settings: Settings, expected: tuple[str, ...]) -> tuple[float, float]:
    """How long an incident's alerts may take to fire, and to resolve, in seconds: by the drill of each."""
    from tachograph import catalogue
    from tachograph.catalogue.durations import seconds

    drills = [
        alert.drill for group in catalogue.rule_groups(settings) for alert in group.alerts if alert.name in expected
    ]
    return (
        max([_PATIENCE_SECONDS, *(seconds(drill.within) for drill in drills)]),
        max([_RECOVERY_SECONDS, *(seconds(drill.after) for drill in drills)]),
    )


def _announce(name: str, plan: Plan, alerts: AlertsSettings) -> None:
    print(f"incident {name}: real calls, real Prometheus and Alertmanager, {plan.rate:g} calls/s")
    if alerts.profile == "push":
        print(f"metrics are pushed over OTLP every {alerts.push_interval} s")
    if plan.speed != 1:
        print(f"times of the rules are divided by {plan.speed:g}; thresholds are as exported. Not the rules you run.")
    print()


def _say(entry: Entry, started: float) -> None:
    detail = f"  {entry.detail}" if entry.detail else ""
    print(f"{entry.unix - started:7.0f} s  {entry.what:<18} {entry.alert}{detail}", flush=True)


def _conclude(report: Report) -> None:
    print()
    rows = [("alert", "fired after", "notified after", "to", "resolved after", "")]
    for name in (*report.expected, *(name for name in report.fired if name not in report.expected)):
        told = report.notified.get(name)
        verdict = "expected" if name in report.expected else "may fire" if name in report.allowed else "WRONG"
        rows.append(
            (
                name,
                _since(report.fired.get(name), report.began),
                _since(told[0] if told else None, report.began),
                told[1] if told else "-",
                _since(report.resolved.get(name), report.ended),
                verdict if name in report.fired else "MISSING",
            )
        )
    if len(rows) > 1:
        print_rows(rows)
    print(f"\nwatched for {report.watched:.0f} s, {report.pages} pages, ", end="")
    if report.is_right:
        print("as it should be")
    else:
        still = f", still firing: {', '.join(sorted(report.still))}" if report.still else ""
        print(f"missing: {report.missing or 'none'}, wrong: {report.wrong or 'none'}{still}")


def _since(unix: float | None, origin: float | None) -> str:
    return "-" if unix is None or origin is None else f"{unix - origin:.0f} s"
