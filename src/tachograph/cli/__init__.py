"""The command `tachograph`: one module per subcommand, imported only when it is used."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Final

from tachograph.errors import TachographError
from tachograph.version import __version__

COMMANDS: Final[dict[str, str]] = {
    # name: one line of help; the module is tachograph.cli.<name with _ for ->
    "console": "serve the local web console: dashboards, alerts, calls, traces and cost in a browser",
    "collect": "record the calls of other OTLP senders: ledger, metrics and alerts for TypeScript, Go, coding agents",
    "notify": "send alerts to Slack, Teams, PagerDuty, Opsgenie, a webhook or mail, without Alertmanager",
    "demo": "run the product live against local simulators and real MCP servers; needs no API key",
    "doctor": "print what is watched and what is not, and make one call against a simulator to prove it",
    "quiet-life": "prove that alerts stay quiet in real operation and page in time",
    "fire-drill": "prove on this machine that every alert fires, pages and resolves",
    "export": "write Grafana dashboards, Prometheus rules, Alertmanager routes and runbooks",
    "export-focus": "write the ledger as FOCUS 1.2 rows for cost tools, Parquet or CSV",
    "ledger": "run, inspect, move and migrate the usage ledger",
    "settings": "show every setting as it stands and where it came from",
    "run": "run a Python application watched: tachograph run -- python app.py",
    "mcp": "serve what the console shows to AI agents, over the Model Context Protocol; every tool only reads",
    "top": "watch what is wrong, and every provider, model and MCP tool by trouble, live in the terminal",
    "reconcile": "compare the ledger with a provider's own usage and cost report",
    "reprice": "price past calls again with corrected prices, as appended adjustments",
    "report": "report cost, tokens, calls, errors and latency out of the usage ledger",
    "run-cost": "report what one run of an agent cost: calls, tokens, waits, tools, errors, critical path",
    "waste": "report what was paid for and bought nothing, by cause",
}
"""Every subcommand. Its module has `add_arguments(parser)` and `run(args) -> int`."""

_UNWRITABLE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (2 for a user's mistake, 130 for Ctrl-C, 141 for a closed pipe)."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # it was closed: the next file opened, such as the ledger, would be in its place
            setattr(sys, name, open(os.devnull, "r+" if number else "r"))  # noqa: SIM115 - it stays open
    command = ""
    try:
        parsed, run = _parse(list(sys.argv[1:] if argv is None else argv))
        command = f" {parsed.command}"
        code = run(parsed)
        sys.stdout.flush()
    except TachographError as error:
        print(f"tachograph{command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _discard_output()
        return 141
    except OSError as error:
        print(f"tachograph{command}: {_of_system(error)}", file=sys.stderr)
        _discard_output()
        return 2
    return code


def _parse(arguments: list[str]) -> tuple[argparse.Namespace, Callable[[argparse.Namespace], int]]:
    parser = argparse.ArgumentParser(
        prog="tachograph", description="Production monitoring for LLM and MCP applications."
    )
    parser.add_argument("--version", action="version", version=f"tachograph {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name == chosen:
            module = import_module(f"tachograph.cli.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        parser.exit()
    return parsed, parsed.run


def _of_system(error: OSError) -> TachographError:
    what = error.strerror or str(error)
    if error.filename is not None:
        do = "Check that it exists and that this user may read and write it, or name another place."
        return TachographError(what, where=str(error.filename), do=do)
    if error.errno in _UNWRITABLE:
        return TachographError(what, where="the standard output", do="Free some space, or send it elsewhere.")
    return TachographError(what)


def _discard_output() -> None:
    """Let the interpreter's last flush of the standard output succeed, as Python's documentation recommends.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
